#include <cstring>

#include "dataplane/http/block.h"
#include "dataplane/http/h2_fields.h"
#include "dataplane/http/host.h"
#include "dataplane/http/request_parser.h"
#include "dataplane/http/scan.h"
#include "dataplane/http/text.h"
#include "dataplane/http/trailers.h"

namespace ringway::http {
namespace {

constexpr uint32_t kFirstBlockBytes = 1024;
constexpr uint32_t kFieldOverhead = 32;  // RFC 9113 section 6.5.2
// A block this many times over a limit is no mistake of a client.
constexpr uint32_t kFarOver = 4;

// RFC 9113 section 8.2.1: tchar without upper case.
bool is_h2_name(std::string_view name, bool& underscore) {
  const char* const end = name.data() + name.size();
  if (name.empty() || VectorScan::name_end(name.data(), end, underscore) != end) return false;
  uint8_t upper = 0;
  for (const char c : name) upper |= static_cast<uint8_t>(c >= 'A' && c <= 'Z');
  return upper == 0;
}

bool is_h2_value(std::string_view value) {
  if (value.empty()) return true;
  const char* const end = value.data() + value.size();
  const auto is_space = [](char c) { return c == ' ' || c == '\t'; };
  return VectorScan::value_end(value.data(), end) == end && !is_space(value.front()) &&
         !is_space(value.back());
}

bool is_target(std::string_view text) {
  const char* const end = text.data() + text.size();
  return !text.empty() && VectorScan::target_end(text.data(), end) == end;
}

// RFC 9113 section 8.2.2.
bool is_connection_specific(HeaderName id, std::string_view value) {
  switch (id) {
    case HeaderName::kConnection:
    case HeaderName::kKeepAlive:
    case HeaderName::kProxyConnection:
    case HeaderName::kTransferEncoding:
    case HeaderName::kUpgrade:
      return true;
    case HeaderName::kTe:
      return value != "trailers";
    default:
      return false;
  }
}

// 16 random bytes as RFC 6455 section 4.1 wants them: base64, 24 characters. Nothing rests on their
// being unpredictable: they prove that an upstream speaks the protocol.
std::array<char, 24> make_websocket_key(Random& random) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::array<char, 24> key;
  for (size_t i = 0; i < 21; ++i) key[i] = kDigits[random.below(64)];
  key[21] = kDigits[random.below(4) * 16];  // The 16th byte ends 2 bits into its second digit.
  key[22] = key[23] = '=';
  return key;
}

}  // namespace

void H2FieldReader::begin(Kind kind, const Limits& limits, io::BufferPool& pool) {
  limits_ = &limits;
  pool_ = &pool;
  kind_ = kind;
  seen_ = 0;
  underscores_ = cookies_ = 0;
  fields_ = stored_ = 0;
  bytes_ = 0;
  refusal_ = {};
  memory_.reset();
}

void H2FieldReader::drop() { memory_.reset(); }

bool H2FieldReader::add(std::string_view name, std::string_view value) {
  bytes_ += name.size() + value.size() + kFieldOverhead;
  const bool is_pseudo = name.starts_with(':');
  if (!is_pseudo) ++fields_;
  const uint32_t bytes_max =
      kind_ == Kind::kTrailers ? limits_->trailers_bytes_max : limits_->headers_bytes_max;
  if (bytes_ > uint64_t{bytes_max} * kFarOver || fields_ > limits_->headers_max * kFarOver)
    return false;
  if (refusal_) return true;
  if (is_pseudo) {
    add_pseudo(name, value);
  } else {
    add_field(name, value);
  }
  // What is malformed is so at any size.
  if (!refusal_ && (bytes_ > bytes_max || fields_ > limits_->headers_max ||
                    name.size() + value.size() > limits_->header_bytes_max)) {
    refusal_ = {Error::kHeadersTooLarge, false};
  }
  return true;
}

void H2FieldReader::add_pseudo(std::string_view name, std::string_view value) {
  Pseudo which = kPseudos;
  if (kind_ == Kind::kRequest) {
    which = name == ":path"        ? kPath
            : name == ":method"    ? kMethod
            : name == ":scheme"    ? kScheme
            : name == ":authority" ? kAuthority
            : name == ":protocol"  ? kProtocol
                                   : kPseudos;
  } else if (kind_ == Kind::kResponse && name == ":status") {
    which = kStatus;
  }
  // RFC 9113 section 8.3: none but the defined ones, once each, before all other fields.
  const bool misplaced = which == kPseudos || has(which) || fields_ != 0;
  if (misplaced || !is_h2_value(value)) return malformed(Error::kBadHeader);
  pseudo_[which] = store(value);
  seen_ |= static_cast<uint8_t>(1u << which);
}

void H2FieldReader::add_field(std::string_view name, std::string_view value) {
  bool underscore = false;
  if (!is_h2_name(name, underscore) || !is_h2_value(value)) return malformed(Error::kBadHeader);
  const HeaderName id = header_name_of(name);
  if (is_connection_specific(id, value)) return malformed(Error::kBadHeader);
  if (underscore && kind_ != Kind::kResponse) {
    if (limits_->reject_underscores) refusal_ = {Error::kUnderscoreHeader, false};
    ++underscores_;
    return;
  }
  if (stored_ == list_.size()) {
    refusal_ = {Error::kHeadersTooLarge, false};
    return;
  }
  Field& field = list_[stored_++];
  field.id = id;
  if (id == HeaderName::kOther) field.name = store(name);
  field.value = store(value);
  if (id == HeaderName::kCookie) ++cookies_;
}

void H2FieldReader::reserve(size_t bytes) {
  if (memory_.tail().size() >= bytes) return;
  const size_t needed = std::max<size_t>(kFirstBlockBytes, 2 * (memory_.size() + bytes));
  io::Slice larger = take_block(*pool_, static_cast<uint32_t>(needed));
  if (!memory_.empty()) std::memcpy(larger.tail().data(), memory_.data(), memory_.size());
  larger.extend(memory_.size());
  memory_ = std::move(larger);
}

H2FieldReader::Text H2FieldReader::store(std::string_view text) {
  const uint32_t at = memory_.size();
  if (text.empty()) return {at, 0};
  reserve(text.size());
  std::memcpy(memory_.tail().data(), text.data(), text.size());
  memory_.extend(static_cast<uint32_t>(text.size()));
  return {at, static_cast<uint32_t>(text.size())};
}

// RFC 9113 section 8.2.3: one field again before anything that is not HTTP/2 sees them.
void H2FieldReader::join_cookies() {
  if (cookies_ < 2) return;
  size_t bytes = 0;
  for (uint32_t i = 0; i < stored_; ++i) {
    if (list_[i].id == HeaderName::kCookie) bytes += list_[i].value.size + 2;
  }
  reserve(bytes);  // Nothing moves from here on.
  Field* joined = nullptr;
  uint32_t kept = 0;
  const uint32_t at = memory_.size();
  for (uint32_t i = 0; i < stored_; ++i) {
    const Field field = list_[i];
    if (field.id != HeaderName::kCookie) {
      list_[kept++] = field;
      continue;
    }
    if (joined == nullptr) {
      joined = &list_[kept++];
      *joined = field;
    } else {
      store("; ");
    }
    store(text(field.value));
  }
  joined->value = {at, memory_.size() - at};
  stored_ = kept;
}

void H2FieldReader::fill(HeaderList& headers) const {
  for (uint32_t i = 0; i < stored_; ++i) {
    const Field& field = list_[i];
    const std::string_view name =
        field.id == HeaderName::kOther ? text(field.name) : header_text(field.id);
    headers.add(field.id, name, text(field.value));
  }
}

H2Refusal H2FieldReader::take_refusal() {
  memory_.reset();
  return refusal_;
}

// RFC 9113 sections 8.3.1 and 8.5, RFC 8441 section 4.
H2Refusal H2FieldReader::check_request(const RequestHead& head, bool end) const {
  static constexpr H2Refusal kMalformed{Error::kBadHeader, true};
  if (!is_token(pseudo(kMethod))) return kMalformed;
  const bool connect = head.method == Method::kConnect;
  if (has(kProtocol) && !connect) return kMalformed;
  if (connect && !has(kProtocol)) {
    if (has(kScheme) || has(kPath) || !has(kAuthority)) return kMalformed;
    return {Error::kMethodNotAllowed, false};
  }
  const std::string_view path = pseudo(kPath);
  const bool asterisk = path == "*" && head.method == Method::kOptions;
  if (!has(kScheme) || !is_target(path) || (path[0] != '/' && !asterisk)) return kMalformed;
  if (has(kAuthority) && !is_valid_authority(pseudo(kAuthority))) return kMalformed;
  for (const Header& header : head.headers) {
    if (header.id != HeaderName::kHost) continue;
    if (!is_valid_authority(header.value())) return kMalformed;
    if (has(kAuthority) && !equals_ignoring_case(header.value(), pseudo(kAuthority)))
      return kMalformed;
  }
  if (head.method == Method::kTrace) return {Error::kMethodNotAllowed, false};
  if (!has(kAuthority) && !head.headers.has(HeaderName::kHost)) return {Error::kBadHost, false};
  const std::string_view scheme = pseudo(kScheme);
  if (scheme != "http" && scheme != "https") return {Error::kBadTarget, false};
  if (pseudo(kMethod).size() + path.size() > limits_->request_line_bytes_max)
    return {Error::kUriTooLong, false};
  if (has(kProtocol)) {
    if (!equals_ignoring_case(pseudo(kProtocol), "websocket")) return {Error::kBadUpgrade, false};
    // Bytes behind the head are the tunnel's; a length for them has no meaning (RFC 9113 8.5).
    if (head.headers.has(HeaderName::kContentLength) || end) return kMalformed;
  }
  return {};
}

H2Refusal H2FieldReader::finish_request(RequestHead& head, bool end, Random& random) {
  head.reset();
  if (refusal_) return take_refusal();
  join_cookies();
  Text key{};
  if (has(kProtocol)) {
    const auto text = make_websocket_key(random);
    key = store({text.data(), text.size()});
  }
  head.version = Version::k2;
  head.method_text = pseudo(kMethod);
  head.method = method_of(head.method_text);
  fill(head.headers);
  const Method method = head.method;
  refusal_ = check_request(head, end);
  if (refusal_) {
    head.reset();
    head.method = method;  // What it is answered with depends on it.
    return take_refusal();
  }
  head.scheme = pseudo(kScheme);
  head.authority = pseudo(kAuthority);
  head.target = pseudo(kPath);
  head.underscore_fields = underscores_;
  const Error error = complete_request_head(head, *pool_);
  if (error != Error::kNone) {
    const bool answered = error == Error::kBadTarget || error == Error::kUnknownExpectation;
    refusal_ = {error, !answered};
    head.reset();
    head.method = method;
    return take_refusal();
  }
  if (has(kProtocol)) {
    head.method = Method::kGet;
    head.method_text = "GET";
    head.upgrade = true;
    head.upgrade_protocol = "websocket";
    head.body = {};
    head.headers.set(HeaderName::kSecWebsocketKey, text(key));
  } else if (end) {
    if (head.body.kind == BodyKind::kKnown && head.body.bytes > 0) {
      refusal_ = {Error::kBadContentLength, true};
      head.reset();
      return take_refusal();
    }
    if (head.body.kind == BodyKind::kChunked) head.body = {};
    if (head.expect_continue) {  // Nothing to wait for.
      head.expect_continue = false;
      head.headers.remove(HeaderName::kExpect);
    }
  }
  head.memory = std::move(memory_);
  return {};
}

H2Refusal H2FieldReader::finish_response(ResponseHead& head) {
  head.reset();
  if (refusal_) return take_refusal();
  const std::string_view status = pseudo(kStatus);
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  // 101 has no meaning in HTTP/2 (RFC 9113 section 8.6).
  if (status.size() != 3 || !digit(status[0]) || !digit(status[1]) || !digit(status[2]) ||
      status[0] < '1' || status[0] > '5' || status == "101") {
    malformed(Error::kBadStatusLine);
    return take_refusal();
  }
  head.version = Version::k2;
  head.status =
      static_cast<uint16_t>((status[0] - '0') * 100 + (status[1] - '0') * 10 + status[2] - '0');
  fill(head.headers);
  head.memory = std::move(memory_);
  return {};
}

H2Refusal H2FieldReader::finish_trailers(HeaderList& trailers, io::Slice& memory) {
  trailers.clear();
  if (refusal_) return take_refusal();
  fill(trailers);
  trailers.remove_if(forbidden_in_trailers);
  memory = std::move(memory_);
  return {};
}

}  // namespace ringway::http
