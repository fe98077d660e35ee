// Typed Kubernetes objects with the place they were read from. Values: made once, then shared and
// never changed; any thread.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "kubernetes/config.pb.h"
#include "kubernetes/ingress.pb.h"
#include "kubernetes/service.pb.h"

namespace ringway::model {

// The order is that of Object::Body's alternatives.
enum class Kind : uint8_t {
  kIngress,
  kIngressClass,
  kService,
  kEndpointSlice,
  kSecret,
  kConfigMap
};
inline constexpr size_t kKindCount = 6;

std::string_view kind_name(Kind kind);  // "Ingress", as Kubernetes spells it.

// `ns` is empty for cluster-scoped kinds (IngressClass) only.
struct ObjectKey {
  Kind kind = Kind::kIngress;
  std::string ns;
  std::string name;
  auto operator<=>(const ObjectKey&) const = default;
};

std::string to_string(const ObjectKey& key);  // "Ingress shop/front"

// Where an object was written. `file` is empty for objects of an API server.
struct Location {
  std::string file;
  uint32_t line = 0;      // 1-based line of the document's first key (or of the item of a List).
  uint32_t document = 0;  // 1-based document of the file.
  auto operator<=>(const Location&) const = default;
};

struct Object {
  using Body = std::variant<kubernetes::Ingress, kubernetes::IngressClass, kubernetes::Service,
                            kubernetes::EndpointSlice, kubernetes::Secret, kubernetes::ConfigMap>;
  ObjectKey key;
  Location location;
  Body body;
};
using ObjectPtr = std::shared_ptr<const Object>;

// A difference of the set of objects; a key is in at most one of the two lists, at most once.
struct Changes {
  std::vector<ObjectPtr> upserts;
  std::vector<ObjectKey> removals;
};

}  // namespace ringway::model
