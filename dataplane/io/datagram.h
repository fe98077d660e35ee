// What the kernel's rings share about datagrams: the control messages that tell to which address of
// ours a datagram came (ip(7) IP_PKTINFO, ipv6(7) IPV6_RECVPKTINFO) and whether it is several
// (udp(7) UDP_GRO), and those that say the same of what is sent.
#pragma once

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <cstring>
#include <expected>

#include "dataplane/io/op.h"

namespace ringway::io {

// A sockaddr_in6, rounded up so that what follows is aligned.
inline constexpr size_t kDatagramNameBytes = 32;
// More than CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(sizeof(int)).
inline constexpr size_t kDatagramControlBytes = 96;

// A burst of datagrams is as large as there are buffers for it; this much of one is worth memory
// that bodies do not need.
inline constexpr uint32_t kDatagramBuffers = 256;

// Fills local and segment_bytes of `op` from what came in `control`, `size` being the datagram's.
inline void read_datagram_control(DatagramOp& op, void* control, size_t bytes, size_t size) {
  op.local = SocketAddress();
  op.segment_bytes = 0;
  msghdr message{};
  message.msg_control = control;
  message.msg_controllen = bytes;
  for (cmsghdr* at = CMSG_FIRSTHDR(&message); at != nullptr; at = CMSG_NXTHDR(&message, at)) {
    if (at->cmsg_level == IPPROTO_IP && at->cmsg_type == IP_PKTINFO) {
      in_pktinfo info;
      std::memcpy(&info, CMSG_DATA(at), sizeof info);
      op.local.v4.sin_family = AF_INET;
      op.local.v4.sin_addr = info.ipi_spec_dst;
      op.local.length = sizeof op.local.v4;
    } else if (at->cmsg_level == IPPROTO_IPV6 && at->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info;
      std::memcpy(&info, CMSG_DATA(at), sizeof info);
      op.local.v6.sin6_family = AF_INET6;
      op.local.v6.sin6_addr = info.ipi6_addr;
      if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr)) op.local.v6.sin6_scope_id = info.ipi6_ifindex;
      op.local.length = sizeof op.local.v6;
    } else if (at->cmsg_level == IPPROTO_UDP && at->cmsg_type == UDP_GRO) {
      int segment = 0;
      std::memcpy(&segment, CMSG_DATA(at), sizeof segment);
      if (segment > 0 && static_cast<size_t>(segment) < size)
        op.segment_bytes = static_cast<uint32_t>(segment);
    }
  }
}

// Appends a control message to `message`, which has room for it.
template <typename Value>
void add_control(msghdr& message, char* room, int level, int type, const Value& value) {
  message.msg_control = room;
  auto* at = reinterpret_cast<cmsghdr*>(room + message.msg_controllen);
  at->cmsg_level = level;
  at->cmsg_type = type;
  at->cmsg_len = CMSG_LEN(sizeof value);
  std::memcpy(CMSG_DATA(at), &value, sizeof value);
  message.msg_controllen += CMSG_SPACE(sizeof value);
}

// Whether `op` needs a message header at all.
inline bool is_plain(const DatagramSendOp& op) {
  return op.to.length == 0 && op.from.length == 0 && op.segment_bytes == 0;
}

// Fills op.message from the rest of it.
inline void prepare_datagram(DatagramSendOp& op) {
  op.message = {};
  op.message.msg_iov = op.vectors.data();
  op.message.msg_iovlen = op.vectors.size();
  if (op.to.length != 0) {
    op.message.msg_name = &op.to.local;
    op.message.msg_namelen = op.to.length;
  }
  if (op.from.family() == AF_INET) {
    in_pktinfo info{};
    info.ipi_spec_dst = op.from.v4.sin_addr;
    add_control(op.message, op.control, IPPROTO_IP, IP_PKTINFO, info);
  } else if (op.from.family() == AF_INET6) {
    in6_pktinfo info{};
    info.ipi6_addr = op.from.v6.sin6_addr;
    info.ipi6_ifindex = op.from.v6.sin6_scope_id;
    add_control(op.message, op.control, IPPROTO_IPV6, IPV6_PKTINFO, info);
  }
  if (op.segment_bytes != 0) {
    add_control(op.message, op.control, IPPROTO_UDP, UDP_SEGMENT,
                static_cast<uint16_t>(op.segment_bytes));
  }
}

// A socket of the kernel's for Ring::open_datagram(); the error is an errno.
std::expected<int, int> open_connected_datagram(const SocketAddress& peer,
                                                const SocketAddress* source, int flags);

}  // namespace ringway::io
