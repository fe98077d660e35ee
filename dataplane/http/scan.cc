#include "dataplane/http/scan.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace ringway::http {
namespace {

[[gnu::target("avx2")]] const char* value_end_avx2(const char* p, const char* end) {
  const __m256i highest_control = _mm256_set1_epi8(0x1F);
  while (end - p >= 32) {
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    const __m256i control =
        _mm256_andnot_si256(_mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('\t')),
                            _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, highest_control), bytes));
    const auto stop = static_cast<uint32_t>(_mm256_movemask_epi8(
        _mm256_or_si256(control, _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(0x7F)))));
    if (stop != 0) return p + std::countr_zero(stop);
    p += 32;
  }
  return PortableScan::value_end(p, end);
}

const char* value_end_sse2(const char* p, const char* end) {
  const __m128i highest_control = _mm_set1_epi8(0x1F);
  while (end - p >= 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i control =
        _mm_andnot_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t')),
                         _mm_cmpeq_epi8(_mm_min_epu8(bytes, highest_control), bytes));
    const auto stop = static_cast<uint32_t>(
        _mm_movemask_epi8(_mm_or_si128(control, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7F)))));
    if (stop != 0) return p + std::countr_zero(stop);
    p += 16;
  }
  return PortableScan::value_end(p, end);
}

}  // namespace

const char* (*const long_value_end)(const char*, const char*) = __builtin_cpu_supports("avx2")
                                                                    ? value_end_avx2
                                                                    : value_end_sse2;

}  // namespace ringway::http
#endif
