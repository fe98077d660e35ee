#include "controlplane/model/object.h"

#include <array>

namespace ringway::model {

std::string_view kind_name(Kind kind) {
  constexpr std::array<std::string_view, kKindCount> kNames = {
      "Ingress", "IngressClass", "Service", "EndpointSlice", "Secret", "ConfigMap"};
  return kNames[static_cast<size_t>(kind)];
}

std::string to_string(const ObjectKey& key) {
  std::string text(kind_name(key.kind));
  text += ' ';
  if (!key.ns.empty()) text += key.ns + "/";
  return text + key.name;
}

}  // namespace ringway::model
