// One message model for every HTTP version: heads as arrays of views into memory that the head
// keeps alive.
//
// Thread rule: values of one worker. A head lives as long as its exchange; views stay valid while
// `memory` holds them. Strings set by Ringway point to memory that outlives the exchange (the
// pinned snapshot, constants) or into `memory`.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "dataplane/http/header_name.h"
#include "dataplane/http/status.h"
#include "dataplane/io/slice.h"

namespace ringway::http {

enum class Version : uint8_t { k10, k11, k2 };

enum class Method : uint8_t {
  kGet,
  kHead,
  kPost,
  kPut,
  kDelete,
  kConnect,
  kOptions,
  kTrace,
  kPatch,
  kOther
};
Method method_of(std::string_view text);  // Case-sensitive (RFC 9110 section 9.1).
bool is_idempotent(Method method);  // RFC 9110 section 9.2.2: GET HEAD PUT DELETE OPTIONS TRACE.

struct Header {
  const char* name_data;
  const char* value_data;
  uint32_t value_size;
  uint16_t name_size;
  HeaderName id;  // kOther when not one of the well-known names.

  std::string_view name() const { return {name_data, name_size}; }
  std::string_view value() const { return {value_data, value_size}; }
};

// Up to kHeadersMax fields in order of arrival. HTTP/1 names keep the sender's case; lookups ignore
// case.
class HeaderList {
 public:
  // Above every configurable limit; the limit itself is Limits::headers_max.
  static constexpr uint32_t kHeadersMax = 128;

  // False when full. Views are stored, not copied.
  bool add(HeaderName id, std::string_view name, std::string_view value) {
    if (count_ == kHeadersMax) return false;
    DCHECK(name.size() <= UINT16_MAX);
    headers_[count_++] = {name.data(), value.data(), static_cast<uint32_t>(value.size()),
                          static_cast<uint16_t>(name.size()), id};
    if (id != HeaderName::kOther) present_ |= uint64_t{1} << static_cast<unsigned>(id);
    return true;
  }
  bool add(HeaderName id, std::string_view value) { return add(id, header_text(id), value); }

  bool has(HeaderName id) const { return (present_ >> static_cast<unsigned>(id)) & 1; }
  // The first; nullptr when absent. One bit test when absent.
  const Header* find(HeaderName id) const {
    if (!has(id)) return nullptr;
    for (uint32_t i = 0; i < count_; ++i) {
      if (headers_[i].id == id) return &headers_[i];
    }
    return nullptr;
  }
  const Header* find(std::string_view name) const;  // Case-insensitive, any name.
  void remove(HeaderName id);  // All of that name; keeps the order of the rest.
  void remove(std::string_view name);
  void set(HeaderName id, std::string_view value) {
    remove(id);
    add(id, value);
  }
  // Removes what `drop(const Header&)` is true for, in one pass; keeps the order of the rest.
  template <typename Drop>
  void remove_if(Drop&& drop) {
    uint32_t kept = 0;
    present_ = 0;
    for (uint32_t i = 0; i < count_; ++i) {
      if (drop(static_cast<const Header&>(headers_[i]))) continue;
      if (headers_[i].id != HeaderName::kOther) {
        present_ |= uint64_t{1} << static_cast<unsigned>(headers_[i].id);
      }
      if (kept != i) headers_[kept] = headers_[i];
      ++kept;
    }
    count_ = kept;
  }
  // Points the first field of that name elsewhere, in its place; adds it when absent. False when
  // full.
  bool replace(HeaderName id, std::string_view value);

  uint32_t size() const { return count_; }
  const Header& operator[](uint32_t i) const { return headers_[i]; }
  const Header* begin() const { return headers_.data(); }
  const Header* end() const { return headers_.data() + count_; }
  void clear() {
    count_ = 0;
    present_ = 0;
  }

 private:
  uint32_t count_ = 0;
  uint64_t present_ = 0;
  std::array<Header, kHeadersMax> headers_;  // Not initialised: only the first count_ are read.
};

// How long a body is (RFC 9112 section 6.3, RFC 9113 section 8.1.1), decided in one place:
// framing.h.
enum class BodyKind : uint8_t {
  kNone,
  kKnown,
  kChunked,     // Length unknown, ends by itself.
  kUntilClose,  // Responses only.
};
struct BodyLength {
  BodyKind kind = BodyKind::kNone;
  uint64_t bytes = 0;  // kKnown only.
};

struct RequestHead {
  Method method = Method::kOther;
  Version version = Version::k11;
  bool keep_alive = true;        // The client allows another request on this connection.
  bool expect_continue = false;  // Expect: 100-continue; never of HTTP/1.0.
  bool upgrade = false;          // Connection: upgrade and one Upgrade value.
  bool asterisk = false;         // OPTIONS *
  BodyLength body;
  std::string_view method_text;
  std::string_view scheme;  // From absolute-form or :scheme; "" = by listener.
  // Host that routing uses: of the target, else of Host (RFC 9112 section 3.2.2).
  std::string_view authority;
  std::string_view target;  // As received: origin-form path and query (absolute-form already cut).
  std::string_view path;    // Canonical path (path.h), for matching and forwarding.
  std::string_view query;   // With its '?', or "".
  std::string_view upgrade_protocol;  // e.g. "websocket".
  HeaderList headers;                 // Without Host's routing role: Host stays in the list too.
  io::Slice memory;                   // Keeps the views alive.
  io::Slice path_memory;              // When the canonical path differs from the received one.
  io::Slice extra;                    // Values composed by the proxy (forwarding.h).
  // Fields dropped because of '_' in their name (Limits::reject_underscores).
  uint16_t underscore_fields = 0;

  void reset();
};

struct ResponseHead {
  uint16_t status = 0;  // 100..599 (RFC 9110 section 15)
  Version version = Version::k11;
  bool keep_alive = true;  // The upstream connection may be used again after the body.
  BodyLength body;
  std::string_view reason;  // HTTP/1 only; not forwarded.
  HeaderList headers;
  io::Slice memory;

  void reset();
};

// Limits of what peers may send (0 is never "unlimited").
struct Limits {
  uint32_t request_line_bytes_max = 8192;  // >= 8000 (RFC 9112 section 3)
  uint32_t headers_bytes_max = 61440;      // All fields of a head: names + values + 4 each.
  uint32_t header_bytes_max = 16384;       // One field.
  uint16_t headers_max = 100;              // Fields; <= HeaderList::kHeadersMax.
  uint32_t trailers_bytes_max = 8192;
  uint32_t chunk_extension_bytes_max = 4096;  // Of one body in sum.
  uint16_t interim_responses_max = 16;        // 1xx heads of one upstream response.
  bool reject_underscores = false;  // true: 400; false: the field is dropped (and counted).
};

}  // namespace ringway::http
