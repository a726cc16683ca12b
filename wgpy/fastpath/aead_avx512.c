/* ChaCha20-Poly1305 for x86-64 with AVX-512 (F, DQ, BW, VL) and IFMA: ChaCha20, and the two kernels.
 *
 * One block a lane, 16 lanes a vector, two sets of 16 at once, for one alone waits for its own results; up to eight
 * blocks in rows, alone or beside one set. One of the kernels makes tags beside two sets.
 */
#include "aead_kernel.h"

#if defined(WGFP_AEAD_X86)

#include "aead_avx512.h"
#include "clear.h"
#include "cpu_x86.h"

#include <string.h>

WGFP_TARGET_BEGIN(WGFP_TARGET_AVX512)

enum { LANES = 16, BLOCKS_IN_ROWS = 8 };

/* Four rows to four words of each lane: part p (128 bits) of out[j] are rows 0 to 3 of lane 4 p + j. */
INLINE void transpose_4(vec out[4], vec r0, vec r1, vec r2, vec r3)
{
    const vec a = _mm512_unpacklo_epi32(r0, r1), b = _mm512_unpackhi_epi32(r0, r1);
    const vec c = _mm512_unpacklo_epi32(r2, r3), d = _mm512_unpackhi_epi32(r2, r3);

    out[0] = _mm512_unpacklo_epi64(a, c);
    out[1] = _mm512_unpackhi_epi64(a, c);
    out[2] = _mm512_unpacklo_epi64(b, d);
    out[3] = _mm512_unpackhi_epi64(b, d);
}

/* Write the blocks of lanes j, 4 + j, 8 + j and 12 + j: each has a quarter in every argument. */
INLINE void blocks_write(uint8_t *blocks, int j, vec words_0, vec words_4, vec words_8, vec words_12)
{
    const vec a = _mm512_shuffle_i32x4(words_0, words_4, 0x44), b = _mm512_shuffle_i32x4(words_0, words_4, 0xee);
    const vec c = _mm512_shuffle_i32x4(words_8, words_12, 0x44), d = _mm512_shuffle_i32x4(words_8, words_12, 0xee);

    _mm512_store_si512(blocks + 64 * j, _mm512_shuffle_i32x4(a, c, 0x88));
    _mm512_store_si512(blocks + 64 * (4 + j), _mm512_shuffle_i32x4(a, c, 0xdd));
    _mm512_store_si512(blocks + 64 * (8 + j), _mm512_shuffle_i32x4(b, d, 0x88));
    _mm512_store_si512(blocks + 64 * (12 + j), _mm512_shuffle_i32x4(b, d, 0xdd));
}

/* After the rounds: add the input, and bring each lane's words together. */
INLINE void set_finish(const struct chacha20_input *input, int set, const vec rows[16], uint8_t *blocks)
{
    vec q0[4], q4[4], q8[4], q12[4];

#define ROW(n) _mm512_add_epi32(rows[n], _mm512_set1_epi32((int)input->words[n]))
    transpose_4(q0, ROW(0), ROW(1), ROW(2), ROW(3));
    transpose_4(q4, ROW(4), ROW(5), ROW(6), ROW(7));
    transpose_4(q8, ROW(8), ROW(9), ROW(10), ROW(11));
#undef ROW
    transpose_4(q12, _mm512_add_epi32(rows[12], input->block[set]), rows[13],
                _mm512_add_epi32(rows[14], input->nonce_low[set]), _mm512_add_epi32(rows[15], input->nonce_high[set]));
    blocks_write(blocks, 0, q0[0], q4[0], q8[0], q12[0]);
    blocks_write(blocks, 1, q0[1], q4[1], q8[1], q12[1]);
    blocks_write(blocks, 2, q0[2], q4[2], q8[2], q12[2]);
    blocks_write(blocks, 3, q0[3], q4[3], q8[3], q12[3]);
}

/* For the first eight lanes of a set: bring each lane's words 12 to 15 together. */
INLINE void rows_begin(struct chacha20_input *input, int set)
{
#define HALF(rows) _mm512_castsi512_si256(input->rows[set])
    const __m256i block = HALF(block), low = HALF(nonce_low), high = HALF(nonce_high), zero = _mm256_setzero_si256();
#undef HALF
    const __m256i b0 = _mm256_unpacklo_epi32(block, zero), b1 = _mm256_unpackhi_epi32(block, zero);
    const __m256i n0 = _mm256_unpacklo_epi32(low, high), n1 = _mm256_unpackhi_epi32(low, high);
    const __m256i p0 = _mm256_unpacklo_epi64(b0, n0), p1 = _mm256_unpackhi_epi64(b0, n0); /* lanes 0, 4 and 1, 5 */
    const __m256i p2 = _mm256_unpacklo_epi64(b1, n1), p3 = _mm256_unpackhi_epi64(b1, n1); /* lanes 2, 6 and 3, 7 */
    const __m256i q0 = _mm256_permute2x128_si256(p0, p1, 0x20), q1 = _mm256_permute2x128_si256(p2, p3, 0x20);
    const __m256i q2 = _mm256_permute2x128_si256(p0, p1, 0x31), q3 = _mm256_permute2x128_si256(p2, p3, 0x31);

    input->turned[0] = _mm512_inserti64x4(_mm512_castsi256_si512(q0), q1, 1);
    input->turned[1] = _mm512_inserti64x4(_mm512_castsi256_si512(q2), q3, 1);
}

/* After the rounds: add the input, and write the blocks where their rows are. */
INLINE void rows_finish(const struct chacha20_input *input, uint8_t *blocks)
{
#define WORDS(n) _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)(input->words + (n))))
    const vec a = WORDS(0), b = WORDS(4), c = WORDS(8);
#undef WORDS

    for (int half = 0; half < 2; half++, blocks += 256) {
        const vec *rows = (const vec *)(const void *)blocks;
        vec out[4];

        transpose_quarters(out, _mm512_add_epi32(rows[0], a), _mm512_add_epi32(rows[1], b),
                           _mm512_add_epi32(rows[2], c), _mm512_add_epi32(rows[3], input->turned[half]));
        for (int i = 0; i < 4; i++)
            _mm512_store_si512(blocks + 64 * i, out[i]);
    }
}

/* Each run's position goes into its first lane and all behind it; the next run overwrites those. */
INLINE uint32_t lanes_assign(struct chacha20_input *input, const struct wgfp_aead_run *runs, size_t n)
{
    const vec numbers = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const vec zero = _mm512_setzero_si512();
    vec block_0 = zero, block_1 = zero, low_0 = zero, low_1 = zero, high_0 = zero, high_1 = zero;
    uint32_t lane = 0;

    for (size_t i = 0; i < n; i++) {
        const uint32_t from = ~(uint32_t)0 << lane;
        const __mmask16 m0 = (__mmask16)from, m1 = (__mmask16)(from >> 16);
        const vec first = _mm512_set1_epi32((int)(runs[i].first - lane));
        const int low = (int)(uint32_t)runs[i].counter, high = (int)(uint32_t)(runs[i].counter >> 32);

        block_0 = _mm512_mask_add_epi32(block_0, m0, first, numbers);
        block_1 = _mm512_mask_add_epi32(block_1, m1, first, _mm512_add_epi32(numbers, _mm512_set1_epi32(LANES)));
        low_0 = _mm512_mask_set1_epi32(low_0, m0, low);
        low_1 = _mm512_mask_set1_epi32(low_1, m1, low);
        high_0 = _mm512_mask_set1_epi32(high_0, m0, high);
        high_1 = _mm512_mask_set1_epi32(high_1, m1, high);
        lane += runs[i].blocks;
    }
    input->block[0] = block_0;
    input->block[1] = block_1;
    input->nonce_low[0] = low_0;
    input->nonce_low[1] = low_1;
    input->nonce_high[0] = high_0;
    input->nonce_high[1] = high_1;
    return lane;
}

/* tags: NULL if none are made beside. */
INLINE void stream(const uint8_t key[WGFP_KEY_SIZE], const struct wgfp_aead_run *runs, size_t n, uint8_t *blocks,
                   struct wgfp_aead_tags *tags)
{
    struct chacha20_input input;
    vec *rows = (vec *)(void *)blocks;
    const uint32_t lanes = lanes_assign(&input, runs, n);

    memcpy(input.words, wgfp_sigma, sizeof wgfp_sigma);
    memcpy(input.words + 4, key, WGFP_KEY_SIZE);
    if (lanes <= BLOCKS_IN_ROWS) {
        rows_begin(&input, 0);
        wgfp_avx512_rounds_in_rows(&input, rows);
        rows_finish(&input, blocks);
    } else if (lanes <= LANES) {
        wgfp_avx512_rounds_1_set(&input, rows);
        set_finish(&input, 0, rows, blocks);
    } else if (lanes <= LANES + BLOCKS_IN_ROWS) {
        rows_begin(&input, 1);
        wgfp_avx512_rounds_1_set_and_rows(&input, rows);
        set_finish(&input, 0, rows, blocks);
        rows_finish(&input, blocks + LANES * WGFP_BLOCK_SIZE);
    } else {
        if (tags != NULL)
            wgfp_avx512_rounds_2_sets_and_tags(&input, rows, tags);
        else
            wgfp_avx512_rounds_2_sets(&input, rows);
        set_finish(&input, 0, rows, blocks);
        set_finish(&input, 1, rows + 16, blocks + LANES * WGFP_BLOCK_SIZE);
    }
    wgfp_clear(input.words, sizeof input.words);
}

static void stream_alone(const uint8_t key[WGFP_KEY_SIZE], const struct wgfp_aead_run *runs, size_t n, uint8_t *blocks,
                         struct wgfp_aead_tags *tags)
{
    (void)tags;
    stream(key, runs, n, blocks, NULL);
}

static void stream_and_tags(const uint8_t key[WGFP_KEY_SIZE], const struct wgfp_aead_run *runs, size_t n,
                            uint8_t *blocks, struct wgfp_aead_tags *tags)
{
    stream(key, runs, n, blocks, tags);
}

INLINE vec xored(const uint8_t *src, const uint8_t *blocks)
{
    return _mm512_xor_si512(_mm512_loadu_si512(src), _mm512_loadu_si512(blocks));
}

static void xor(uint8_t *dst, const uint8_t *src, const uint8_t *blocks, size_t length)
{
    if (length < 64) {
        const __mmask64 some = _bzhi_u64(~0ull, (unsigned)length);
        const vec text = _mm512_maskz_loadu_epi8(some, src);

        _mm512_mask_storeu_epi8(dst, some, _mm512_xor_si512(text, _mm512_load_si512(blocks)));
        return;
    }
    /* The first and the last 64 bytes overlap with the others. What stands between begins where dst is aligned, for a
     * store that is in two lines of the cache takes two. */
    const vec first = xored(src, blocks), last = xored(src + length - 64, blocks + length - 64);
    for (size_t at = -(uintptr_t)dst & 63; at + 64 <= length; at += 64)
        _mm512_store_si512(dst + at, xored(src + at, blocks + at));
    _mm512_storeu_si512(dst, first);
    _mm512_storeu_si512(dst + length - 64, last);
}

WGFP_TARGET_END

static bool supported(void)
{
    const uint32_t features =
        bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL | bit_AVX512IFMA | bit_BMI2;

    return wgfp_cpu_has(features, WGFP_CPU_ZMM);
}

const struct wgfp_aead_kernel wgfp_aead_avx512 = {
    .name = "avx512",
    .messages = AVX512_MESSAGES,
    .blocks = WGFP_STREAM_BLOCKS,
    .supported = supported,
    .stream = stream_alone,
    .xor = xor,
    .mac = wgfp_avx512_mac,
};

const struct wgfp_aead_kernel wgfp_aead_avx512_beside = {
    .name = "avx512-beside",
    .messages = AVX512_MESSAGES,
    .blocks = WGFP_STREAM_BLOCKS,
    .waiting = 4,
    .supported = supported,
    .suits = wgfp_cpu_is_amd,
    .stream = stream_and_tags,
    .xor = xor,
    .mac = wgfp_avx512_mac,
};

#endif
