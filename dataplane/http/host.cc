#include "dataplane/http/host.h"

#include <array>
#include <cstdint>

#include "dataplane/http/text.h"

namespace ringway::http {
namespace {

constexpr std::array<bool, 256> make_name_chars() {
  std::array<bool, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[c] = true;
  for (int c = 'a'; c <= 'z'; ++c) table[c] = table[c - 32] = true;
  for (const char c : std::string_view("-._~")) table[static_cast<uint8_t>(c)] = true;
  return table;
}
constexpr std::array<bool, 256> kNameChars = make_name_chars();

bool is_port(std::string_view port) {
  uint32_t number = 0;
  if (port.size() > 5) return false;
  for (const char c : port) {
    if (c < '0' || c > '9') return false;
    number = number * 10 + static_cast<uint32_t>(c - '0');
  }
  return number <= 65535;  // An empty port is allowed: RFC 3986 section 3.2.3.
}

bool is_ip_literal(std::string_view inner) {
  bool colon = false;
  for (const char c : inner) {
    if (c == ':') {
      colon = true;
    } else if (c != '.' && hex_digit(c) < 0) {
      return false;
    }
  }
  return colon && inner.size() <= 45;
}

}  // namespace

bool is_valid_authority(std::string_view authority) {
  if (authority.starts_with('[')) {
    const size_t close = authority.find(']');
    if (close == std::string_view::npos || !is_ip_literal(authority.substr(1, close - 1)))
      return false;
    authority.remove_prefix(close + 1);
    return authority.empty() || (authority[0] == ':' && is_port(authority.substr(1)));
  }
  size_t name = 0;
  while (name < authority.size() && kNameChars[static_cast<uint8_t>(authority[name])]) ++name;
  if (name == 0) return false;
  if (name == authority.size()) return true;
  return authority[name] == ':' && is_port(authority.substr(name + 1));
}

}  // namespace ringway::http
