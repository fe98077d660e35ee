// What the proxy has to know of gRPC (PROTOCOL-HTTP2.md of the gRPC project): that a request is
// one, how it is answered when no endpoint does, and its deadline. Messages pass as bodies of any
// request.
//
// Thread rule: none; pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "dataplane/http/message.h"

namespace ringway::proxy {

// Status codes of gRPC that the proxy says itself.
enum class GrpcStatus : uint8_t {
  kUnknown = 2,
  kDeadlineExceeded = 4,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kUnauthenticated = 16,
};

// By Content-Type: "application/grpc", also with "+proto" and the like. gRPC-Web is another
// protocol.
bool is_grpc(const http::HeaderList& headers);

// The status for an answer of our own. As http-grpc-status-mapping.md, but more exact where the
// proxy knows: what is too large or too much is RESOURCE_EXHAUSTED, what took too long
// DEADLINE_EXCEEDED.
GrpcStatus grpc_status_of(uint16_t http_status);

// A response without messages ("Trailers-Only"): 200, the status and its text as a head that ends
// the stream. Views are kept.
void fill_grpc_response(http::ResponseHead& head, uint16_t http_status, std::string_view date);
// A head of that kind that says UNAVAILABLE: the endpoint did not do its work.
bool is_grpc_unavailable(const http::ResponseHead& head);

// Grpc-Status: one or two digits. nullopt: malformed.
std::optional<uint8_t> parse_grpc_status(std::string_view text);

// Grpc-Timeout: 1 to 8 digits and a unit. nullopt: malformed.
std::optional<uint64_t> parse_grpc_timeout_ns(std::string_view text);
// The text for `ns`, in the finest unit that has room, rounded down but never to zero. Refers to
// `out`.
std::string_view write_grpc_timeout(uint64_t ns, std::span<char, 9> out);

}  // namespace ringway::proxy
