// bench_grpc_origin --port N: answers every request of HTTP/2 in clear text, once it is whole, as a
// gRPC server does: 200, one message of 16 bytes, grpc-status 0 in trailers. One thread,
// level-triggered epoll. GET /__stats over HTTP/1.1 gives its counts as bench_origin's.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

namespace {

// Length-prefixed message: not compressed, 16 bytes (gRPC over HTTP/2, Length-Prefixed-Message).
constexpr std::string_view kMessage(
    "\0\0\0\0\x10"
    "0123456789abcdef",
    21);

struct Counts {
  uint64_t accepted = 0, requests = 0, body_bytes = 0;
} counts;

nghttp2_nv field(std::string_view name, std::string_view value) {
  return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

ssize_t read_message(nghttp2_session* session, int32_t stream, uint8_t* to, size_t size,
                     uint32_t* flags, nghttp2_data_source*, void*) {
  if (size < kMessage.size()) return NGHTTP2_ERR_DEFERRED;
  std::memcpy(to, kMessage.data(), kMessage.size());
  *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
  const nghttp2_nv trailers[] = {field("grpc-status", "0"), field("grpc-message", "")};
  nghttp2_submit_trailer(session, stream, trailers, 2);
  return static_cast<ssize_t>(kMessage.size());
}

int on_frame(nghttp2_session* session, const nghttp2_frame* frame, void*) {
  const bool message = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
  if (!message || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
  ++counts.requests;
  const nghttp2_nv head[] = {field(":status", "200"), field("content-type", "application/grpc")};
  nghttp2_data_provider body{.source = {}, .read_callback = read_message};
  return nghttp2_submit_response(session, frame->hd.stream_id, head, 2, &body);
}

int on_data(nghttp2_session*, uint8_t, int32_t, const uint8_t*, size_t size, void*) {
  counts.body_bytes += size;
  return 0;
}

nghttp2_session_callbacks* callbacks() {
  static nghttp2_session_callbacks* made = [] {
    nghttp2_session_callbacks* out = nullptr;
    nghttp2_session_callbacks_new(&out);
    nghttp2_session_callbacks_set_on_frame_recv_callback(out, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(out, on_data);
    return out;
  }();
  return made;
}

class Connection {
 public:
  explicit Connection(int fd) : fd_(fd) {
    nghttp2_session_server_new(&session_, callbacks(), nullptr);
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1000}};
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, 1);
  }
  ~Connection() {
    nghttp2_session_del(session_);
    close(fd_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // False: the connection is over.
  bool serve() {
    static char buffer[65536];
    const ssize_t got = recv(fd_, buffer, sizeof buffer, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN)) return false;
    if (got > 0) {
      const std::string_view bytes(buffer, static_cast<size_t>(got));
      if (bytes.starts_with("GET /__stats ")) return answer_stats(), false;
      if (nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(buffer),
                                   bytes.size()) < 0)
        return false;
    }
    return flush();
  }
  bool waits_for_space() const { return !unsent_.empty(); }

 private:
  void answer_stats() {
    char body[160];
    snprintf(body, sizeof body,
             "{\"accepted\":%llu,\"open\":0,\"requests\":%llu,\"body_bytes\":%llu}\n",
             static_cast<unsigned long long>(counts.accepted),
             static_cast<unsigned long long>(counts.requests),
             static_cast<unsigned long long>(counts.body_bytes));
    --counts.accepted;  // This one was none of a proxy's.
    const std::string text =
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " + std::to_string(strlen(body)) +
        "\r\n\r\n" + body;
    send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
  }

  bool flush() {
    const uint8_t* data = nullptr;
    for (ssize_t size; (size = nghttp2_session_mem_send(session_, &data)) > 0;) {
      unsent_.append(reinterpret_cast<const char*>(data), static_cast<size_t>(size));
    }
    if (!unsent_.empty()) {
      const ssize_t sent = send(fd_, unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno != EAGAIN) return false;
      if (sent > 0) unsent_.erase(0, static_cast<size_t>(sent));
    }
    return nghttp2_session_want_read(session_) != 0 || nghttp2_session_want_write(session_) != 0;
  }

  int fd_;
  nghttp2_session* session_ = nullptr;
  std::string unsent_;
};

int listen_on(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0 || listen(fd, 4096) != 0) {
    fprintf(stderr, "bench_grpc_origin: port %u: %s\n", port, strerror(errno));
    exit(1);
  }
  return fd;
}

[[noreturn]] void run(int listener) {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  const auto watch = [&](int operation, int fd, uint32_t what) {
    epoll_event event{};
    event.events = what;
    event.data.fd = fd;
    epoll_ctl(epoll, operation, fd, &event);
  };
  watch(EPOLL_CTL_ADD, listener, EPOLLIN);
  std::unordered_map<int, std::unique_ptr<Connection>> connections;
  epoll_event events[256];
  for (;;) {
    const int count = epoll_wait(epoll, events, 256, -1);
    for (int i = 0; i < count; ++i) {
      const int fd = events[i].data.fd;
      if (fd == listener) {
        for (int one;
             (one = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
          const int on = 1;
          setsockopt(one, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
          ++counts.accepted;
          connections[one] = std::make_unique<Connection>(one);
          watch(EPOLL_CTL_ADD, one, EPOLLIN);
        }
        continue;
      }
      Connection& connection = *connections[fd];
      const bool waited = connection.waits_for_space();
      if (!connection.serve()) {
        connections.erase(fd);
      } else if (waited != connection.waits_for_space()) {
        watch(EPOLL_CTL_MOD, fd, waited ? EPOLLIN : EPOLLIN | EPOLLOUT);
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 || std::string_view(argv[1]) != "--port") {
    fprintf(stderr, "usage: bench_grpc_origin --port N\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  run(listen_on(static_cast<uint16_t>(atoi(argv[2]))));
}
