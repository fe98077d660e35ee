#include "dataplane/config/discovery/controller_address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <unistd.h>

#include <charconv>
#include <cstddef>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>

#include "base/check.h"

namespace ringway::config {
namespace {

constexpr size_t kAddressesMax = 16;

std::expected<ControllerAddress, std::string> parse_local(std::string_view path) {
  ControllerAddress out;
  out.local = true;
  out.host = path;
  io::SocketAddress address;
  address.local.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.local.sun_path) {
    return std::unexpected("controller address: a Unix socket path has 1 to 107 bytes");
  }
  std::memcpy(address.local.sun_path, path.data(), path.size());
  address.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  if (path.front() == '@') {
    address.local.sun_path[0] = '\0';
  } else {
    ++address.length;
  }
  out.literal.push_back(address);
  return out;
}

// Runs on the lookup thread: answers are written as length and bytes of each sockaddr.
void look_up(const std::string& host, const std::string& port, int fd) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  std::string answer;
  if (::getaddrinfo(host.c_str(), port.c_str(), &hints, &found) == 0) {
    size_t count = 0;
    for (const addrinfo* each = found; each != nullptr && count < kAddressesMax;
         each = each->ai_next, ++count) {
      answer.push_back(static_cast<char>(each->ai_addrlen));
      answer.append(reinterpret_cast<const char*>(each->ai_addr), each->ai_addrlen);
    }
    ::freeaddrinfo(found);
  }
  // At most 16 * 29 bytes: fits any socket buffer. A receiver that left is no error.
  if (!answer.empty() && ::send(fd, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) answer.clear();
  ::close(fd);
}

std::vector<io::SocketAddress> read_answer(std::string_view text) {
  std::vector<io::SocketAddress> out;
  while (!text.empty()) {
    const auto length = static_cast<uint8_t>(text.front());
    text.remove_prefix(1);
    io::SocketAddress address;
    if (length > sizeof address.local || length > text.size()) break;
    std::memcpy(&address.local, text.data(), length);
    address.length = length;
    text.remove_prefix(length);
    out.push_back(address);
  }
  return out;
}

}  // namespace

std::expected<ControllerAddress, std::string> parse_controller_address(std::string_view text) {
  if (text.starts_with("unix:")) return parse_local(text.substr(5));
  const std::string form =
      "controller address \"" + std::string(text) + "\": want unix:/path, host:port or [ipv6]:port";
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return std::unexpected(form);
  ControllerAddress out;
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (!bracketed && host.find_first_of(":[]/ ") != std::string_view::npos)
    return std::unexpected(form);
  uint16_t number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc() || end != port.data() + port.size() || number == 0)
    return std::unexpected(form);
  out.host = host;
  out.port = port;
  io::SocketAddress address;
  if (::inet_pton(AF_INET, out.host.c_str(), &address.v4.sin_addr) == 1) {
    address.v4.sin_family = AF_INET;
    address.v4.sin_port = htons(number);
    address.length = sizeof address.v4;
    out.literal.push_back(address);
  } else if (::inet_pton(AF_INET6, out.host.c_str(), &address.v6.sin6_addr) == 1) {
    address.v6.sin6_family = AF_INET6;
    address.v6.sin6_port = htons(number);
    address.length = sizeof address.v6;
    out.literal.push_back(address);
  } else if (bracketed) {
    return std::unexpected(form);
  }
  return out;
}

NameLookup::NameLookup(io::Ring& ring) : ring_(ring) {
  io::bind<&NameLookup::on_recv>(recv_, *this);
  io::bind<&NameLookup::on_close>(close_, *this);
}

bool NameLookup::start(const std::string& host, const std::string& port, Done done) {
  CHECK(idle());
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return false;
  const auto adopted = ring_.adopt(ends[0]);
  if (!adopted) {
    ::close(ends[0]);
    ::close(ends[1]);
    return false;
  }
  pipe_ = *adopted;
  done_ = std::move(done);
  answer_.clear();
  ring_.recv(recv_, pipe_, io::RecvMode::kMultishot);
  try {
    std::thread(look_up, host, port, ends[1]).detach();
  } catch (const std::system_error&) {
    ::close(ends[1]);  // The receive sees the end of the stream: an empty answer.
  }
  return true;
}

void NameLookup::cancel() {
  done_ = nullptr;
  if (recv_.in_flight) ring_.cancel(recv_);
}

void NameLookup::on_recv(io::Completion&& completion) {
  if (completion.result > 0 && done_) answer_.append(completion.data.view());
  completion.data.reset();
  if (completion.more) return;
  if (completion.result > 0 && done_) {
    ring_.recv(recv_, pipe_, io::RecvMode::kMultishot);  // A multishot receive may end early.
    return;
  }
  ring_.close(close_, pipe_);
}

void NameLookup::on_close(io::Completion&&) {
  pipe_ = {};
  if (const Done done = std::exchange(done_, nullptr)) {
    done(read_answer(answer_));
  } else if (idled) {
    idled();
  }
}

}  // namespace ringway::config
