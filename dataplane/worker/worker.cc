#include "dataplane/worker/worker.h"

#include <unistd.h>

#include <algorithm>

#include "base/clock.h"

namespace ringway::worker {
namespace {

// Before a drain's deadline WebSockets are told that it comes: what a client needs to say Close and to connect anew.
constexpr uint64_t kTunnelCloseNs = 5 * kNsPerSecond;

}  // namespace

Worker::Worker(io::Ring& ring, WorkerOptions options)
    : ring_(ring), options_(std::move(options)), timers_(ring.now_ns()),
      access_log_(options_.access_log, options_.access_log_bytes_max), load_(options_.seed), random_(options_.seed + 1),
      snapshots_(options_.retire),
      context_(ring_, timers_, stats_, access_log_, load_, snapshots_, random_,
               options_.wall_clock == nullptr ? &wall_clock_ns : options_.wall_clock),
      pool_(context_) {
  context_.pool = &pool_;
  stats_.grpc_methods.set_limit(options_.grpc_methods_max);
  constexpr uint32_t kMargin = 4 * io::Ring::kAcceptsUnderWay;
  context_.connections_max = std::min(options_.connections_max, std::max(ring.accepted_max(), 2 * kMargin) - kMargin);
}

Worker::~Worker() {
  CHECK(finished_);
  CHECK(timers_.armed() == 0);
}

void Worker::send(Command command) {
  {
    const std::lock_guard lock(inbox_mutex_);
    inbox_.push_back(std::move(command));
    inbox_filled_.store(true, std::memory_order_release);
  }
  ring_.wake();
}

void Worker::publish(std::shared_ptr<const config::Snapshot> snapshot, std::vector<ListenerSocket> sockets) {
  send([this, snapshot = std::move(snapshot), sockets = std::move(sockets)]() mutable {
    apply(std::move(snapshot), sockets);
  });
}

void Worker::drain(uint64_t stop_accepting_ns, uint64_t deadline_ns) {
  send([this, stop_accepting_ns, deadline_ns] { begin_drain(stop_accepting_ns, deadline_ns); });
}

void Worker::copy_stats(std::function<void(observe::WorkerStats)> done) {
  send([this, done = std::move(done)] {
    observe::WorkerStats copy = stats_;
    fill_ring_stats(copy);
    done(std::move(copy));
  });
}

void Worker::run_inbox() {
  if (!inbox_filled_.load(std::memory_order_acquire)) return;
  std::vector<Command> commands;
  {
    const std::lock_guard lock(inbox_mutex_);
    commands.swap(inbox_);
    inbox_filled_.store(false, std::memory_order_relaxed);
  }
  for (const Command& command : commands) command();
}

void Worker::turn() {
  CHECK(!finished_);
  uint64_t deadline_ns = std::min(timers_.next_deadline_ns(), next_sweep_ns_);
  if (draining_) {
    // The end of a connection makes the next step of a drain due: look again soon.
    deadline_ns = std::min(deadline_ns, ring_.now_ns() + 10 * kNsPerMs);
  }
  ring_.turn(deadline_ns);
  timers_.advance(ring_.now_ns());
  run_inbox();
  if (ring_.now_ns() >= next_sweep_ns_) sweep();
  if (draining_) continue_drain();
  context_.flush_dirty();
  context_.recycle_exchanges();
}

void Worker::sweep() {
  next_sweep_ns_ = ring_.now_ns() + kNsPerSecond;
  pool_.sweep(ring_.now_ns());
  // Acceptors that left the configuration go when their last connection has.
  if (draining_) return;
  std::erase_if(acceptors_, [](const auto& acceptor) { return acceptor->closed(); });
  std::erase_if(datagrams_, [](const auto& relay) { return relay->closed(); });
}

void Worker::apply(std::shared_ptr<const config::Snapshot> snapshot, const std::vector<ListenerSocket>& sockets) {
  const auto listener_for = [&](const std::string& name, const std::string& address) {
    for (const auto& listener : snapshot->listeners) {
      if (listener->name == name && std::ranges::find(listener->addresses, address) != listener->addresses.end()) {
        return listener;
      }
    }
    return std::shared_ptr<const config::Listener>();
  };
  for (const auto& acceptor : acceptors_) {
    auto listener = listener_for(acceptor->listener_name(), acceptor->address());
    listener == nullptr ? acceptor->stop_accepting() : acceptor->update(std::move(listener));
  }
  for (const auto& relay : datagrams_) {
    auto listener = listener_for(relay->listener_name(), relay->address());
    // A bound socket that stayed would keep the address from coming back.
    listener == nullptr ? relay->drain() : relay->update(std::move(listener));
  }
  std::vector<Acceptor*> fresh;
  std::vector<proxy::UdpRelay*> fresh_datagrams;
  for (const ListenerSocket& socket : sockets) {
    auto listener = listener_for(socket.listener, socket.address);
    const auto adopted = listener == nullptr || draining_ ? std::unexpected(0) : ring_.adopt(socket.fd);
    if (!adopted) {
      ::close(socket.fd);
      continue;
    }
    if (listener->kind == config::ListenerKind::kUdp) {
      datagrams_.push_back(std::make_unique<proxy::UdpRelay>(
          context_, std::move(listener), socket.address, *adopted, options_.workers));
      fresh_datagrams.push_back(datagrams_.back().get());
      continue;
    }
    acceptors_.push_back(
        std::make_unique<Acceptor>(context_, std::move(listener), socket.address, *adopted, options_.workers));
    fresh.push_back(acceptors_.back().get());
  }
  snapshots_.publish(std::move(snapshot));
  for (Acceptor* acceptor : fresh) acceptor->start();
  for (proxy::UdpRelay* relay : fresh_datagrams) relay->start();
}

void Worker::begin_drain(uint64_t stop_accepting_ns, uint64_t deadline_ns) {
  stop_accepting_ns_ = stop_accepting_ns;
  drain_deadline_ns_ = deadline_ns;
  const uint64_t left_ns = deadline_ns - std::min(deadline_ns, ring_.now_ns());
  tunnels_close_ns_ = deadline_ns - std::min(kTunnelCloseNs, left_ns / 2);
  if (draining_) return;
  draining_ = true;
  context_.draining = true;
  for (const auto& acceptor : acceptors_) acceptor->drain_gracefully();
}

void Worker::continue_drain() {
  const uint64_t now_ns = ring_.now_ns();
  if (!accepting_stopped_ && now_ns >= stop_accepting_ns_) {
    accepting_stopped_ = true;
    for (const auto& acceptor : acceptors_) acceptor->stop_accepting();
    for (const auto& relay : datagrams_) relay->stop();
  }
  if (!tunnels_closing_ && now_ns >= tunnels_close_ns_) {
    tunnels_closing_ = true;
    for (const auto& acceptor : acceptors_) acceptor->close_tunnels(drain_deadline_ns_ - std::min(drain_deadline_ns_, now_ns));
  }
  if (now_ns >= drain_deadline_ns_) {
    for (const auto& acceptor : acceptors_) acceptor->drain();
    for (const auto& relay : datagrams_) relay->drain();
  }
  if (!accepting_stopped_) return;
  if (!std::ranges::all_of(acceptors_, [](const auto& acceptor) { return acceptor->closed(); })) return;
  if (!std::ranges::all_of(datagrams_, [](const auto& relay) { return relay->closed(); })) return;
  pool_.drain_all();
  finished_ = pool_.empty() && ring_.in_flight() == 0;
}

uint32_t Worker::connections() const {
  uint32_t sum = 0;
  for (const auto& acceptor : acceptors_) sum += acceptor->connections();
  return sum;
}

void Worker::fill_ring_stats(observe::WorkerStats& stats) const {
  stats.ring_turns = ring_.stats().turns;
  stats.ring_completions = ring_.stats().completions;
  stats.ring_submissions = ring_.stats().submissions;
  stats.buffers_exhausted = ring_.stats().buffers_exhausted;
  stats.small_buffers_in_use = ring_.small_pool().in_use();
  stats.small_buffers = ring_.small_pool().total();
  stats.bulk_buffers_in_use = ring_.bulk_pool().in_use();
  stats.bulk_buffers = ring_.bulk_pool().total();
  stats.output_buffers_in_use = ring_.output_pool().in_use();
}

}  // namespace ringway::worker
