// Field blocks of HTTP/2 ↔ the message model. Used by both HTTP/2 codecs.
//
// Reading: every field that HPACK decodes is checked (RFC 9113 sections 8.2 and 8.3), counted and
// copied into one slice that becomes the head's memory; cookie crumbs are joined (8.2.3). Both
// bounds hold while a block is being received: decoded bytes (name + value + 32 each, as
// SETTINGS_MAX_HEADER_LIST_SIZE counts) and the number of fields, crumbs included, so that neither
// indexed references nor crumbs make many objects of few bytes.
// Writing: lists to nghttp2's arrays, in lower case, without what is about one connection.
//
// WebSocket over HTTP/2 (RFC 8441) is the upgrade of the message model in both directions: an
// extended CONNECT becomes a GET with `upgrade` set, "websocket" and a Sec-WebSocket-Key made here;
// a head with `upgrade` is written as extended CONNECT, without the key. A 101 of an exchange is
// 200 on the wire.
//
// Thread rule: one worker.
#pragma once

#include <nghttp2/nghttp2.h>

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "base/random.h"
#include "dataplane/http/message.h"
#include "dataplane/io/buffer_pool.h"

namespace ringway::http {

// What is wrong with a block.
struct H2Refusal {
  Error error = Error::kNone;
  // RFC 9113 section 8.1.1: a stream error of type PROTOCOL_ERROR, never forwarded. Else the
  // request can be answered, with status_of(error).
  bool malformed = false;

  explicit operator bool() const { return error != Error::kNone; }
};

class H2FieldReader {
 public:
  enum class Kind : uint8_t { kRequest, kResponse, kTrailers };

  void begin(Kind kind, const Limits& limits, io::BufferPool& pool);
  // The fields of the block in their order, pseudo-headers included. Behind a refusal they are only
  // counted. False: so far beyond the limits that the connection is to be ended (ENHANCE_YOUR_CALM)
  // instead of decoding on.
  bool add(std::string_view name, std::string_view value);

  // Each fills the head (reset before) from the block, which the reader then forgets. After a
  // refusal the head holds nothing. `end`: END_STREAM came with the block.
  H2Refusal finish_request(RequestHead& head, bool end, Random& random);
  // Status, fields and memory; the body's length is the caller's to ask of framing.h.
  H2Refusal finish_response(ResponseHead& head);
  // Without the fields forbidden in trailers. The views live while `memory` does.
  H2Refusal finish_trailers(HeaderList& trailers, io::Slice& memory);
  void drop();  // Forgets a block half read.

 private:
  enum Pseudo : uint8_t { kMethod, kScheme, kAuthority, kPath, kProtocol, kStatus, kPseudos };
  struct Text {
    uint32_t at;
    uint32_t size;
  };
  struct Field {
    Text name;  // kOther only.
    Text value;
    HeaderName id;
  };

  void malformed(Error error) { refusal_ = {error, true}; }
  void add_pseudo(std::string_view name, std::string_view value);
  void add_field(std::string_view name, std::string_view value);
  Text store(std::string_view text);
  void reserve(size_t bytes);
  bool has(Pseudo which) const { return (seen_ >> which) & 1; }
  std::string_view text(Text at) const { return memory_.view().substr(at.at, at.size); }
  std::string_view pseudo(Pseudo which) const {
    return has(which) ? text(pseudo_[which]) : std::string_view();
  }
  void join_cookies();
  H2Refusal check_request(const RequestHead& head, bool end) const;
  void fill(HeaderList& headers) const;
  H2Refusal take_refusal();

  const Limits* limits_ = nullptr;
  io::BufferPool* pool_ = nullptr;
  Kind kind_ = Kind::kRequest;
  uint8_t seen_ = 0;  // Pseudo-headers, as bits.
  uint16_t underscores_ = 0;
  uint16_t cookies_ = 0;
  uint32_t fields_ = 0;  // Without pseudo-headers, dropped and refused ones included.
  uint32_t stored_ = 0;
  uint64_t bytes_ = 0;
  H2Refusal refusal_;
  io::Slice memory_;
  std::array<Text, kPseudos> pseudo_;
  std::array<Field, HeaderList::kHeadersMax> list_;
};

// Lists for nghttp2_submit_*, which copies what is not constant before it returns.
class H2FieldWriter {
 public:
  // `content_length`: as decided by the framing; fields of the list that say it are left out.
  void response(uint16_t status, const HeaderList& headers, std::optional<uint64_t> content_length);
  // The 200 that opens a tunnel, from the 101 of the exchange.
  void tunnel_response(const HeaderList& headers);
  // `scheme`: "http" or "https". Extended CONNECT when head.upgrade.
  void request(const RequestHead& head, std::string_view scheme,
               std::optional<uint64_t> content_length);
  void trailers(const HeaderList& trailers);

  const nghttp2_nv* data() const { return list_.data(); }
  size_t size() const { return size_; }

 private:
  void add(std::string_view name, std::string_view value, uint8_t flags);
  void add_fields(const HeaderList& headers, uint64_t left_out);
  void add_content_length(std::optional<uint64_t> bytes);

  size_t size_ = 0;
  std::array<nghttp2_nv, HeaderList::kHeadersMax + 8> list_;
  std::array<char, 20> digits_;
  std::array<char, 3> status_;
  std::string path_;  // Keeps its capacity over requests.
};

}  // namespace ringway::http
