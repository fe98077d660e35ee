// The second step of request_parser.h: what a well-formed head means.
#include <algorithm>

#include "dataplane/http/connection_options.h"
#include "dataplane/http/framing.h"
#include "dataplane/http/host.h"
#include "dataplane/http/path.h"
#include "dataplane/http/request_parser.h"
#include "dataplane/http/text.h"

namespace ringway::http {
namespace {

constexpr size_t kWebsocketKeyBytesMax =
    128;  // RFC 6455 makes it 24; others are the upstream's to refuse.

// RFC 9112 section 3.2: one Host in HTTP/1.1, valid in any version. An absolute-form target wins
// over it (3.2.2).
Error settle_host(RequestHead& head) {
  const Header* host = nullptr;
  for (const Header& header : head.headers) {
    if (header.id != HeaderName::kHost) continue;
    if (host != nullptr) return Error::kBadHost;
    host = &header;
  }
  if (host == nullptr) return head.version == Version::k11 ? Error::kBadHost : Error::kNone;
  if (!is_valid_authority(host->value())) return Error::kBadHost;
  if (head.authority.empty()) {
    head.authority = host->value();
  } else {
    head.headers.replace(HeaderName::kHost, head.authority);
  }
  return Error::kNone;
}

// "http://authority/path?query" (RFC 9112 section 3.2.2): cuts the target down to origin-form.
Error split_absolute_form(RequestHead& head) {
  std::string_view rest = head.target;
  if (starts_with_ignoring_case(rest, "http://")) {
    head.scheme = "http";
  } else if (starts_with_ignoring_case(rest, "https://")) {
    head.scheme = "https";
  } else {
    return Error::kBadTarget;
  }
  rest.remove_prefix(head.scheme.size() + 3);
  const size_t path = std::min(rest.find_first_of("/?#"), rest.size());
  head.authority = rest.substr(0, path);
  if (!is_valid_authority(head.authority)) return Error::kBadHost;
  head.target = rest.substr(path);
  if (head.target.empty()) {
    head.asterisk = head.method == Method::kOptions;  // RFC 9112 section 3.2.4
    head.target = head.asterisk ? "*" : "/";
  }
  return Error::kNone;
}

Error settle_target(RequestHead& head, io::BufferPool& output_pool) {
  if (head.target == "*") {
    if (head.method != Method::kOptions) return Error::kBadTarget;
    head.asterisk = true;
  } else if (head.target[0] != '/') {
    const Error error = split_absolute_form(head);
    if (error != Error::kNone) return error;
  }
  if (head.asterisk) {
    head.path = head.target;
    return Error::kNone;
  }
  const size_t question = std::min(head.target.find('?'), head.target.size());
  std::string_view path = head.target.substr(0, question);
  head.query = head.target.substr(question);
  if (path.empty()) path = "/";
  if (head.query.find('#') != std::string_view::npos) return Error::kBadTarget;
  if (is_canonical_path(path)) [[likely]] {
    head.path = path;
    return Error::kNone;
  }
  auto canonical = canonical_path(path, output_pool);
  if (!canonical) return canonical.error();
  head.path = canonical->path;
  head.path_memory = std::move(canonical->memory);
  return Error::kNone;
}

// RFC 9110 section 10.1.1. HTTP/1.0 knows no expectations, and one without a body has nothing to
// wait for: both must not reach an upstream.
Error settle_expectation(RequestHead& head) {
  if (!head.headers.has(HeaderName::kExpect)) return Error::kNone;
  if (head.version != Version::k10) {
    uint32_t fields = 0;
    for (const Header& header : head.headers) {
      if (header.id != HeaderName::kExpect) continue;
      if (++fields > 1 || !equals_ignoring_case(header.value(), "100-continue"))
        return Error::kUnknownExpectation;
    }
    head.expect_continue = head.body.kind == BodyKind::kChunked ||
                           (head.body.kind == BodyKind::kKnown && head.body.bytes > 0);
  }
  if (!head.expect_continue) head.headers.remove(HeaderName::kExpect);
  return Error::kNone;
}

// RFC 9110 section 7.8. An upgrade that is not followed is no error, the request is served as it
// is. That of h2c is obsolete (RFC 9113 section 3.1). A request with a body is never an upgrade
// here: two meanings for the bytes behind the head are one too many.
Error settle_upgrade(RequestHead& head, const ConnectionOptions& options) {
  const bool has_body = head.body.kind == BodyKind::kChunked || head.body.bytes > 0;
  if (!options.upgrade || head.version != Version::k11 || has_body) return Error::kNone;
  const std::string_view protocol = single_upgrade(head.headers);
  if (protocol.empty() || starts_with_ignoring_case(protocol, "h2c") ||
      starts_with_ignoring_case(protocol, "http")) {
    return Error::kNone;
  }
  if (equals_ignoring_case(protocol, "websocket")) {
    if (head.method != Method::kGet) return Error::kNone;
    uint32_t keys = 0;
    for (const Header& header : head.headers) {
      if (header.id != HeaderName::kSecWebsocketKey) continue;
      if (++keys > 1 || header.value().empty() || header.value().size() > kWebsocketKeyBytesMax) {
        return Error::kBadUpgrade;
      }
    }
    if (keys == 0)
      return Error::kBadUpgrade;  // RFC 6455 section 4.2.1: without it the answer can't be checked.
  }
  head.upgrade = true;
  head.upgrade_protocol = protocol;
  return Error::kNone;
}

}  // namespace

Error complete_request_head(RequestHead& head, io::BufferPool& output_pool) {
  Error error = settle_target(head, output_pool);
  if (error != Error::kNone) return error;
  error = settle_host(head);
  if (error != Error::kNone) return error;
  const auto body = request_body_length(head.version, head.headers);
  if (!body) return body.error();
  head.body = *body;
  const ConnectionOptions options = connection_options(head.headers);
  if (options.too_many) return Error::kBadHeader;
  head.keep_alive =
      head.version == Version::k10 ? options.keep_alive && !options.close : !options.close;
  error = settle_expectation(head);
  if (error != Error::kNone) return error;
  return settle_upgrade(head, options);
}

}  // namespace ringway::http
