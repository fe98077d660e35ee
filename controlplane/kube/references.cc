#include "controlplane/kube/references.h"

#include <algorithm>
#include <array>

#include "controlplane/model/manifest.h"
#include "controlplane/translate/report.h"

namespace ringway::kube {
namespace {

using model::Kind;

// ingress-nginx: docs/user-guide/nginx-configuration/annotations.md
constexpr std::array<std::pair<std::string_view, Kind>, 6> kAnnotations = {{
    {"auth-secret", Kind::kSecret},
    {"auth-tls-secret", Kind::kSecret},
    {"proxy-ssl-secret", Kind::kSecret},
    {"auth-proxy-set-headers", Kind::kConfigMap},
    {"custom-headers", Kind::kConfigMap},
    {"fastcgi-params-configmap", Kind::kConfigMap},
}};

std::string id_of(const model::ObjectKey& key) { return key.ns + "/" + key.name; }

}  // namespace

std::vector<ObjectName> references_of(const kubernetes::Ingress& ingress,
                                      const std::string& annotation_prefix) {
  const std::string& ns = ingress.metadata().namespace_();
  std::vector<ObjectName> names;
  const auto add = [&](Kind kind, std::string_view name) {
    if (model::valid_name(name)) names.push_back({kind, ns, std::string(name)});
  };
  for (const auto& tls : ingress.spec().tls()) add(Kind::kSecret, tls.secret_name());
  const auto& annotations = ingress.metadata().annotations();
  for (const std::string& prefix : {annotation_prefix, std::string("ringway.dev/")}) {
    for (const auto& [name, kind] : kAnnotations) {
      const auto at = annotations.find(prefix + std::string(name));
      if (at == annotations.end()) continue;
      const std::string_view value = at->second;
      const size_t slash = value.find('/');
      if (slash == std::string_view::npos) {
        add(kind, value);
      } else if (value.substr(0, slash) == ns) {
        add(kind, value.substr(slash + 1));
      }
    }
  }
  std::ranges::sort(names);
  const auto rest = std::ranges::unique(names);
  names.erase(rest.begin(), rest.end());
  return names;
}

References::References(const translate::Options& options, std::vector<ObjectName> fixed)
    : options_(options) {
  count(fixed, 1);
}

void References::count(const std::vector<ObjectName>& names, int by) {
  for (const ObjectName& name : names) {
    counts_[name] += by;
    changed_.insert(name);
  }
}

bool References::is_ours(const model::Object& ingress) const {
  std::vector<model::Problem> ignored;  // The translation reports them.
  translate::Report report(ingress.key, ingress.location, ignored);
  return translate::is_ours(std::get<kubernetes::Ingress>(ingress.body), classes_, options_,
                            report);
}

void References::replace(const std::string& id, const model::ObjectPtr& ingress) {
  const auto at = ingresses_.find(id);
  if (at != ingresses_.end()) count(at->second.names, -1);
  if (ingress == nullptr) {
    if (at != ingresses_.end()) ingresses_.erase(at);
    return;
  }
  Known& known = ingresses_[id];
  known.ingress = ingress;
  known.names.clear();
  if (!is_ours(*ingress)) return;
  known.names =
      references_of(std::get<kubernetes::Ingress>(ingress->body), options_.annotation_prefix);
  count(known.names, 1);
}

void References::upsert(const model::ObjectPtr& object) {
  if (object->key.kind == Kind::kIngress) {
    replace(id_of(object->key), object);
  } else if (object->key.kind == Kind::kIngressClass) {
    class_objects_[object->key.name] = object;
    classes_changed_ = true;
  }
}

void References::remove(const model::ObjectKey& key) {
  if (key.kind == Kind::kIngress) {
    replace(id_of(key), nullptr);
  } else if (key.kind == Kind::kIngressClass) {
    classes_changed_ = class_objects_.erase(key.name) > 0 || classes_changed_;
  }
}

void References::settle(const std::function<void(const ObjectName&)>& added,
                        const std::function<void(const ObjectName&)>& removed) {
  if (std::exchange(classes_changed_, false)) {
    translate::Classes classes;
    for (const auto& [name, object] : class_objects_) {
      classes.add(std::get<kubernetes::IngressClass>(object->body), options_);
    }
    if (!(classes == classes_)) {
      classes_ = std::move(classes);
      for (auto& [id, known] : ingresses_) {
        const model::ObjectPtr ingress = known.ingress;
        replace(id, ingress);
      }
    }
  }
  for (const ObjectName& name : std::exchange(changed_, {})) {
    const auto at = counts_.find(name);
    const bool wanted = at != counts_.end() && at->second > 0;
    if (!wanted && at != counts_.end()) counts_.erase(at);
    if (wanted && wanted_.insert(name).second) added(name);
    if (!wanted && wanted_.erase(name) > 0) removed(name);
  }
}

}  // namespace ringway::kube
