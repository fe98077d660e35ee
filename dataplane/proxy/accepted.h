// A connection that came by a listener, whatever is spoken on it: what its acceptor has to know.
//
// Thread rule: one worker. An acceptor makes it, keeps it in its list, and frees it in
// on_accepted_closed() and nowhere else.
#pragma once

#include <cstdint>
#include <string_view>

namespace ringway::proxy {

class Accepted;

class AcceptedOwner {
 public:
  virtual void on_accepted_closed(Accepted& connection) = 0;  // Frees it.

 protected:
  ~AcceptedOwner() = default;
};

class Accepted {
 public:
  virtual ~Accepted() = default;
  // Nothing new: what is idle closes now, what is under way may end by itself.
  virtual void drain_gracefully() = 0;
  virtual void drain() = 0;                        // Now.
  // WebSockets are told that their end comes, and have so long for it.
  virtual void close_tunnels(uint64_t) {}
  virtual std::string_view peer_text() const = 0;  // IP of the client, without port.

  // The acceptor's own.
  Accepted* next = nullptr;
  Accepted* previous = nullptr;
  bool counted = false;  // In its count by address.
};

}  // namespace ringway::proxy
