#include "dataplane/process/supervisor_protocol.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "dataplane/process/listener_sockets.h"

namespace ringway::process {
namespace {

constexpr size_t kControlBytes = CMSG_SPACE(sizeof(int) * kSocketsPerAddressMax);

}  // namespace

bool send_message(int fd, std::string_view text, std::span<const int> fds) {
  CHECK(fds.size() <= kSocketsPerAddressMax);
  iovec vector{const_cast<char*>(text.data()), std::min(text.size(), kMessageBytesMax)};
  alignas(cmsghdr) char control[kControlBytes];
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    std::memset(control, 0, sizeof control);
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  ssize_t sent;
  do {
    sent = sendmsg(fd, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent >= 0;
}

bool receive_message(int fd, Message& message) {
  message.text.resize(kMessageBytesMax);
  message.fds.clear();
  iovec vector{message.text.data(), message.text.size()};
  alignas(cmsghdr) char control[kControlBytes];
  msghdr header{};
  header.msg_iov = &vector;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ssize_t received;
  do {
    received = recvmsg(fd, &header, MSG_CMSG_CLOEXEC);
  } while (received < 0 && errno == EINTR);
  if (received <= 0) {
    if (received == 0) errno = ECONNRESET;
    message.text.clear();
    return false;
  }
  message.text.resize(static_cast<size_t>(received));
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    const size_t at = message.fds.size();
    message.fds.resize(at + count);
    std::memcpy(message.fds.data() + at, CMSG_DATA(part), count * sizeof(int));
  }
  if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0) return true;
  // MSG_CTRUNC: descriptors did not fit, here or under RLIMIT_NOFILE.
  for (const int received_fd : message.fds) ::close(received_fd);
  message.fds.clear();
  errno = EMSGSIZE;
  return false;
}

}  // namespace ringway::process
