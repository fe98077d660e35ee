// IngressClass and which Ingress is ours.
#pragma once

#include <set>
#include <string>

#include "controlplane/model/object.h"
#include "controlplane/translate/options.h"
#include "controlplane/translate/report.h"

namespace ringway::translate {

// Every IngressClass, as far as selection needs it.
struct Classes {
  std::set<std::string, std::less<>> ours;  // of Options.controller_names, or by name.
  std::set<std::string, std::less<>> others;
  bool default_is_ours =
      false;  // One of ours has ingressclass.kubernetes.io/is-default-class "true".
  bool operator==(const Classes&) const = default;

  void add(const kubernetes::IngressClass& object, const Options& options);
  bool empty() const { return ours.empty() && others.empty(); }
};

// By precedence: annotation kubernetes.io/ingress.class, spec.ingressClassName, default class,
// Options.classless. A class that does not exist is reported.
bool is_ours(const kubernetes::Ingress& ingress, const Classes& classes, const Options& options,
             Report& report);

}  // namespace ringway::translate
