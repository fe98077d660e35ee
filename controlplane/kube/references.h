// Which objects are read by name because something served names them. One thread.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/kube/resource.h"
#include "controlplane/translate/classes.h"
#include "controlplane/translate/options.h"

namespace ringway::kube {

// Kind (Secret or ConfigMap), namespace, name.
struct ObjectName {
  model::Kind kind = model::Kind::kSecret;
  std::string ns, name;
  auto operator<=>(const ObjectName&) const = default;
};

// What one Ingress names: the Secrets of spec.tls, and of annotations that ingress-nginx reads as a
// name or "namespace/name". Only in its own namespace: whoever writes an Ingress must not make the
// controller read what they may not.
std::vector<ObjectName> references_of(const kubernetes::Ingress& ingress,
                                      const std::string& annotation_prefix);

// The union over all Ingresses that are ours, kept as Ingresses and IngressClasses come and go.
class References {
 public:
  // `fixed` is wanted in any case (the default certificate, the controller's ConfigMap).
  References(const translate::Options& options, std::vector<ObjectName> fixed);

  void upsert(const model::ObjectPtr& object);  // Ingress or IngressClass; others are no error.
  void remove(const model::ObjectKey& key);

  // Calls `added` and `removed` with what changed in the union since the last call.
  void settle(const std::function<void(const ObjectName&)>& added,
              const std::function<void(const ObjectName&)>& removed);

 private:
  void count(const std::vector<ObjectName>& names, int by);
  bool is_ours(const model::Object& ingress) const;
  void replace(const std::string& id, const model::ObjectPtr& ingress);

  const translate::Options options_;
  translate::Classes classes_;
  std::map<std::string, model::ObjectPtr> class_objects_;
  bool classes_changed_ = false;
  struct Known {
    model::ObjectPtr ingress;
    std::vector<ObjectName> names;
  };
  std::map<std::string, Known> ingresses_;  // By "namespace/name".
  std::map<ObjectName, int> counts_;
  std::set<ObjectName> changed_;
  std::set<ObjectName> wanted_;
};

}  // namespace ringway::kube
