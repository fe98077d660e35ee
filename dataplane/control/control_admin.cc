// What the admin endpoint answers.
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/log.h"
#include "dataplane/config/config_dump.h"
#include "dataplane/control/control.h"

namespace ringway::control {
namespace {

constexpr const char* kJson = "application/json";

observe::EndpointCondition condition_of(const upstream::EndpointRef& endpoint, uint64_t now_ns) {
  if (endpoint.terminating || !endpoint.ready) return observe::EndpointCondition::kDraining;
  if (endpoint.state->check_failed.load(std::memory_order_relaxed)) return observe::EndpointCondition::kUnhealthy;
  if (endpoint.state->ejected(now_ns)) return observe::EndpointCondition::kEjected;
  return observe::EndpointCondition::kHealthy;
}

template <typename Visit>
void for_each_cluster(const config::Snapshot& snapshot, Visit&& visit) {
  for (const auto& chunk : snapshot.cluster_chunks) {
    if (chunk == nullptr) continue;
    for (const auto& cluster : *chunk) {
      if (cluster != nullptr) visit(*cluster);
    }
  }
}

}  // namespace

void Control::add_handlers() {
  const auto healthz = [](const observe::AdminRequest&) { return observe::AdminResponse{.body = "ok\n"}; };
  const auto readyz = [this](const observe::AdminRequest& request) { return readiness(request.has("verbose")); };
  const auto config = [this](const observe::AdminRequest&) { return configuration(); };
  const auto endpoints = [this](const observe::AdminRequest&) { return this->endpoints(); };
  using Handler = std::function<observe::AdminResponse(const observe::AdminRequest&)>;
  admin_.handle("/healthz", Handler(healthz));
  admin_.handle("/readyz", Handler(readyz));
  admin_.handle("/config", Handler(config));
  admin_.handle("/endpoints", Handler(endpoints));
  admin_.handle("/metrics", observe::AdminHandler([this](const observe::AdminRequest&, observe::AdminReply reply) {
    metrics(std::move(reply));
  }));
}

bool Control::ready() const { return builder_.snapshot()->complete && state_ == State::kServing; }

observe::AdminResponse Control::readiness(bool verbose) const {
  observe::AdminResponse response;
  response.status = ready() ? 200 : 503;
  if (!verbose) {
    response.body = ready() ? "ok\n" : "not ready\n";
    return response;
  }
  const auto line = [&](std::string_view name, bool ok, const std::string& detail) {
    response.body.append(ok ? "[+] " : "[-] ").append(name);
    if (!detail.empty()) response.body.append(": ").append(detail);
    response.body.append("\n");
  };
  const config::Snapshot& snapshot = *builder_.snapshot();
  line("configuration", snapshot.complete,
       snapshot.complete ? "version " + snapshot.version : "no complete transaction was applied yet");
  line("listeners", snapshot.complete, std::to_string(bound_.size()) + " bound");
  line("serving", state_ == State::kServing, state_ == State::kServing ? "" : "draining");
  std::string controller = "none";
  if (discovery_ != nullptr) {
    controller = config::discovery_state_name(discovery_->status().state);
    if (!discovery_->status().last_error.empty()) controller += ", last error: " + discovery_->status().last_error;
  }
  // Not a condition: traffic goes on without the controller.
  response.body.append("[i] controller: ").append(controller).append("\n");
  response.body.append("[i] io: ").append(io::backend_name(choice_.backend));
  if (!choice_.reason.empty()) response.body.append(" (").append(choice_.reason).append(")");
  response.body.append("\n").append(ready() ? "ready\n" : "not ready\n");
  return response;
}

observe::AdminResponse Control::configuration() const {
  observe::AdminResponse response;
  response.content_type = kJson;
  const config::ResourceSet& set = discovery_ != nullptr ? discovery_->resources() : kept_;
  response.body = config::config_dump(*builder_.snapshot(), set);
  return response;
}

observe::AdminResponse Control::endpoints() const {
  const uint64_t now_ns = ring_.now_ns();
  nlohmann::json clusters = nlohmann::json::array();
  for_each_cluster(*builder_.snapshot(), [&](const upstream::Cluster& cluster) {
    nlohmann::json list = nlohmann::json::array();
    for (const upstream::EndpointRef& endpoint : cluster.endpoints) {
      const upstream::EndpointState& state = *endpoint.state;
      list.push_back({{"address", state.text},
                      {"condition", observe::kEndpointConditions[static_cast<size_t>(condition_of(endpoint, now_ns))]},
                      {"ready", endpoint.ready},
                      {"serving", endpoint.serving},
                      {"terminating", endpoint.terminating},
                      {"weight", endpoint.weight},
                      {"checkFailed", state.check_failed.load(std::memory_order_relaxed)},
                      {"ejected", state.ejected(now_ns)},
                      {"consecutiveErrors", state.consecutive_errors.load(std::memory_order_relaxed)},
                      {"inFlight", state.in_flight.load(std::memory_order_relaxed)},
                      {"requests", state.requests_total.load(std::memory_order_relaxed)},
                      {"errors", state.errors_total.load(std::memory_order_relaxed)},
                      {"pod", endpoint.pod},
                      {"node", endpoint.node},
                      {"zone", endpoint.zone}});
    }
    clusters.push_back({{"cluster", cluster.name}, {"endpoints", std::move(list)}});
  });
  observe::AdminResponse response;
  response.content_type = kJson;
  response.body = nlohmann::json{{"clusters", std::move(clusters)}}.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
  response.body.append("\n");
  return response;
}

void Control::metrics(observe::AdminReply reply) {
  workers_.sum_stats([this, reply = std::move(reply)](observe::WorkerStats sum) {
    observe::RequestView requests = request_series_.update(metrics_slots_.held(), std::move(sum.routes));
    grpc_methods_.take(sum.grpc_methods);
    sum.grpc_methods = grpc_methods_;
    observe::MetricsInput input = metrics_input();
    input.stats = &sum;
    observe::NginxOptions nginx{options_.nginx_metrics, options_.metrics_per_host,
                                {options_.metrics_namespace, options_.metrics_class, options_.metrics_pod}};
    auto text = std::make_shared<observe::MetricsText>(input, std::move(requests), std::move(nginx));
    observe::AdminResponse response{.content_type = observe::kMetricsContentType};
    if (text->next(response.body)) response.more = [text](std::string& piece) { return text->next(piece); };
    reply(std::move(response));
  });
}

observe::MetricsInput Control::metrics_input() {
  observe::MetricsInput input;
  const config::Snapshot& snapshot = *builder_.snapshot();
  const uint64_t now_ns = ring_.now_ns();
  input.workers = workers_.count();
  input.io_backend = io::backend_name(choice_.backend);
  for_each_cluster(snapshot, [&](const upstream::Cluster& cluster) {
    observe::ClusterEndpoints& counts = input.endpoints.emplace_back();
    counts.namespace_name = cluster.service_namespace;
    counts.service = cluster.service;
    const size_t colon = cluster.name.rfind(':');   // "<namespace>/<service>:<port>"
    if (colon != std::string::npos) counts.port = cluster.name.substr(colon + 1);
    for (const upstream::EndpointRef& endpoint : cluster.endpoints) {
      ++counts.by_condition[static_cast<size_t>(condition_of(endpoint, now_ns))];
    }
  });
  for (const auto& certificate : builder_.certificate_expiries()) {
    input.certificates.push_back({certificate.name, certificate.not_after_unix_seconds});
  }
  input.now_unix_seconds = wall_clock_ns() / static_cast<int64_t>(kNsPerSecond);
  input.config_generation = snapshot.generation;
  input.config_version = snapshot.version;
  input.config_last_accepted =
      snapshot.generation > 0 && (discovery_ == nullptr || discovery_->status().rejected == rejected_before_);
  if (applied_ns_ != 0) input.config_age_seconds = static_cast<double>(now_ns - std::min(applied_ns_, now_ns)) / 1e9;
  if (discovery_ != nullptr) {
    const config::DiscoveryStatus& status = discovery_->status();
    input.config_accepted = status.accepted;
    input.config_rejected = status.rejected;
    input.controller_connected = status.state == config::DiscoveryState::kConnected;
    input.controller_connects = status.connects;
    input.controller_failures = status.failures;
  }
  if (access_log_ != nullptr) {
    input.access_log_bytes = access_log_->stats().bytes_written;
    input.access_log_lines_dropped = access_log_->stats().lines_dropped;
    input.access_log_errors = access_log_->stats().errors;
  }
  input.log_lines_dropped = log_lines_dropped();
  input.admin_connections_refused = admin_.stats().connections_refused;
  input.restarts = restarts_;
  input.ready = ready();
  input.draining = state_ != State::kServing;
  input.process = observe::read_process_usage();
  return input;
}

}  // namespace ringway::control
