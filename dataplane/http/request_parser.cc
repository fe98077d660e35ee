#include "dataplane/http/request_parser.h"

#include <algorithm>
#include <cstring>

#include "dataplane/http/text.h"

namespace ringway::http {
namespace {

struct RequestLine {
  std::string_view method;
  std::string_view target;
  Version version;
};

// "HTTP/" DIGIT "." DIGIT (RFC 9112 section 2.3). kNone for the two versions of this syntax.
Error version_of(std::string_view text, Version& version) {
  if (text == "HTTP/1.1") {
    version = Version::k11;
    return Error::kNone;
  }
  if (text == "HTTP/1.0") {
    version = Version::k10;
    return Error::kNone;
  }
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (text.size() != 8 || !text.starts_with("HTTP/") || !digit(text[5]) || text[6] != '.' ||
      !digit(text[7])) {
    return Error::kBadVersion;
  }
  return Error::kUnsupportedVersion;
}

// What is wrong with a request line that is there in whole, without its CRLF; looked at from left
// to right.
[[gnu::cold]] Error request_line_error(std::string_view line) {
  const size_t first_space = line.find(' ');
  if (first_space == std::string_view::npos) return Error::kBadRequestLine;
  if (!is_token(line.substr(0, first_space))) return Error::kBadMethod;
  line.remove_prefix(first_space + 1);
  const size_t second_space = line.find(' ');
  if (second_space == std::string_view::npos) return Error::kBadRequestLine;  // HTTP/0.9
  const std::string_view target = line.substr(0, second_space);
  const char* const target_end = target.data() + target.size();
  if (target.empty() || PortableScan::target_end(target.data(), target_end) != target_end)
    return Error::kBadTarget;
  Version version;
  const Error error = version_of(line.substr(second_space + 1), version);
  return error == Error::kNone ? Error::kBadRequestLine : error;
}

[[gnu::cold]] ParseResult judge_request_line(std::string_view bytes, const Limits& limits) {
  if (bytes.empty()) return {ParseStatus::kIncomplete};
  // Told at the first byte, so that TLS on a plaintext port need not wait for a line end. CR may
  // begin an empty line.
  if (!is_token_char(bytes[0]) && bytes != "\r")
    return {ParseStatus::kError, Error::kBadRequestLine};
  const size_t lf = bytes.find('\n');
  const size_t length = std::min(lf, bytes.size());
  if (length > size_t{limits.request_line_bytes_max} + 1)
    return {ParseStatus::kError, Error::kUriTooLong};
  if (lf == std::string_view::npos) return {ParseStatus::kIncomplete};
  if (lf == 0 || bytes[lf - 1] != '\r') return {ParseStatus::kError, Error::kBadRequestLine};
  return {ParseStatus::kError, request_line_error(bytes.substr(0, lf - 1))};
}

template <typename Scan>
ParseResult parse_request_line(std::string_view bytes, const Limits& limits, HeadProgress& progress,
                               RequestHead& head) {
  const char* const begin = bytes.data();
  const char* const end = begin + bytes.size();
  const char* p = begin;
  while (p != end && is_token_char(*p)) ++p;
  if (p == begin || p == end || *p != ' ') return judge_request_line(bytes, limits);
  const std::string_view method(begin, static_cast<size_t>(p - begin));
  const char* const target = ++p;
  p = Scan::target_end(p, end);
  constexpr size_t kRest = std::char_traits<char>::length(" HTTP/1.1\r\n");
  if (p == target || static_cast<size_t>(end - p) < kRest || std::memcmp(p, " HTTP/1.", 8) != 0 ||
      (p[8] != '1' && p[8] != '0') || p[9] != '\r' || p[10] != '\n') {
    return judge_request_line(bytes, limits);
  }
  const char* const next = p + kRest;
  if (static_cast<size_t>(next - begin) > size_t{limits.request_line_bytes_max} + 2) {
    return {ParseStatus::kError, Error::kUriTooLong};
  }
  head.method_text = method;
  head.method = method_of(method);
  head.target = {target, static_cast<size_t>(p - target)};
  head.version = p[8] == '1' ? Version::k11 : Version::k10;
  progress.line_start = static_cast<uint32_t>(next - begin);
  progress.first_line_done = true;
  return {ParseStatus::kComplete};
}

template <typename Scan>
ParseResult parse(std::string_view bytes, const Limits& limits, HeadProgress& progress,
                  RequestHead& head) {
  if (!progress.first_line_done) {
    const ParseResult line = parse_request_line<Scan>(bytes, limits, progress, head);
    if (line.status != ParseStatus::kComplete) return line;
    // CONNECT makes a tunnel out of a proxy and TRACE echoes credentials: neither is for a reverse
    // proxy (RFC 9110 section 9.3).
    if (head.method == Method::kConnect || head.method == Method::kTrace) {
      return {ParseStatus::kError, Error::kMethodNotAllowed};
    }
  }
  const FieldRules rules{.bytes_max = limits.headers_bytes_max,
                         .line_bytes_max = limits.header_bytes_max,
                         .fields_max = limits.headers_max,
                         .malformed = Error::kBadHeader,
                         .drop_underscores = true,
                         .reject_underscores = limits.reject_underscores};
  return parse_fields<Scan>(bytes, rules, progress, head.headers, head.underscore_fields);
}

}  // namespace

ParseResult parse_request_head(std::string_view bytes, const Limits& limits, HeadProgress& progress,
                               RequestHead& head, ScanKind scan) {
  return scan == ScanKind::kVector ? parse<VectorScan>(bytes, limits, progress, head)
                                   : parse<PortableScan>(bytes, limits, progress, head);
}

}  // namespace ringway::http
