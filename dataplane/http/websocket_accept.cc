#include "dataplane/http/websocket_accept.h"

#include <bit>
#include <cstdint>
#include <cstring>

namespace ringway::http {
namespace {

constexpr std::string_view kGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

// FIPS 180-4 section 6.1, fed byte by byte: handshakes are rare.
class Sha1 {
 public:
  void add(std::string_view text) {
    for (const char c : text) add(static_cast<uint8_t>(c));
  }
  std::array<uint8_t, 20> end() {
    const uint64_t bits = bytes_ * 8;
    add(uint8_t{0x80});
    while (bytes_ % 64 != 56) add(uint8_t{0});
    for (int shift = 56; shift >= 0; shift -= 8) add(static_cast<uint8_t>(bits >> shift));
    std::array<uint8_t, 20> digest;
    for (size_t i = 0; i < digest.size(); ++i)
      digest[i] = static_cast<uint8_t>(state_[i / 4] >> (24 - i % 4 * 8));
    return digest;
  }

 private:
  void add(uint8_t byte) {
    block_[bytes_++ % 64] = byte;
    if (bytes_ % 64 == 0) mix();
  }

  void mix() {
    uint32_t words[80];
    for (size_t i = 0; i < 16; ++i) {
      words[i] = uint32_t{block_[i * 4]} << 24 | uint32_t{block_[i * 4 + 1]} << 16 |
                 uint32_t{block_[i * 4 + 2]} << 8 | block_[i * 4 + 3];
    }
    for (size_t i = 16; i < 80; ++i) {
      words[i] = std::rotl(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
    }
    auto [a, b, c, d, e] = state_;
    for (size_t i = 0; i < 80; ++i) {
      const uint32_t f = i < 20   ? ((b & c) | (~b & d)) + 0x5A827999u
                         : i < 40 ? (b ^ c ^ d) + 0x6ED9EBA1u
                         : i < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8F1BBCDCu
                                  : (b ^ c ^ d) + 0xCA62C1D6u;
      const uint32_t next = std::rotl(a, 5) + f + e + words[i];
      e = d;
      d = c;
      c = std::rotl(b, 30);
      b = a;
      a = next;
    }
    const uint32_t mixed[] = {a, b, c, d, e};
    for (size_t i = 0; i < state_.size(); ++i) state_[i] += mixed[i];
  }

  std::array<uint32_t, 5> state_ = {0x67452301u, 0xEFCDAB89u, 0x98BADCFEu, 0x10325476u,
                                    0xC3D2E1F0u};
  std::array<uint8_t, 64> block_;
  uint64_t bytes_ = 0;
};

}  // namespace

WebsocketAccept websocket_accept(std::string_view key) {
  Sha1 sha;
  sha.add(key);
  sha.add(kGuid);
  const std::array<uint8_t, 20> digest = sha.end();
  constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  WebsocketAccept text;
  for (size_t i = 0; i < 7; ++i) {  // 20 bytes: six groups of three, then two.
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j)
      group = group << 8 | (i * 3 + j < digest.size() ? digest[i * 3 + j] : 0u);
    for (size_t j = 0; j < 4; ++j) text[i * 4 + j] = kAlphabet[group >> (18 - 6 * j) & 63];
  }
  text[27] = '=';
  return text;
}

}  // namespace ringway::http
