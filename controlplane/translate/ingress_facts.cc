#include "controlplane/translate/ingress_facts.h"

#include <tuple>

#include "controlplane/model/manifest.h"
#include "controlplane/translate/values.h"

namespace ringway::translate {
namespace {

using model::quote;
using model::Reason;

std::string index_field(std::string_view list, int index) {
  return std::string(list) + "[" + std::to_string(index) + "]";
}

BackendRef read_backend(const kubernetes::IngressBackend& backend, std::string field,
                        Report& report) {
  BackendRef ref;
  ref.field = std::move(field);
  if (backend.has_resource()) {
    report.error(ref.field + ".resource", Reason::kUnsupportedBackend,
                 "resource backends are not supported; the path answers 503");
    return ref;
  }
  const kubernetes::IngressServiceBackend& service = backend.service();
  if (!model::valid_name(service.name())) {
    report.error(
        ref.field + ".service.name", Reason::kInvalidValue,
        "must be the name of a Service of the same namespace, is " + quote(service.name()));
    return ref;
  }
  const kubernetes::ServiceBackendPort& port = service.port();
  const bool named = !port.name().empty();
  if (named == (port.number() != 0) || (named && !model::valid_name(port.name())) ||
      port.number() < 0 || port.number() > 65535) {
    report.error(ref.field + ".service.port", Reason::kInvalidValue,
                 "must have a name, or a number from 1 to 65535");
    return ref;
  }
  ref.service = service.name();
  ref.port_name = port.name();
  ref.port_number = static_cast<uint32_t>(port.number());
  return ref;
}

class Reader {
 public:
  Reader(const kubernetes::Ingress& ingress, IngressFacts& facts)
      : spec_(ingress.spec()), facts_(facts), report_(facts.key, facts.location, facts.problems) {}

  Report& report() { return report_; }

  void read() {
    if (spec_.has_default_backend()) {
      facts_.default_backend =
          read_backend(spec_.default_backend(), "spec.defaultBackend", report_);
    }
    for (int i = 0; i < spec_.rules_size(); ++i) read_rule(i);
    if (spec_.rules_size() == 0) {
      if (facts_.default_backend) {
        facts_.hosts.insert("*");
      } else {
        report_.error("spec", Reason::kInvalidValue, "must have rules or a defaultBackend");
      }
    }
    for (int i = 0; i < spec_.tls_size(); ++i) read_tls(i);
  }

 private:
  void read_rule(int index) {
    const kubernetes::IngressRule& rule = spec_.rules(index);
    const std::string field = index_field("spec.rules", index);
    if (!rule.host().empty() && !valid_host(rule.host())) {
      return report_.error(
          field + ".host", Reason::kInvalidValue,
          "must be a lower-case DNS name, with \"*.\" before it or not, is " + quote(rule.host()));
    }
    const std::string host = rule.host().empty() ? "*" : rule.host();
    facts_.hosts.insert(host);
    if (rule.http().paths_size() == 0 && !facts_.default_backend) {
      report_.warning(field, Reason::kInvalidValue,
                      "has no paths, and there is no defaultBackend: nothing is served");
    }
    for (int i = 0; i < rule.http().paths_size(); ++i) {
      read_path(host, rule.http().paths(i), index_field(field + ".http.paths", i));
    }
  }

  void read_path(const std::string& host, const kubernetes::HttpIngressPath& path,
                 std::string field) {
    PathFact fact;
    fact.host = host;
    fact.index = next_index_++;
    fact.path = path.path();
    if (path.path_type() == "Exact") {
      fact.kind = PathKind::kExact;
    } else if (path.path_type() == "Prefix") {
      fact.kind = PathKind::kPrefix;
    } else if (path.path_type() == "ImplementationSpecific") {
      fact.kind = PathKind::kStringPrefix;
      if (fact.path.empty()) fact.path = "/";
    } else {
      return report_.error(
          field + ".pathType", Reason::kInvalidValue,
          "must be Exact, Prefix or ImplementationSpecific, is " + quote(path.path_type()));
    }
    // Before the checks, which "/%2e%2e/" must not pass.
    if (!facts_.regex()) fact.path = canonical_escapes(fact.path);
    // A regex may hold what a path must not ("/a(//)?"): only the first byte and the characters
    // count.
    const bool regex = facts_.regex() || fact.kind == PathKind::kStringPrefix;
    if (const auto good = regex ? check_pattern(fact.path) : check_path(fact.path); !good) {
      return report_.error(field + ".path", Reason::kInvalidValue, good.error());
    }
    fact.backend = read_backend(path.backend(), field + ".backend", report_);
    fact.field = std::move(field);
    facts_.paths.push_back(std::move(fact));
  }

  static Value<void> check_pattern(std::string_view path) {
    if (path.empty() || (path.front() != '/' && path.front() != '(')) {
      return std::unexpected("must begin with \"/\", is " + quote(path));
    }
    for (const char c : path) {
      if (c < 0x20 || c == 0x7F)
        return std::unexpected("must be printable ASCII, is " + quote(path));
    }
    if (path.size() > 2048) return std::unexpected("must have at most 2048 bytes");
    return {};
  }

  void read_tls(int index) {
    const kubernetes::IngressTls& tls = spec_.tls(index);
    TlsFact fact;
    fact.field = index_field("spec.tls", index);
    for (int i = 0; i < tls.hosts_size(); ++i) {
      if (!valid_host(tls.hosts(i))) {
        report_.error(index_field(fact.field + ".hosts", i), Reason::kInvalidValue,
                      "must be a lower-case DNS name, is " + quote(tls.hosts(i)));
        continue;
      }
      fact.hosts.push_back(tls.hosts(i));
    }
    if (tls.hosts_size() == 0) {
      for (const std::string& host : facts_.hosts) {
        if (host != "*") fact.hosts.push_back(host);
      }
    }
    fact.secret = tls.secret_name();
    if (!fact.secret.empty() && !model::valid_name(fact.secret)) {
      report_.error(fact.field + ".secretName", Reason::kInvalidValue,
                    "must be the name of a Secret of the same namespace, is " + quote(fact.secret));
      fact.secret.clear();
    }
    cover(fact.hosts);
    facts_.tls.push_back(std::move(fact));
  }

  // A wildcard covers the rules' hosts of this Ingress one label below it.
  void cover(const std::vector<std::string>& tls_hosts) {
    for (const std::string& tls_host : tls_hosts) {
      facts_.tls_hosts.insert(tls_host);
      if (!tls_host.starts_with("*.")) continue;
      for (const std::string& host : facts_.hosts) {
        const size_t dot = host.find('.');
        if (dot != std::string::npos && host.substr(dot) == tls_host.substr(1)) {
          facts_.tls_hosts.insert(host);
        }
      }
    }
  }

  const kubernetes::IngressSpec& spec_;
  IngressFacts& facts_;
  Report report_;
  uint32_t next_index_ = 0;
};

}  // namespace

bool Older::operator()(const IngressFacts* a, const IngressFacts* b) const {
  return std::tie(a->created, a->key.ns, a->key.name) <
         std::tie(b->created, b->key.ns, b->key.name);
}

IngressFacts read_ingress(const model::Object& object, const Classes& classes,
                          const Options& options, const Settings& defaults) {
  const auto& ingress = std::get<kubernetes::Ingress>(object.body);
  IngressFacts facts;
  facts.key = object.key;
  facts.location = object.location;
  facts.created = ingress.metadata().creation_timestamp();
  Reader reader(ingress, facts);
  facts.served = is_ours(ingress, classes, options, reader.report());
  if (!facts.served) return facts;
  facts.settings = read_ingress_annotations(ingress.metadata().annotations(),
                                            options.annotation_prefix, defaults, reader.report());
  reader.read();
  return facts;
}

}  // namespace ringway::translate
