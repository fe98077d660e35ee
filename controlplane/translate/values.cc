#include "controlplane/translate/values.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "controlplane/model/manifest.h"
#include "controlplane/model/problem.h"

namespace ringway::translate {
namespace {

using model::quote;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_alnum(char c) { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

std::unexpected<std::string> refuse(std::string_view text, std::string_view expected) {
  return std::unexpected("must be " + std::string(expected) + ", is " + quote(text));
}

// The characters of a URI (RFC 3986 §2) without "$" and "'", and "%" only before two hex digits.
bool all_uri_characters(std::string_view text) {
  constexpr std::string_view kMarks = "-._~:/?#[]@!&()*+,;=";
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      const auto is_hex = [](char c) {
        return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'f');
      };
      if (i + 2 >= text.size() || !is_hex(text[i + 1]) || !is_hex(text[i + 2])) return false;
    } else if (!is_alnum(text[i]) && kMarks.find(text[i]) == std::string_view::npos) {
      return false;
    }
  }
  return true;
}

std::expected<uint64_t, bool> parse_digits(std::string_view text) {
  uint64_t value = 0;
  const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || at != text.data() + text.size()) {
    return std::unexpected(false);
  }
  return value;
}

constexpr size_t kUrlBytesMax = 2048;

}  // namespace

Value<bool> parse_bool(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return refuse(text, "\"true\" or \"false\"");
}

Value<uint32_t> parse_duration_ms(std::string_view text) {
  constexpr std::string_view kExpected =
      "a time above 0, in seconds or with a unit (\"60\", \"60s\", \"500ms\", \"5m\", \"1h\")";
  struct Unit {
    std::string_view name;
    uint64_t ms;
  };
  constexpr Unit kUnits[] = {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"", 1000}};
  constexpr uint64_t kMsMax = std::numeric_limits<int32_t>::max();  // 24 days.
  for (const Unit& unit : kUnits) {
    if (!text.ends_with(unit.name)) continue;
    const auto count = parse_digits(text.substr(0, text.size() - unit.name.size()));
    if (!count || *count == 0 || *count > kMsMax / unit.ms) return refuse(text, kExpected);
    return static_cast<uint32_t>(*count * unit.ms);
  }
  return refuse(text, kExpected);
}

Value<uint64_t> parse_bytes(std::string_view text) {
  constexpr std::string_view kExpected =
      "a size (\"8m\", \"512k\", \"1g\", \"1048576\"; \"0\" = no limit)";
  std::string_view digits = text;
  uint64_t unit = 1;
  if (!text.empty() && !is_digit(text.back())) {
    switch (text.back() | 32) {
      case 'b':
        break;
      case 'k':
        unit = 1u << 10;
        break;
      case 'm':
        unit = 1u << 20;
        break;
      case 'g':
        unit = 1u << 30;
        break;
      default:
        return refuse(text, kExpected);
    }
    digits.remove_suffix(1);
  }
  const auto count = parse_digits(digits);
  // Far below 2^64, so that sums of sizes cannot wrap.
  if (!count || *count > (uint64_t{1} << 50) / unit) return refuse(text, kExpected);
  return *count * unit;
}

Value<uint32_t> parse_number(std::string_view text, uint32_t min, uint32_t max) {
  const auto value = parse_digits(text);
  if (!value || *value < min || *value > max) {
    return refuse(text, "a number from " + std::to_string(min) + " to " + std::to_string(max));
  }
  return static_cast<uint32_t>(*value);
}

Value<std::string> parse_location(std::string_view text) {
  constexpr std::string_view kExpected =
      "an absolute http or https URL or a path, without variables, quotes and spaces";
  std::string_view rest = text;
  if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
  } else if (rest.starts_with("https://")) {
    rest.remove_prefix(8);
  } else if (!rest.starts_with('/') || rest.starts_with("//")) {
    return refuse(text, kExpected);
  }
  const bool authority = rest.size() != text.size();
  const bool empty = rest.empty() || (authority && !is_alnum(rest.front()) && rest.front() != '[');
  if (empty || text.size() > kUrlBytesMax || !all_uri_characters(text))
    return refuse(text, kExpected);
  return std::string(text);
}

Value<std::string> parse_rewrite(std::string_view text) {
  constexpr std::string_view kExpected =
      "a path that begins with \"/\" and refers to captures by $1 to $9 only";
  if (!text.starts_with('/') || text.starts_with("//") || text.size() > kUrlBytesMax) {
    return refuse(text, kExpected);
  }
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '$') {
      plain += text[i];
    } else if (i + 1 == text.size() || text[i + 1] < '1' || text[i + 1] > '9') {
      return refuse(text, kExpected);
    } else {
      ++i;
    }
  }
  if (!all_uri_characters(plain) || plain.find('#') != std::string::npos) {
    return refuse(text, kExpected);
  }
  return std::string(text);
}

Value<std::string> parse_target(std::string_view text) {
  const bool good = text.starts_with('/') && text.size() <= kUrlBytesMax &&
                    all_uri_characters(text) && text.find('#') == std::string_view::npos;
  if (!good) return refuse(text, "a path that begins with \"/\", without variables and spaces");
  return std::string(text);
}

Value<std::string> parse_host_header(std::string_view text) {
  constexpr std::string_view kMarks = "-._:[]";
  const bool good = !text.empty() && text.size() <= 255 && std::ranges::all_of(text, [&](char c) {
    return is_alnum(c) || kMarks.find(c) != std::string_view::npos;
  });
  if (!good) return refuse(text, "a host name with an optional port");
  return std::string(text);
}

Value<void> parse_status_ranges(std::string_view text, v1::HttpCheck& check) {
  constexpr std::string_view kExpected = "status codes from 100 to 599 such as \"200,204,300-399\"";
  std::string_view rest = text;
  while (true) {
    const std::string_view part = rest.substr(0, rest.find(','));
    const size_t dash = std::min(part.find('-'), part.size());
    const auto first = parse_number(part.substr(0, dash), 100, 599);
    const auto last = dash == part.size() ? first : parse_number(part.substr(dash + 1), 100, 599);
    if (!first || !last || *first > *last || check.expected_size() == 32) {
      return refuse(text, kExpected);
    }
    v1::StatusRange& range = *check.add_expected();
    range.set_first(*first);
    range.set_last(*last);
    if (part.size() == rest.size()) return {};
    rest.remove_prefix(part.size() + 1);
  }
}

bool valid_host(std::string_view host) {
  if (host.starts_with("*.")) host.remove_prefix(2);
  if (!model::valid_name(host)) return false;
  size_t at = 0;
  bool numeric =
      true;  // The last label; a host that ends in a number is an IPv4 address (WHATWG URL §3.5).
  while (at <= host.size()) {
    const size_t end = std::min(host.find('.', at), host.size());
    const std::string_view label = host.substr(at, end - at);
    if (label.size() > 63 || label.ends_with('-')) return false;
    numeric = std::ranges::all_of(label, is_digit);
    at = end + 1;
  }
  return !numeric;
}

Value<void> check_path(std::string_view path) {
  if (!path.starts_with('/')) return refuse(path, "an absolute path");
  for (const std::string_view part : {"//", "/./", "/../", "%2f", "%2F"}) {
    if (path.find(part) != std::string_view::npos) {
      return std::unexpected("must not contain " + quote(part) + ", is " + quote(path));
    }
  }
  for (const std::string_view end : {"/..", "/."}) {
    if (path.ends_with(end)) {
      return std::unexpected("must not end with " + quote(end) + ", is " + quote(path));
    }
  }
  const bool printable = std::ranges::all_of(path, [](char c) { return c > 0x20 && c != 0x7F; });
  if (!printable || path.size() > kUrlBytesMax) {
    return refuse(path, "printable ASCII of at most 2048 bytes");
  }
  return {};
}

std::string canonical_escapes(std::string_view path) {
  std::string out;
  for (size_t i = 0; i < path.size(); ++i) {
    unsigned value = 0;
    const std::string_view digits = path.substr(i, 3);
    const bool escape =
        digits.size() == 3 && digits[0] == '%' &&
        std::from_chars(digits.data() + 1, digits.data() + 3, value, 16).ptr == digits.data() + 3;
    if (!escape) {
      out += path[i];
      continue;
    }
    const char c = static_cast<char>(value);
    if (value < 0x80 && (is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~')) {
      out += c;
    } else {
      constexpr std::string_view kHex = "0123456789ABCDEF";
      out += {'%', kHex[value >> 4], kHex[value & 15]};
    }
    i += 2;
  }
  return out;
}

int highest_capture(std::string_view rewrite) {
  int highest = 0;
  for (size_t i = 0; i + 1 < rewrite.size(); ++i) {
    if (rewrite[i] == '$') highest = std::max(highest, rewrite[i + 1] - '0');
  }
  return highest;
}

std::string without_captures_above(std::string_view rewrite, int captures) {
  std::string out;
  for (size_t i = 0; i < rewrite.size(); ++i) {
    if (rewrite[i] == '$' && i + 1 < rewrite.size() && rewrite[i + 1] - '0' > captures) {
      ++i;
    } else {
      out += rewrite[i];
    }
  }
  return out;
}

}  // namespace ringway::translate
