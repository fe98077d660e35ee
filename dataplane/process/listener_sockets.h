// Who makes and keeps listening sockets: the supervisor (SupervisorClient), or this process itself
// (OwnListenerSockets: tests, --no-supervisor).
//
// Thread rule: the control thread's. Calls may block shortly (a round trip to the supervisor); none
// is on a request's path.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace ringway::process {

// At most this many sockets of one address: what one SCM_RIGHTS message carries is 253 descriptors
// (SCM_MAX_FD, unix(7)).
inline constexpr uint32_t kSocketsPerAddressMax = 253;

class ListenerSockets {
 public:
  virtual ~ListenerSockets() = default;

  // `count` listening sockets of one address with SO_REUSEPORT, in a fixed order: worker i takes
  // the i-th. The descriptors are the caller's (close-on-exec); closing them does not end the
  // listening, unbind() does. Asked again for an address, the same sockets come again; a smaller
  // count closes the rest, a greater one adds. Address forms: net/address.h, "0.0.0.0:80",
  // "[::]:80", port 0 for any; "udp:0.0.0.0:53" for datagrams. Error: one line for people, as
  // net::listen_on() gives it. REQUIRES: 1 <= count <= kSocketsPerAddressMax.
  virtual std::expected<std::vector<int>, std::string> bind(std::string_view address,
                                                            uint32_t count) = 0;

  // Stops listening there, once the caller's own descriptors are closed too. Unknown addresses are
  // ignored.
  virtual void unbind(std::string_view address) = 0;

  // Gives a sealed memory file to whoever starts the next process; takes the descriptor. The last
  // one counts.
  virtual void keep_state(int fd) = 0;
  // The memory file a process before this one gave; -1: none. The descriptor is the caller's.
  virtual int take_state() = 0;

  // First configuration applied and every listener bound: the sockets of addresses that were not
  // asked for by now are closed (a process that died may have had others), and the count of quick
  // deaths begins anew.
  virtual void ready() = 0;
};

// Makes `sockets` listening sockets of one address, which may be asked for again (`more`) when it
// has some already.
using MakeListeners = std::function<std::expected<std::vector<int>, std::string>(
    std::string_view address, uint32_t sockets, bool more)>;
std::expected<std::vector<int>, std::string> make_listeners(std::string_view address,
                                                            uint32_t sockets,
                                                            bool more);  // By net::listen_on().
// One, for a listener that lives and dies with its process (the admin endpoint). `shared`: others
// may listen there too.
std::expected<int, std::string> make_listener(std::string_view address, bool shared);

// The sockets by address; shared by the supervisor and OwnListenerSockets.
class ListenerTable {
 public:
  explicit ListenerTable(MakeListeners make);
  ~ListenerTable();  // Closes all.
  ListenerTable(const ListenerTable&) = delete;
  ListenerTable& operator=(const ListenerTable&) = delete;

  // The table's own descriptors, in order. On error the address has what it had before.
  std::expected<std::vector<int>, std::string> bind(std::string_view address, uint32_t count);
  void unbind(std::string_view address);
  void forget_claims();    // Of all addresses: a new process begins.
  void close_unclaimed();  // Those not asked for since forget_claims().
  void close_all();
  size_t addresses() const { return entries_.size(); }

 private:
  struct Entry {
    std::vector<int> sockets;
    bool claimed = false;
  };
  MakeListeners make_;
  std::map<std::string, Entry, std::less<>> entries_;
};

class OwnListenerSockets final : public ListenerSockets {
 public:
  explicit OwnListenerSockets(MakeListeners make = make_listeners);
  ~OwnListenerSockets() override;
  std::expected<std::vector<int>, std::string> bind(std::string_view address,
                                                    uint32_t count) override;
  void unbind(std::string_view address) override;
  void keep_state(int fd) override;
  int take_state() override;
  void ready() override;

 private:
  ListenerTable table_;
  int state_ = -1;
};

}  // namespace ringway::process
