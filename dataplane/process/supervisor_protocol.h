// What is said between the data process and its supervisor: datagrams of text on a SOCK_SEQPACKET
// pair, descriptors beside them (SCM_RIGHTS). The data process asks, the supervisor answers each
// request with one datagram:
//
//   bind COUNT ADDRESS   ok COUNT  with COUNT descriptors   |  error TEXT
//   unbind ADDRESS       ok 0
//   keep                 ok 0       (with one descriptor: the sealed memory file)
//   take                 ok 1       with the memory file     |  ok 0
//   ready                ok 0
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ringway::process {

inline constexpr size_t kMessageBytesMax = 1024;

struct Message {
  std::string text;
  std::vector<int> fds;  // The receiver's to close.
};

// False with errno. Blocks as long as the socket's own timeout allows.
bool send_message(int fd, std::string_view text, std::span<const int> fds = {});
// False: the peer is gone, the socket's timeout passed (errno EAGAIN), or the message was cut
// (errno EMSGSIZE; its descriptors are closed).
bool receive_message(int fd, Message& message);

}  // namespace ringway::process
