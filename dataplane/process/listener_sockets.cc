#include "dataplane/process/listener_sockets.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "dataplane/net/address.h"
#include "dataplane/net/listener.h"

namespace ringway::process {
namespace {

void close_all_of(std::vector<int>& sockets) {
  for (const int fd : sockets) ::close(fd);
  sockets.clear();
}

}  // namespace

std::expected<std::vector<int>, std::string> make_listeners(std::string_view address,
                                                            uint32_t sockets, bool more) {
  const bool udp = address.starts_with(net::kUdpPrefix);
  const auto parsed = net::parse_address(udp ? address.substr(net::kUdpPrefix.size()) : address);
  if (!parsed) return std::unexpected(parsed.error());
  net::ListenOptions options;
  options.sockets = sockets;
  options.exclusive = !more;  // Ours are there already.
  return udp ? net::bind_datagrams(*parsed, options) : net::listen_on(*parsed, options);
}

std::expected<int, std::string> make_listener(std::string_view address, bool shared) {
  auto sockets = make_listeners(address, 1, shared);
  if (!sockets) return std::unexpected(std::move(sockets.error()));
  return sockets->front();
}

ListenerTable::ListenerTable(MakeListeners make) : make_(std::move(make)) {}
ListenerTable::~ListenerTable() { close_all(); }

std::expected<std::vector<int>, std::string> ListenerTable::bind(std::string_view address,
                                                                 uint32_t count) {
  CHECK(count >= 1 && count <= kSocketsPerAddressMax);
  const auto found = entries_.find(address);
  std::vector<int> held = found == entries_.end() ? std::vector<int>{} : found->second.sockets;
  if (held.size() < count) {
    // Port 0: further sockets join the port that the kernel chose.
    const std::string_view prefix = address.starts_with(net::kUdpPrefix) ? net::kUdpPrefix : "";
    const std::string same =
        held.empty() ? std::string(address)
                     : std::string(prefix) + net::to_string(net::local_address(held.front()));
    auto made = make_(same, count - static_cast<uint32_t>(held.size()), !held.empty());
    if (!made) return std::unexpected(std::move(made.error()));
    held.insert(held.end(), made->begin(), made->end());
  }
  while (held.size() >
         count) {  // A socket that nobody accepts on would swallow its share of the connections.
    ::close(held.back());
    held.pop_back();
  }
  Entry& entry = entries_[std::string(address)];
  entry.sockets = std::move(held);
  entry.claimed = true;
  return entry.sockets;
}

void ListenerTable::unbind(std::string_view address) {
  const auto found = entries_.find(address);
  if (found == entries_.end()) return;
  close_all_of(found->second.sockets);
  entries_.erase(found);
}

void ListenerTable::forget_claims() {
  for (auto& [address, entry] : entries_) entry.claimed = false;
}

void ListenerTable::close_unclaimed() {
  for (auto it = entries_.begin(); it != entries_.end();) {
    if (it->second.claimed) {
      ++it;
    } else {
      close_all_of(it->second.sockets);
      it = entries_.erase(it);
    }
  }
}

void ListenerTable::close_all() {
  for (auto& [address, entry] : entries_) close_all_of(entry.sockets);
  entries_.clear();
}

OwnListenerSockets::OwnListenerSockets(MakeListeners make) : table_(std::move(make)) {}

OwnListenerSockets::~OwnListenerSockets() {
  if (state_ >= 0) ::close(state_);
}

std::expected<std::vector<int>, std::string> OwnListenerSockets::bind(std::string_view address,
                                                                      uint32_t count) {
  auto sockets = table_.bind(address, count);
  if (!sockets) return sockets;
  std::vector<int> copies;
  for (const int fd : *sockets) {
    const int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0) {
      const int error = errno;
      close_all_of(copies);
      return std::unexpected(std::string(address) + ": " + std::strerror(error));
    }
    copies.push_back(copy);
  }
  return copies;
}

void OwnListenerSockets::unbind(std::string_view address) { table_.unbind(address); }

void OwnListenerSockets::keep_state(int fd) {
  if (state_ >= 0) ::close(state_);
  state_ = fd;
}

// Nobody was here before: what this process kept is for the next one, which there is not.
int OwnListenerSockets::take_state() { return -1; }

void OwnListenerSockets::ready() { table_.close_unclaimed(); }

}  // namespace ringway::process
