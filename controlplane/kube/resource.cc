#include "controlplane/kube/resource.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <array>

#include "base/check.h"
#include "controlplane/kube/wire.h"
#include "controlplane/model/json_object.h"
#include "controlplane/model/manifest.h"
#include "kubernetes/config.pb.h"

namespace ringway::kube {
namespace {

using google::protobuf::Message;
using model::Kind;

constexpr std::array<Resource, model::kKindCount> kResources = {{
    {"Ingress", "/apis/networking.k8s.io/v1", "ingresses", true, Kind::kIngress},
    {"IngressClass", "/apis/networking.k8s.io/v1", "ingressclasses", false, Kind::kIngressClass},
    {"Service", "/api/v1", "services", true, Kind::kService},
    {"EndpointSlice", "/apis/discovery.k8s.io/v1", "endpointslices", true, Kind::kEndpointSlice},
    {"Secret", "/api/v1", "secrets", true, Kind::kSecret},
    {"ConfigMap", "/api/v1", "configmaps", true, Kind::kConfigMap},
}};
constexpr Resource kNamespace = {"Namespace", "/api/v1", "namespaces", false, std::nullopt};

// The API server's own limit for an object is etcd's, 1.5 MiB in its compact form.
constexpr model::TreeLimits kLimits{.bytes_max = 16u << 20, .nodes_max = 1u << 20};

model::Object::Body empty_body(Kind kind) {
  switch (kind) {
    case Kind::kIngress:
      return kubernetes::Ingress();
    case Kind::kIngressClass:
      return kubernetes::IngressClass();
    case Kind::kService:
      return kubernetes::Service();
    case Kind::kEndpointSlice:
      return kubernetes::EndpointSlice();
    case Kind::kSecret:
      return kubernetes::Secret();
    case Kind::kConfigMap:
      return kubernetes::ConfigMap();
  }
  return kubernetes::ConfigMap();
}

// Metadata that nobody reads and that is large, or changes when nothing else does: slices carry the
// labels of their Service and a time stamp of the last pod that changed.
void trim(model::Object::Body& body) {
  if (auto* slice = std::get_if<kubernetes::EndpointSlice>(&body)) {
    kubernetes::ObjectMeta& metadata = *slice->mutable_metadata();
    metadata.clear_annotations();
    auto& labels = *metadata.mutable_labels();
    for (auto at = labels.begin(); at != labels.end();) {
      at = at->first == "kubernetes.io/service-name" ? std::next(at) : labels.erase(at);
    }
  } else if (auto* service = std::get_if<kubernetes::Service>(&body)) {
    service->mutable_metadata()->clear_labels();
  } else if (auto* secret = std::get_if<kubernetes::Secret>(&body)) {
    secret->mutable_metadata()->clear_annotations();
    secret->mutable_metadata()->clear_labels();
  }
}

Message& message_of(model::Object::Body& body) {
  return std::visit([](Message& message) -> Message& { return message; }, body);
}

// Every message here begins with ObjectMeta; a Namespace is read as nothing but that.
kubernetes::ObjectMeta& metadata_of(model::Object::Body& body) {
  return std::visit(
      [](auto& message) -> kubernetes::ObjectMeta& { return *message.mutable_metadata(); }, body);
}

std::string deterministic(const Message& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream out(&stream);
    out.SetSerializationDeterministic(true);
    message.SerializeWithCachedSizes(&out);
  }
  return bytes;
}

BadItem bad_item(const Resource& resource, std::string_view json, std::string field,
                 std::string message) {
  const ObjectHead head = read_head(json);
  BadItem bad{.ns = head.ns, .name = head.name, .resource_version = head.resource_version};
  bad.problem.object = {resource.model.value_or(Kind::kConfigMap), head.ns, head.name};
  bad.problem.field = std::move(field);
  bad.problem.reason = model::Reason::kInvalidDocument;
  bad.problem.message = std::move(message);
  if (head.name.empty()) {
    bad.problem.message =
        "an object of kind " + std::string(resource.kind) + ": " + bad.problem.message;
  }
  return bad;
}

}  // namespace

const Resource& resource_of(Kind kind) {
  const Resource& resource = kResources[static_cast<size_t>(kind)];
  DCHECK(resource.model == kind);
  return resource;
}

const Resource& namespace_resource() { return kNamespace; }

std::string collection_path(const Resource& resource, std::string_view ns) {
  std::string path(resource.prefix);
  if (!ns.empty()) path += "/namespaces/" + std::string(ns);
  return path + "/" + std::string(resource.plural);
}

std::string object_path(const Resource& resource, std::string_view ns, std::string_view name) {
  return collection_path(resource, ns) + "/" + std::string(name);
}

std::expected<Item, BadItem> read_item(const Resource& resource, std::string_view json) {
  auto object = std::make_shared<model::Object>();
  // A Namespace is its metadata only; a ConfigMap has that, and data which a Namespace has not.
  object->body = empty_body(resource.model.value_or(Kind::kConfigMap));
  Message& message = message_of(object->body);
  if (const auto decoded = model::decode_json(json, message, kLimits); !decoded) {
    return std::unexpected(
        bad_item(resource, json, decoded.error().field, decoded.error().message));
  }
  kubernetes::ObjectMeta& metadata = metadata_of(object->body);
  const bool named = model::valid_name(metadata.name()) &&
                     (!resource.namespaced || model::valid_name(metadata.namespace_()));
  if (!named) {
    return std::unexpected(bad_item(resource, json, "metadata.name",
                                    "name and namespace must be lower-case letters, digits, '-' "
                                    "and '.'"));
  }
  Item item{.ns = resource.namespaced ? metadata.namespace_() : "",
            .name = metadata.name(),
            .resource_version = std::move(*metadata.mutable_resource_version())};
  metadata.clear_resource_version();
  trim(object->body);
  if (resource.model) object->key = {*resource.model, item.ns, item.name};
  item.message = std::shared_ptr<const Message>(object, &message);
  if (resource.model) item.object = std::move(object);
  return item;
}

bool same_content(const Message& a, const Message& b) {
  return a.ByteSizeLong() == b.ByteSizeLong() && deterministic(a) == deterministic(b);
}

}  // namespace ringway::kube
