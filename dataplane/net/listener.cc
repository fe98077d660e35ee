#include "dataplane/net/listener.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "dataplane/net/address.h"

namespace ringway::net {
namespace {

// A descriptor that is closed unless released.
class OpenFile {
 public:
  explicit OpenFile(int fd) : fd_(fd) {}
  OpenFile(OpenFile&& other) noexcept : fd_(other.release()) {}
  OpenFile& operator=(OpenFile&&) = delete;
  ~OpenFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

// What a person can do about it.
std::string_view advice(int error, const io::SocketAddress& address) {
  const bool local = address.family() == AF_UNIX;
  switch (error) {
    case EACCES:
      return local ? "this user may not write to the folder of the socket"
                   : "ports below 1024 need the capability NET_BIND_SERVICE or a lower sysctl "
                     "net.ipv4.ip_unprivileged_port_start; or use a port from 1024 on";
    case EADDRINUSE:
      return "another process listens there: stop it or choose another address";
    case EADDRNOTAVAIL:
      return "no interface of this machine has that address";
    case EAFNOSUPPORT:
      return "the kernel does not have this address family: is IPv6 switched off?";
    case EMFILE:
    case ENFILE:
      return "raise the limit of open files";
    case ENOENT:
      return "the folder of the socket does not exist";
    case EROFS:
      return "the folder of the socket is read-only";
    default:
      return "";
  }
}

std::unexpected<std::string> refuse(const io::SocketAddress& address, std::string_view why,
                                    std::string_view what_to_do) {
  std::string text = "cannot listen on " + to_string(address) + ": ";
  text += why;
  if (!what_to_do.empty()) {
    text += ": ";
    text += what_to_do;
  }
  return std::unexpected(std::move(text));
}

std::unexpected<std::string> refuse(const io::SocketAddress& address, int error) {
  return refuse(address, std::strerror(error), advice(error, address));
}

bool switch_on(int fd, int level, int option) {
  const int on = 1;
  return ::setsockopt(fd, level, option, &on, sizeof on) == 0;
}

bool prepare_tcp(int fd) {
  // Over connections in TIME_WAIT.
  return switch_on(fd, SOL_SOCKET, SO_REUSEADDR) && switch_on(fd, IPPROTO_TCP, TCP_NODELAY);
}

bool prepare_udp(int fd, int family) {
  // Without it datagrams come one by one: no reason to fail.
  switch_on(fd, IPPROTO_UDP, UDP_GRO);
  return family == AF_INET6 ? switch_on(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO)
                            : switch_on(fd, IPPROTO_IP, IP_PKTINFO);
}

// A bound socket; invalid: see errno.
OpenFile bind_ip(const io::SocketAddress& address, int type, bool reuse_port) {
  OpenFile file(::socket(address.family(), type | SOCK_CLOEXEC, 0));
  if (!file.valid()) return file;
  const bool bound =
      (type == SOCK_STREAM ? prepare_tcp(file.get()) : prepare_udp(file.get(), address.family())) &&
      (!reuse_port || switch_on(file.get(), SOL_SOCKET, SO_REUSEPORT)) &&
      (address.family() != AF_INET6 || switch_on(file.get(), IPPROTO_IPV6, IPV6_V6ONLY)) &&
      ::bind(file.get(), &address.generic, address.length) == 0;
  if (bound) return file;
  const int error = errno;
  OpenFile(file.release());
  errno = error;
  return OpenFile(-1);
}

std::expected<std::vector<OpenFile>, int> bind_all(io::SocketAddress address, int type,
                                                   const ListenOptions& options) {
  // Without SO_REUSEPORT the kernel refuses an address that has a listener; SO_REUSEADDR lets it
  // through otherwise.
  if (options.exclusive && port_of(address) != 0 && !bind_ip(address, type, false).valid())
    return std::unexpected(errno);
  std::vector<OpenFile> files;
  for (uint32_t i = 0; i < options.sockets; ++i) {
    OpenFile file = bind_ip(address, type, true);
    if (!file.valid()) return std::unexpected(errno);
    if (port_of(address) == 0) address = local_address(file.get());
    files.push_back(std::move(file));
  }
  return files;
}

std::expected<std::vector<OpenFile>, int> listen_tcp(const io::SocketAddress& address,
                                                     const ListenOptions& options) {
  auto bound = bind_all(address, SOCK_STREAM, options);
  if (!bound) return bound;
  std::vector<OpenFile> files = *std::move(bound);
  // Listening comes last: else the first sockets take connections that a failure of a later one
  // would reset.
  for (const OpenFile& file : files) {
    if (::listen(file.get(), options.backlog) != 0) return std::unexpected(errno);
  }
  return files;
}

enum class PathState : uint8_t { kFree, kInUse, kNoSocket, kUnknown };

// Removes a socket file that nobody listens on any more.
PathState clear_path(const io::SocketAddress& address) {
  struct stat status{};
  if (::lstat(address.local.sun_path, &status) != 0)
    return errno == ENOENT ? PathState::kFree : PathState::kUnknown;
  if (!S_ISSOCK(status.st_mode)) return PathState::kNoSocket;
  // Not blocking: a listener whose queue is full would hold us.
  OpenFile probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe.valid()) return PathState::kUnknown;
  if (::connect(probe.get(), &address.generic, address.length) == 0 || errno != ECONNREFUSED)
    return PathState::kInUse;
  return ::unlink(address.local.sun_path) == 0 ? PathState::kFree : PathState::kUnknown;
}

std::expected<std::vector<OpenFile>, int> listen_unix(const io::SocketAddress& address,
                                                      const ListenOptions& options) {
  std::vector<OpenFile> files;
  files.emplace_back(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int fd = files[0].get();
  if (fd < 0) return std::unexpected(errno);
  const bool has_file = address.local.sun_path[0] != '\0';
  // bind() gives the file the socket's own mode less the umask: never wider than asked, not even
  // for a moment.
  if (has_file && ::fchmod(fd, options.unix_mode) != 0) return std::unexpected(errno);
  if (::bind(fd, &address.generic, address.length) != 0) return std::unexpected(errno);
  const bool listening = (!has_file || ::chmod(address.local.sun_path, options.unix_mode) == 0) &&
                         ::listen(fd, options.backlog) == 0;
  if (!listening) {
    const int error = errno;
    if (has_file) ::unlink(address.local.sun_path);
    return std::unexpected(error);
  }
  while (files.size() < options.sockets) {
    files.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!files.back().valid()) return std::unexpected(errno);
  }
  return files;
}

}  // namespace

std::expected<std::vector<int>, std::string> listen_on(const io::SocketAddress& address,
                                                       const ListenOptions& options) {
  CHECK(options.sockets > 0);
  const bool local = address.family() == AF_UNIX;
  if (local && address.local.sun_path[0] != '\0') {
    switch (clear_path(address)) {
      case PathState::kFree:
        break;
      case PathState::kInUse:
        return refuse(address, EADDRINUSE);
      case PathState::kNoSocket:
        return refuse(address, "the path is taken",
                      "it is not a socket; remove it or choose another");
      case PathState::kUnknown:
        return refuse(address, errno);
    }
  }
  auto files = local ? listen_unix(address, options) : listen_tcp(address, options);
  if (!files) return refuse(address, files.error());
  std::vector<int> out;
  for (OpenFile& file : *files) out.push_back(file.release());
  return out;
}

std::expected<std::vector<int>, std::string> bind_datagrams(const io::SocketAddress& address,
                                                            const ListenOptions& options) {
  CHECK(options.sockets > 0);
  if (address.family() == AF_UNIX)
    return refuse(address, "datagrams are taken on IP addresses only", "");
  auto files = bind_all(address, SOCK_DGRAM, options);
  if (!files) return refuse(address, files.error());
  std::vector<int> out;
  for (OpenFile& file : *files) out.push_back(file.release());
  return out;
}

io::SocketAddress local_address(int fd) {
  io::SocketAddress address;
  socklen_t length = sizeof address.local;
  if (::getsockname(fd, &address.generic, &length) == 0) address.length = length;
  return address;
}

}  // namespace ringway::net
