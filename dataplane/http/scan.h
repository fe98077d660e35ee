// The three scans a head parser spends its time in. Two twins with equal results: portable (a
// table), and SSE2 with AVX2 for long runs where the processor has it (asked once at start).
//
// None reads at or beyond `end`. Each returns where it stopped: at the first byte outside its
// class, or `end`.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "dataplane/http/text.h"

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

namespace ringway::http {

enum class ScanKind : uint8_t { kPortable, kVector };
constexpr bool has_vector_scan() {
#if defined(__x86_64__)
  return true;
#else
  return false;
#endif
}

namespace scan_tables {

enum : uint8_t { kName = 1, kUnderscore = 2, kTarget = 4, kValue = 8 };

constexpr std::array<uint8_t, 256> make_classes() {
  std::array<uint8_t, 256> classes{};
  for (int c = 0; c < 256; ++c) {
    if (is_token_char(static_cast<char>(c))) classes[c] |= kName;
    if (c > 0x20 && c < 0x7F) classes[c] |= kTarget;
    // field-vchar, obs-text, SP and HTAB (RFC 9110 section 5.5).
    if ((c >= 0x20 && c != 0x7F) || c == '\t') classes[c] |= kValue;
  }
  classes['_'] |= kUnderscore;
  return classes;
}
inline constexpr std::array<uint8_t, 256> kClasses = make_classes();

}  // namespace scan_tables

struct PortableScan {
  // tchar*. Sets `underscore` when a '_' was among them.
  static const char* name_end(const char* p, const char* end, bool& underscore) {
    uint8_t seen = 0;
    for (; p != end; ++p) {
      const uint8_t classes = scan_tables::kClasses[static_cast<uint8_t>(*p)];
      if ((classes & scan_tables::kName) == 0) break;
      seen |= classes;
    }
    underscore = (seen & scan_tables::kUnderscore) != 0;
    return p;
  }
  // Bytes 0x21..0x7E.
  static const char* target_end(const char* p, const char* end) {
    while (p != end &&
           (scan_tables::kClasses[static_cast<uint8_t>(*p)] & scan_tables::kTarget) != 0)
      ++p;
    return p;
  }
  // Bytes of a field value: all but controls; tab is allowed.
  static const char* value_end(const char* p, const char* end) {
    while (p != end && (scan_tables::kClasses[static_cast<uint8_t>(*p)] & scan_tables::kValue) != 0)
      ++p;
    return p;
  }
};

#if defined(__x86_64__)
// value_end for the rest of a long value; AVX2 when the processor has it.
extern const char* (*const long_value_end)(const char* p, const char* end);

struct VectorScan {
  static const char* name_end(const char* p, const char* end, bool& underscore) {
    while (end - p >= 16) {
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
      const __m128i folded = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
      const __m128i common =
          _mm_or_si128(_mm_or_si128(in_range(folded, 'a', 'z' - 'a'), in_range(bytes, '0', 9)),
                       _mm_cmpeq_epi8(bytes, _mm_set1_epi8('-')));
      const auto stop = static_cast<uint32_t>(_mm_movemask_epi8(common)) ^ 0xFFFFu;
      if (stop != 0) {
        p += std::countr_zero(stop);
        if (*p == ':') [[likely]] {
          underscore = false;
          return p;
        }
        break;  // A rarer tchar or the end of the name: the table decides.
      }
      p += 16;
    }
    return PortableScan::name_end(p, end, underscore);
  }

  static const char* target_end(const char* p, const char* end) {
    while (end - p >= 16) {
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
      // Signed: bytes above 0x7F are negative, so one comparison refuses them together with
      // controls and SP.
      const __m128i visible = _mm_andnot_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7F)),
                                               _mm_cmpgt_epi8(bytes, _mm_set1_epi8(0x20)));
      const auto stop = static_cast<uint32_t>(_mm_movemask_epi8(visible)) ^ 0xFFFFu;
      if (stop != 0) return p + std::countr_zero(stop);
      p += 16;
    }
    return PortableScan::target_end(p, end);
  }

  static const char* value_end(const char* p, const char* end) {
    for (int i = 0; i < 2; ++i) {
      if (end - p < 16) return PortableScan::value_end(p, end);
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
      const __m128i control =
          _mm_andnot_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t')), in_range(bytes, 0, 0x1F));
      const auto stop = static_cast<uint32_t>(
          _mm_movemask_epi8(_mm_or_si128(control, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7F)))));
      if (stop != 0) return p + std::countr_zero(stop);
      p += 16;
    }
    return long_value_end(p, end);
  }

 private:
  static __m128i in_range(__m128i bytes, int first, int span) {
    const __m128i moved = _mm_sub_epi8(bytes, _mm_set1_epi8(static_cast<char>(first)));
    return _mm_cmpeq_epi8(_mm_min_epu8(moved, _mm_set1_epi8(static_cast<char>(span))), moved);
  }
};
#else
using VectorScan = PortableScan;
#endif

}  // namespace ringway::http
