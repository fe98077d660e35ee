#include "dataplane/process/supervisor_client.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "dataplane/process/supervisor_protocol.h"

namespace ringway::process {

struct SupervisorClient::Answer {
  std::vector<int> fds;
};

SupervisorClient::SupervisorClient(int fd, uint32_t timeout_ms) : fd_(fd) {
  CHECK(fd >= 0);
  const timeval timeout{.tv_sec = timeout_ms / 1000,
                        .tv_usec = static_cast<suseconds_t>(timeout_ms % 1000) * 1000};
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
}

SupervisorClient::~SupervisorClient() {
  if (fd_ >= 0) ::close(fd_);
}

std::expected<SupervisorClient::Answer, std::string> SupervisorClient::call(
    std::string_view request, int fd) {
  if (fd_ < 0) return std::unexpected("no answer from the supervisor");
  Message answer;
  const bool sent = fd >= 0 ? send_message(fd_, request, {&fd, 1}) : send_message(fd_, request);
  if (!sent || !receive_message(fd_, answer)) {
    const int error = errno;
    // An answer that came late would be taken for the next one's.
    ::close(fd_);
    fd_ = -1;
    return std::unexpected(std::string("no answer from the supervisor: ") + std::strerror(error));
  }
  if (answer.text.starts_with("ok ")) return Answer{std::move(answer.fds)};
  for (const int extra : answer.fds) ::close(extra);
  return std::unexpected(answer.text.starts_with("error ") ? answer.text.substr(6) : answer.text);
}

std::expected<std::vector<int>, std::string> SupervisorClient::bind(std::string_view address,
                                                                    uint32_t count) {
  CHECK(count >= 1 && count <= kSocketsPerAddressMax);
  auto answer = call("bind " + std::to_string(count) + " " + std::string(address));
  if (!answer) return std::unexpected(std::move(answer.error()));
  if (answer->fds.size() == count) return std::move(answer->fds);
  for (const int fd : answer->fds) ::close(fd);
  return std::unexpected(std::string(address) +
                         ": the supervisor sent the wrong number of sockets");
}

void SupervisorClient::unbind(std::string_view address) {
  static_cast<void>(call("unbind " + std::string(address)));
}

void SupervisorClient::keep_state(int fd) {
  static_cast<void>(call("keep", fd));
  ::close(fd);
}

int SupervisorClient::take_state() {
  auto answer = call("take");
  if (!answer || answer->fds.empty()) return -1;
  for (size_t i = 1; i < answer->fds.size(); ++i) ::close(answer->fds[i]);
  return answer->fds.front();
}

void SupervisorClient::ready() { static_cast<void>(call("ready")); }

}  // namespace ringway::process
