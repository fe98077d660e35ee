#include "dataplane/upstream/endpoint_registry.h"

#include <mutex>
#include <unordered_map>
#include <vector>

#include "dataplane/upstream/endpoint_address.h"

namespace ringway::upstream {
namespace {

struct Key {
  std::string_view text;   // Of the state itself.
  Protocol protocol;
  bool operator==(const Key&) const = default;
};

struct KeyHash {
  size_t operator()(const Key& key) const {
    return std::hash<std::string_view>()(key.text) * 31 + static_cast<size_t>(key.protocol);
  }
};

}  // namespace

// Shared with every state, so that the last of them can give its slot back whoever is gone already.
struct EndpointRegistry::Index {
  struct Entry {
    uint64_t uid;
    std::weak_ptr<EndpointState> state;
  };
  std::mutex mutex;
  std::unordered_map<Key, Entry, KeyHash> by_key;
  std::vector<uint32_t> free_slots;
  uint32_t slots = 0;
  uint64_t last_uid = 0;
};

struct EndpointRegistry::OwnedState : EndpointState {
  explicit OwnedState(std::shared_ptr<Index> owner) : index(std::move(owner)) {}
  ~OwnedState() {
    const std::lock_guard lock(index->mutex);
    const auto found = index->by_key.find({text, protocol});
    // The key may belong to a successor already, made between the last release and this line.
    if (found != index->by_key.end() && found->second.uid == uid) index->by_key.erase(found);
    index->free_slots.push_back(slot);
  }
  std::shared_ptr<Index> index;
};

EndpointRegistry::EndpointRegistry() : index_(std::make_shared<Index>()) {}
EndpointRegistry::~EndpointRegistry() = default;

std::expected<std::shared_ptr<EndpointState>, std::string> EndpointRegistry::find_or_make(std::string_view address,
                                                                                         uint32_t port,
                                                                                         Protocol protocol) {
  auto parsed = parse_endpoint(address, port);
  if (!parsed) return std::unexpected(std::move(parsed.error()));
  return find_or_make(parsed->address, std::move(parsed->text), protocol);
}

std::shared_ptr<EndpointState> EndpointRegistry::find_or_make(const EndpointState& other, Protocol protocol) {
  return find_or_make(other.address, other.text, protocol);
}

std::shared_ptr<EndpointState> EndpointRegistry::find_or_make(const io::SocketAddress& address, std::string text,
                                                              Protocol protocol) {
  std::unique_lock lock(index_->mutex);
  const auto found = index_->by_key.find({text, protocol});
  if (found != index_->by_key.end()) {
    if (auto state = found->second.state.lock(); state != nullptr) return state;
    index_->by_key.erase(found);
  }
  auto state = std::make_shared<OwnedState>(index_);
  if (index_->free_slots.empty()) {
    state->slot = index_->slots++;
  } else {
    state->slot = index_->free_slots.back();
    index_->free_slots.pop_back();
  }
  state->uid = ++index_->last_uid;
  state->address = address;
  state->text = std::move(text);
  state->protocol = protocol;
  index_->by_key.emplace(Key{state->text, protocol}, Index::Entry{state->uid, state});
  return state;
}

size_t EndpointRegistry::live() const {
  const std::lock_guard lock(index_->mutex);
  return index_->by_key.size();
}

uint32_t EndpointRegistry::slots() const {
  const std::lock_guard lock(index_->mutex);
  return index_->slots;
}

void EndpointRegistry::for_each(const std::function<void(const EndpointState&)>& visit) const {
  std::vector<std::shared_ptr<EndpointState>> states;  // Visited without the lock: a visitor may drop the last reference.
  {
    const std::lock_guard lock(index_->mutex);
    states.reserve(index_->by_key.size());
    for (const auto& [key, entry] : index_->by_key) {
      if (auto state = entry.state.lock(); state != nullptr) states.push_back(std::move(state));
    }
  }
  for (const auto& state : states) visit(*state);
}

}  // namespace ringway::upstream
