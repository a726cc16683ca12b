/* What the two files of the AVX-512 kernel share. */
#ifndef WGFP_AEAD_AVX512_H
#define WGFP_AEAD_AVX512_H

#include "aead_lanes.h"

#include <immintrin.h>

#define WGFP_TARGET_AVX512 "avx512f,avx512dq,avx512bw,avx512vl,avx512ifma,bmi2"
#define INLINE static inline __attribute__((always_inline))

enum { AVX512_MESSAGES = 8 };

void wgfp_avx512_mac(struct wgfp_aead_message *messages, size_t n);

typedef __m512i vec;

WGFP_TARGET_BEGIN(WGFP_TARGET_AVX512)

/* Quarters of 128 bits of four vectors to quarters of one vector each. */
INLINE void transpose_quarters(vec out[4], vec a, vec b, vec c, vec d)
{
    const vec e = _mm512_shuffle_i64x2(a, b, 0x44), f = _mm512_shuffle_i64x2(a, b, 0xee);
    const vec g = _mm512_shuffle_i64x2(c, d, 0x44), h = _mm512_shuffle_i64x2(c, d, 0xee);

    out[0] = _mm512_shuffle_i64x2(e, g, 0x88);
    out[1] = _mm512_shuffle_i64x2(e, g, 0xdd);
    out[2] = _mm512_shuffle_i64x2(f, h, 0x88);
    out[3] = _mm512_shuffle_i64x2(f, h, 0xdd);
}

WGFP_TARGET_END

#endif
