// What one Ingress says, checked and flattened: everything that the rest of the translation needs
// of it. Depends on the Ingress, the classes and the options only.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controlplane/model/object.h"
#include "controlplane/translate/annotations.h"
#include "controlplane/translate/classes.h"
#include "controlplane/translate/options.h"

namespace ringway::translate {

// spec….backend. Neither name nor number of the port: it was refused, and reported.
struct BackendRef {
  std::string service;  // "" = refused
  std::string port_name;
  uint32_t port_number = 0;
  std::string field;  // Where it is written: "spec.rules[0].http.paths[1].backend".

  bool usable() const { return !service.empty(); }
  std::string port_text() const {
    return port_name.empty() ? std::to_string(port_number) : port_name;
  }
};

enum class PathKind : uint8_t { kExact, kPrefix, kStringPrefix };

struct PathFact {
  std::string host;  // "*" = any
  PathKind kind = PathKind::kPrefix;
  std::string path;
  BackendRef backend;
  std::string field;   // "spec.rules[0].http.paths[1]"
  uint32_t index = 0;  // Over all rules of the Ingress; part of the route's name.
};

struct TlsFact {
  std::string secret;  // "" = the default certificate
  std::vector<std::string>
      hosts;          // spec.tls[].hosts, or the hosts of the rules when there are none.
  std::string field;  // "spec.tls[0]"
};

struct IngressFacts {
  model::ObjectKey key;
  model::Location location;
  std::string created;  // metadata.creationTimestamp; "" sorts first: files have no age.
  bool served = false;  // Of our class. Otherwise nothing below is set.
  Settings settings;
  std::vector<PathFact> paths;
  std::optional<BackendRef> default_backend;
  std::vector<TlsFact> tls;
  std::set<std::string> hosts;      // Of rules, and "*" for a default backend without rules.
  std::set<std::string> tls_hosts;  // Hosts that have TLS by this Ingress.
  std::vector<model::Problem> problems;

  std::string id() const { return key.ns + "/" + key.name; }
  bool redirects() const {
    return !settings.permanent_redirect.empty() || !settings.temporal_redirect.empty();
  }
  bool regex() const { return settings.use_regex || !settings.rewrite_target.empty(); }
};

// Oldest first: creationTimestamp, then namespace and name. Decides every conflict.
struct Older {
  bool operator()(const IngressFacts* a, const IngressFacts* b) const;
};

IngressFacts read_ingress(const model::Object& object, const Classes& classes,
                          const Options& options, const Settings& defaults);

}  // namespace ringway::translate
