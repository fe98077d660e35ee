// Operations: members of their owners, handed to a Ring by reference.
//
// Invariants: (1) an Op has a fixed address and is not copyable; (2) from submission to the
// completion whose `more` is false, the ring owns the op and what it refers to; the owner neither
// frees nor reuses it (the destructor CHECKs); (3) `complete` is called from Ring::turn() only,
// never from inside a submission; the ring does not touch the op after the call, which may free the
// owner.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstdint>
#include <span>

#include "base/check.h"
#include "dataplane/io/slice.h"
#include "dataplane/io/socket_address.h"

namespace ringway::io {

// A socket (or file) as the ring knows it: a registered-file slot, a descriptor, or a simulated
// one. Only its ring reads it.
struct Socket {
  int32_t index = -1;
  bool valid() const { return index >= 0; }
  bool operator==(const Socket&) const = default;
};

struct Completion {
  int32_t result =
      0;  // >= 0: bytes, or a Socket index for accept. < 0: -errno; -ECANCELED after cancel().
  bool more = false;  // The op stays in flight and completes again (multishot).
  Slice data;         // recv: the bytes, data.size() == result when result > 0.
};

enum class OpKind : uint8_t {
  kNone,
  kAccept,
  kConnect,
  kRecv,
  kSend,
  kShutdown,
  kClose,
  kWrite,
  kDatagrams,
  kSendDatagram
};

struct Op {
  using Complete = void (*)(Op&, Completion&&);

  Op() = default;
  ~Op() { CHECK(!in_flight); }
  Op(const Op&) = delete;
  Op& operator=(const Op&) = delete;

  void* owner = nullptr;
  Complete complete = nullptr;
  bool in_flight = false;

  // The ring's own notes while in flight.
  OpKind kind = OpKind::kNone;
  uint8_t mode = 0;
  bool cancelling = false;
  Socket socket;
  Op* next = nullptr;  // Parked for buffers, or in a backend's list.
  Op* previous = nullptr;
};

// Binds an op to a member function: bind<&Owner::on_recv>(op, owner), with `void
// Owner::on_recv(Completion&&)`.
template <auto Member, typename Owner>
void bind(Op& op, Owner& owner) {
  op.owner = &owner;
  op.complete = [](Op& completed, Completion&& completion) {
    (static_cast<Owner*>(completed.owner)->*Member)(static_cast<Completion&&>(completion));
  };
}

struct AcceptOp : Op {
  SocketAddress peer;  // Valid in the completion function of a successful accept.
};

struct ConnectOp : Op {
  SocketAddress target;  // Kept here: the kernel reads it until the completion.
};

// A vectored send. The vectors are the owner's; they and the bytes stay as they are until the
// completion. No msghdr here: it would be 40 bytes more in every connection, idle or not.
struct SendOp : Op {
  std::span<iovec> vectors;
};

// Receives datagrams.
struct DatagramOp : Op {
  // Valid in the completion function of a datagram.
  SocketAddress peer;
  SocketAddress local;         // The address of ours it came to, without port; AF_UNSPEC when not known.
  uint32_t segment_bytes = 0;  // Not 0: several datagrams of so many bytes, the last may be shorter.
  bool truncated = false;      // Something is missing at the end: of the datagram, or of the last.
  msghdr layout{};             // The ring's.
};

// Sends one datagram, or several.
struct DatagramSendOp : SendOp {
  SocketAddress to;            // Length 0: the address that the socket is connected to.
  SocketAddress from;          // The address of ours to send from; AF_UNSPEC: the routing table's choice.
  uint32_t segment_bytes = 0;  // Not 0: the bytes are cut into datagrams of so many (UDP_SEGMENT).
  // The ring's.
  msghdr message{};
  alignas(8) char control[96]{};
};

struct WriteOp : Op {
  const void* bytes = nullptr;
  uint32_t length = 0;
};

}  // namespace ringway::io
