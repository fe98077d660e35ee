#include "dataplane/net/proxy_protocol.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>

#include "base/check.h"
#include "dataplane/net/address.h"

namespace ringway::net {
namespace {

// Section 2.2: the block no other protocol begins with.
constexpr std::array<unsigned char, 12> kSignature{0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D,
                                                   0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A};
constexpr size_t kV2HeadBytes = 16;
constexpr std::string_view kV1Start = "PROXY ";
constexpr unsigned char kCommandLocal = 0x20, kCommandProxy = 0x21;
constexpr unsigned char kTcp4 = 0x11, kTcp6 = 0x21;
constexpr size_t kTcp4Bytes = 12, kTcp6Bytes = 36;

// The next word of a line whose words are separated by one space; false when there is none.
bool next_word(std::string_view& line, std::string_view& word) {
  if (line.empty()) return false;
  const size_t space = line.find(' ');
  word = line.substr(0, space);
  line = space == std::string_view::npos ? std::string_view() : line.substr(space + 1);
  return !word.empty();
}

// Decimal without sign or leading zeros, as section 2.1 wants it.
std::optional<uint16_t> parse_port(std::string_view word) {
  if (word.empty() || word.size() > 5 || (word.size() > 1 && word[0] == '0')) return std::nullopt;
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size() || value > 65535)
    return std::nullopt;
  return static_cast<uint16_t>(value);
}

bool parse_v1_address(std::string_view word, int family, uint16_t port, io::SocketAddress& out) {
  // Bare numbers only: no brackets, no scope.
  if (word.find_first_of("[]%") != std::string_view::npos) return false;
  return parse_ip(word, port, out) && out.family() == family;
}

ProxyParse parse_v1_line(std::string_view line, ProxyHeader& out) {
  std::string_view word;
  if (!next_word(line, word)) return ProxyParse::kMalformed;
  if (word == "UNKNOWN") return ProxyParse::kLocal;  // The receiver ignores the rest of the line.
  const int family = word == "TCP4" ? AF_INET : word == "TCP6" ? AF_INET6 : AF_UNSPEC;
  if (family == AF_UNSPEC) return ProxyParse::kMalformed;
  if (line.ends_with(' ')) return ProxyParse::kMalformed;
  std::array<std::string_view, 4> words;
  for (std::string_view& at : words) {
    if (!next_word(line, at)) return ProxyParse::kMalformed;
  }
  const auto source_port = parse_port(words[2]);
  const auto destination_port = parse_port(words[3]);
  if (!line.empty() || !source_port || !destination_port) return ProxyParse::kMalformed;
  if (!parse_v1_address(words[0], family, *source_port, out.source) ||
      !parse_v1_address(words[1], family, *destination_port, out.destination)) {
    return ProxyParse::kMalformed;
  }
  return ProxyParse::kAddresses;
}

ProxyParse parse_v1(std::string_view text, ProxyHeader& out) {
  const std::string_view start = text.substr(0, kV1Start.size());
  if (start != kV1Start.substr(0, start.size())) return ProxyParse::kMalformed;
  const std::string_view window = text.substr(0, kProxyV1BytesMax);
  const size_t end = window.find("\r\n");
  if (end == std::string_view::npos) {
    // A line feed alone, or a NUL, never becomes a line.
    if (window.find('\n') != std::string_view::npos || window.find('\0') != std::string_view::npos)
      return ProxyParse::kMalformed;
    return text.size() < kProxyV1BytesMax ? ProxyParse::kIncomplete : ProxyParse::kMalformed;
  }
  const std::string_view line = window.substr(0, end);
  if (line.size() < kV1Start.size()) return ProxyParse::kMalformed;
  if (line.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos)
    return ProxyParse::kMalformed;
  out.bytes = end + 2;
  return parse_v1_line(line.substr(kV1Start.size()), out);
}

void read_v4(const unsigned char* address, const unsigned char* port, io::SocketAddress& out) {
  out = io::SocketAddress();
  out.v4.sin_family = AF_INET;
  std::memcpy(&out.v4.sin_addr, address, 4);
  std::memcpy(&out.v4.sin_port, port, 2);
  out.length = sizeof out.v4;
}

void read_v6(const unsigned char* address, const unsigned char* port, io::SocketAddress& out) {
  out = io::SocketAddress();
  out.v6.sin6_family = AF_INET6;
  std::memcpy(&out.v6.sin6_addr, address, 16);
  std::memcpy(&out.v6.sin6_port, port, 2);
  out.length = sizeof out.v6;
}

ProxyParse parse_v2(std::span<const std::byte> bytes, ProxyHeader& out) {
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  if (std::memcmp(data, kSignature.data(), std::min(bytes.size(), kSignature.size())) != 0)
    return ProxyParse::kMalformed;
  if (bytes.size() < kV2HeadBytes) return ProxyParse::kIncomplete;
  const unsigned char command = data[12];
  const unsigned char family = data[13];
  const size_t length = size_t{data[14]} << 8 | data[15];
  if (command != kCommandLocal && command != kCommandProxy) return ProxyParse::kMalformed;
  if (kV2HeadBytes + length > kProxyV2BytesMax) return ProxyParse::kMalformed;
  const bool v4 = family == kTcp4;
  const bool v6 = family == kTcp6;
  if (command == kCommandProxy && ((v4 && length < kTcp4Bytes) || (v6 && length < kTcp6Bytes)))
    return ProxyParse::kMalformed;
  if (bytes.size() < kV2HeadBytes + length) return ProxyParse::kIncomplete;
  out.bytes = kV2HeadBytes + length;
  // LOCAL: the balancer's own connection, a health check. Other families (UNSPEC, datagrams, Unix):
  // valid, and nothing that could be believed about a TCP client.
  if (command == kCommandLocal || (!v4 && !v6)) return ProxyParse::kLocal;
  const unsigned char* at = data + kV2HeadBytes;
  if (v4) {
    read_v4(at, at + 8, out.source);
    read_v4(at + 4, at + 10, out.destination);
  } else {
    read_v6(at, at + 32, out.source);
    read_v6(at + 16, at + 34, out.destination);
  }
  return ProxyParse::kAddresses;
}

// IPv4 mapped into IPv6 as IPv4.
io::SocketAddress unmapped(const io::SocketAddress& address) {
  if (address.family() != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&address.v6.sin6_addr)) return address;
  io::SocketAddress out;
  out.v4.sin_family = AF_INET;
  std::memcpy(&out.v4.sin_addr, &address.v6.sin6_addr.s6_addr[12], 4);
  out.v4.sin_port = address.v6.sin6_port;
  out.length = sizeof out.v4;
  return out;
}

// The pair in one family; a destination that is not known takes the form of "any" in the source's.
bool same_family(const io::SocketAddress& source, io::SocketAddress& destination) {
  if (source.family() != AF_INET && source.family() != AF_INET6) return false;
  if (source.family() == destination.family()) return true;
  const uint16_t port = port_of(destination);
  if (destination.family() != AF_UNSPEC && !is_unspecified(destination)) return false;
  return parse_ip(source.family() == AF_INET ? "0.0.0.0" : "::", port, destination);
}

size_t write_v1(const io::SocketAddress& source, const io::SocketAddress& destination, bool known,
                char* out) {
  constexpr std::string_view kUnknown = "PROXY UNKNOWN\r\n";
  if (!known) return kUnknown.copy(out, kUnknown.size());
  char* at = out;
  const auto put = [&at](std::string_view text) { at += text.copy(at, text.size()); };
  std::array<char, kIpTextMax> text{};
  const void* raw[] = {&source.v4.sin_addr, &destination.v4.sin_addr};
  if (source.family() == AF_INET6) {
    raw[0] = &source.v6.sin6_addr;
    raw[1] = &destination.v6.sin6_addr;
  }
  put(source.family() == AF_INET ? "PROXY TCP4" : "PROXY TCP6");
  for (const void* address : raw) {
    put(" ");
    put(inet_ntop(source.family(), address, text.data(), text.size()));
  }
  for (const io::SocketAddress* address : {&source, &destination}) {
    put(" ");
    at = std::to_chars(at, at + 5, port_of(*address)).ptr;
  }
  put("\r\n");
  return static_cast<size_t>(at - out);
}

size_t write_v2(const io::SocketAddress& source, const io::SocketAddress& destination, bool known,
                unsigned char* out) {
  std::memcpy(out, kSignature.data(), kSignature.size());
  out[12] = known ? kCommandProxy : kCommandLocal;
  const bool v4 = known && source.family() == AF_INET;
  out[13] = !known ? 0 : v4 ? kTcp4 : kTcp6;
  out[14] = 0;
  out[15] = static_cast<unsigned char>(!known ? 0 : v4 ? kTcp4Bytes : kTcp6Bytes);
  unsigned char* at = out + kV2HeadBytes;
  if (v4) {
    std::memcpy(at, &source.v4.sin_addr, 4);
    std::memcpy(at + 4, &destination.v4.sin_addr, 4);
    std::memcpy(at + 8, &source.v4.sin_port, 2);
    std::memcpy(at + 10, &destination.v4.sin_port, 2);
  } else if (known) {
    std::memcpy(at, &source.v6.sin6_addr, 16);
    std::memcpy(at + 16, &destination.v6.sin6_addr, 16);
    std::memcpy(at + 32, &source.v6.sin6_port, 2);
    std::memcpy(at + 34, &destination.v6.sin6_port, 2);
  }
  return kV2HeadBytes + out[15];
}

}  // namespace

ProxyParse parse_proxy_header(std::span<const std::byte> bytes, ProxyHeader& out) {
  out = ProxyHeader();
  if (bytes.empty()) return ProxyParse::kIncomplete;
  if (static_cast<unsigned char>(bytes[0]) == kSignature[0]) return parse_v2(bytes, out);
  return parse_v1({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, out);
}

size_t write_proxy_header(ProxyVersion version, const io::SocketAddress& source,
                          const io::SocketAddress& destination, std::span<std::byte> out) {
  CHECK(version != ProxyVersion::kNone && out.size() >= kProxyWriteBytesMax);
  const io::SocketAddress from = unmapped(source);
  io::SocketAddress to = unmapped(destination);
  const bool known = same_family(from, to);
  if (version == ProxyVersion::kV1)
    return write_v1(from, to, known, reinterpret_cast<char*>(out.data()));
  return write_v2(from, to, known, reinterpret_cast<unsigned char*>(out.data()));
}

}  // namespace ringway::net
