#include "dataplane/proxy/grpc.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "dataplane/http/text.h"

namespace ringway::proxy {
namespace {

constexpr std::string_view kContentType = "application/grpc";
constexpr size_t kDigitsMax = 8;
constexpr uint64_t kLargest = 99'999'999;

struct Unit {
  char name;
  uint64_t ns;
};
constexpr Unit kUnits[] = {
    {'n', 1},
    {'u', 1'000},
    {'m', 1'000'000},
    {'S', 1'000'000'000},
    {'M', 60'000'000'000},
    {'H', 3'600'000'000'000},
};

struct Text {
  std::string_view number;
  std::string_view message;  // Percent-encoding is not needed for these.
};

Text text_of(GrpcStatus status) {
  switch (status) {
    case GrpcStatus::kDeadlineExceeded:
      return {"4", "ringway: deadline exceeded"};
    case GrpcStatus::kPermissionDenied:
      return {"7", "ringway: not allowed"};
    case GrpcStatus::kResourceExhausted:
      return {"8", "ringway: a limit is reached"};
    case GrpcStatus::kUnimplemented:
      return {"12", "ringway: no route"};
    case GrpcStatus::kInternal:
      return {"13", "ringway: malformed request"};
    case GrpcStatus::kUnavailable:
      return {"14", "ringway: no endpoint answered"};
    case GrpcStatus::kUnauthenticated:
      return {"16", "ringway: not authenticated"};
    case GrpcStatus::kUnknown:
      break;
  }
  return {"2", "ringway: no answer"};
}

}  // namespace

bool is_grpc(const http::HeaderList& headers) {
  const http::Header* type = headers.find(http::HeaderName::kContentType);
  if (type == nullptr || type->value().size() < kContentType.size() ||
      !http::equals_ignoring_case(type->value().substr(0, kContentType.size()), kContentType)) {
    return false;
  }
  const std::string_view rest = type->value().substr(kContentType.size());
  return rest.empty() || rest[0] == '+' || rest[0] == ';' || rest[0] == ' ';
}

GrpcStatus grpc_status_of(uint16_t http_status) {
  switch (http_status) {
    case 400:
      return GrpcStatus::kInternal;
    case 401:
      return GrpcStatus::kUnauthenticated;
    case 403:
      return GrpcStatus::kPermissionDenied;
    case 404:
    case 405:
      return GrpcStatus::kUnimplemented;
    case 408:
    case 504:
      return GrpcStatus::kDeadlineExceeded;
    case 413:
    case 429:
    case 431:
      return GrpcStatus::kResourceExhausted;
    case 502:
    case 503:
      return GrpcStatus::kUnavailable;
    default:
      return GrpcStatus::kUnknown;
  }
}

void fill_grpc_response(http::ResponseHead& head, uint16_t http_status, std::string_view date) {
  const Text text = text_of(grpc_status_of(http_status));
  head.reset();
  head.status = 200;
  head.body = {http::BodyKind::kKnown, 0};
  head.headers.add(http::HeaderName::kDate, date);
  head.headers.add(http::HeaderName::kContentType, kContentType);
  head.headers.add(http::HeaderName::kGrpcStatus, text.number);
  head.headers.add(http::HeaderName::kOther, "grpc-message", text.message);
}

bool is_grpc_unavailable(const http::ResponseHead& head) {
  const http::Header* status = head.headers.find(http::HeaderName::kGrpcStatus);
  return status != nullptr && status->value() == "14";
}

std::optional<uint8_t> parse_grpc_status(std::string_view text) {
  uint8_t code = 0;
  const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), code);
  if (text.size() > 2 || error != std::errc() || at != text.data() + text.size())
    return std::nullopt;
  return code;
}

std::optional<uint64_t> parse_grpc_timeout_ns(std::string_view text) {
  if (text.size() < 2 || text.size() > kDigitsMax + 1) return std::nullopt;
  uint64_t number = 0;
  const char* const end = text.data() + text.size() - 1;
  const auto [at, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || at != end || text[0] == '-') return std::nullopt;
  for (const Unit& unit : kUnits) {
    // 99,999,999 hours are beyond 64 bits of nanoseconds: what is longer than years is no deadline.
    if (unit.name == text.back()) return std::min(number, INT64_MAX / unit.ns) * unit.ns;
  }
  return std::nullopt;
}

std::string_view write_grpc_timeout(uint64_t ns, std::span<char, 9> out) {
  const Unit* unit = kUnits;
  while (ns / unit->ns > kLargest) ++unit;
  const uint64_t number = std::max<uint64_t>(1, ns / unit->ns);
  char* const end = std::to_chars(out.data(), out.data() + kDigitsMax, number).ptr;
  *end = unit->name;
  return {out.data(), static_cast<size_t>(end + 1 - out.data())};
}

}  // namespace ringway::proxy
