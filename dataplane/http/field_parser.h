// The field lines of a head or of a trailer section: "name: value CRLF" up to the empty line (RFC
// 9112 section 5).
//
// A line is judged only when its LF is there or when it is longer than allowed, and lines are
// judged in order. So the verdict on a message does not depend on how it was cut into pieces.
#pragma once

#include <cstring>

#include "dataplane/http/message.h"
#include "dataplane/http/scan.h"

namespace ringway::http {

enum class ParseStatus : uint8_t { kComplete, kIncomplete, kError };

struct ParseResult {
  ParseStatus status;
  Error error = Error::kNone;  // kError only.
  uint32_t bytes = 0;          // kComplete: the length of the head, its empty line included.
};

// Where to go on when more bytes have come behind the same ones, at the same address.
struct HeadProgress {
  uint32_t line_start = 0;       // The first line that is not judged yet.
  uint32_t field_bytes = 0;      // Field lines so far, CRLF included.
  uint16_t fields = 0;           // Field lines so far, dropped ones included.
  bool first_line_done = false;  // Request line or status line.
};

struct FieldRules {
  uint32_t bytes_max;
  uint32_t line_bytes_max;
  uint16_t fields_max;
  Error malformed;  // What a malformed line is.
  bool drop_underscores;
  bool reject_underscores;
};

namespace field_parser {

// What a line that is not a well-formed field line (yet) means. `line` <= end.
inline ParseResult judge(const char* line, const char* end, const FieldRules& rules,
                         const HeadProgress& progress) {
  const auto available = static_cast<size_t>(end - line);
  const auto* lf =
      available == 0 ? nullptr : static_cast<const char*>(std::memchr(line, '\n', available));
  const size_t length = lf == nullptr ? available : static_cast<size_t>(lf - line);  // With CR.
  if (length > size_t{rules.line_bytes_max} + 1 ||
      progress.field_bytes + length + 1 > size_t{rules.bytes_max} + 2) {
    return {ParseStatus::kError, Error::kHeadersTooLarge};
  }
  if (lf == nullptr) return {ParseStatus::kIncomplete};
  return {ParseStatus::kError, rules.malformed};
}

}  // namespace field_parser

// Parses from progress.line_start. `dropped` counts the fields left out for an underscore.
template <typename Scan>
ParseResult parse_fields(std::string_view bytes, const FieldRules& rules, HeadProgress& progress,
                         HeaderList& fields, uint16_t& dropped) {
  const char* const begin = bytes.data();
  const char* const end = begin + bytes.size();
  const char* line = begin + progress.line_start;
  HeadProgress at = progress;  // A copy that nothing else points to stays in registers.
  const auto stop = [&](const ParseResult& result) {
    at.line_start = static_cast<uint32_t>(line - begin);
    progress = at;
    return result;
  };
  while (true) {
    if (end - line >= 2 && line[0] == '\r' && line[1] == '\n') {
      return stop({ParseStatus::kComplete, Error::kNone, static_cast<uint32_t>(line + 2 - begin)});
    }
    bool underscore = false;
    const char* const name_end = Scan::name_end(line, end, underscore);
    if (name_end == end || *name_end != ':' || name_end == line) {
      return stop(field_parser::judge(line, end, rules, at));
    }
    const char* value = name_end + 1;
    while (value != end && (*value == ' ' || *value == '\t')) ++value;
    const char* value_end = Scan::value_end(value, end);
    if (end - value_end < 2 || value_end[0] != '\r' || value_end[1] != '\n') {
      return stop(field_parser::judge(line, end, rules, at));
    }
    const char* const next = value_end + 2;
    while (value_end != value && (value_end[-1] == ' ' || value_end[-1] == '\t')) --value_end;

    const auto line_bytes = static_cast<uint32_t>(next - line);
    const auto name_bytes = static_cast<size_t>(name_end - line);
    if (line_bytes > rules.line_bytes_max + 2 || at.field_bytes + line_bytes > rules.bytes_max ||
        at.fields == rules.fields_max || name_bytes > UINT16_MAX) {
      return stop({ParseStatus::kError, Error::kHeadersTooLarge});
    }
    const std::string_view name(line, name_bytes);
    if (underscore && rules.reject_underscores)
      return stop({ParseStatus::kError, Error::kUnderscoreHeader});
    if (underscore && rules.drop_underscores) {
      ++dropped;
    } else if (!fields.add(header_name_of(name), name,
                           {value, static_cast<size_t>(value_end - value)})) {
      return stop({ParseStatus::kError, Error::kHeadersTooLarge});
    }
    at.field_bytes += line_bytes;
    ++at.fields;
    line = next;
  }
}

}  // namespace ringway::http
