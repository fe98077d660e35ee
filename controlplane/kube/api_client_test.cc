#include "controlplane/kube/api_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <future>

#include "controlplane/kube/testing/http_server.h"

namespace ringway::kube {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

Config config_for(const HttpServer& server) { return {.server = server.url()}; }

// A stream and what it said, for a test's thread.
class StreamProbe {
 public:
  void start(ApiClient& client, Request request, milliseconds silence_max) {
    client.loop().post([this, &client, request = std::move(request), silence_max] {
      id_ = client.start(
          request, {.silence_max = silence_max,
                    .on_open = [this] { note([this] { opened_ = true; }); },
                    .on_data = [this](std::string_view part) { note([&] { data_ += part; }); },
                    .on_end = [this](Result result) { note([&] { end_ = std::move(result); }); }});
    });
  }
  Result wait_end() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return end_.has_value(); });
    return *end_;
  }
  void wait_data(std::string_view text) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return data_.find(text) != std::string::npos; });
  }
  std::string data() {
    const std::lock_guard lock(mutex_);
    return data_;
  }
  bool ended() {
    const std::lock_guard lock(mutex_);
    return end_.has_value();
  }
  bool opened() {
    const std::lock_guard lock(mutex_);
    return opened_;
  }
  ApiClient::CallId id() const { return id_; }

 private:
  template <typename Change>
  void note(Change change) {
    const std::lock_guard lock(mutex_);
    change();
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<ApiClient::CallId> id_ = 0;
  bool opened_ = false;
  std::string data_;
  std::optional<Result> end_;
};

TEST(ApiClientTest, SendsWhatIsAskedAndReusesTheConnection) {
  std::mutex mutex;
  std::vector<HttpServer::Request> seen;
  HttpServer server([&](const HttpServer::Request& request, HttpServer::Reply& reply) {
    const std::lock_guard lock(mutex);
    seen.push_back(request);
    reply.send(201, R"({"kind":"Status"})");
  });
  ApiClient client({.server = server.url() + "/prefix", .token = "abc"});
  const Result got = client.call({.method = "PATCH",
                                  .path = "/api/v1/x",
                                  .query = "fieldManager=" + query_escape("a b&c"),
                                  .content_type = "application/merge-patch+json",
                                  .body = "{}"});
  ASSERT_TRUE(got.has_value()) << got.error().message;
  EXPECT_EQ(got->status, 201);
  EXPECT_TRUE(got->ok());
  EXPECT_EQ(got->body, R"({"kind":"Status"})");
  EXPECT_TRUE(client.call({.path = "/api/v1/y"}).has_value());
  EXPECT_TRUE(client.call({.method = "DELETE", .path = "/api/v1/z"}).has_value());
  ASSERT_EQ(seen.size(), 3u);
  EXPECT_EQ(seen[0].method, "PATCH");
  EXPECT_EQ(seen[0].path, "/prefix/api/v1/x");
  EXPECT_EQ(seen[0].parameter("fieldManager"), "a b&c");
  EXPECT_EQ(seen[0].headers["content-type"], "application/merge-patch+json");
  EXPECT_EQ(seen[0].headers["authorization"], "Bearer abc");
  EXPECT_THAT(seen[0].headers["user-agent"], HasSubstr("ringway-controller/"));
  EXPECT_EQ(seen[0].body, "{}");
  EXPECT_EQ(seen[1].method, "GET");
  EXPECT_EQ(seen[1].headers.count("content-type"), 0u) << "nothing of the request before";
  EXPECT_EQ(seen[1].body, "");
  EXPECT_EQ(seen[2].method, "DELETE");
  EXPECT_EQ(server.accepted(), 1u);
}

TEST(ApiClientTest, UnreachableNamesTheServerAndWhy) {
  std::string url;
  {
    HttpServer server([](const auto&, auto&) {});
    url = server.url();
  }
  ApiClient client(Config{.server = url});
  const Result got = client.call({.path = "/"});
  ASSERT_FALSE(got.has_value());
  EXPECT_EQ(got.error().fault, Fault::kUnreachable);
  EXPECT_THAT(got.error().message, HasSubstr(url));
}

TEST(ApiClientTest, A401ReadsTheTokenAgainOnce) {
  std::string path = testing::TempDir() + "kube_token_XXXXXX";
  const std::string directory = ::mkdtemp(path.data());
  const std::string file = directory + "/token";
  std::ofstream(file) << "old";
  std::atomic<int> requests = 0;
  HttpServer server([&](const HttpServer::Request& request, HttpServer::Reply& reply) {
    ++requests;
    const bool good = request.headers.at("authorization") == "Bearer new";
    if (good) return reply.send(200, "{}");
    std::ofstream(file) << (request.path == "/renewed" ? "new" : "old");
    reply.send(401, R"({"message":"Unauthorized"})");
  });
  ApiClient client({.server = server.url(), .token_file = file});
  EXPECT_EQ(client.call({.path = "/never"})->status, 401);
  EXPECT_EQ(requests, 2) << "once more, not for ever";
  EXPECT_EQ(client.call({.path = "/renewed"})->status, 200);
  std::filesystem::remove_all(directory);
}

TEST(ApiClientTest, A429WithRetryAfterIsSentAgain) {
  std::atomic<int> requests = 0;
  HttpServer server([&](const HttpServer::Request& request, HttpServer::Reply& reply) {
    const int number = ++requests;
    if (request.path == "/late") return reply.send(503, "{}", {{"Retry-After", "7200"}});
    if (number == 1) return reply.send(429, "{}", {{"Retry-After", "0"}});
    if (number == 2) return reply.send(503, "{}", {{"retry-after", "0"}});
    reply.send(200, "{}");
  });
  ApiClient client(config_for(server));
  EXPECT_EQ(client.call({.path = "/busy"})->status, 200);
  EXPECT_EQ(requests, 3);
  const Result late = client.call({.path = "/late"});  // An hour is not waited for in 30 s.
  EXPECT_EQ(late->status, 503);
  EXPECT_EQ(late->retry_after, std::chrono::seconds(3600));
  EXPECT_EQ(requests, 4);
}

TEST(ApiClientTest, AnswersHaveALimit) {
  HttpServer server([](const auto&, HttpServer::Reply& reply) {
    reply.begin();
    const std::string part(1 << 16, 'x');
    for (int i = 0; i < 64 && reply.write(part); ++i) continue;
    reply.end();
  });
  ApiClient client(config_for(server));
  const Result got = client.call({.path = "/", .body_bytes_max = 1 << 20});
  ASSERT_FALSE(got.has_value());
  EXPECT_EQ(got.error().fault, Fault::kTooLarge);
  EXPECT_EQ(client.call({.path = "/"})->body.size(), size_t{64} << 16);
}

TEST(ApiClientTest, AnAnswerThatIsCutIsBrokenAndOneThatStallsTimesOut) {
  HttpServer server([](const HttpServer::Request& request, HttpServer::Reply& reply) {
    reply.raw("HTTP/1.1 200 x\r\nContent-Length: 100\r\n\r\nhalf");
    if (request.path == "/cut") return reply.cut();
    while (!reply.peer_gone()) std::this_thread::sleep_for(milliseconds(1));
    reply.cut();
  });
  ApiClient client(config_for(server));
  EXPECT_EQ(client.call({.path = "/cut"}).error().fault, Fault::kBroken);
  EXPECT_EQ(client.call({.path = "/stall", .timeout = milliseconds(50)}).error().fault,
            Fault::kTimeout);
}

TEST(ApiClientTest, AStreamGivesItsPartsAndItsEnd) {
  HttpServer server([](const auto&, HttpServer::Reply& reply) {
    reply.begin();
    reply.write("one\n");
    reply.write("two\n");
    reply.end();
  });
  ApiClient client(config_for(server));
  StreamProbe probe;
  probe.start(client, {.path = "/watch"}, milliseconds(60'000));
  const Result end = probe.wait_end();
  ASSERT_TRUE(end.has_value()) << end.error().message;
  EXPECT_EQ(end->status, 200);
  EXPECT_EQ(end->body, "");
  EXPECT_EQ(probe.data(), "one\ntwo\n");
  EXPECT_TRUE(probe.opened());
}

TEST(ApiClientTest, AStreamThatIsRefusedHasTheReasonInItsEnd) {
  HttpServer server([](const auto&, HttpServer::Reply& reply) {
    reply.send(410, R"({"kind":"Status","message":"too old resource version"})",
               {{"Retry-After", "3"}});
  });
  ApiClient client(config_for(server));
  StreamProbe probe;
  probe.start(client, {.path = "/watch"}, milliseconds(60'000));
  const Result end = probe.wait_end();
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->status, 410);
  EXPECT_EQ(end->retry_after, std::chrono::seconds(3));
  EXPECT_EQ(describe(*end), "HTTP 410: too old resource version");
  EXPECT_FALSE(probe.opened());
  EXPECT_EQ(probe.data(), "");
}

TEST(ApiClientTest, ASilentStreamEndsAndItsConnectionIsClosed) {
  std::atomic<bool> closed = false;
  HttpServer server([&](const auto&, HttpServer::Reply& reply) {
    reply.begin();
    reply.write("hello\n");
    while (!reply.peer_gone()) std::this_thread::sleep_for(milliseconds(1));
    closed = true;
    reply.cut();
  });
  ApiClient client(config_for(server));
  StreamProbe probe;
  probe.start(client, {.path = "/watch"}, milliseconds(50));
  const Result end = probe.wait_end();
  ASSERT_FALSE(end.has_value());
  EXPECT_EQ(end.error().fault, Fault::kSilent);
  EXPECT_EQ(probe.data(), "hello\n");
  while (!closed) std::this_thread::sleep_for(milliseconds(1));
}

TEST(ApiClientTest, ACancelledStreamSaysNothingMore) {
  std::atomic<bool> closed = false;
  HttpServer server([&](const auto&, HttpServer::Reply& reply) {
    reply.begin();
    while (reply.write("tick\n")) std::this_thread::sleep_for(milliseconds(1));
    closed = true;
  });
  ApiClient client(config_for(server));
  StreamProbe probe;
  probe.start(client, {.path = "/watch"}, milliseconds(60'000));
  probe.wait_data("tick");
  std::promise<std::string> at_cancel;
  client.loop().post([&] {
    client.cancel(probe.id());
    at_cancel.set_value(probe.data());
  });
  const std::string before = at_cancel.get_future().get();
  while (!closed) std::this_thread::sleep_for(milliseconds(1));
  EXPECT_EQ(probe.data(), before);
  EXPECT_FALSE(probe.ended());
}

// libcurl 7.88 writes past a receive buffer when handles of different CURLOPT_BUFFERSIZE share an
// HTTP/2 connection: the controller died of it when an API server went away. The server of these
// tests speaks HTTP/1.1, which does not show it; what is held here is that no size is set.
TEST(ApiClientTest, NoSizeOfReceiveBuffersIsSet) {
  size_t files = 0;
  for (const auto& file : std::filesystem::directory_iterator(SOURCE_DIR "/controlplane/kube")) {
    if (file.path().extension() != ".cc" || file.path().stem() == "api_client_test") continue;
    ++files;
    std::ifstream in(file.path());
    for (std::string line; std::getline(in, line);) {
      EXPECT_EQ(line.find("CURLOPT_BUFFERSIZE"), std::string::npos) << file.path();
    }
  }
  EXPECT_GT(files, 10u);
}

TEST(ApiClientTest, HandlersMayCancelThemselvesAndStartOthers) {
  HttpServer server([](const HttpServer::Request& request, HttpServer::Reply& reply) {
    if (request.path == "/get") return reply.send(200, "answer");
    reply.begin();
    while (reply.write("tick\n")) std::this_thread::sleep_for(milliseconds(1));
  });
  ApiClient client(config_for(server));
  std::promise<std::string> answer;
  client.loop().post([&] {
    auto id = std::make_shared<ApiClient::CallId>();
    *id = client.start({.path = "/watch"}, Stream{.on_data =
                                                      [&, id](std::string_view) {
                                                        client.start(
                                                            {.path = "/get"}, [&](Result result) {
                                                              answer.set_value(result->body);
                                                            });
                                                        client.cancel(*id);
                                                      },
                                                  .on_end = [](Result) {}});
  });
  EXPECT_EQ(answer.get_future().get(), "answer");
}

TEST(ApiClientTest, StopEndsEverythingThatWaits) {
  std::promise<void> arrived;
  HttpServer server([&](const HttpServer::Request& request, HttpServer::Reply& reply) {
    if (request.path == "/call") arrived.set_value();
    while (!reply.peer_gone()) std::this_thread::sleep_for(milliseconds(1));
    reply.cut();
  });
  ApiClient client(config_for(server));
  StreamProbe probe;
  probe.start(client, {.path = "/watch"}, milliseconds(60'000));
  std::future<Result> call =
      std::async(std::launch::async, [&] { return client.call({.path = "/call"}); });
  arrived.get_future().get();
  client.stop();
  EXPECT_EQ(call.get().error().fault, Fault::kCancelled);
  EXPECT_EQ(probe.wait_end().error().fault, Fault::kCancelled);
  EXPECT_EQ(client.call({.path = "/"}).error().fault, Fault::kCancelled);
}

TEST(ApiClientTest, ManyCallsFromManyThreads) {
  HttpServer server([](const HttpServer::Request& request, HttpServer::Reply& reply) {
    reply.send(200, request.path);
  });
  ApiClient client(config_for(server));
  std::vector<std::thread> threads;
  std::atomic<int> right = 0;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        const std::string path = "/" + std::to_string(t) + "/" + std::to_string(i);
        const Result got = client.call({.path = path});
        if (got && got->body == path) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 400);
}

TEST(QueryEscapeTest, EscapesAllButUnreserved) {
  EXPECT_EQ(query_escape("metadata.name=a/b c~-_"), "metadata.name%3Da%2Fb%20c~-_");
  EXPECT_EQ(query_escape("\xC3\xA9"), "%C3%A9");
}

}  // namespace
}  // namespace ringway::kube
