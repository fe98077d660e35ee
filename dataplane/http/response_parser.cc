#include "dataplane/http/response_parser.h"

#include <algorithm>

#include "dataplane/http/connection_options.h"
#include "dataplane/http/text.h"

namespace ringway::http {
namespace {

constexpr std::string_view kStart = "HTTP/1.";
constexpr size_t kFixedBytes = 12;  // "HTTP/1.1 200"

// A status line without its CRLF: "HTTP/1.1 200 reason"; many servers leave the last space out when
// there is no reason.
bool read_status_line(std::string_view line, ResponseHead& head) {
  if (line.size() < kFixedBytes || !line.starts_with(kStart) || line[8] != ' ') return false;
  if (line[7] != '1' && line[7] != '0') return false;
  uint16_t status = 0;
  for (size_t i = 9; i < kFixedBytes; ++i) {
    if (line[i] < '0' || line[i] > '9') return false;
    status = static_cast<uint16_t>(status * 10 + (line[i] - '0'));
  }
  if (status < 100 || status > 599) return false;
  if (line.size() > kFixedBytes && line[kFixedBytes] != ' ') return false;
  head.version = line[7] == '1' ? Version::k11 : Version::k10;
  head.status = status;
  head.reason = line.size() > kFixedBytes ? line.substr(kFixedBytes + 1) : std::string_view();
  return true;
}

[[gnu::cold]] ParseResult judge_status_line(std::string_view bytes, const Limits& limits) {
  if (bytes.empty()) return {ParseStatus::kIncomplete};
  if (bytes[0] != 'H') return {ParseStatus::kError, Error::kBadStatusLine};
  const size_t lf = bytes.find('\n');
  if (std::min(lf, bytes.size()) > size_t{limits.request_line_bytes_max} + 1) {
    return {ParseStatus::kError, Error::kBadStatusLine};
  }
  if (lf == std::string_view::npos) return {ParseStatus::kIncomplete};
  return {ParseStatus::kError, Error::kBadStatusLine};
}

template <typename Scan>
ParseResult parse(std::string_view bytes, const Limits& limits, HeadProgress& progress,
                  ResponseHead& head) {
  if (!progress.first_line_done) {
    const char* const begin = bytes.data();
    const char* const end = begin + bytes.size();
    const char* const line_end = Scan::value_end(begin, end);
    if (end - line_end < 2 || line_end[0] != '\r' || line_end[1] != '\n' ||
        static_cast<size_t>(line_end - begin) > limits.request_line_bytes_max ||
        !read_status_line({begin, static_cast<size_t>(line_end - begin)}, head)) {
      return judge_status_line(bytes, limits);
    }
    progress.line_start = static_cast<uint32_t>(line_end + 2 - begin);
    progress.first_line_done = true;
  }
  const FieldRules rules{.bytes_max = limits.headers_bytes_max,
                         .line_bytes_max = limits.header_bytes_max,
                         .fields_max = limits.headers_max,
                         .malformed = Error::kBadResponse,
                         .drop_underscores = false,
                         .reject_underscores = false};
  uint16_t dropped = 0;
  return parse_fields<Scan>(bytes, rules, progress, head.headers, dropped);
}

}  // namespace

ParseResult parse_response_head(std::string_view bytes, const Limits& limits,
                                HeadProgress& progress, ResponseHead& head, ScanKind scan) {
  return scan == ScanKind::kVector ? parse<VectorScan>(bytes, limits, progress, head)
                                   : parse<PortableScan>(bytes, limits, progress, head);
}

std::expected<ResponseFraming, Error> complete_response_head(ResponseHead& head,
                                                             Method request_method) {
  const auto framing =
      response_body_length(request_method, head.status, head.version, head.headers);
  if (!framing) return framing;
  head.body = framing->length;
  const ConnectionOptions options = connection_options(head.headers);
  if (options.too_many) return std::unexpected(Error::kBadResponse);
  head.keep_alive =
      head.version == Version::k11 ? !options.close : options.keep_alive && !options.close;
  if (head.body.kind == BodyKind::kUntilClose && !framing->empty) head.keep_alive = false;
  return framing;
}

}  // namespace ringway::http
