#include "dataplane/http/framing.h"

#include "dataplane/http/text.h"

namespace ringway::http {
namespace {

constexpr uint64_t kLengthMax = INT64_MAX;

// RFC 9112 section 6.1: exactly one coding, chunked. The rest is told apart: what is malformed or
// repeats chunked or does not end in it cannot be framed; a well-formed list of other codings is
// not implemented.
Error transfer_encoding_error(const HeaderList& headers) {
  uint32_t codings = 0;
  uint32_t chunked = 0;
  bool malformed = false;
  bool last_is_chunked = false;
  for (const Header& header : headers) {
    if (header.id != HeaderName::kTransferEncoding) continue;
    for_each_element(header.value(), [&](std::string_view coding) {
      ++codings;
      malformed |= !is_token(coding);
      last_is_chunked = equals_ignoring_case(coding, "chunked");
      chunked += last_is_chunked;
      return true;
    });
  }
  if (malformed || chunked > 1 || (chunked == 1 && !last_is_chunked))
    return Error::kBadTransferEncoding;
  return codings == 1 && chunked == 1 ? Error::kNone : Error::kUnknownTransferEncoding;
}

std::expected<uint64_t, Error> content_length(const HeaderList& headers) {
  const Header* field = nullptr;
  for (const Header& header : headers) {
    if (header.id != HeaderName::kContentLength) continue;
    if (field != nullptr) return std::unexpected(Error::kBadContentLength);
    field = &header;
  }
  const std::string_view digits = field->value();
  if (digits.empty()) return std::unexpected(Error::kBadContentLength);
  uint64_t length = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') return std::unexpected(Error::kBadContentLength);
    const auto digit = static_cast<uint64_t>(c - '0');
    if (length > (kLengthMax - digit) / 10) return std::unexpected(Error::kBadContentLength);
    length = length * 10 + digit;
  }
  return length;
}

// The fields' own rules, the same for both directions. kNone: neither field is there.
std::expected<BodyLength, Error> declared_length(Version version, const HeaderList& headers) {
  if (headers.has(HeaderName::kTransferEncoding)) {
    if (version != Version::k11 || headers.has(HeaderName::kContentLength)) {
      return std::unexpected(Error::kBadTransferEncoding);
    }
    const Error error = transfer_encoding_error(headers);
    if (error != Error::kNone) return std::unexpected(error);
    return BodyLength{BodyKind::kChunked};
  }
  if (headers.has(HeaderName::kContentLength)) {
    const auto length = content_length(headers);
    if (!length) return std::unexpected(length.error());
    return BodyLength{BodyKind::kKnown, *length};
  }
  return BodyLength{BodyKind::kNone};
}

}  // namespace

std::expected<BodyLength, Error> request_body_length(Version version, const HeaderList& headers) {
  const auto declared = declared_length(version, headers);
  if (declared && declared->kind == BodyKind::kNone && version == Version::k2)
    return BodyLength{BodyKind::kChunked};
  return declared;
}

std::expected<ResponseFraming, Error> response_body_length(Method request_method, uint16_t status,
                                                           Version version,
                                                           const HeaderList& headers) {
  const auto declared = declared_length(version, headers);
  if (!declared) return std::unexpected(declared.error());
  ResponseFraming framing{.length = *declared};
  if (status < 200 || status == 204) {
    const bool declares_body = declared->kind == BodyKind::kChunked ||
                               (declared->kind == BodyKind::kKnown && declared->bytes > 0);
    if (declares_body) return std::unexpected(Error::kBadResponse);
    framing.length = {};
    framing.empty = true;
    return framing;
  }
  if (request_method == Method::kHead || status == 304) {
    framing.empty = true;
    return framing;
  }
  if (declared->kind == BodyKind::kNone) {
    framing.length.kind = version == Version::k2 ? BodyKind::kChunked : BodyKind::kUntilClose;
  }
  return framing;
}

}  // namespace ringway::http
