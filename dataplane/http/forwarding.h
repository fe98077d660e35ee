// The fields by which an upstream learns who asked and how, with the names and defaults of
// ingress-nginx.
#pragma once

#include "dataplane/http/message.h"
#include "dataplane/io/buffer_pool.h"

namespace ringway::http {

// Every view must live as long as the exchange.
struct Forwarding {
  std::string_view
      peer;  // Address of the client's socket, without port, e.g. "10.0.0.7" or "2001:db8::1".
  std::string_view scheme;      // "http" or "https": of the listener.
  std::string_view host;        // Of the request as it came, before any rewriting.
  std::string_view port;        // Of the listener as clients know it, e.g. "443".
  std::string_view request_id;  // Ours; the client's is kept when it looks like one.
  // The peer is a proxy whose word is taken (use-forwarded-headers): X-Forwarded-For is appended
  // to, its other fields are kept when present. Otherwise all that the client said is overwritten
  // or removed, Forwarded included.
  bool trusted = false;
};

// Sets X-Request-ID, X-Real-IP, X-Forwarded-For, -Host, -Port, -Proto, -Scheme, X-Scheme and, when
// the client sent X-Forwarded-For, X-Original-Forwarded-For; removes Proxy (CVE-2016-5385) and,
// untrusted, every other X-Forwarded-*, X-Original-*, X-Ringway-* and X-Envoy-*. REQUIRES:
// remove_hop_by_hop() came first. False when the list has no room for them: answer 431.
bool set_forwarding_fields(RequestHead& head, const Forwarding& forwarding,
                           io::BufferPool& output_pool);

}  // namespace ringway::http
