/* What the two files of the AVX2 kernel share. */
#ifndef WGFP_AEAD_AVX2_H
#define WGFP_AEAD_AVX2_H

#include "aead_lanes.h"

#include <immintrin.h>

#define WGFP_TARGET_AVX2 "avx2,bmi2"
#define INLINE static inline __attribute__((always_inline))

enum { AVX2_MESSAGES = 4 };

void wgfp_avx2_mac(struct wgfp_aead_message *messages, size_t n);

typedef __m256i vec;

WGFP_TARGET_BEGIN(WGFP_TARGET_AVX2)

INLINE vec load(const void *memory)
{
    return _mm256_loadu_si256(memory);
}

INLINE void store(void *memory, vec v)
{
    _mm256_storeu_si256(memory, v);
}

WGFP_TARGET_END

#endif
