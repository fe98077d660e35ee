#include "dataplane/upstream/endpoint_registry.h"

#include <mutex>
#include <unordered_set>
#include <vector>

#include "dataplane/upstream/endpoint_address.h"

namespace ringway::upstream {
namespace {

struct Key {
  std::string_view text;
  Protocol protocol;
};

// States by their own text and protocol, looked up by a Key without making a state.
struct StateHash {
  using is_transparent = void;
  size_t operator()(const Key& key) const {
    return std::hash<std::string_view>()(key.text) * 31 + static_cast<size_t>(key.protocol);
  }
  size_t operator()(const EndpointState* state) const {
    return (*this)(Key{state->text, state->protocol});
  }
};

struct StateEqual {
  using is_transparent = void;
  bool operator()(const EndpointState* a, const EndpointState* b) const {
    return a->text == b->text && a->protocol == b->protocol;
  }
  bool operator()(const Key& key, const EndpointState* state) const {
    return key.text == state->text && key.protocol == state->protocol;
  }
  bool operator()(const EndpointState* state, const Key& key) const { return (*this)(key, state); }
};

}  // namespace

// Shared with every state, so that the last of them can give its slot back whoever is gone already.
struct EndpointRegistry::Index {
  std::mutex mutex;
  std::unordered_set<EndpointState*, StateHash, StateEqual> states;  // All are OwnedStates.
  std::vector<uint32_t> free_slots;
  uint32_t slots = 0;
  uint64_t last_uid = 0;
};

struct EndpointRegistry::OwnedState : EndpointState, std::enable_shared_from_this<OwnedState> {
  explicit OwnedState(std::shared_ptr<Index> owner) : index(std::move(owner)) {}
  ~OwnedState() {
    const std::lock_guard lock(index->mutex);
    const auto found = index->states.find(this);
    // The place may belong to a successor already, made between the last release and this line.
    if (found != index->states.end() && *found == this) index->states.erase(found);
    index->free_slots.push_back(slot);
  }
  std::shared_ptr<Index> index;
};

EndpointRegistry::EndpointRegistry() : index_(std::make_shared<Index>()) {}
EndpointRegistry::~EndpointRegistry() = default;

std::expected<std::shared_ptr<EndpointState>, std::string> EndpointRegistry::find_or_make(
    std::string_view address, uint32_t port, Protocol protocol) {
  auto parsed = parse_endpoint(address, port);
  if (!parsed) return std::unexpected(std::move(parsed.error()));
  return find_or_make(parsed->address, std::move(parsed->text), protocol);
}

std::shared_ptr<EndpointState> EndpointRegistry::find_or_make(const EndpointState& other,
                                                              Protocol protocol) {
  return find_or_make(other.address, other.text, protocol);
}

std::shared_ptr<EndpointState> EndpointRegistry::find_or_make(const io::SocketAddress& address,
                                                              std::string text, Protocol protocol) {
  const std::lock_guard lock(index_->mutex);
  const auto found = index_->states.find(Key{text, protocol});
  if (found != index_->states.end()) {
    if (auto state = static_cast<OwnedState*>(*found)->weak_from_this().lock(); state != nullptr)
      return state;
    index_->states.erase(found);
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
  index_->states.insert(state.get());
  return state;
}

size_t EndpointRegistry::live() const {
  const std::lock_guard lock(index_->mutex);
  return index_->states.size();
}

uint32_t EndpointRegistry::slots() const {
  const std::lock_guard lock(index_->mutex);
  return index_->slots;
}

void EndpointRegistry::for_each(const std::function<void(const EndpointState&)>& visit) const {
  std::vector<std::shared_ptr<EndpointState>>
      states;  // Visited without the lock: a visitor may drop the last reference.
  {
    const std::lock_guard lock(index_->mutex);
    states.reserve(index_->states.size());
    for (EndpointState* owned : index_->states) {
      auto state = static_cast<OwnedState*>(owned)->weak_from_this().lock();
      if (state != nullptr) states.push_back(std::move(state));
    }
  }
  for (const auto& state : states) visit(*state);
}

}  // namespace ringway::upstream
