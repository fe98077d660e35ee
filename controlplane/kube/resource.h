// The kinds that are read, as an API server names them, and their objects. Pure; any thread.
#pragma once

#include <google/protobuf/message.h>

#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "controlplane/model/object.h"
#include "controlplane/model/problem.h"

namespace ringway::kube {

struct Resource {
  std::string_view kind;    // "Ingress"
  std::string_view prefix;  // "/apis/networking.k8s.io/v1"
  std::string_view plural;  // "ingresses"
  bool namespaced = true;
  std::optional<model::Kind> model;  // Nothing for Namespace, which the model does not have.
};

const Resource& resource_of(model::Kind kind);
const Resource& namespace_resource();

// "/apis/networking.k8s.io/v1/namespaces/shop/ingresses"; `ns` "" = of all namespaces.
std::string collection_path(const Resource& resource, std::string_view ns);
std::string object_path(const Resource& resource, std::string_view ns, std::string_view name);

// An object as a watch or list gave it. Shared and never changed.
struct Item {
  std::string ns, name;
  std::string resource_version;  // Opaque; compared with nothing.
  // Without resourceVersion, and without what nobody reads: two versions that differ in nothing
  // that is read are equal.
  std::shared_ptr<const google::protobuf::Message> message;
  model::ObjectPtr object;  // Holds `message`; nullptr for kinds that the model does not have.

  std::string id() const { return ns + "/" + name; }
};

// An object that is not as its kind must be. It costs itself only.
struct BadItem {
  std::string ns, name, resource_version;  // As far as they could be read.
  model::Problem problem;
  std::string id() const { return ns + "/" + name; }
};

std::expected<Item, BadItem> read_item(const Resource& resource, std::string_view json);

bool same_content(const google::protobuf::Message& a, const google::protobuf::Message& b);

}  // namespace ringway::kube
