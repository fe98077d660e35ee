#include <charconv>

#include "dataplane/http/h2_fields.h"
#include "dataplane/http/text.h"
#include "dataplane/http/trailers.h"

namespace ringway::http {
namespace {

constexpr uint64_t bit(HeaderName id) { return uint64_t{1} << static_cast<unsigned>(id); }

// RFC 9113 section 8.2.2. Content-Length is written from the framing, Host as :authority.
constexpr uint64_t kNotWritten =
    bit(HeaderName::kConnection) | bit(HeaderName::kKeepAlive) | bit(HeaderName::kProxyConnection) |
    bit(HeaderName::kTransferEncoding) | bit(HeaderName::kContentLength) |
    bit(HeaderName::kUpgrade) | bit(HeaderName::kHttp2Settings) | bit(HeaderName::kHost);

constexpr uint8_t kConstant = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE;

uint8_t* bytes_of(std::string_view text) {
  // nghttp2 only reads.
  return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
}

}  // namespace

void H2FieldWriter::add(std::string_view name, std::string_view value, uint8_t flags) {
  DCHECK(size_ < list_.size());
  list_[size_++] = {bytes_of(name), bytes_of(value), name.size(), value.size(), flags};
}

// Names that are not well known are copied, and turned to lower case while they are.
void H2FieldWriter::add_fields(const HeaderList& headers, uint64_t left_out) {
  for (const Header& header : headers) {
    if (header.id == HeaderName::kOther) {
      add(header.name(), header.value(), NGHTTP2_NV_FLAG_NONE);
    } else if (((left_out >> static_cast<unsigned>(header.id)) & 1) == 0) {
      add(header_text_lower(header.id), header.value(), NGHTTP2_NV_FLAG_NO_COPY_NAME);
    }
  }
}

void H2FieldWriter::add_content_length(std::optional<uint64_t> bytes) {
  if (!bytes) return;
  const auto end = std::to_chars(digits_.data(), digits_.data() + digits_.size(), *bytes).ptr;
  add("content-length", {digits_.data(), static_cast<size_t>(end - digits_.data())},
      NGHTTP2_NV_FLAG_NO_COPY_NAME);
}

void H2FieldWriter::response(uint16_t status, const HeaderList& headers,
                             std::optional<uint64_t> content_length) {
  DCHECK(status >= 100 && status <= 599 && status != 101);
  size_ = 0;
  status_ = {static_cast<char>('0' + status / 100), static_cast<char>('0' + status / 10 % 10),
             static_cast<char>('0' + status % 10)};
  add(":status", {status_.data(), status_.size()}, NGHTTP2_NV_FLAG_NO_COPY_NAME);
  add_fields(headers, kNotWritten | bit(HeaderName::kTe));
  add_content_length(content_length);
}

void H2FieldWriter::tunnel_response(const HeaderList& headers) {
  size_ = 0;
  add(":status", "200", kConstant);
  add_fields(headers, kNotWritten | bit(HeaderName::kTe) | bit(HeaderName::kSecWebsocketAccept));
}

void H2FieldWriter::request(const RequestHead& head, std::string_view scheme,
                            std::optional<uint64_t> content_length) {
  size_ = 0;
  const bool upgrade = head.upgrade;
  add(":method", upgrade ? std::string_view("CONNECT") : head.method_text,
      NGHTTP2_NV_FLAG_NO_COPY_NAME);
  if (upgrade) add(":protocol", head.upgrade_protocol, NGHTTP2_NV_FLAG_NO_COPY_NAME);
  add(":scheme", scheme, NGHTTP2_NV_FLAG_NO_COPY_NAME);
  const Header* host = head.headers.find(HeaderName::kHost);
  add(":authority", host != nullptr ? host->value() : head.authority, NGHTTP2_NV_FLAG_NO_COPY_NAME);
  if (head.asterisk) {
    add(":path", "*", kConstant);
  } else if (head.query.empty()) {
    add(":path", head.path, NGHTTP2_NV_FLAG_NO_COPY_NAME);
  } else {
    path_.assign(head.path).append(head.query);
    add(":path", path_, NGHTTP2_NV_FLAG_NO_COPY_NAME);
  }
  uint64_t left_out = kNotWritten;
  if (upgrade) left_out |= bit(HeaderName::kSecWebsocketKey);
  add_fields(head.headers, left_out);
  if (!upgrade) add_content_length(content_length);
}

void H2FieldWriter::trailers(const HeaderList& trailers) {
  size_ = 0;
  for (const Header& field : trailers) {
    if (forbidden_in_trailers(field)) continue;
    if (field.id == HeaderName::kOther) {
      add(field.name(), field.value(), NGHTTP2_NV_FLAG_NONE);
    } else {
      add(header_text_lower(field.id), field.value(), NGHTTP2_NV_FLAG_NO_COPY_NAME);
    }
  }
}

}  // namespace ringway::http
