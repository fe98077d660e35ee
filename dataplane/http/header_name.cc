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

// What same_folded() stands on.
constexpr bool only_letters_have_bit_6() {
  for (const Folded& name : kFolded) {
    for (const char c : name.text) {
      if ((c & 0x40) != 0 && (c < 'a' || c > 'z')) return false;
    }
  }
  return true;
}
static_assert(only_letters_have_bit_6());

template <typename Word>
Word load(const char* at) {
  Word word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

// True when `word` is `folded` but for the case of letters. In a folded name only letters have bit
// 0x40 (see kFolded), and only letters become a lower-case letter by setting bit 0x20.
template <typename Word>
constexpr bool same_folded(Word word, Word folded) {
  constexpr Word kLetter = static_cast<Word>(static_cast<Word>(~Word{0}) / 255 * 0x40);
  return static_cast<Word>(word | ((folded & kLetter) >> 1)) == folded;
}

bool equals_folded(const char* name, const char* folded, size_t size) {
  const auto same = [=]<typename Word>(Word, size_t at) {
    return same_folded(load<Word>(name + at), load<Word>(folded + at));
  };
  if (size >= 8) {
    for (size_t i = 0; i + 8 < size; i += 8) {
      if (!same(uint64_t{}, i)) return false;
    }
    return same(uint64_t{}, size - 8);
  }
  if (size >= 4) return same(uint32_t{}, 0) && same(uint32_t{}, size - 4);
  for (size_t i = 0; i < size; ++i) {
    if (!same(uint8_t{}, i)) return false;
  }
  return true;
}

}  // namespace

std::string_view header_text(HeaderName id) {
  return id == HeaderName::kOther ? std::string_view() : kNames[static_cast<size_t>(id)];
}

std::string_view header_text_lower(HeaderName id) {
  if (id == HeaderName::kOther) return {};
  return {kFolded[static_cast<size_t>(id)].text, kNames[static_cast<size_t>(id)].size()};
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
