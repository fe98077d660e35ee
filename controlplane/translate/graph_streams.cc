// The units that bring bytes rather than requests: ports of the tcp-services and udp-services
// ConfigMaps, and hosts whose TLS passes through.
#include <map>
#include <utility>

#include "controlplane/translate/graph.h"
#include "controlplane/translate/report.h"

namespace ringway::translate {

using model::Kind;
using model::Reason;

void Translator::Graph::read_streams() {
  streams_dirty_ = false;
  listeners_dirty_ = true;
  for (const StreamFact& fact : streams_) dirty_services_.insert(fact.service_id());
  streams_.clear();
  std::vector<model::Problem> problems;
  const auto read = [&](const std::string& id, StreamKind kind, const char* flag) {
    if (id.empty()) return;
    if (const model::Object* object = find(Kind::kConfigMap, id)) {
      for (StreamFact& fact : read_stream_services(*object, kind, options_, problems)) {
        dirty_services_.insert(fact.service_id());
        streams_.push_back(std::move(fact));
      }
      return;
    }
    const size_t slash = id.find('/');
    problems.push_back({.object = {Kind::kConfigMap, id.substr(0, slash), id.substr(slash + 1)},
                        .reason = Reason::kInvalidValue,
                        .severity = model::Severity::kWarning,
                        .message = std::string("does not exist, but ") + flag + " names it"});
  };
  read(options_.tcp_services, StreamKind::kTcp, "--tcp-services-configmap");
  read(options_.udp_services, StreamKind::kUdp, "--udp-services-configmap");
  set_problems({UnitKind::kStreams, ""}, std::move(problems));
}

void Translator::Graph::use_streams(const Id& service, std::vector<ServiceUse>& uses) const {
  for (const StreamFact& fact : streams_) {
    if (fact.service_id() != service) continue;
    uses.push_back({&fact.backend, nullptr,
                    fact.kind == StreamKind::kUdp ? Transport::kUdp : Transport::kTcp});
  }
}

// A port whose Service is not there has no listener, as in ingress-nginx: a client that is refused
// tries elsewhere.
void Translator::Graph::add_streams(std::vector<v1::Resource>& resources,
                                    std::vector<model::Problem>& problems) {
  for (const StreamFact& fact : streams_) {
    listener_services_.insert(fact.service_id());
    const Transport transport = fact.kind == StreamKind::kUdp ? Transport::kUdp : Transport::kTcp;
    const model::Object* object = find(Kind::kService, fact.service_id());
    const auto* service =
        object == nullptr ? nullptr : &std::get<kubernetes::Service>(object->body);
    const auto port = find_port(service, fact.ns, fact.backend, options_, transport,
                                "nothing listens on port " + std::to_string(fact.port));
    if (!port) {
      Report(fact.key, fact.location, problems)
          .error(fact.backend.field, port.error().reason, port.error().message);
      continue;
    }
    resources.push_back(stream_listener(
        fact, cluster_name(fact.ns, fact.backend.service, (*port)->port(), cluster_kind(transport)),
        options_, global_.stream));
  }
}

// What ssl-passthrough cannot do for an Ingress that asks for it.
void Translator::Graph::report_passthrough(const IngressFacts& ingress,
                                           std::vector<model::Problem>& problems) const {
  if (!ingress.settings.ssl_passthrough) return;
  Report report(ingress.key, ingress.location, problems);
  if (!options_.ssl_passthrough) {
    return report.warning(
        "metadata.annotations", Reason::kUnsupportedAnnotation,
        "ssl-passthrough is ignored: the controller runs without --enable-ssl-passthrough");
  }
  for (const PathFact& path : ingress.paths) {
    if (!path.backend.usable() || path.host == "*" || path.path == "/") continue;
    report.warning(path.field, Reason::kUnsupportedAnnotation,
                   "with ssl-passthrough paths cannot be told apart: all of HTTPS goes to the "
                   "backend of the path \"/\"");
  }
}

// As ingress-nginx: the whole host goes to the backend of its path "/". The oldest Ingress that
// says so decides.
void Translator::Graph::add_passthrough(std::vector<v1::Resource>& resources,
                                        std::vector<model::Problem>& problems) {
  std::map<std::string, std::string> cluster_of;
  for (const IngressFacts* ingress : passing_) {
    report_passthrough(*ingress, problems);
    if (!options_.ssl_passthrough) continue;
    for (const PathFact& path : ingress->paths) {
      if (!path.backend.usable() || path.host == "*" || path.path != "/") continue;
      listener_services_.insert(ingress->key.ns + "/" + path.backend.service);
      // A Service that cannot be used is reported with the host's routes.
      if (const auto backend = resolve(ingress->key.ns, path.backend, &ingress->settings)) {
        cluster_of.emplace(path.host, backend->cluster);
      }
    }
  }
  for (v1::Resource& resource : resources) {
    v1::Listener& listener = *resource.mutable_listener();
    if (listener.protocol() != v1::LISTENER_PROTOCOL_HTTPS) continue;
    for (const auto& [host, cluster] : cluster_of) {
      v1::PassthroughHost& passthrough = *listener.add_passthrough();
      passthrough.set_host(host);
      passthrough.set_cluster(cluster);
    }
    if (!cluster_of.empty() && global_.stream.ByteSizeLong() > 0) {
      *listener.mutable_stream() = global_.stream;
    }
  }
}

}  // namespace ringway::translate
