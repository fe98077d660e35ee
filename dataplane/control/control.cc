#include "dataplane/control/control.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <random>

#include "base/clock.h"
#include "base/log.h"
#include "dataplane/config/compile_listener.h"
#include "dataplane/net/listener.h"
#include "dataplane/process/limits.h"

namespace ringway::control {
namespace {

constexpr size_t kLargeTransaction = 1000;              // Resources.
constexpr uint64_t kTrimDelayNs = 500 * kNsPerMs;       // Behind the memory file and the disk's copy of the text.
constexpr uint64_t kAdminRetryNs = 20 * kNsPerMs;

uint32_t workers_for(const process::ProxyOptions& options) {
  if (options.workers != 0) return options.workers;
  return process::worker_count(static_cast<uint32_t>(process::allowed_cpus().size()), process::cgroup_cpu_milli());
}

WorkerThreadsOptions worker_options(const process::ProxyOptions& options, const io::RingChoice& choice) {
  WorkerThreadsOptions out;
  out.workers = workers_for(options);
  out.backend = choice.backend;
  out.pin = options.pin_workers;
  out.seed = std::random_device{}() * 0x100000001ull + std::random_device{}();
  out.access_log = options.access_log == "off" ? observe::AccessLogFormat::kOff : options.access_log_format;
  out.ring.small.buffers_max = options.buffers_small;
  out.ring.small.buffers = std::min(out.ring.small.buffers, options.buffers_small);
  out.ring.bulk.buffers_max = options.buffers_bulk;
  out.ring.bulk.buffers = std::min(out.ring.bulk.buffers, options.buffers_bulk);
  out.grpc_methods_max = options.grpc_method_metrics;
  out.connections_max = std::max(options.connections_max / out.workers, 16u);
  // As many again for upstreams, and a margin for accepts under way.
  out.ring.sockets_max = out.connections_max + 256;
  return out;
}

config::DiscoveryOptions discovery_options(const process::ProxyOptions& options) {
  config::DiscoveryOptions out;
  out.address = options.controller;
  out.node_id = options.node_id;
  out.config_class = options.config_class;
  if (!options.controller_ca.empty()) {
    out.tls = config::DiscoveryTls{options.controller_ca, options.controller_certificate, options.controller_key,
                                   options.controller_name};
  }
  return out;
}

}  // namespace

Control::Control(const process::ProxyOptions& options, const io::RingChoice& choice, io::Ring& ring,
                 process::ListenerSockets& sockets, uint32_t restarts)
    : options_(options), choice_(choice), ring_(ring), sockets_(sockets), restarts_(restarts),
      wheel_(monotonic_ns()), random_(std::random_device{}()), inbox_(ring),
      metrics_slots_(options.metrics_per_host),
      builder_(endpoint_registry_, metrics_slots_,
               options.transparent_source ? config::StreamSource::kClient : config::StreamSource::kProxy),
      workers_(worker_options(options, choice), [this](std::function<void()> call) { inbox_.post(std::move(call)); }),
      health_(ring, wheel_, random_.next()), admin_(ring, wheel_, {}) {
  grpc_methods_.set_limit(options.grpc_method_metrics);
  trim_timer_.bind<&Control::trim_memory>(*this);
  admin_timer_.bind<&Control::retry_admin>(*this);
}

Control::~Control() { CHECK(state_ == State::kStopped); }

std::expected<void, std::string> Control::start() {
  if (!options_.controller.empty()) {
    if (auto checked = config::DiscoveryClient::check(discovery_options(options_)); !checked) {
      state_ = State::kStopped;
      return std::unexpected(checked.error());
    }
  }
  health_.set_on_change([](const upstream::EndpointState& endpoint, bool healthy, std::string_view reason) {
    healthy ? log_info("{} is healthy again", endpoint.text) : log_warning("{} is unhealthy: {}", endpoint.text, reason);
  });
  workers_.start();
  if (options_.access_log != "off") {
    access_log_ = std::make_unique<observe::AccessLogWriter>(
        ring_, wheel_, workers_.access_logs(), observe::AccessLogWriterOptions{.path = options_.access_log});
    if (auto started = access_log_->start(); !started) log_error("{}: the access log is not written", started.error());
  }
  add_handlers();
  if (auto started = start_admin(); !started) {
    request_stop();
    stop_deadline_ns_ = monotonic_ns();
    run();
    return started;
  }
  config::StateStoreOptions store;
  store.directory = options_.state_dir;
  store.hand_over = [this](int fd) { sockets_.keep_state(fd); };
  store_ = std::make_unique<config::StateStore>(wheel_, std::move(store));
  take_kept_configuration();
  if (!options_.controller.empty()) {
    discovery_ = std::make_unique<config::DiscoveryClient>(ring_, wheel_, random_, discovery_options(options_),
                                                           std::move(kept_), *this);
    discovery_->start();
  }
  log_info("{} workers on {}{}{}", workers_.count(), io::backend_name(choice_.backend),
           choice_.reason.empty() ? "" : " because io_uring is not available: ", choice_.reason);
  return {};
}

void Control::take_kept_configuration() {
  const int fd = sockets_.take_state();
  std::expected<config::ResourceSet, std::string> set;
  if (fd >= 0) {
    set = config::load_state_memory(fd);
    ::close(fd);
    if (!set) log_warning("the configuration of the process before this one can't be used: {}", set.error());
  }
  if ((fd < 0 || !set || set->empty()) && !options_.state_dir.empty()) {
    set = config::load_state_file(options_.state_dir);
    if (!set) log_warning("the kept configuration can't be used: {}", set.error());
  }
  if (!set || set->empty()) return;
  if (auto applied = apply(config::whole_transaction(*set)); !applied) {
    log_warning("the kept configuration was refused: {} {}: {}", config::resource_type_name(applied.error().type),
                applied.error().name, applied.error().reason);
    return;
  }
  kept_ = std::move(*set);
  log_info("serving the kept configuration, version {}", kept_.version());
}

std::expected<void, std::string> Control::start_admin() {
  if (options_.admin == "off") return {};
  auto fd = process::make_listener(options_.admin, false);
  if (fd) return admin_.start(*fd);
  if (restarts_ == 0) return std::unexpected("--admin " + fd.error());
  // The kernel may hold the socket of the process before this one for some milliseconds: its ring is taken down behind its end. Traffic does not wait.
  if (state_ == State::kServing) wheel_.arm(admin_timer_, ring_.now_ns() + kAdminRetryNs);
  return {};
}

void Control::retry_admin() {
  if (auto started = start_admin(); !started) log_error("{}: the admin endpoint is not served", started.error());
}

// Nothing was ever served: most likely a mistake of whoever started us, who should see it at once.
void Control::give_up(const std::string& reason) {
  log_error("{}", reason);
  exit_code_ = 1;
  request_stop();
}

// ---- configuration ----

std::expected<void, config::Rejection> Control::apply(config::Transaction&& transaction) {
  if (exit_code_ != 0) return std::unexpected(config::Rejection{v1::RESOURCE_TYPE_UNSPECIFIED, "", "this proxy ends"});
  if (auto bound = bind_new_addresses(transaction); !bound) {
    if (!told_ready_ && restarts_ == 0) give_up(bound.error().reason);
    return bound;
  }
  auto snapshot = builder_.apply(transaction);
  if (!snapshot) {
    drop_new_sockets();
    return std::unexpected(std::move(snapshot.error()));
  }
  applied_ns_ = monotonic_ns();
  publish(*snapshot);
  // A large transaction leaves its messages' memory behind, as much as the configuration itself; malloc would keep it.
  if (transaction.upserts.size() + transaction.removals.size() >= kLargeTransaction) {
    wheel_.arm(trim_timer_, ring_.now_ns() + kTrimDelayNs);
  }
  config::update_health_checks(health_, checked_.get(), **snapshot);
  checked_ = *snapshot;
  unbind_unused_addresses(**snapshot);
  if ((*snapshot)->complete) become_ready();
  return {};
}

void Control::on_accepted(const config::ResourceSet& set) {
  store_->save(set, ring_.now_ns());
  if (discovery_ != nullptr) rejected_before_ = discovery_->status().rejected;
}

void Control::trim_memory() { malloc_trim(0); }

std::expected<void, config::Rejection> Control::bind_new_addresses(const config::Transaction& transaction) {
  CHECK(new_sockets_.empty());
  for (const v1::Resource& resource : transaction.upserts) {
    if (!resource.has_listener()) continue;
    for (const std::string& configured : resource.listener().addresses()) {
      const std::string address = config::socket_address(resource.listener(), configured);
      const ListenerAddress key(resource.name(), address);
      if (bound_.contains(key) || new_sockets_.contains(key)) continue;
      auto fds = sockets_.bind(address, workers_.count());
      if (!fds) {
        drop_new_sockets();
        return std::unexpected(config::Rejection{v1::RESOURCE_TYPE_LISTENER, resource.name(), fds.error()});
      }
      new_sockets_.emplace(key, *std::move(fds));
    }
  }
  return {};
}

void Control::drop_new_sockets() {
  for (const auto& [key, fds] : new_sockets_) {
    for (const int fd : fds) ::close(fd);
    const bool used = std::ranges::any_of(bound_, [&](const ListenerAddress& other) { return other.second == key.second; });
    if (!used) sockets_.unbind(key.second);
  }
  new_sockets_.clear();
}

void Control::publish(const config::SnapshotPointer& snapshot) {
  std::vector<std::vector<worker::ListenerSocket>> sockets(workers_.count());
  for (auto& [key, fds] : new_sockets_) {
    bound_.insert(key);
    for (size_t i = 0; i < fds.size(); ++i) sockets[i].push_back({key.first, key.second, fds[i]});
    log_info("listening on {} ({})", key.second, key.first);
  }
  new_sockets_.clear();
  workers_.publish(snapshot, std::move(sockets));
}

void Control::unbind_unused_addresses(const config::Snapshot& snapshot) {
  std::set<std::string> gone;
  std::erase_if(bound_, [&](const ListenerAddress& key) {
    for (const auto& listener : snapshot.listeners) {
      if (listener->name == key.first && std::ranges::find(listener->addresses, key.second) != listener->addresses.end()) {
        return false;
      }
    }
    gone.insert(key.second);
    return true;
  });
  for (const std::string& address : gone) {
    const bool used = std::ranges::any_of(bound_, [&](const ListenerAddress& other) { return other.second == address; });
    if (used) continue;
    log_info("no longer listening on {}", address);
    sockets_.unbind(address);
  }
}

void Control::become_ready() {
  if (told_ready_) return;
  told_ready_ = true;
  sockets_.ready();
  log_info("ready");
}

// ---- the loop and its end ----

void Control::request_stop() {
  stop_requests_.fetch_add(1, std::memory_order_relaxed);
  ring_.wake();
}

void Control::request_reopen() {
  reopen_requested_.store(true, std::memory_order_relaxed);
  ring_.wake();
}

void Control::run() {
  while (state_ != State::kStopped) {
    uint64_t deadline_ns = wheel_.next_deadline_ns();
    if (state_ != State::kServing) deadline_ns = std::min(deadline_ns, ring_.now_ns() + 20 * kNsPerMs);
    ring_.turn(deadline_ns);
    wheel_.advance(ring_.now_ns());
    inbox_.run();
    handle_signals();
    if (state_ != State::kServing) continue_stop();
  }
}

void Control::handle_signals() {
  if (reopen_requested_.exchange(false, std::memory_order_relaxed) && access_log_ != nullptr) access_log_->reopen();
  const uint32_t requests = stop_requests_.load(std::memory_order_relaxed);
  if (requests == stop_requests_seen_) return;
  stop_requests_seen_ = requests;
  if (state_ == State::kServing) return begin_drain();
  if (state_ == State::kDraining) {
    log_info("stopping now");
    workers_.drain(ring_.now_ns(), ring_.now_ns());
  }
}

void Control::begin_drain() {
  state_ = State::kDraining;
  const uint64_t deadline_ns = ring_.now_ns() + options_.drain_timeout_seconds * kNsPerSecond;
  log_info("draining, for at most {} s", options_.drain_timeout_seconds);
  workers_.drain(ring_.now_ns(), deadline_ns);
  if (discovery_ != nullptr) discovery_->stop();
}

void Control::continue_stop() {
  if (state_ == State::kDraining) {
    if (!workers_.finished()) return;
    state_ = State::kStopping;
    const uint64_t deadline_ns = ring_.now_ns() + kNsPerSecond;
    if (access_log_ != nullptr) access_log_->stop(deadline_ns);
    admin_.stop(deadline_ns);
    health_.drain();
  }
  if (state_ != State::kStopping) return;
  if (access_log_ != nullptr && !access_log_->stopped()) return;
  if (discovery_ != nullptr && !discovery_->stopped()) return;
  if (!admin_.stopped() || !health_.drained() || ring_.in_flight() != 0) return;
  if (store_ != nullptr) store_->flush();
  access_log_.reset();
  workers_.join();
  inbox_.run();
  state_ = State::kStopped;
  log_info("stopped");
}

}  // namespace ringway::control
