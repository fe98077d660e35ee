#include "controlplane/cluster.h"

#include <openssl/rand.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "controlplane/identity/names.h"

namespace ringway {
namespace {

constexpr int kLookMs = 500;  // At the Lease that was given back.
constexpr uint64_t kLinkEveryNs = 60 * kNsPerSecond;

int64_t now_s() { return wall_clock_ns() / static_cast<int64_t>(kNsPerSecond); }

uint64_t random_number() {
  uint64_t number = 0;
  CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(&number), sizeof number) == 1);
  return number;
}

// As client-go's users make it: the pod's name, and something that a restart changes.
std::string own_identity() {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host = {'?'};
  char suffix[20];
  std::snprintf(suffix, sizeof suffix, "_%016lx", static_cast<unsigned long>(random_number()));
  return std::string(host.data()) + suffix;
}

identity::KeeperOptions keeper_options(const ClusterOptions& options, bool proxies) {
  identity::KeeperOptions out = options.link;
  out.proxies = proxies;
  const std::string service = out.prefix + "-controller";
  for (const std::string& name :
       {service, service + "." + options.link_ns, service + "." + options.link_ns + ".svc"}) {
    out.names.push_back(name);
  }
  if (!options.webhook_service_name.empty()) {
    const std::string host = options.webhook_service_name + "." + options.webhook_service_ns;
    out.webhook_names = {host + ".svc", host + ".svc.cluster.local"};
  }
  // An authority that lives for minutes (a test) cannot be spread for an hour.
  out.lifetimes.spread_s = std::min(out.lifetimes.spread_s, out.lifetimes.authority_s / 12);
  return out;
}

leader::ElectorOptions elector_options(const ElectionOptions& options, std::string ns,
                                       std::string identity) {
  const uint64_t ttl_ns = options.ttl_s * kNsPerSecond;
  // client-go's 15, 10 and 2 seconds, in proportion.
  return {.ns = std::move(ns),
          .name = options.id,
          .identity = std::move(identity),
          .lease_duration_ns = ttl_ns,
          .renew_deadline_ns = ttl_ns * 2 / 3,
          .retry_ns = ttl_ns * 2 / 15};
}

}  // namespace

std::expected<std::unique_ptr<Cluster>, std::string> Cluster::make(const ClusterOptions& options,
                                                                   bool proxies) {
  std::unique_ptr<Cluster> cluster(new Cluster(options));
  if (!options.needs_api()) return cluster;
  auto config = kube::load_config(options.api);
  if (!config) return std::unexpected(config.error());
  std::string ns = options.election.ns.empty() ? config->ns : options.election.ns;
  if (ns.empty()) ns = "default";  // As kubectl, for a context that names none.
  cluster->client_ = std::make_unique<kube::ApiClient>(*std::move(config));
  cluster->api_ = std::make_unique<kube::ClientCaller>(*cluster->client_);
  if (!options.link_ns.empty()) {
    cluster->secrets_ =
        std::make_unique<identity::KubeSecretStore>(*cluster->api_, options.link_ns);
    cluster->keeper_ =
        std::make_unique<identity::Keeper>(*cluster->secrets_, keeper_options(options, proxies));
    if (!options.webhook_configuration.empty()) {
      cluster->bundle_ =
          std::make_unique<identity::WebhookBundle>(*cluster->api_, options.webhook_configuration);
    }
  }
  if (!options.writes_back) return cluster;
  const std::string identity = own_identity();
  if (options.election.enabled) {
    cluster->elector_ = std::make_unique<leader::Elector>(
        *cluster->api_, elector_options(options.election, ns, identity), random_number());
    cluster->leader_metrics_ = std::make_unique<leader::Metrics>(*cluster->elector_);
  }
  status::WriterOptions writer = options.writer;
  writer.instance = identity;
  cluster->writer_ = std::make_unique<status::Writer>(
      *cluster->api_, cluster->feed_, options.publish, writer, [elector = cluster->elector_.get()] {
        return elector == nullptr || elector->is_leader(monotonic_ns());
      });
  cluster->writer_metrics_ = std::make_unique<status::Metrics>(cluster->writer_->stats());
  return cluster;
}

Cluster::~Cluster() { stop(); }

std::expected<void, std::string> Cluster::renew_certificates() {
  auto done = keeper_->step(now_s());
  if (bundle_ == nullptr || !keeper_->ready()) return done;
  if (auto written = bundle_->step(keeper_->bundle()); !written) return written;
  return done;
}

std::expected<void, std::string> Cluster::prepare_link(serve::ServerOptions& server,
                                                       admission::WebhookOptions& webhook) {
  if (keeper_ == nullptr) return {};
  if (auto done = renew_certificates(); !keeper_->ready())
    return done ? std::unexpected("no certificate was made") : done;
  if (!server.listen.starts_with("unix:")) {
    server.tls_certificate = keeper_->certificate_path();
    server.tls_key = keeper_->key_path();
    server.tls_client_ca = keeper_->ca_path();
  }
  if (!options_.webhook_service_name.empty()) {
    webhook.tls.certificate = keeper_->webhook_certificate_path();
    webhook.tls.key = keeper_->webhook_key_path();
  }
  return {};
}

void Cluster::start() {
  if (keeper_ != nullptr) {
    const auto leaf_ns = static_cast<uint64_t>(options_.link.lifetimes.leaf_s) * kNsPerSecond;
    const uint64_t every_ns = std::min(kLinkEveryNs, leaf_ns / 10);
    link_ticker_.emplace("discovery certificates", [this, every_ns](uint64_t now_ns) {
      const auto done = renew_certificates();
      if (!done && done.error() != link_complaint_)
        log_warning("discovery certificates: {}; those in use stay", done.error());
      link_complaint_ = done ? "" : done.error();
      return now_ns + every_ns;
    });
  }
  if (elector_ != nullptr) {
    silence_.emplace(monotonic_ns());
    elector_ticker_.emplace("leader election", [this](uint64_t now_ns) {
      const uint64_t next_ns = elector_->step(now_ns, wall_clock_ns());
      watch_silence(monotonic_ns());
      return next_ns;
    });
  }
  if (writer_ != nullptr) {
    writer_ticker_.emplace(
        "status", [this](uint64_t now_ns) { return writer_->step(now_ns, wall_clock_ns()); });
  }
}

void Cluster::watch_silence(uint64_t now_ns) {
  silence_->heard(elector_->heard_ns());
  if (on_silence) on_silence(silence_->unready(now_ns));
  if (silence_->send_away(now_ns) && on_send_away) on_send_away();
}

void Cluster::translated(const translate::Translation& translation) {
  if (writer_ != nullptr) feed_.put(translation);
}

bool Cluster::take_out_status() {
  constexpr uint64_t kMostNs = 100 * kNsPerSecond;  // The chart's job has two minutes.
  const uint64_t now_ns = monotonic_ns();
  return writer_ == nullptr || writer_->take_out(now_ns, now_ns + kMostNs);
}

// Gives the Lease back, and says whether nobody takes it: another would, within 1.5 of its retries.
bool Cluster::is_last() {
  if (elector_ == nullptr) return true;
  elector_->release(monotonic_ns(), wall_clock_ns());
  const leader::ElectorOptions& options = elector_->options();
  const std::string path =
      "/apis/coordination.k8s.io/v1/namespaces/" + options.ns + "/leases/" + options.name;
  const uint64_t until_ns = monotonic_ns() + options.retry_ns * 5 / 2;
  while (monotonic_ns() < until_ns) {
    const auto answer = api_->call({.path = path});
    if (!answer || !answer->ok()) return false;  // Not known: then the addresses stay.
    const auto lease = nlohmann::json::parse(answer->body, nullptr, false);
    if (!lease.is_object()) return false;
    if (lease.value("/spec/holderIdentity"_json_pointer, "") != "") return false;
    ::poll(nullptr, 0, kLookMs);
  }
  return true;
}

void Cluster::stop() {
  link_ticker_.reset();
  writer_ticker_.reset();
  elector_ticker_.reset();
  if (client_ == nullptr) return;
  const bool leads =
      writer_ != nullptr && (elector_ == nullptr || elector_->is_leader(monotonic_ns()));
  if (leads) writer_->finish(monotonic_ns(), [this] { return is_last(); });
  if (elector_ != nullptr) elector_->release(monotonic_ns(), wall_clock_ns());
  writer_.reset();
  client_->stop();
  client_.reset();
}

std::vector<const prometheus::Collectable*> Cluster::metrics() const {
  std::vector<const prometheus::Collectable*> out;
  if (leader_metrics_ != nullptr) out.push_back(leader_metrics_.get());
  if (writer_metrics_ != nullptr) out.push_back(writer_metrics_.get());
  return out;
}

}  // namespace ringway
