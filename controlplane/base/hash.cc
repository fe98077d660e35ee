#include "controlplane/base/hash.h"

namespace ringway {
namespace {

uint64_t mix(
    uint64_t z) {  // The finaliser of splitmix64: every input bit reaches every output bit.
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

uint64_t load(const char* from, size_t count) {
  uint64_t word = 0;
  for (size_t i = 0; i < count; ++i) {  // Byte by byte: equal on either endianness.
    word |= uint64_t{static_cast<unsigned char>(from[i])} << (8 * i);
  }
  return word;
}

}  // namespace

uint64_t content_hash(std::string_view bytes) {
  uint64_t hash = mix(bytes.size() + 0x9E3779B97F4A7C15u);
  size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) hash = mix(hash ^ load(bytes.data() + at, 8));
  if (at < bytes.size()) hash = mix(hash ^ load(bytes.data() + at, bytes.size() - at));
  return hash == 0 ? 1 : hash;
}

}  // namespace ringway
