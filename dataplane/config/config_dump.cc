#include "dataplane/config/config_dump.h"

#include <google/protobuf/util/json_util.h>

#include <nlohmann/json.hpp>

namespace ringway::config {
namespace {

constexpr char kRedacted[] = "redacted";

// Of one resource, private key removed. Never throws: the text is from protobuf's own writer.
std::string resource_json(const ResourceSet::Entry& entry) {
  v1::Resource resource;
  if (!resource.ParseFromString(entry.bytes)) return "null";
  if (resource.has_certificate() && !resource.certificate().private_key_pem().empty()) {
    resource.mutable_certificate()->set_private_key_pem(kRedacted);
  }
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string out;
  if (!google::protobuf::util::MessageToJsonString(resource, &out, options).ok()) return "null";
  return out;
}

std::string json_string(std::string_view text) {
  // Replaced, not thrown, when a name is not UTF-8.
  return nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

std::string_view kind_name(ListenerKind kind) {
  switch (kind) {
    case ListenerKind::kHttp:
      return "http";
    case ListenerKind::kHttps:
      return "https";
    case ListenerKind::kTcp:
      return "tcp";
    case ListenerKind::kTls:
      return "tls";
    case ListenerKind::kTlsPassthrough:
      return "tls_passthrough";
    case ListenerKind::kUdp:
      return "udp";
  }
  return "";
}

std::string listeners_json(const Snapshot& snapshot) {
  nlohmann::json out = nlohmann::json::array();
  for (const auto& listener : snapshot.listeners) {
    out.push_back({{"name", listener->name},
                   {"addresses", listener->addresses},
                   {"protocol", kind_name(listener->kind)},
                   {"route_set", listener->route_set},
                   {"public_port", listener->public_port}});
  }
  return out.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

std::string hosts_json(const Snapshot& snapshot) {
  nlohmann::json out = nlohmann::json::object();
  for (const auto& [set, routes] : snapshot.route_sets) out[set] = routes->hosts();
  return out.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::string config_dump(const Snapshot& snapshot, const ResourceSet& resources) {
  size_t clusters = 0;
  size_t endpoints = 0;
  for (uint32_t slot = 0; slot < snapshot.cluster_chunks.size() * Snapshot::kChunk; ++slot) {
    const upstream::Cluster* cluster = snapshot.cluster(slot);
    if (cluster == nullptr) continue;
    ++clusters;
    endpoints += cluster->endpoints.size();
  }
  std::string out = "{\"version\": " + json_string(snapshot.version) +
                    ", \"generation\": " + std::to_string(snapshot.generation) +
                    ", \"complete\": " + (snapshot.complete ? "true" : "false") +
                    ",\n\"listeners\": " + listeners_json(snapshot) +
                    ",\n\"hosts\": " + hosts_json(snapshot) +
                    ",\n\"clusters\": " + std::to_string(clusters) +
                    ", \"endpoints\": " + std::to_string(endpoints) + ",\n\"resources\": {";
  v1::ResourceType type = v1::RESOURCE_TYPE_UNSPECIFIED;
  for (const auto& [key, entry] : resources.entries()) {  // Sorted by type.
    if (key.type != type) {
      if (type != v1::RESOURCE_TYPE_UNSPECIFIED) out += "],";
      out += "\n" + json_string(resource_type_name(key.type)) + ": [\n";
      type = key.type;
    } else {
      out += ",\n";
    }
    out += resource_json(entry);
  }
  if (type != v1::RESOURCE_TYPE_UNSPECIFIED) out += "]";
  out += "}}\n";
  return out;
}

}  // namespace ringway::config
