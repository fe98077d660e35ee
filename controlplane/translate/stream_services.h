// The ConfigMaps tcp-services and udp-services of ingress-nginx: which port goes to which Service.
//
//   data:
//     "9000": "shop/queue:9000"              port number or name of the Service
//     "5432": "shop/db:postgres:PROXY"       a PROXY header is required from clients
//     "5433": "shop/db:postgres::PROXY"      one is sent to endpoints
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "controlplane/model/object.h"
#include "controlplane/translate/ingress_facts.h"
#include "controlplane/translate/options.h"
#include "ringway/v1/resources.pb.h"

namespace ringway::translate {

enum class StreamKind : uint8_t { kTcp, kUdp };

struct StreamFact {
  StreamKind kind = StreamKind::kTcp;
  uint32_t port = 0;
  std::string ns;      // Of the Service.
  BackendRef backend;  // `field` is "data[9000]".
  bool accept_proxy = false;
  bool send_proxy = false;
  model::ObjectKey key;  // The ConfigMap.
  model::Location location;

  std::string service_id() const { return ns + "/" + backend.service; }
};

// Entries in the order of their ports; each that cannot be read, or whose port a listener of HTTP
// has, is a problem and left out.
std::vector<StreamFact> read_stream_services(const model::Object& config_map, StreamKind kind,
                                             const Options& options,
                                             std::vector<model::Problem>& problems);

v1::Resource stream_listener(const StreamFact& fact, const std::string& cluster,
                             const Options& options, const v1::StreamOptions& stream);

}  // namespace ringway::translate
