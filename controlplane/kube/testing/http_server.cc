#include "controlplane/kube/testing/http_server.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <optional>

#include "base/check.h"

namespace ringway::kube {
namespace {

// Bytes of a connection, a head or a body at a time.
class Reader {
 public:
  explicit Reader(int fd) : fd_(fd) {}

  std::optional<std::string> until(std::string_view mark) {
    while (true) {
      if (const size_t at = buffer_.find(mark); at != std::string::npos) {
        std::string out = buffer_.substr(0, at);
        buffer_.erase(0, at + mark.size());
        return out;
      }
      if (!more()) return std::nullopt;
    }
  }

  std::optional<std::string> bytes(size_t count) {
    while (buffer_.size() < count) {
      if (!more()) return std::nullopt;
    }
    std::string out = buffer_.substr(0, count);
    buffer_.erase(0, count);
    return out;
  }

 private:
  bool more() {
    char part[16384];
    const ssize_t got = ::recv(fd_, part, sizeof part, 0);
    if (got <= 0) return false;
    buffer_.append(part, static_cast<size_t>(got));
    return true;
  }

  const int fd_;
  std::string buffer_;
};

std::string decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      out +=
          static_cast<char>(std::strtol(std::string(text.substr(i + 1, 2)).c_str(), nullptr, 16));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

void read_parameters(HttpServer::Request& request) {
  std::string_view rest = request.query;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('&'), rest.size());
    const std::string_view pair = rest.substr(0, end);
    const size_t equals = std::min(pair.find('='), pair.size());
    request.parameters[decoded(pair.substr(0, equals))] =
        decoded(equals < pair.size() ? pair.substr(equals + 1) : "");
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
}

std::optional<HttpServer::Request> read_request(Reader& reader) {
  const auto head = reader.until("\r\n\r\n");
  if (!head) return std::nullopt;
  HttpServer::Request request;
  size_t at = head->find("\r\n");
  const std::string line = head->substr(0, at);
  const size_t first = line.find(' ');
  const size_t second = line.find(' ', first + 1);
  if (second == std::string::npos) return std::nullopt;
  request.method = line.substr(0, first);
  const std::string target = line.substr(first + 1, second - first - 1);
  request.path = target.substr(0, target.find('?'));
  if (request.path.size() < target.size()) request.query = target.substr(request.path.size() + 1);
  read_parameters(request);
  while (at != std::string::npos) {
    const size_t start = at + 2;
    at = head->find("\r\n", start);
    const std::string field = head->substr(start, at == std::string::npos ? at : at - start);
    const size_t colon = field.find(':');
    if (colon == std::string::npos) continue;
    std::string name = field.substr(0, colon);
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
    const size_t value = field.find_first_not_of(' ', colon + 1);
    request.headers[name] = value == std::string::npos ? "" : field.substr(value);
  }
  if (const auto length = request.headers.find("content-length"); length != request.headers.end()) {
    const auto body = reader.bytes(std::strtoul(length->second.c_str(), nullptr, 10));
    if (!body) return std::nullopt;
    request.body = *body;
  }
  return request;
}

}  // namespace

bool HttpServer::Reply::raw(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return keep_alive_ = false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

void HttpServer::Reply::send(int status, std::string_view body,
                             const std::map<std::string, std::string>& headers) {
  std::string head =
      "HTTP/1.1 " + std::to_string(status) + " x\r\nContent-Type: application/json\r\n";
  for (const auto& [name, value] : headers) head += name + ": " + value + "\r\n";
  head += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n";
  raw(head);
  raw(body);
}

bool HttpServer::Reply::begin(int status) {
  return raw("HTTP/1.1 " + std::to_string(status) +
             " x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
}

bool HttpServer::Reply::write(std::string_view part) {
  char size[32];
  const int length = std::snprintf(size, sizeof size, "%zx\r\n", part.size());
  std::string chunk(size, static_cast<size_t>(length));
  chunk += part;
  chunk += "\r\n";
  return raw(chunk);
}

void HttpServer::Reply::end() { raw("0\r\n\r\n"); }

void HttpServer::Reply::cut() {
  ::shutdown(fd_, SHUT_RDWR);
  keep_alive_ = false;
}

bool HttpServer::Reply::peer_gone() const {
  char byte = 0;
  const ssize_t got = ::recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK);
}

HttpServer::HttpServer(Handler handler) : handler_(std::move(handler)) {
  listen_fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(listen_fd_ >= 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  CHECK(::bind(listen_fd_, reinterpret_cast<sockaddr*>(&address), size) == 0);
  CHECK(::listen(listen_fd_, 256) == 0);
  CHECK(::getsockname(listen_fd_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_all(); });
}

HttpServer::~HttpServer() {
  stopping_ = true;
  ::shutdown(listen_fd_, SHUT_RDWR);
  acceptor_.join();
  cut_all();
  std::vector<std::thread> threads;
  {
    const std::lock_guard lock(mutex_);
    threads.swap(threads_);
  }
  for (std::thread& thread : threads) thread.join();
  ::close(listen_fd_);
}

void HttpServer::cut_all() {
  const std::lock_guard lock(mutex_);
  for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
}

void HttpServer::accept_all() {
  while (!stopping_) {
    const int fd = ::accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ++accepted_;
    const std::lock_guard lock(mutex_);
    if (stopping_) {
      ::close(fd);
      return;
    }
    open_.insert(fd);
    threads_.emplace_back([this, fd] { serve(fd); });
  }
}

void HttpServer::serve(int fd) {
  Reader reader(fd);
  Reply reply(fd);
  while (reply.keep_alive() && !stopping_) {
    const auto request = read_request(reader);
    if (!request) break;
    handler_(*request, reply);
  }
  const std::lock_guard lock(mutex_);
  open_.erase(fd);
  ::close(fd);
}

}  // namespace ringway::kube
