#include "dataplane/config/snapshot_builder.h"

#include <optional>
#include <set>
#include <utility>

#include "base/check.h"
#include "dataplane/config/compile_cluster.h"
#include "dataplane/config/compile_listener.h"
#include "dataplane/config/snapshot_stage.h"
#include "dataplane/net/address.h"

namespace ringway::config {
namespace {

std::unexpected<Rejection> refuse(v1::ResourceType type, const std::string& name,
                                  std::string reason) {
  return std::unexpected(Rejection{type, name, std::move(reason)});
}

v1::ResourceType type_of(const v1::Resource& resource) {
  switch (resource.body_case()) {
    case v1::Resource::kListener:
      return v1::RESOURCE_TYPE_LISTENER;
    case v1::Resource::kRouteTable:
      return v1::RESOURCE_TYPE_ROUTE_TABLE;
    case v1::Resource::kCluster:
      return v1::RESOURCE_TYPE_CLUSTER;
    case v1::Resource::kEndpoints:
      return v1::RESOURCE_TYPE_ENDPOINTS;
    case v1::Resource::kCertificate:
      return v1::RESOURCE_TYPE_CERTIFICATE;
    case v1::Resource::BODY_NOT_SET:
      break;
  }
  return v1::RESOURCE_TYPE_UNSPECIFIED;
}

bool unchanged(uint64_t held, uint64_t version) { return version != 0 && held == version; }

}  // namespace

SnapshotBuilder::SnapshotBuilder(upstream::EndpointRegistry& endpoints, MetricsSlots& metrics,
                                 StreamSource source)
    : endpoints_(endpoints), source_(source), routes_(cluster_slots_, metrics) {
  auto empty = std::make_shared<Snapshot>();
  auto route = std::make_shared<route::Route>();
  route->name = "default-backend";
  empty->default_route = std::move(route);
  snapshot_ = std::move(empty);
}

SnapshotBuilder::~SnapshotBuilder() = default;

std::expected<SnapshotPointer, Rejection> SnapshotBuilder::apply(
    std::span<const v1::Resource> upserts, std::span<const ResourceKey> removals, bool full,
    const std::string& version) {
  Stage stage;
  Step done = sort_in(upserts, removals, stage);
  if (done) done = stage_clusters(stage);
  if (done) done = stage_certificates(stage);
  if (done) done = stage_tables(stage);
  if (done) done = stage_listeners(stage);
  if (done) done = check_addresses(stage);
  if (!done) return std::unexpected(std::move(done.error()));
  auto next = std::make_shared<Snapshot>(*snapshot_);
  next->version = version;
  ++next->generation;
  next->complete = next->complete || full;
  commit(std::move(stage), *next);
  snapshot_ = std::move(next);
  return snapshot_;
}

SnapshotBuilder::Step SnapshotBuilder::sort_in(std::span<const v1::Resource> upserts,
                                               std::span<const ResourceKey> removals,
                                               Stage& stage) const {
  for (const ResourceKey& key : removals) {
    switch (key.type) {
      case v1::RESOURCE_TYPE_LISTENER:
        stage.listener_changes[key.name] = nullptr;
        break;
      case v1::RESOURCE_TYPE_ROUTE_TABLE:
        stage.table_changes[key.name] = nullptr;
        break;
      case v1::RESOURCE_TYPE_CLUSTER:
        stage.cluster_changes[key.name].remove_policy = true;
        break;
      case v1::RESOURCE_TYPE_ENDPOINTS:
        stage.cluster_changes[key.name].remove_endpoints = true;
        break;
      case v1::RESOURCE_TYPE_CERTIFICATE:
        stage.certificate_changes[key.name] = nullptr;
        break;
      default:
        return refuse(key.type, key.name, "a removal of a type that this proxy does not know");
    }
  }
  for (const v1::Resource& resource : upserts) {
    const v1::ResourceType type = type_of(resource);
    if (resource.name().empty()) return refuse(type, "", "a resource without name");
    switch (type) {
      case v1::RESOURCE_TYPE_LISTENER:
        stage.listener_changes[resource.name()] = &resource;
        break;
      case v1::RESOURCE_TYPE_ROUTE_TABLE:
        stage.table_changes[resource.name()] = &resource;
        break;
      case v1::RESOURCE_TYPE_CLUSTER:
        stage.cluster_changes[resource.name()].policy = &resource;
        break;
      case v1::RESOURCE_TYPE_ENDPOINTS:
        stage.cluster_changes[resource.name()].endpoints = &resource;
        break;
      case v1::RESOURCE_TYPE_CERTIFICATE:
        stage.certificate_changes[resource.name()] = &resource;
        break;
      default:
        return refuse(type, resource.name(), "a resource without a body that this proxy knows");
    }
  }
  return {};
}

SnapshotBuilder::Step SnapshotBuilder::stage_clusters(Stage& stage) {
  for (const auto& [name, change] : stage.cluster_changes) {
    if (Step done = stage_cluster(name, change, stage); !done) return done;
  }
  return {};
}

SnapshotBuilder::Step SnapshotBuilder::stage_cluster(const std::string& name,
                                                     const ClusterChange& change, Stage& stage) {
  const auto found = clusters_.find(name);
  Cluster next = found == clusters_.end() ? Cluster{} : found->second;
  const bool new_policy =
      change.policy != nullptr &&
      !(next.has_policy && unchanged(next.policy_version, change.policy->version()));
  const bool new_endpoints =
      change.endpoints != nullptr &&
      !(next.has_endpoints && unchanged(next.endpoints_version, change.endpoints->version()));
  const bool drop_policy = change.policy == nullptr && change.remove_policy && next.has_policy;
  const bool drop_endpoints =
      change.endpoints == nullptr && change.remove_endpoints && next.has_endpoints;
  if (!new_policy && !new_endpoints && !drop_policy && !drop_endpoints) return {};

  auto compiled = std::make_shared<upstream::Cluster>();
  if (next.compiled != nullptr) {
    if (!drop_policy) copy_cluster_policy(*next.compiled, *compiled);
    if (!drop_endpoints && !new_endpoints) compiled->endpoints = next.compiled->endpoints;
  }
  if (new_policy) {
    if (auto done = compile_cluster_policy(change.policy->cluster(), *compiled); !done) {
      return refuse(v1::RESOURCE_TYPE_CLUSTER, name, std::move(done.error()));
    }
    next.policy_version = change.policy->version();
  }
  if (new_endpoints) {
    if (auto done = compile_endpoints(change.endpoints->endpoints(), endpoints_, *compiled);
        !done) {
      return refuse(v1::RESOURCE_TYPE_ENDPOINTS, name, std::move(done.error()));
    }
    next.endpoints_version = change.endpoints->version();
  }
  change_protocol(endpoints_, *compiled);
  next.has_policy = (next.has_policy && !drop_policy) || new_policy;
  next.has_endpoints = (next.has_endpoints && !drop_endpoints) || new_endpoints;
  if (!next.has_policy && !next.has_endpoints) {
    stage.clusters.emplace_back(name, std::nullopt);
    return {};
  }
  next.lease = cluster_slots_.take(name);
  compiled->name = name;
  compiled->slot = next.lease->slot;
  compiled->uid = next.lease->uid;
  compiled->revision = ++revision_;
  next.compiled = std::move(compiled);
  stage.clusters.emplace_back(name, std::move(next));
  return {};
}

SnapshotBuilder::Step SnapshotBuilder::stage_certificates(Stage& stage) {
  for (const auto& [name, resource] : stage.certificate_changes) {
    const auto held = certificates_.find(name);
    if (resource == nullptr) {
      if (held != certificates_.end()) stage.certificates.emplace(name, std::nullopt);
      continue;
    }
    if (held != certificates_.end() && unchanged(held->second.version, resource->version()))
      continue;
    const v1::Certificate& in = resource->certificate();
    auto certificate = tls::Certificate::from_pem(in.chain_pem(), in.private_key_pem());
    if (!certificate)
      return refuse(v1::RESOURCE_TYPE_CERTIFICATE, name, std::move(certificate.error()));
    for (const std::string& host : in.hosts()) {
      if (!is_route_host(host))
        return refuse(v1::RESOURCE_TYPE_CERTIFICATE, name, "\"" + host + "\" is not a host name");
    }
    stage.certificates.emplace(name,
                               CertificateEntry{.version = resource->version(),
                                                .hosts = {in.hosts().begin(), in.hosts().end()},
                                                .certificate = *std::move(certificate)});
  }
  return {};
}

SnapshotBuilder::Step SnapshotBuilder::stage_tables(Stage& stage) {
  for (const auto& [name, resource] : stage.table_changes) {
    const auto held = tables_.find(name);
    if (resource == nullptr) {
      if (held != tables_.end()) stage.tables.emplace_back(name, std::nullopt);
      continue;
    }
    if (held != tables_.end() && unchanged(held->second.version, resource->version())) continue;
    const v1::RouteTable& in = resource->route_table();
    const std::string set = in.set().empty() ? kDefaultRouteSet : in.set();
    if (!is_route_host(in.host())) {
      return refuse(v1::RESOURCE_TYPE_ROUTE_TABLE, name,
                    "\"" + in.host() + "\" is not a host name in lower case");
    }
    if (name != set + "/" + in.host())
      return refuse(v1::RESOURCE_TYPE_ROUTE_TABLE, name, "the name is not \"<set>/<host>\"");
    auto compiled = routes_.compile(in);
    if (!compiled) return refuse(v1::RESOURCE_TYPE_ROUTE_TABLE, name, std::move(compiled.error()));
    stage.tables.emplace_back(name, Table{resource->version(), *std::move(compiled)});
  }
  return {};
}

SnapshotBuilder::Step SnapshotBuilder::stage_listeners(Stage& stage) {
  for (const auto& [name, resource] : stage.listener_changes) {
    const auto held = listeners_.find(name);
    if (resource == nullptr) {
      if (held != listeners_.end()) stage.listeners.emplace(name, std::nullopt);
      continue;
    }
    if (held != listeners_.end() && unchanged(held->second.version, resource->version()) &&
        stage.certificates.empty()) {
      continue;
    }
    if (Step done = stage_listener(name, resource, stage); !done) return done;
  }
  if (stage.certificates.empty()) return {};
  for (const auto& [name, entry] : listeners_) {
    if (entry.compiled->tls == nullptr || stage.listeners.contains(name)) continue;
    if (Step done = stage_listener(name, nullptr, stage); !done) return done;
  }
  return {};
}

// `upsert` nullptr: the resource held, with other certificates.
SnapshotBuilder::Step SnapshotBuilder::stage_listener(const std::string& name,
                                                      const v1::Resource* upsert, Stage& stage) {
  const auto held = listeners_.find(name);
  ListenerEntry next;
  next.resource = upsert != nullptr ? upsert->listener() : held->second.resource;
  next.version = upsert != nullptr ? upsert->version() : held->second.version;
  auto compiled = compile_listener(name, next.resource, source_);
  if (!compiled) return refuse(v1::RESOURCE_TYPE_LISTENER, name, std::move(compiled.error()));
  if (upsert == nullptr) compiled->http = held->second.compiled->http;
  take_clusters(next, *compiled);
  if (compiled->kind == ListenerKind::kHttps || compiled->kind == ListenerKind::kTls) {
    const bool http2 = compiled->http != nullptr && compiled->http->http2;
    const auto policy = compile_tls_policy(next.resource.tls(), http2, compiled->kind);
    if (!policy) return refuse(v1::RESOURCE_TYPE_LISTENER, name, policy.error());
    const bool same_tls =
        held != listeners_.end() && stage.certificates.empty() &&
        held->second.compiled->tls != nullptr && held->second.compiled->kind == compiled->kind &&
        (compiled->http == nullptr || held->second.compiled->http->http2 == http2) &&
        held->second.resource.tls().SerializeAsString() == next.resource.tls().SerializeAsString();
    compiled->tls =
        same_tls ? held->second.compiled->tls : make_tls(next.resource.tls(), *policy, stage);
  }
  compiled->revision = ++revision_;
  next.compiled = std::make_shared<const Listener>(*std::move(compiled));
  stage.listeners.emplace(name, std::move(next));
  return {};
}

void SnapshotBuilder::take_clusters(ListenerEntry& entry, Listener& listener) {
  const auto take = [&](const std::string& name) {
    entry.clusters.push_back(cluster_slots_.take(name));
    return ClusterTarget{entry.clusters.back()->slot, entry.clusters.back()->uid};
  };
  const v1::Listener& in = entry.resource;
  if (!in.default_cluster().empty())
    listener.default_cluster_slot = take(in.default_cluster()).slot;
  if (!in.tcp_cluster().empty()) listener.stream_cluster = take(in.tcp_cluster());
  if (in.passthrough_size() == 0) return;
  auto hosts = std::make_shared<PassthroughHosts>();
  for (const v1::PassthroughHost& host : in.passthrough()) {
    const bool wildcard = host.host().starts_with("*.");
    (wildcard ? hosts->wildcard : hosts->exact)
        .insert_or_assign(wildcard ? host.host().substr(2) : host.host(), take(host.cluster()));
  }
  listener.passthrough = std::move(hosts);
}

SnapshotBuilder::Step SnapshotBuilder::check_addresses(const Stage& stage) const {
  if (stage.listeners.empty()) return {};
  std::map<std::string, std::string> owner_of;
  const auto claim = [&owner_of](const std::string& name, const ListenerEntry& entry) -> Step {
    const bool udp = entry.compiled->kind == ListenerKind::kUdp;
    for (const std::string& address : entry.resource.addresses()) {
      const std::string key =
          std::string(udp ? net::kUdpPrefix : "") + net::to_string(*net::parse_address(address));
      const auto [at, added] = owner_of.emplace(key, name);
      if (!added) {
        return refuse(v1::RESOURCE_TYPE_LISTENER, name,
                      "address " + address + " belongs to listener " + at->second);
      }
    }
    return {};
  };
  for (const auto& [name, entry] : listeners_) {
    if (stage.listeners.contains(name)) continue;
    if (Step done = claim(name, entry); !done) return done;
  }
  for (const auto& [name, entry] : stage.listeners) {
    if (!entry) continue;
    if (Step done = claim(name, *entry); !done) return done;
  }
  return {};
}

const SnapshotBuilder::CertificateEntry* SnapshotBuilder::certificate(const std::string& name,
                                                                      const Stage& stage) const {
  if (const auto staged = stage.certificates.find(name); staged != stage.certificates.end()) {
    return staged->second ? &*staged->second : nullptr;
  }
  const auto held = certificates_.find(name);
  return held == certificates_.end() ? nullptr : &held->second;
}

std::shared_ptr<tls::ServerContext> SnapshotBuilder::make_tls(const v1::TlsOptions& options,
                                                              const tls::ServerPolicy& policy,
                                                              const Stage& stage) {
  std::set<std::string> names;
  for (const auto& [name, entry] : certificates_) names.insert(name);
  for (const auto& [name, entry] : stage.certificates) names.insert(name);
  std::vector<tls::ServerContext::Entry> entries;
  for (const std::string& name : names) {
    const CertificateEntry* entry = certificate(name, stage);
    if (entry == nullptr) continue;
    for (const std::string& host : entry->hosts) entries.push_back({host, entry->certificate});
  }
  const CertificateEntry* fallback = certificate(options.default_certificate(), stage);
  if (fallback == nullptr && self_signed_ == nullptr)
    self_signed_ = tls::Certificate::self_signed();
  return tls::ServerContext::make(policy, std::move(entries),
                                  fallback != nullptr ? fallback->certificate : self_signed_);
}

}  // namespace ringway::config
