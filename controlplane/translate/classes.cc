#include "controlplane/translate/classes.h"

#include <algorithm>

namespace ringway::translate {

void Classes::add(const kubernetes::IngressClass& object, const Options& options) {
  const std::string& name = object.metadata().name();
  const bool by_controller =
      std::ranges::find(options.controller_names, object.spec().controller()) !=
      options.controller_names.end();
  const bool by_name = options.class_by_name && name == options.class_name;
  if (!by_controller && !by_name) {
    others.insert(name);
    return;
  }
  ours.insert(name);
  const auto& annotations = object.metadata().annotations();
  const auto at = annotations.find("ingressclass.kubernetes.io/is-default-class");
  if (at != annotations.end() && at->second == "true") default_is_ours = true;
}

bool is_ours(const kubernetes::Ingress& ingress, const Classes& classes, const Options& options,
             Report& report) {
  const auto& annotations = ingress.metadata().annotations();
  // networking.k8s.io/v1: the annotation "must be given precedence over this field" when it is set.
  if (const auto at = annotations.find("kubernetes.io/ingress.class"); at != annotations.end()) {
    return at->second == options.class_name || classes.ours.contains(at->second);
  }
  if (ingress.spec().has_ingress_class_name()) {
    const std::string& name = ingress.spec().ingress_class_name();
    if (classes.ours.contains(name)) return true;
    if (!classes.others.contains(name)) {
      std::string controllers;
      for (const std::string& controller : options.controller_names) {
        controllers += (controllers.empty() ? "" : " or ") + model::quote(controller);
      }
      report.error("spec.ingressClassName", model::Reason::kClassNotFound,
                   "there is no IngressClass " + model::quote(name) +
                       "; the Ingress is served when one with controller " + controllers +
                       " exists");
    }
    return false;
  }
  if (classes.default_is_ours) return true;
  switch (options.classless) {
    case Classless::kIgnored:
      return false;
    case Classless::kServedWithoutClasses:
      return classes.empty();
    case Classless::kServed:
      return true;
  }
  return false;
}

}  // namespace ringway::translate
