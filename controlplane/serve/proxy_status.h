// What people see of a connected proxy: /proxies and the metrics of the controller.
#pragma once

#include <cstdint>
#include <string>

namespace ringway::serve {

struct ProxyStatus {
  std::string node_id;
  std::string proxy_version;
  std::string peer;              // gRPC's peer text, e.g. "ipv4:10.0.0.7:41234".
  std::string identity;          // Name of the client certificate; "" without TLS.
  std::string reconnect_reason;  // Hello.error
  bool wildcard = true;
  int64_t connected_at_s = 0;  // Since the epoch.
  std::string acked_version;   // What it runs; after Hello what it says it runs.
  std::string sent_version;    // Of the transaction that is unanswered or was answered last.
  bool awaiting_answer = false;
  bool in_sync = false;  // Holds everything there is for it.
  uint64_t acks = 0;
  uint64_t nacks = 0;
  uint64_t transactions = 0;
  uint64_t resources_sent = 0;
  uint64_t bytes_sent = 0;
  uint64_t withheld = 0;      // Resources that it refused and that have not changed since.
  std::string nack_reason;    // Of the last refusal that still stands; "" when none.
  std::string nack_resource;  // "route_table shop/a.example.com"
  std::string nack_version;
};

}  // namespace ringway::serve
