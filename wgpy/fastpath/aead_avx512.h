/* What the files of the AVX-512 kernels share. */
#ifndef WGFP_AEAD_AVX512_H
#define WGFP_AEAD_AVX512_H

#include "aead_lanes.h"

#include <immintrin.h>

#define WGFP_TARGET_AVX512 "avx512f,avx512dq,avx512bw,avx512vl,avx512ifma,bmi2"
#define INLINE static inline __attribute__((always_inline))

enum { AVX512_MESSAGES = 8, SETS = 2 };

typedef __m512i vec;

/* What ChaCha20 begins with: rows 0 to 11 are alike in all lanes, row 13 is 0. */
struct chacha20_input {
    vec block[SETS], nonce_low[SETS], nonce_high[SETS]; /* rows 12, 14 and 15: by lane */
    vec turned[2]; /* rows 12 to 15 of four lanes each, for blocks in rows */
    uint32_t words[12];
};

/* ChaCha20's rounds: up to eight blocks in rows, a set of 16, both, or two sets. */
void wgfp_avx512_rounds_in_rows(const struct chacha20_input *input, vec rows[8]);
void wgfp_avx512_rounds_1_set(const struct chacha20_input *input, vec rows[16]);
void wgfp_avx512_rounds_1_set_and_rows(const struct chacha20_input *input, vec rows[24]);
void wgfp_avx512_rounds_2_sets(const struct chacha20_input *input, vec rows[32]);

/* And beside them as much of the next two tags as there is. */
void wgfp_avx512_rounds_2_sets_and_tags(const struct chacha20_input *input, vec rows[32], struct wgfp_aead_tags *tags);

void wgfp_avx512_mac(struct wgfp_aead_message *messages, size_t n);

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
