// The endpoints of a process: one EndpointState per address, port and protocol, however many
// clusters and snapshots refer to it.
//
// Thread rule: the control thread's; the last reference to a state may go away on any thread.
// Invariants: (1) two live states never have the same key or the same slot; (2) a slot is given
// again only after its state is gone, that is when no snapshot refers to it any more; (3) a uid is
// never given again.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "dataplane/upstream/endpoint.h"

namespace ringway::upstream {

class EndpointRegistry {
 public:
  EndpointRegistry();
  ~EndpointRegistry();  // States may outlive it.

  // The state of that endpoint, made when there is none. Address as in parse_endpoint(), whose
  // errors it returns.
  std::expected<std::shared_ptr<EndpointState>, std::string> find_or_make(std::string_view address,
                                                                          uint32_t port,
                                                                          Protocol protocol);
  // The state of the same address and port under another protocol.
  std::shared_ptr<EndpointState> find_or_make(const EndpointState& other, Protocol protocol);

  size_t live() const;     // States in use.
  uint32_t slots() const;  // Every slot in use is below.
  // All live states, in no order.
  void for_each(const std::function<void(const EndpointState&)>& visit) const;

 private:
  struct Index;
  struct OwnedState;
  std::shared_ptr<EndpointState> find_or_make(const io::SocketAddress& address, std::string text,
                                              Protocol protocol);
  std::shared_ptr<Index> index_;
};

}  // namespace ringway::upstream
