#include "dataplane/http/header_name.h"

#include <array>
#include <cstring>

namespace ringway::http {
namespace {

constexpr std::array kNames = {
    std::string_view("Host"),
    std::string_view("Content-Length"),
    std::string_view("Transfer-Encoding"),
    std::string_view("Connection"),
    std::string_view("Keep-Alive"),
    std::string_view("Proxy-Connection"),
    std::string_view("TE"),
    std::string_view("Trailer"),
    std::string_view("Upgrade"),
    std::string_view("Expect"),
    std::string_view("Cookie"),
    std::string_view("Set-Cookie"),
    std::string_view("Authorization"),
    std::string_view("Proxy-Authorization"),
    std::string_view("Proxy-Authenticate"),
    std::string_view("Accept"),
    std::string_view("Accept-Encoding"),
    std::string_view("User-Agent"),
    std::string_view("Content-Type"),
    std::string_view("Content-Encoding"),
    std::string_view("Date"),
    std::string_view("Server"),
    std::string_view("Location"),
    std::string_view("Retry-After"),
    std::string_view("Cache-Control"),
    std::string_view("Vary"),
    std::string_view("ETag"),
    std::string_view("Last-Modified"),
    std::string_view("Referer"),
    std::string_view("Origin"),
    std::string_view("X-Forwarded-For"),
    std::string_view("X-Forwarded-Proto"),
    std::string_view("X-Forwarded-Host"),
    std::string_view("X-Forwarded-Port"),
    std::string_view("X-Forwarded-Scheme"),
    std::string_view("X-Forwarded-Prefix"),
    std::string_view("X-Real-IP"),
    std::string_view("X-Request-ID"),
    std::string_view("X-Scheme"),
    std::string_view("X-Original-URI"),
    std::string_view("Forwarded"),
    std::string_view("Via"),
    std::string_view("Strict-Transport-Security"),
    std::string_view("X-Content-Type-Options"),
    std::string_view("HTTP2-Settings"),
    std::string_view("Sec-WebSocket-Key"),
    std::string_view("Sec-WebSocket-Accept"),
    std::string_view("Sec-WebSocket-Version"),
    std::string_view("Sec-WebSocket-Protocol"),
    std::string_view("Grpc-Status"),
    std::string_view("Grpc-Timeout"),
    std::string_view("Allow"),
};
static_assert(kNames.size() == static_cast<size_t>(HeaderName::kAllow) + 1);

constexpr size_t kLongest = 25;  // Strict-Transport-Security
constexpr size_t kSlots = 512;

// Letters of either case fall together; that other bytes may too does not matter: the comparison
// decides.
constexpr uint32_t fold(char c) { return static_cast<uint8_t>(c) | 0x20u; }

constexpr uint32_t hash(std::string_view name, uint32_t seed) {
  const size_t size = name.size();
  const uint32_t key = fold(name[0]) | fold(name[size / 2]) << 8 | fold(name[size - 1]) << 16 |
                       (fold(name[size - (size < 4 ? size : 4)]) ^ static_cast<uint32_t>(size * 7))
                           << 24;
  return (key * seed) >> 23;
}

struct Table {
  uint32_t seed = 0;
  std::array<uint8_t, kSlots> slots{};
};

// The first odd multiplier under which no two names share a slot.
constexpr Table make_table() {
  for (uint32_t seed = 0x9E3779B1u;; seed += 2) {
    Table table;
    table.seed = seed;
    for (uint8_t& slot : table.slots) slot = static_cast<uint8_t>(HeaderName::kOther);
    bool unique = true;
    for (size_t i = 0; i < kNames.size() && unique; ++i) {
      uint8_t& slot = table.slots[hash(kNames[i], seed)];
      unique = slot == static_cast<uint8_t>(HeaderName::kOther);
      slot = static_cast<uint8_t>(i);
    }
    if (unique) return table;
  }
}
constexpr Table kTable = make_table();

// Lower-case spellings, padded so that whole words can be read.
struct Folded {
  char text[32];
};
constexpr std::array<Folded, kNames.size()> make_folded() {
  std::array<Folded, kNames.size()> folded{};
  for (size_t i = 0; i < kNames.size(); ++i) {
    for (size_t j = 0; j < kNames[i].size(); ++j) {
      const char c = kNames[i][j];
      folded[i].text[j] = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    }
  }
  return folded;
}
constexpr std::array<Folded, kNames.size()> kFolded = make_folded();

template <typename Word>
Word load(const char* at) {
  Word word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

// Every byte 'A'..'Z' of `word` to lower case, all others as they are.
template <typename Word>
constexpr Word to_lower(Word word) {
  constexpr Word kOnes = static_cast<Word>(~Word{0}) / 255;
  const Word low_bits = word & (kOnes * 0x7F);
  const Word from_a = low_bits + kOnes * (0x80 - 'A');
  const Word beyond_z = low_bits + kOnes * (0x80 - 'Z' - 1);
  const Word is_upper = from_a & ~beyond_z & ~word & (kOnes * 0x80);
  return word | (is_upper >> 2);
}

bool equals_folded(const char* name, const char* folded, size_t size) {
  if (size >= 8) {
    for (size_t i = 0; i + 8 < size; i += 8) {
      if (to_lower(load<uint64_t>(name + i)) != load<uint64_t>(folded + i)) return false;
    }
    return to_lower(load<uint64_t>(name + size - 8)) == load<uint64_t>(folded + size - 8);
  }
  if (size >= 4) {
    return to_lower(load<uint32_t>(name)) == load<uint32_t>(folded) &&
           to_lower(load<uint32_t>(name + size - 4)) == load<uint32_t>(folded + size - 4);
  }
  for (size_t i = 0; i < size; ++i) {
    if (to_lower<uint32_t>(static_cast<uint8_t>(name[i])) != static_cast<uint8_t>(folded[i]))
      return false;
  }
  return true;
}

}  // namespace

std::string_view header_text(HeaderName id) {
  return id == HeaderName::kOther ? std::string_view() : kNames[static_cast<size_t>(id)];
}

HeaderName header_name_of(std::string_view name) {
  if (name.empty() || name.size() > kLongest) return HeaderName::kOther;
  const uint8_t slot = kTable.slots[hash(name, kTable.seed)];
  if (slot == static_cast<uint8_t>(HeaderName::kOther) || kNames[slot].size() != name.size() ||
      !equals_folded(name.data(), kFolded[slot].text, name.size())) {
    return HeaderName::kOther;
  }
  return static_cast<HeaderName>(slot);
}

}  // namespace ringway::http
