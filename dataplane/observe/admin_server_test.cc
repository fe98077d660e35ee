#include "dataplane/observe/admin_server.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "base/random.h"
#include "dataplane/observe/ring_loop_for_test.h"

namespace ringway::observe {
namespace {

int listen_on_loopback(uint16_t& port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{
      .sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  socklen_t length = sizeof address;
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), length), 0);
  EXPECT_EQ(listen(fd, 512), 0);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  port = ntohs(address.sin_port);
  return fd;
}

class AdminServerTest : public RingLoopTest {
 protected:
  void SetUp() override {
    RingLoopTest::SetUp();
    if (loop_ != nullptr) start({});
  }
  void start(const AdminServerOptions& options) {
    stop();
    server_ = std::make_unique<AdminServer>(*loop_->ring, *loop_->wheel, options);
    server_->handle("/healthz", [](const AdminRequest&) { return AdminResponse{.body = "ok\n"}; });
    server_->handle("/echo", [](const AdminRequest& request) {
      return AdminResponse{.body = request.has("verbose") ? "long\n" : "short\n"};
    });
    server_->handle("/big", [](const AdminRequest&) {
      return AdminResponse{.body = std::string(8 << 20, 'b')};
    });
    server_->handle("/pieces", [this](const AdminRequest&) {
      auto left = std::make_shared<int>(kPieces);
      pieces_ = left;
      return AdminResponse{.body = "first", .more = [left](std::string& piece) {
                             EXPECT_TRUE(piece.empty());
                             if (*left % 3 != 0)
                               piece.assign(100'000, 'p');  // Some are empty, so is the last.
                             return --*left > 0;
                           }};
    });
    server_->handle("/later", [this](const AdminRequest&, AdminReply reply) {
      replies_.push_back(std::move(reply));
    });
    ASSERT_TRUE(server_->start(listen_on_loopback(port_)).has_value());
  }
  void stop() {
    if (server_ == nullptr) return;
    server_->stop(loop_->ring->now_ns() + kNsPerSecond);
    EXPECT_TRUE(loop_->run_until([&] { return server_->stopped(); }));
    EXPECT_EQ(loop_->ring->in_flight(), 0u);
    server_.reset();
  }
  void TearDown() override {
    if (loop_ != nullptr) stop();
    for (const int fd : clients_) close(fd);
  }

  int connect_client() {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{.sin_family = AF_INET,
                        .sin_port = htons(port_),
                        .sin_addr = {htonl(INADDR_LOOPBACK)},
                        .sin_zero = {}};
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    clients_.push_back(fd);
    return fd;
  }
  static void say(int fd, std::string_view text) {
    send(fd, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  // What came until `done(text)` or the end of the connection; the loop runs meanwhile.
  template <typename Done>
  std::string hear(int fd, Done&& done, int timeout_ms = 5000) {
    std::string text;
    closed_ = false;
    char piece[65536];
    loop_->run_until(
        [&] {
          for (ssize_t n;
               (n = recv(fd, piece, sizeof piece, MSG_DONTWAIT)) != -1 || errno == ECONNRESET;) {
            if (n <= 0) return closed_ = true;
            text.append(piece, static_cast<size_t>(n));
          }
          return done(text);
        },
        timeout_ms);
    return text;
  }
  std::string hear_all(int fd, int timeout_ms = 5000) {
    return hear(fd, [](const std::string&) { return false; }, timeout_ms);
  }
  std::string ask(std::string_view request) {
    const int fd = connect_client();
    say(fd, request);
    return hear_all(fd);
  }

  std::unique_ptr<AdminServer> server_;
  static constexpr int kPieces = 60;
  static constexpr size_t kPiecesBytes = 5 + kPieces / 3 * 2 * 100'000;
  std::weak_ptr<int> pieces_;  // What the answer of /pieces holds.
  std::vector<AdminReply> replies_;
  std::vector<int> clients_;
  uint16_t port_ = 0;
  bool closed_ = false;
};

constexpr std::string_view kGet = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr std::string_view kGetAndClose =
    "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

TEST_P(AdminServerTest, AnswersGet) {
  const std::string answer = ask(kGetAndClose);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 ")) << answer;
  EXPECT_TRUE(answer.ends_with("\r\n\r\nok\n")) << answer;
  EXPECT_NE(answer.find("Content-Length: 3\r\n"), std::string::npos) << answer;
  EXPECT_NE(answer.find("nosniff"), std::string::npos);
}

TEST_P(AdminServerTest, StatusByRequest) {
  struct Case {
    const char* request;
    const char* status;
  };
  const Case cases[] = {
      {"GET /nothing?<script> HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "404"},
      {"GET /healthz/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "404"},
      {"POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
       "405"},
      {"DELETE /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "405"},
      {"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "413"},
      {"GET /healthz HTTP/1.1\r\n\r\n", "400"},
      {"\x16\x03\x01 this is TLS\r\n\r\n", "400"},
      {"GET /healthz HTTP/3.0\r\nHost: a\r\n\r\n", "505"},
  };
  for (const Case& c : cases) {
    const std::string answer = ask(c.request);
    EXPECT_TRUE(answer.starts_with(std::string("HTTP/1.1 ") + c.status)) << c.request << answer;
    EXPECT_EQ(answer.find("script"),
              std::string::npos);  // Never an echo of the request (security table, row 43).
  }
  const std::string answer =
      ask("POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  EXPECT_NE(answer.find("Allow: GET, HEAD\r\n"), std::string::npos) << answer;
}

TEST_P(AdminServerTest, HeadHasTheLengthAndNoBody) {
  const std::string answer = ask("HEAD /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_NE(answer.find("Content-Length: 3\r\n"), std::string::npos) << answer;
  EXPECT_TRUE(answer.ends_with("\r\n\r\n")) << answer;
}

TEST_P(AdminServerTest, QueryAndKeepAliveAndPipelining) {
  const int fd = connect_client();
  say(fd,
      "GET /echo?verbose HTTP/1.1\r\nHost: a\r\n\r\nGET /echo?x=verbose HTTP/1.1\r\nHost: "
      "a\r\n\r\nGET /echo?a=1&verbose=0 HTTP/1.1\r\nHost: a\r\n\r\n");
  const std::string text = hear(fd, [](const std::string& t) {
    return t.find("long") != t.rfind("long") && t.ends_with("long\n");
  });
  EXPECT_LT(text.find("long"), text.find("short"));
  EXPECT_FALSE(closed_);
  say(fd, kGet);
  EXPECT_NE(hear(fd, [](const std::string& t) { return t.ends_with("ok\n"); }).find("200"),
            std::string::npos);
  EXPECT_EQ(server_->stats().requests, 4u);
  EXPECT_EQ(server_->stats().connections, 1u);
}

TEST_P(AdminServerTest, AnswersThatComeLater) {
  const int fd = connect_client();
  say(fd, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(loop_->run_until([&] { return replies_.size() == 1; }));
  loop_->run_for(30);
  replies_[0]({.status = 503, .body = "worker 1 is slow\n"});
  replies_[0]({.body = "twice\n"});
  const std::string text = hear(fd, [](const std::string& t) { return t.ends_with("slow\n"); });
  EXPECT_TRUE(text.starts_with("HTTP/1.1 503")) << text;
  EXPECT_EQ(text.find("twice"), std::string::npos);
}

TEST_P(AdminServerTest, AnAnswerForAClientThatLeftIsIgnored) {
  const int fd = connect_client();
  say(fd, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(loop_->run_until([&] { return replies_.size() == 1; }));
  const linger reset{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  close(fd);
  clients_.pop_back();
  replies_[0]({.body = std::string(1 << 20, 'x')});
  EXPECT_TRUE(loop_->run_until([&] { return server_->stats().active == 0; }));
  // And one for a server that is gone.
  const int other = connect_client();
  say(other, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(loop_->run_until([&] { return replies_.size() == 2; }));
  stop();
  replies_[1]({.body = "late\n"});
}

TEST_P(AdminServerTest, AReplyThatNeverComesIsA503) {
  start({.response_timeout_ns = 100 * kNsPerMs});
  const std::string text = ask("GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_TRUE(text.starts_with("HTTP/1.1 503")) << text;
  EXPECT_TRUE(closed_);
}

TEST_P(AdminServerTest, ByteByByteThenSlowerThanTheDeadline) {
  const int fd = connect_client();
  for (const char c : kGet) {
    say(fd, {&c, 1});
    loop_->turn(kNsPerMs);
  }
  EXPECT_NE(hear(fd, [](const std::string& t) { return t.ends_with("ok\n"); }).find("200"),
            std::string::npos);

  start({.header_timeout_ns = 150 * kNsPerMs, .idle_timeout_ns = 10 * kNsPerSecond});
  const int slow = connect_client();
  const uint64_t before = monotonic_ns();
  closed_ = false;
  for (size_t i = 0; i < kGet.size() && !closed_;
       ++i) {  // A byte each 40 ms: no single pause is long, the sum is.
    say(slow, kGet.substr(i, 1));
    hear_all(slow, 40);
  }
  EXPECT_TRUE(closed_);
  EXPECT_LT(monotonic_ns() - before, 1500 * kNsPerMs);
  EXPECT_EQ(server_->stats().timeouts, 1u);
}

TEST_P(AdminServerTest, IdleConnectionsEnd) {
  start({.idle_timeout_ns = 100 * kNsPerMs});
  const int fd = connect_client();
  say(fd, kGet);
  hear(fd, [](const std::string& t) { return t.ends_with("ok\n"); });
  hear_all(fd, 2000);
  EXPECT_TRUE(closed_);
}

TEST_P(AdminServerTest, ABigAnswerArrivesWhole) {
  const std::string text = ask("GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(text.size() - text.find("\r\n\r\n") - 4, 8u << 20);
}

TEST_P(AdminServerTest, AnAnswerInPiecesArrivesWholeAndTheConnectionGoesOn) {
  const int fd = connect_client();
  say(fd, "GET /pieces HTTP/1.1\r\nHost: a\r\n\r\n");
  std::string text =
      hear(fd, [](const std::string& got) { return got.ends_with("\r\n0\r\n\r\n"); });
  EXPECT_NE(text.find("Transfer-Encoding: chunked\r\n"), std::string::npos);
  const size_t body = text.find("\r\n\r\n") + 4;
  size_t bytes = 0;
  for (size_t at = body; at < text.size();) {
    const size_t size = std::strtoul(text.c_str() + at, nullptr, 16);
    bytes += size;
    at = text.find("\r\n", at) + 2 + size + 2;
  }
  EXPECT_EQ(bytes, kPiecesBytes);
  EXPECT_TRUE(pieces_.expired());
  say(fd, kGetAndClose);
  EXPECT_TRUE(hear_all(fd).ends_with("\r\n\r\nok\n"));
}

TEST_P(AdminServerTest, PiecesForHttp10EndWithTheConnection) {
  const std::string text = ask("GET /pieces HTTP/1.0\r\n\r\n");
  EXPECT_EQ(text.size() - text.find("\r\n\r\n") - 4, kPiecesBytes);
  EXPECT_TRUE(closed_);
}

TEST_P(AdminServerTest, HeadOfAnAnswerInPiecesHasNone) {
  const std::string text = ask("HEAD /pieces HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(text.ends_with("\r\n\r\n")) << text;
  EXPECT_TRUE(pieces_.expired());
}

TEST_P(AdminServerTest, PiecesAreDroppedWhenTheClientLeaves) {
  const int fd = connect_client();
  say(fd, "GET /pieces HTTP/1.1\r\nHost: a\r\n\r\n");
  hear(fd, [](const std::string& got) { return got.size() > 1000; });
  const linger reset{.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  close(fd);
  clients_.pop_back();
  EXPECT_TRUE(loop_->run_until([&] { return pieces_.expired(); }));
}

TEST_P(AdminServerTest, ASlowReaderIsBoundedAndEnds) {
  start({.write_timeout_ns = 200 * kNsPerMs, .response_timeout_ns = 10 * kNsPerSecond});
  const int fd = connect_client();
  say(fd, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(loop_->run_until([&] { return server_->stats().active == 1; }));
  loop_->run_for(50);
  EXPECT_LT(loop_->ring->output_pool().in_use(), 40u);  // 64 KiB of output, not the whole answer.
  // Others are served meanwhile.
  EXPECT_TRUE(ask(kGetAndClose).starts_with("HTTP/1.1 200"));
  EXPECT_TRUE(loop_->run_until([&] { return server_->stats().active == 0; }));
  EXPECT_EQ(server_->stats().timeouts, 1u);
}

TEST_P(AdminServerTest, AnswersNotTakenAreBoundedInSum) {
  start({.answer_bytes_max = 20u << 20});
  std::vector<int> readers;
  for (int i = 0; i < 6; ++i) {
    readers.push_back(connect_client());
    say(readers.back(), "GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    loop_->run_for(20);
  }
  uint32_t whole = 0, refused = 0;
  for (const int fd : readers) {
    const std::string text = hear_all(fd, 3000);
    whole += text.starts_with("HTTP/1.1 200");
    refused += text.starts_with("HTTP/1.1 503");
  }
  EXPECT_EQ(whole, 2u);
  EXPECT_EQ(refused, 4u);
}

TEST_P(AdminServerTest, AProbeGetsThroughACrowdOfIdleConnections) {
  start({.connections_max = 8});
  for (int i = 0; i < 40; ++i) connect_client();
  loop_->run_for(50);
  EXPECT_LE(server_->stats().active, 8u);
  EXPECT_EQ(server_->stats().connections_refused, 32u);
  EXPECT_TRUE(ask(kGetAndClose).starts_with("HTTP/1.1 200"));
}

TEST_P(AdminServerTest, GarbageAndFloodsHarmNobody) {
  Random random(GetParam() == io::Backend::kEpoll ? 1 : 2);
  for (int i = 0; i < 300; ++i) {
    const int fd = connect_client();
    std::string garbage =
        random.chance(50) ? std::string(kGet.substr(0, random.below(kGet.size()))) : "";
    const uint32_t size = random.below(600);
    for (uint32_t k = 0; k < size; ++k) garbage += static_cast<char>(random.below(256));
    say(fd, garbage);
    if (random.chance(50)) shutdown(fd, SHUT_WR);
    if (random.chance(30)) {
      close(fd);
      clients_.pop_back();
    }
    if (i % 10 == 0) loop_->turn(0);
  }
  EXPECT_TRUE(ask(kGetAndClose).starts_with("HTTP/1.1 200"));
}

TEST_P(AdminServerTest, StopLetsTheAnswerEndAndClosesTheRest) {
  const int idle = connect_client();
  const int busy = connect_client();
  say(busy, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(loop_->run_until([&] { return replies_.size() == 1; }));
  server_->stop(loop_->ring->now_ns() + 5 * kNsPerSecond);
  hear_all(idle, 2000);
  EXPECT_TRUE(closed_);
  EXPECT_FALSE(server_->stopped());
  replies_[0]({.body = "done\n"});
  const std::string text = hear_all(busy, 3000);
  EXPECT_TRUE(text.ends_with("done\n")) << text;
  EXPECT_NE(text.find("Connection: close\r\n"), std::string::npos) << text;
  EXPECT_TRUE(loop_->run_until([&] { return server_->stopped(); }));
  server_.reset();
}

TEST_P(AdminServerTest, StopEndsAtItsDeadline) {
  const int fd = connect_client();
  say(fd, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(loop_->run_until([&] { return replies_.size() == 1; }));
  server_->stop(loop_->ring->now_ns() + 50 * kNsPerMs);
  EXPECT_TRUE(loop_->run_until([&] { return server_->stopped(); }, 2000));
  server_.reset();
}

// Descriptors run out: accepting pauses and goes on later, the loop does not spin.
TEST_P(AdminServerTest, EmfilePausesAccepting) {
  if (GetParam() == io::Backend::kUring)
    GTEST_SKIP() << "registered files are not counted by RLIMIT_NOFILE";
  const int waiting = connect_client();
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit few{.rlim_cur = static_cast<rlim_t>(waiting) + 1, .rlim_max = before.rlim_max};
  say(waiting, kGetAndClose);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  uint64_t turns = loop_->ring->stats().turns;
  loop_->run_for(300);
  turns = loop_->ring->stats().turns - turns;
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(server_->stats().connections, 0u);
  EXPECT_LT(turns, 200u);
  EXPECT_TRUE(hear_all(waiting).starts_with("HTTP/1.1 200"));
}

INSTANTIATE_TEST_SUITE_P(Backends, AdminServerTest,
                         testing::Values(io::Backend::kEpoll, io::Backend::kUring),
                         [](const auto& test) {
                           return std::string(io::backend_name(test.param));
                         });

}  // namespace
}  // namespace ringway::observe
