// The units of the graph: each reads what it needs from the objects and indexes, and publishes.
#include <algorithm>
#include <utility>

#include "controlplane/translate/graph.h"
#include "controlplane/translate/listeners.h"

namespace ringway::translate {

using model::Kind;
using model::Reason;

void Translator::Graph::translate_dirty() {
  for (const std::string& host : dirty_hosts_) redo_host(host);
  dirty_hosts_.clear();
  listeners_dirty_ = listeners_dirty_ || std::ranges::any_of(dirty_services_, [this](const Id& id) {
                       return listener_services_.contains(id);
                     });
  for (const Id& id : dirty_services_) redo_service(id);
  dirty_services_.clear();
  for (const Id& id : dirty_secrets_) redo_secret(id);
  dirty_secrets_.clear();
  if (listeners_dirty_) redo_listeners();
  listeners_dirty_ = false;
}

std::expected<BackendClusters, Refusal> Translator::Graph::resolve(
    const std::string& ns, const BackendRef& ref, const Settings* settings) const {
  const model::Object* object = find(Kind::kService, ns + "/" + ref.service);
  const auto* service = object == nullptr ? nullptr : &std::get<kubernetes::Service>(object->body);
  const auto port = find_port(service, ns, ref, options_);
  if (!port) return std::unexpected(port.error());
  const ClusterKinds kinds = cluster_kinds(**port, settings);
  const auto name = [&](ClusterKind kind) {
    return cluster_name(ns, ref.service, (*port)->port(), kind);
  };
  return BackendClusters{name(kinds.kind), kinds.https ? name(*kinds.https) : std::string()};
}

void Translator::Graph::redo_host(const std::string& host) {
  std::vector<v1::Resource> resources;
  std::vector<model::Problem> problems;
  if (const auto users = by_host_.find(host); users != by_host_.end()) {
    const ResolveBackend resolver = [this](const IngressFacts& ingress, const BackendRef& ref) {
      return resolve(ingress.key.ns, ref, &ingress.settings);
    };
    v1::RouteTable table =
        translate_host(host, users->second, by_tls_host_.contains(host), resolver, problems);
    if (!table.routes().empty()) {
      v1::Resource& resource = resources.emplace_back();
      resource.set_name(std::string(kRouteSet) + "/" + host);
      *resource.mutable_route_table() = std::move(table);
    }
  }
  publish({UnitKind::kHost, host}, std::move(resources), std::move(problems));
}

void Translator::Graph::redo_service(const Id& id) {
  std::vector<v1::Resource> resources;
  std::vector<model::Problem> problems;
  if (const model::Object* object = find(Kind::kService, id)) {
    std::vector<ServiceUse> uses;
    const auto use = [&](const IngressFacts& ingress, const BackendRef& ref) {
      const bool passes = options_.ssl_passthrough && ingress.settings.ssl_passthrough;
      const bool sent = passes || (!ingress.settings.protocol_refused && !ingress.redirects());
      if (sent && ref.service == object->key.name) uses.push_back({&ref, &ingress.settings});
    };
    if (const auto users = by_service_.find(id); users != by_service_.end()) {
      for (const IngressFacts* ingress : users->second) {
        for (const PathFact& path : ingress->paths) use(*ingress, path.backend);
        if (ingress->default_backend) use(*ingress, *ingress->default_backend);
      }
    }
    if (default_backend_ && id == default_backend_ns_ + "/" + default_backend_->service) {
      uses.push_back({&*default_backend_, nullptr});
    }
    use_streams(id, uses);
    std::vector<const model::Object*> slices;
    if (const auto at = slices_of_.find(id); at != slices_of_.end()) {
      for (const Id& slice : at->second) slices.push_back(find(Kind::kEndpointSlice, slice));
    }
    if (!uses.empty()) resources = translate_service(*object, uses, slices, options_, global_.pool, problems);
  }
  publish({UnitKind::kService, id}, std::move(resources), std::move(problems));
}

const IngressFacts* certificate_owner_other_than(const ByAge& users, const std::string& host,
                                                 const std::string& secret) {
  for (const IngressFacts* user : users) {
    for (const TlsFact& tls : user->tls) {
      if (tls.secret.empty() || std::ranges::find(tls.hosts, host) == tls.hosts.end()) continue;
      return user->key.ns + "/" + tls.secret == secret ? nullptr : user;
    }
  }
  return nullptr;
}

const IngressFacts* Translator::Graph::other_owner(const std::string& host, const Id& id) const {
  const auto users = by_tls_host_.find(host);
  return users == by_tls_host_.end() ? nullptr
                                     : certificate_owner_other_than(users->second, host, id);
}

std::vector<CertificateUse> Translator::Graph::certificate_uses(
    const Id& id, std::vector<model::Problem>& problems) {
  std::vector<CertificateUse> uses;
  if (id == options_.default_certificate) uses.push_back({nullptr, "", {}});
  const auto users = by_secret_.find(id);
  if (users == by_secret_.end()) return uses;
  for (const IngressFacts* ingress : users->second) {
    for (const TlsFact& tls : ingress->tls) {
      if (tls.secret.empty() || ingress->key.ns + "/" + tls.secret != id) continue;
      CertificateUse use{ingress, tls.field, {}};
      for (const std::string& host : tls.hosts) {
        const IngressFacts* other = other_owner(host, id);
        if (other == nullptr) {
          use.hosts.push_back(host);
        } else {
          Report(ingress->key, ingress->location, problems)
              .error(tls.field, Reason::kConflict,
                     "the host " + host + " has another certificate by the Ingress " + other->id());
        }
      }
      uses.push_back(std::move(use));
    }
  }
  return uses;
}

void Translator::Graph::redo_secret(const Id& id) {
  std::vector<v1::Resource> resources;
  std::vector<model::Problem> problems;
  const std::vector<CertificateUse> uses = certificate_uses(id, problems);
  leaves_.erase(id);
  if (uses.empty()) {
    last_good_.erase(id);
  } else {
    const auto last_good = last_good_.find(id);
    CertificateResult result =
        translate_secret(id, find(Kind::kSecret, id), uses,
                         last_good == last_good_.end() ? nullptr : &last_good->second, problems);
    if (result.accepted) last_good_[id] = *std::move(result.accepted);
    if (result.leaf) leaves_[id] = *std::move(result.leaf);
    if (result.resource) resources.push_back(*std::move(result.resource));
    problems_dirty_ = true;  // Dates are looked at when the problems are collected.
  }
  publish({UnitKind::kSecret, id}, std::move(resources), std::move(problems));
}

void Translator::Graph::redo_listeners() {
  std::vector<model::Problem> problems;
  std::string cluster;
  listener_services_.clear();
  if (default_backend_) {
    listener_services_.insert(default_backend_ns_ + "/" + default_backend_->service);
    auto resolved = resolve(default_backend_ns_, *default_backend_, nullptr);
    if (resolved) {
      cluster = std::move(resolved->cluster);
    } else {
      problems.push_back(
          {.object = {Kind::kService, default_backend_ns_, default_backend_->service},
           .reason = resolved.error().reason,
           .message = "default backend: " + resolved.error().message});
    }
  }
  std::vector<v1::Resource> resources = translate_listeners(options_, global_, cluster);
  add_passthrough(resources, problems);
  add_streams(resources, problems);
  publish({UnitKind::kListeners, ""}, std::move(resources), std::move(problems));
}

}  // namespace ringway::translate
