#include "controlplane/translate/graph.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "controlplane/base/hash.h"
#include "controlplane/translate/endpoints.h"
#include "controlplane/translate/listeners.h"

namespace ringway::translate {
namespace {

using model::Kind;
using model::Reason;

std::string id_of(const model::ObjectKey& key) { return key.ns + "/" + key.name; }

model::ObjectKey key_of(Kind kind, const std::string& id) {
  const size_t slash = id.find('/');
  return {kind, id.substr(0, slash), id.substr(slash + 1)};
}

// The Service that a slice belongs to; "" when its label is missing.
std::string service_of(const model::Object& object) {
  const auto& labels = std::get<kubernetes::EndpointSlice>(object.body).metadata().labels();
  const auto at = labels.find(kServiceNameLabel);
  return at == labels.end() || at->second.empty() ? "" : object.key.ns + "/" + at->second;
}

void sort_once(std::vector<model::Problem>& problems) {
  std::ranges::sort(problems);
  const auto rest = std::ranges::unique(problems);
  problems.erase(rest.begin(), rest.end());
}

}  // namespace

Translator::Graph::Graph(Options options, LastGood last_good)
    : given_(std::move(options)),
      options_(given_),
      last_good_(std::move(last_good)),
      all_problems_(std::make_shared<std::vector<model::Problem>>()) {
  if (const auto backend = parse_backend_option(options_.default_backend)) {
    default_backend_ns_ = backend->ns;
    default_backend_.emplace();
    default_backend_->service = backend->service;
    default_backend_->port_name = backend->port_name;
    default_backend_->port_number = backend->port_number;
  }
  if (!options_.default_certificate.empty()) dirty_secrets_.insert(options_.default_certificate);
}

const model::Object* Translator::Graph::find(Kind kind, const Id& id) const {
  const auto& objects = objects_[static_cast<size_t>(kind)];
  const auto at = objects.find(id);
  return at == objects.end() ? nullptr : at->second.get();
}

Translation Translator::Graph::apply(const model::Changes& changes, int64_t now_s) {
  for (const model::ObjectKey& key : changes.removals) take(key, nullptr);
  for (const model::ObjectPtr& object : changes.upserts) take(object->key, object);
  if (classes_dirty_) read_classes();
  if (config_dirty_) read_config();
  if (streams_dirty_) read_streams();
  for (const Id& id : dirty_ingresses_) replace_facts(id);
  dirty_ingresses_.clear();
  translate_dirty();
  collect_problems(now_s);

  Translation out;
  for (auto& [key, resource] : upserts_) out.upserts.push_back(std::move(resource));
  for (const OutputKey& key : removals_) {
    v1::ResourceName& name = out.removals.emplace_back();
    name.set_type(key.type);
    name.set_name(key.name);
  }
  upserts_.clear();
  removals_.clear();
  out.problems = all_problems_;
  const auto& config_maps = objects_[static_cast<size_t>(Kind::kConfigMap)];
  if (const auto at = config_maps.find(options_.config_map); at != config_maps.end()) {
    out.config_map = at->second;
  }
  out.served = std::exchange(served_, {});
  out.unserved = std::exchange(unserved_, {});
  return out;
}

void Translator::Graph::take(const model::ObjectKey& key, model::ObjectPtr object) {
  const Id id = id_of(key);
  auto& objects = objects_[static_cast<size_t>(key.kind)];
  const auto at = objects.find(id);
  if (at == objects.end() && object == nullptr) return;
  const model::ObjectPtr before = at == objects.end() ? nullptr : at->second;
  switch (key.kind) {
    case Kind::kIngress:
      dirty_ingresses_.insert(id);
      break;
    case Kind::kIngressClass:
      classes_dirty_ = true;
      break;
    case Kind::kService:
      dirty_services_.insert(id);
      // Which port a backend means may have changed.
      if (const auto users = by_service_.find(id); users != by_service_.end()) {
        for (const IngressFacts* user : users->second) {
          dirty_hosts_.insert(user->hosts.begin(), user->hosts.end());
        }
      }
      break;
    case Kind::kEndpointSlice:
      take_slice(id, before.get(), object.get());
      break;
    case Kind::kSecret:
      dirty_secrets_.insert(id);
      break;
    case Kind::kConfigMap:
      if (id == options_.tcp_services || id == options_.udp_services) streams_dirty_ = true;
      if (id == options_.config_map) config_dirty_ = true;
      break;
  }
  if (object == nullptr) {
    objects.erase(at);
  } else {
    objects[id] = std::move(object);
  }
}

void Translator::Graph::take_slice(const Id& id, const model::Object* before,
                                   const model::Object* after) {
  if (before != nullptr) {
    const Id service = service_of(*before);
    if (const auto slices = slices_of_.find(service); slices != slices_of_.end()) {
      slices->second.erase(id);
      if (slices->second.empty()) slices_of_.erase(slices);
    }
    dirty_services_.insert(service);
  }
  std::vector<model::Problem> problems;
  if (after != nullptr) {
    const Id service = service_of(*after);
    Report report(after->key, after->location, problems);
    if (service.empty()) {
      report.warning("metadata.labels", Reason::kInvalidEndpoint,
                     "without the label kubernetes.io/service-name it belongs to no Service");
    } else {
      slices_of_[service].insert(id);
      dirty_services_.insert(service);
    }
    if (std::get<kubernetes::EndpointSlice>(after->body).address_type() == "FQDN") {
      report.error("addressType", Reason::kInvalidEndpoint, "FQDN is not supported");
    }
  }
  set_problems({UnitKind::kSlice, id}, std::move(problems));
}

void Translator::Graph::read_classes() {
  classes_dirty_ = false;
  Classes classes;
  for (const auto& [id, object] : objects_[static_cast<size_t>(Kind::kIngressClass)]) {
    classes.add(std::get<kubernetes::IngressClass>(object->body), options_);
  }
  if (classes == classes_) return;
  classes_ = std::move(classes);
  for (const auto& [id, object] : objects_[static_cast<size_t>(Kind::kIngress)]) {
    dirty_ingresses_.insert(id);
  }
}

void Translator::Graph::read_config() {
  config_dirty_ = false;
  const Id& id = given_.config_map;
  if (id.empty()) return;
  std::map<std::string, std::string> data;
  std::vector<model::Problem> problems;
  GlobalSettings global;
  if (const model::Object* object = find(Kind::kConfigMap, id)) {
    const auto& map = std::get<kubernetes::ConfigMap>(object->body).data();
    data.insert(map.begin(), map.end());
    global = read_config_map(*object, problems);
  } else {
    problems.push_back({.object = key_of(Kind::kConfigMap, id),
                        .reason = Reason::kInvalidValue,
                        .severity = model::Severity::kWarning,
                        .message = "does not exist, but --configmap names it: defaults apply"});
  }
  set_problems({UnitKind::kConfig, ""}, std::move(problems));
  if (config_data_ == data) return;
  config_data_ = std::move(data);
  global_ = std::move(global);
  options_.use_proxy_protocol = global_.use_proxy_protocol.value_or(given_.use_proxy_protocol);
  options_.proxy_real_ip_cidrs = global_.proxy_real_ip_cidrs.empty() ? given_.proxy_real_ip_cidrs
                                                                     : global_.proxy_real_ip_cidrs;
  options_.proxy_protocol_timeout_ms = global_.proxy_protocol_timeout_ms;
  // All of it depends on these; what comes out the same is not sent again.
  listeners_dirty_ = true;
  for (const auto& [name, object] : objects_[static_cast<size_t>(Kind::kIngress)]) {
    dirty_ingresses_.insert(name);
  }
  for (const auto& [name, object] : objects_[static_cast<size_t>(Kind::kService)]) {
    dirty_services_.insert(name);
  }
}

void Translator::Graph::replace_facts(const Id& id) {
  bool was_served = false;
  if (const auto before = ingresses_.find(id); before != ingresses_.end()) {
    was_served = before->second.served;
    link(before->second, false);
    ingresses_.erase(before);
  }
  const auto& all = objects_[static_cast<size_t>(Kind::kIngress)];
  const auto at = all.find(id);
  const model::Object* object = at == all.end() ? nullptr : at->second.get();
  if (object == nullptr) {
    if (was_served) unserved_.push_back(key_of(Kind::kIngress, id));
    return set_problems({UnitKind::kIngress, id}, {});
  }
  IngressFacts& facts = ingresses_[id];
  facts = read_ingress(*object, classes_, options_, global_.defaults);
  if (facts.served) {
    served_.push_back(at->second);
  } else if (was_served) {
    unserved_.push_back(facts.key);
  }
  set_problems({UnitKind::kIngress, id}, std::move(facts.problems));
  facts.problems.clear();
  link(facts, true);
}

// Adds an Ingress to the indexes or takes it out, and marks all that depends on it.
void Translator::Graph::link(const IngressFacts& facts, bool add) {
  if (!facts.served) return;
  const auto in_index = [&](Index& index, const std::string& key) {
    if (add) {
      index[key].insert(&facts);
    } else if (const auto at = index.find(key); at != index.end()) {
      at->second.erase(&facts);
      if (at->second.empty()) index.erase(at);
    }
  };
  const auto use_service = [&](const BackendRef& ref) {
    if (!ref.usable()) return;
    const Id service = facts.key.ns + "/" + ref.service;
    in_index(by_service_, service);
    dirty_services_.insert(service);
  };
  if (facts.settings.ssl_passthrough) {
    listeners_dirty_ = true;
    if (add) {
      passing_.insert(&facts);
    } else {
      passing_.erase(&facts);
    }
  }
  for (const std::string& host : facts.hosts) in_index(by_host_, host);
  dirty_hosts_.insert(facts.hosts.begin(), facts.hosts.end());
  for (const PathFact& path : facts.paths) use_service(path.backend);
  if (facts.default_backend) use_service(*facts.default_backend);

  if (!add) mark_users_of_tls_hosts(facts);
  for (const std::string& host : facts.tls_hosts) in_index(by_tls_host_, host);
  dirty_hosts_.insert(facts.tls_hosts.begin(), facts.tls_hosts.end());
  for (const TlsFact& tls : facts.tls) {
    if (!tls.secret.empty()) in_index(by_secret_, facts.key.ns + "/" + tls.secret);
  }
  if (add) mark_users_of_tls_hosts(facts);
}

// Which certificate a host has depends on all Ingresses that give it one.
void Translator::Graph::mark_users_of_tls_hosts(const IngressFacts& facts) {
  const auto mark = [&](const IngressFacts& user) {
    for (const TlsFact& tls : user.tls) {
      if (!tls.secret.empty()) dirty_secrets_.insert(user.key.ns + "/" + tls.secret);
    }
  };
  mark(facts);
  for (const std::string& host : facts.tls_hosts) {
    const auto users = by_tls_host_.find(host);
    if (users == by_tls_host_.end()) continue;
    for (const IngressFacts* user : users->second) mark(*user);
  }
}

void Translator::Graph::publish(UnitKey unit, std::vector<v1::Resource> resources,
                                std::vector<model::Problem> problems) {
  std::vector<Output> before;
  if (const auto at = units_.find(unit); at != units_.end()) before = std::move(at->second);
  std::vector<Output> after;
  for (v1::Resource& resource : resources) {
    const v1::ResourceType type = type_of(resource);
    // Deterministic: the messages have no map fields.
    const uint64_t version = content_hash(resource.SerializeAsString());
    after.push_back({type, resource.name(), version});
    const auto same = std::ranges::find_if(before, [&](const Output& output) {
      return output.type == type && output.name == resource.name();
    });
    const bool unchanged = same != before.end() && same->version == version;
    if (same != before.end()) before.erase(same);
    if (unchanged) continue;
    resource.set_version(version);
    upserts_[{type, resource.name()}] = std::move(resource);
  }
  for (Output& output : before) removals_.insert({output.type, std::move(output.name)});
  set_problems(unit, std::move(problems));
  if (after.empty()) {
    units_.erase(unit);
  } else {
    units_[std::move(unit)] = std::move(after);
  }
}

void Translator::Graph::set_problems(const UnitKey& unit, std::vector<model::Problem> problems) {
  const auto at = problems_.find(unit);
  if (problems.empty() && at == problems_.end()) return;
  sort_once(problems);
  if (at != problems_.end() && at->second == problems) return;
  problems_dirty_ = true;
  if (problems.empty()) {
    problems_.erase(at);
  } else {
    problems_[unit] = std::move(problems);
  }
}

// The one place where time counts: which certificates are out of date.
void Translator::Graph::collect_problems(int64_t now_s) {
  std::vector<Id> out_of_date;
  for (const auto& [id, leaf] : leaves_) {
    if (now_s > leaf.not_after_s || now_s < leaf.not_before_s) out_of_date.push_back(id);
  }
  if (!problems_dirty_ && out_of_date == out_of_date_) return;
  problems_dirty_ = false;
  out_of_date_ = std::move(out_of_date);
  std::vector<model::Problem> all;
  for (const auto& [unit, problems] : problems_) {
    all.insert(all.end(), problems.begin(), problems.end());
  }
  for (const Id& id : out_of_date_) {
    const model::Object* secret = find(Kind::kSecret, id);
    all.push_back({.object = key_of(Kind::kSecret, id),
                   .location = secret == nullptr ? model::Location{} : secret->location,
                   .field = "data[tls.crt]",
                   .reason = Reason::kCertificateExpired,
                   .severity = model::Severity::kWarning,
                   .message = now_s > leaves_.at(id).not_after_s
                                  ? "the certificate has expired"
                                  : "the certificate is not valid yet"});
  }
  sort_once(all);
  all_problems_ = std::make_shared<const std::vector<model::Problem>>(std::move(all));
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

Translator::Translator(Options options, LastGood last_good)
    : graph_(std::make_unique<Graph>(std::move(options), std::move(last_good))) {}
Translator::~Translator() = default;

Translation Translator::apply(const model::Changes& changes, int64_t now_s) {
  return graph_->apply(changes, now_s);
}
Preview Translator::preview(const model::Object& ingress) const { return graph_->preview(ingress); }
const LastGood& Translator::last_good() const { return graph_->last_good(); }

}  // namespace ringway::translate
