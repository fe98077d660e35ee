#include "controlplane/translate/routes.h"

#include <re2/re2.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "controlplane/translate/values.h"

namespace ringway::translate {
namespace {

using model::quote;
using model::Reason;

// Memory of a compiled pattern and its automata in every proxy that holds it.
constexpr int64_t kRegexBytesMax = 1 << 20;

// The number of captures, or why the pattern is refused. Compiled as the proxy does
// (PathMatch.regex).
std::expected<int, std::string> check_regex(const std::string& pattern) {
  RE2::Options options;
  options.set_log_errors(false);
  options.set_case_sensitive(false);
  options.set_max_mem(kRegexBytesMax);
  // By itself first: "a)(?:b" would be right inside the group, and mean something else.
  const RE2 alone(pattern, options);
  if (!alone.ok()) return std::unexpected(alone.error());
  const RE2 regex("^(?:" + pattern + ")", options);
  if (!regex.ok()) return std::unexpected(regex.error());
  return regex.NumberOfCapturingGroups();
}

class HostTranslation {
 public:
  HostTranslation(const std::string& host, bool tls, const ResolveBackend& resolve,
                  const IngressFacts* focus, std::vector<model::Problem>& problems)
      : host_(host), tls_(tls), resolve_(resolve), focus_(focus), problems_(problems) {}

  v1::RouteTable run(const ByAge& ingresses) {
    table_.set_set(kRouteSet);
    table_.set_host(host_);
    // use-regex of one Ingress applies to all paths of its hosts, over all Ingresses.
    table_.set_regex(std::ranges::any_of(ingresses, &IngressFacts::regex));
    if (focus_ != nullptr) note_wanted();
    for (const IngressFacts* ingress : ingresses) {
      for (const PathFact& path : ingress->paths) {
        if (path.host == host_) add(*ingress, path);
      }
    }
    for (const IngressFacts* ingress : ingresses) add_default(*ingress);
    if (table_.regex()) rank_by_length();
    return std::move(table_);
  }

 private:
  Report report(const IngressFacts& ingress) {
    return Report(ingress.key, ingress.location, problems_);
  }

  // What meets the paths of focus_, and nothing else.
  void note_wanted() {
    for (const PathFact& path : focus_->paths) {
      if (path.host == host_) wanted_.insert(match_key(path));
    }
    if (focus_->default_backend) wanted_.insert(match_key(root()));
  }
  bool wants(const std::string& key) const { return focus_ == nullptr || wanted_.contains(key); }

  PathFact root() const { return {.host = host_, .kind = PathKind::kPrefix, .path = "/"}; }

  // Equal keys match the same requests: "/a" and "/a/" of type Prefix do.
  std::string match_key(const PathFact& path) const {
    if (table_.regex()) return "r" + path.path;
    std::string_view text = path.path;
    switch (path.kind) {
      case PathKind::kExact:
        return "e" + path.path;
      case PathKind::kStringPrefix:
        return "s" + path.path;
      case PathKind::kPrefix:
        while (text.size() > 1 && text.ends_with('/')) text.remove_suffix(1);
        return "p" + std::string(text);
    }
    return path.path;
  }

  void set_path(v1::PathMatch& match, const PathFact& path) const {
    if (table_.regex()) return match.set_regex(path.path);
    switch (path.kind) {
      case PathKind::kExact:
        return match.set_exact(path.path);
      case PathKind::kPrefix:
        return match.set_prefix(path.path);
      case PathKind::kStringPrefix:
        return match.set_string_prefix(path.path);
    }
  }

  void add(const IngressFacts& ingress, const PathFact& path) {
    std::string key = match_key(path);
    if (!wants(key)) return;
    const auto [taken, fresh] = taken_.emplace(std::move(key), &ingress);
    if (!fresh) {
      const std::string where = host_ == "*" ? "any host" : "host " + host_;
      return report(ingress).error(
          path.field, Reason::kConflict,
          "the path " + quote(path.path) + " of " + where +
              (taken->second == &ingress ? " is already in this Ingress"
                                         : " belongs to the older Ingress " + taken->second->id()));
    }
    int captures = 0;
    if (table_.regex()) {
      const auto checked = check_regex(path.path);
      if (!checked) {
        taken_.erase(taken);
        return report(ingress).error(path.field + ".path", Reason::kInvalidValue,
                                     "is not a regular expression of RE2: " + checked.error());
      }
      captures = *checked;
    }
    v1::Route& route = *table_.add_routes();
    route.set_name(ingress.id() + "#" + std::to_string(path.index));
    set_path(*route.mutable_path(), path);
    fill(route, ingress, path.backend);
    set_rewrite(route, ingress, path, captures);
  }

  void set_rewrite(v1::Route& route, const IngressFacts& ingress, const PathFact& path,
                   int captures) {
    const std::string& target = ingress.settings.rewrite_target;
    if (target.empty() || route.has_redirect()) return;
    if (highest_capture(target) > captures) {
      report(ingress).warning(path.field + ".path", Reason::kInvalidAnnotation,
                              "has " + std::to_string(captures) + " captures, rewrite-target " +
                                  quote(target) + " refers to more: those are empty");
    }
    route.mutable_rewrite()->set_template_(without_captures_above(target, captures));
  }

  // ingress-nginx: the default backend of an Ingress with rules serves "/" of its hosts.
  void add_default(const IngressFacts& ingress) {
    if (!ingress.default_backend) return;
    std::string key = match_key(root());
    if (!wants(key)) return;
    const auto [taken, fresh] = taken_.emplace(std::move(key), &ingress);
    if (!fresh) {
      const bool lost = ingress.paths.empty() && taken->second != &ingress;
      if (lost) {
        report(ingress).error("spec.defaultBackend", Reason::kConflict,
                              "the older Ingress " + taken->second->id() + " serves \"/\"");
      }
      return;
    }
    v1::Route& route = *table_.add_routes();
    route.set_name(ingress.id() + "#default");
    set_path(*route.mutable_path(), root());
    fill(route, ingress, *ingress.default_backend);
  }

  void fill(v1::Route& route, const IngressFacts& ingress, const BackendRef& backend) {
    const Settings& settings = ingress.settings;
    v1::RouteMetadata& metadata = *route.mutable_metadata();
    metadata.set_namespace_(ingress.key.ns);
    metadata.set_ingress(ingress.key.name);
    if (backend.usable()) {
      metadata.set_service(backend.service);
      metadata.set_service_port(backend.port_text());
    }
    if (ingress.redirects()) {
      const bool temporal = !settings.temporal_redirect.empty();
      v1::Redirect& redirect = *route.mutable_redirect();
      redirect.set_status(temporal ? settings.temporal_redirect_code
                                   : settings.permanent_redirect_code);
      redirect.set_location(temporal ? settings.temporal_redirect : settings.permanent_redirect);
    } else {
      BackendClusters clusters = clusters_of(ingress, backend);
      v1::WeightedCluster& to = *route.mutable_backend()->add_clusters();
      to.set_cluster(std::move(clusters.cluster));
      to.set_https_cluster(std::move(clusters.https_cluster));
    }
    if (settings.force_ssl_redirect || (tls_ && settings.ssl_redirect)) {
      v1::HttpsRedirect& redirect = *route.mutable_https_redirect();
      redirect.set_status(settings.https_redirect_code);
      for (const std::string& prefix : settings.no_tls_redirect) {
        redirect.add_exempt_prefixes(prefix);
      }
    }
    if (settings.timeouts.ByteSizeLong() > 0) *route.mutable_timeouts() = settings.timeouts;
    if (settings.retry.ByteSizeLong() > 0) *route.mutable_retry() = settings.retry;
    route.set_request_body_bytes_max(settings.request_body_bytes_max);
    route.set_grpc_web(settings.grpc_web);
  }

  BackendClusters clusters_of(const IngressFacts& ingress, const BackendRef& backend) {
    if (!backend.usable() || ingress.settings.protocol_refused) return {};  // Reported already.
    auto clusters = resolve_(ingress, backend);
    if (clusters) return *std::move(clusters);
    report(ingress).error(backend.field, clusters.error().reason, clusters.error().message);
    return {};
  }

  // ingress-nginx tries regex locations by descending length of the pattern; equal lengths oldest
  // first.
  void rank_by_length() {
    std::vector<v1::Route*> routes;
    for (v1::Route& route : *table_.mutable_routes()) routes.push_back(&route);
    std::ranges::stable_sort(routes, std::ranges::greater(),
                             [](const v1::Route* route) { return route->path().regex().size(); });
    for (size_t i = 0; i < routes.size(); ++i) {
      routes[i]->set_priority(static_cast<uint32_t>(routes.size() - i));
    }
  }

  const std::string& host_;
  const bool tls_;
  const ResolveBackend& resolve_;
  const IngressFacts* const focus_;
  std::set<std::string> wanted_;  // By match_key(); of focus_.
  std::vector<model::Problem>& problems_;
  v1::RouteTable table_;
  std::map<std::string, const IngressFacts*> taken_;  // By match_key().
};

}  // namespace

v1::RouteTable translate_host(const std::string& host, const ByAge& ingresses, bool tls,
                              const ResolveBackend& resolve, std::vector<model::Problem>& problems,
                              const IngressFacts* focus) {
  return HostTranslation(host, tls, resolve, focus, problems).run(ingresses);
}

}  // namespace ringway::translate
