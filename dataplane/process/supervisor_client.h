// The data process' end of the socket pair to its supervisor. Small synchronous calls; see
// supervisor_protocol.h.
//
// Thread rule: the control thread's.
#pragma once

#include "dataplane/process/listener_sockets.h"

namespace ringway::process {

class SupervisorClient final : public ListenerSockets {
 public:
  // `fd`: SupervisorLink::fd; taken over. `timeout_ms`: of one call; a supervisor that does not
  // answer is an error, not a hang.
  explicit SupervisorClient(int fd, uint32_t timeout_ms = 5000);
  ~SupervisorClient() override;
  SupervisorClient(const SupervisorClient&) = delete;
  SupervisorClient& operator=(const SupervisorClient&) = delete;

  std::expected<std::vector<int>, std::string> bind(std::string_view address,
                                                    uint32_t count) override;
  void unbind(std::string_view address) override;
  void keep_state(int fd) override;
  int take_state() override;
  void ready() override;

 private:
  struct Answer;
  std::expected<Answer, std::string> call(std::string_view request, int fd = -1);
  int fd_;
};

}  // namespace ringway::process
