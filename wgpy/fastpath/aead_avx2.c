/* ChaCha20-Poly1305 for x86-64 with AVX2.
 *
 * ChaCha20: one block a lane, 8 lanes a vector. Poly1305: one message a lane, 4 lanes a vector; fewer messages are
 * cut into segments.
 */
#include "aead_lanes.h"

#if defined(WGFP_AEAD_X86)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif

#include "clear.h"

#include <immintrin.h>
#include <stdalign.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

typedef __m256i vec;

INLINE vec load(const void *memory)
{
    return _mm256_loadu_si256(memory);
}

INLINE void store(void *memory, vec v)
{
    _mm256_storeu_si256(memory, v);
}

/* ChaCha20 ------------------------------------------------------------------------------------- */

enum { LANES = 8 };

/* Rows 12, 14 and 15 of all blocks, for as many sets of lanes as it takes; a run is written a vector at a time. */
struct positions {
    alignas(32) uint32_t block[WGFP_STREAM_BLOCKS + LANES];
    alignas(32) uint32_t nonce_low[WGFP_STREAM_BLOCKS + LANES];
    alignas(32) uint32_t nonce_high[WGFP_STREAM_BLOCKS + LANES];
};

static uint32_t positions_set(struct positions *positions, const struct wgfp_aead_run *runs, size_t n)
{
    const vec numbers = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    uint32_t lane = 0;

    for (size_t i = 0; i < n; i++) {
        const vec low = _mm256_set1_epi32((int)(uint32_t)runs[i].counter);
        const vec high = _mm256_set1_epi32((int)(uint32_t)(runs[i].counter >> 32));
        vec block = _mm256_add_epi32(_mm256_set1_epi32((int)runs[i].first), numbers);

        for (uint32_t j = 0; j < runs[i].blocks; j += LANES) {
            store(positions->block + lane + j, block);
            store(positions->nonce_low + lane + j, low);
            store(positions->nonce_high + lane + j, high);
            block = _mm256_add_epi32(block, _mm256_set1_epi32(LANES));
        }
        lane += runs[i].blocks;
    }
    return lane;
}

#define ADD(a, b) a = _mm256_add_epi32(a, b)
#define XOR_SHUFFLE(d, a, how) d = _mm256_shuffle_epi8(_mm256_xor_si256(d, a), how)
#define XOR_ROTATE(b, c, bits) \
    b = _mm256_xor_si256(b, c), b = _mm256_or_si256(_mm256_slli_epi32(b, bits), _mm256_srli_epi32(b, 32 - (bits)))

/* Two quarter rounds side by side. Not four: the 16 registers hold rows a, b and d, and half of c. */
#define TWO_QUARTERS(a0, b0, c0, d0, a1, b1, c1, d1) \
    ADD(a0, b0), ADD(a1, b1), XOR_SHUFFLE(d0, a0, left_16), XOR_SHUFFLE(d1, a1, left_16); \
    ADD(c0, d0), ADD(c1, d1), XOR_ROTATE(b0, c0, 12), XOR_ROTATE(b1, c1, 12); \
    ADD(a0, b0), ADD(a1, b1), XOR_SHUFFLE(d0, a0, left_8), XOR_SHUFFLE(d1, a1, left_8); \
    ADD(c0, d0), ADD(c1, d1), XOR_ROTATE(b0, c0, 7), XOR_ROTATE(b1, c1, 7);

/* Four rows to four words of each lane: half p (128 bits) of row j are then these words of lane 4 p + j. */
#define TRANSPOSE_4(r0, r1, r2, r3) \
    do { \
        const vec a_ = _mm256_unpacklo_epi32(r0, r1), b_ = _mm256_unpackhi_epi32(r0, r1); \
        const vec c_ = _mm256_unpacklo_epi32(r2, r3), d_ = _mm256_unpackhi_epi32(r2, r3); \
        r0 = _mm256_unpacklo_epi64(a_, c_); \
        r1 = _mm256_unpackhi_epi64(a_, c_); \
        r2 = _mm256_unpacklo_epi64(b_, d_); \
        r3 = _mm256_unpackhi_epi64(b_, d_); \
    } while (0)

/* Write the blocks of lanes j and 4 + j: each has a quarter in every argument. */
INLINE void blocks_write(uint8_t *blocks, int j, vec words_0, vec words_4, vec words_8, vec words_12)
{
    store(blocks + 64 * j, _mm256_permute2x128_si256(words_0, words_4, 0x20));
    store(blocks + 64 * j + 32, _mm256_permute2x128_si256(words_8, words_12, 0x20));
    store(blocks + 64 * (4 + j), _mm256_permute2x128_si256(words_0, words_4, 0x31));
    store(blocks + 64 * (4 + j) + 32, _mm256_permute2x128_si256(words_8, words_12, 0x31));
}

static void set_stream(const uint32_t words[12], const struct positions *positions, uint32_t lane, uint8_t *blocks)
{
    const vec left_16 = _mm256_set_epi8(13, 12, 15, 14, 9, 8, 11, 10, 5, 4, 7, 6, 1, 0, 3, 2, 13, 12, 15, 14, 9, 8, 11,
                                        10, 5, 4, 7, 6, 1, 0, 3, 2);
    const vec left_8 = _mm256_set_epi8(14, 13, 12, 15, 10, 9, 8, 11, 6, 5, 4, 7, 2, 1, 0, 3, 14, 13, 12, 15, 10, 9, 8,
                                       11, 6, 5, 4, 7, 2, 1, 0, 3);
#define WORD(n) _mm256_set1_epi32((int)words[n])
    vec x0 = WORD(0), x1 = WORD(1), x2 = WORD(2), x3 = WORD(3), x4 = WORD(4), x5 = WORD(5);
    vec x6 = WORD(6), x7 = WORD(7), x8 = WORD(8), x9 = WORD(9), x10 = WORD(10), x11 = WORD(11);
    vec x12 = load(positions->block + lane), x13 = _mm256_setzero_si256();
    vec x14 = load(positions->nonce_low + lane), x15 = load(positions->nonce_high + lane);

    for (int round = 0; round < 20; round += 2) {
        TWO_QUARTERS(x0, x4, x8, x12, x1, x5, x9, x13)
        TWO_QUARTERS(x2, x6, x10, x14, x3, x7, x11, x15)
        TWO_QUARTERS(x0, x5, x10, x15, x1, x6, x11, x12)
        TWO_QUARTERS(x2, x7, x8, x13, x3, x4, x9, x14)
    }
    ADD(x0, WORD(0)), ADD(x1, WORD(1)), ADD(x2, WORD(2)), ADD(x3, WORD(3));
    TRANSPOSE_4(x0, x1, x2, x3);
    ADD(x4, WORD(4)), ADD(x5, WORD(5)), ADD(x6, WORD(6)), ADD(x7, WORD(7));
    TRANSPOSE_4(x4, x5, x6, x7);
    ADD(x8, WORD(8)), ADD(x9, WORD(9)), ADD(x10, WORD(10)), ADD(x11, WORD(11));
    TRANSPOSE_4(x8, x9, x10, x11);
    ADD(x12, load(positions->block + lane));
    ADD(x14, load(positions->nonce_low + lane)), ADD(x15, load(positions->nonce_high + lane));
    TRANSPOSE_4(x12, x13, x14, x15);
    blocks_write(blocks, 0, x0, x4, x8, x12);
    blocks_write(blocks, 1, x1, x5, x9, x13);
    blocks_write(blocks, 2, x2, x6, x10, x14);
    blocks_write(blocks, 3, x3, x7, x11, x15);
#undef WORD
}

static void stream(const uint8_t key[WGFP_KEY_SIZE], const struct wgfp_aead_run *runs, size_t n, uint8_t *blocks)
{
    struct positions positions;
    const uint32_t lanes = positions_set(&positions, runs, n);
    uint32_t words[12];

    memcpy(words, wgfp_sigma, sizeof wgfp_sigma);
    memcpy(words + 4, key, WGFP_KEY_SIZE);
    for (uint32_t lane = 0; lane < lanes; lane += LANES)
        set_stream(words, &positions, lane, blocks + lane * WGFP_BLOCK_SIZE);
    wgfp_clear(words, sizeof words);
}

static void xor(uint8_t *dst, const uint8_t *src, const uint8_t *blocks, size_t length)
{
    uint8_t rest[32];
    size_t at = 0;

    for (; at + 32 <= length; at += 32)
        store(dst + at, _mm256_xor_si256(load(src + at), load(blocks + at)));
    if (at < length) {
        memcpy(rest, src + at, length - at);
        store(rest, _mm256_xor_si256(load(rest), load(blocks + at)));
        memcpy(dst + at, rest, length - at);
        wgfp_clear(rest, sizeof rest);
    }
}

/* Poly1305 ------------------------------------------------------------------------------------- *
 *
 * Numbers modulo 2^130 - 5 are five limbs of 26 bits, a little more between carries: vpmuludq multiplies 32 by 32
 * bits. A step is h = (h + m0) r^4 + m1 r^3 + m2 r^2 + m3 r, in every lane, so one carry does for four blocks.
 */

enum { MESSAGES = 4 };

struct limbs {
    vec v0, v1, v2, v3, v4;
};

/* A factor, and 5 times its upper limbs: 2^130 is 5. */
struct factor {
    vec r0, r1, r2, r3, r4, r1_5, r2_5, r3_5, r4_5;
};

struct poly1305 {
    struct factor r4, r3, r2, r1; /* powers of r */
    struct limbs h;
};

#define ADD64(a, b) _mm256_add_epi64(a, b)
#define AND(a, b) _mm256_and_si256(a, b)
#define OR(a, b) _mm256_or_si256(a, b)
#define LEFT(a, bits) _mm256_slli_epi64(a, bits)
#define RIGHT(a, bits) _mm256_srli_epi64(a, bits)
#define MASK_26 _mm256_set1_epi64x(0x3ffffff)
#define BIT_128 _mm256_set1_epi64x(1 << 24) /* in limb 4 */

INLINE vec times_5(vec a)
{
    return ADD64(a, LEFT(a, 2));
}

INLINE struct factor factor_of(struct limbs a)
{
    return (struct factor){a.v0,          a.v1,          a.v2,          a.v3,         a.v4,
                           times_5(a.v1), times_5(a.v2), times_5(a.v3), times_5(a.v4)};
}

INLINE struct limbs limbs_add(struct limbs a, struct limbs b)
{
    return (struct limbs){ADD64(a.v0, b.v0), ADD64(a.v1, b.v1), ADD64(a.v2, b.v2), ADD64(a.v3, b.v3),
                          ADD64(a.v4, b.v4)};
}

/* a * r, each limb the sum of five products */
INLINE struct limbs product(struct limbs a, const struct factor *r)
{
#define MUL(x, y) _mm256_mul_epu32(x, y)
#define SUM(a, b, c, d, e) ADD64(ADD64(ADD64(a, b), ADD64(c, d)), e)
    return (struct limbs){
        SUM(MUL(a.v0, r->r0), MUL(a.v1, r->r4_5), MUL(a.v2, r->r3_5), MUL(a.v3, r->r2_5), MUL(a.v4, r->r1_5)),
        SUM(MUL(a.v0, r->r1), MUL(a.v1, r->r0), MUL(a.v2, r->r4_5), MUL(a.v3, r->r3_5), MUL(a.v4, r->r2_5)),
        SUM(MUL(a.v0, r->r2), MUL(a.v1, r->r1), MUL(a.v2, r->r0), MUL(a.v3, r->r4_5), MUL(a.v4, r->r3_5)),
        SUM(MUL(a.v0, r->r3), MUL(a.v1, r->r2), MUL(a.v2, r->r1), MUL(a.v3, r->r0), MUL(a.v4, r->r4_5)),
        SUM(MUL(a.v0, r->r4), MUL(a.v1, r->r3), MUL(a.v2, r->r2), MUL(a.v3, r->r1), MUL(a.v4, r->r0)),
    };
#undef MUL
#undef SUM
}

/* Two carries at a time, from limbs 0 and 3 on: all limbs end below 2^26 but 1 and 4, which may be a little above. */
INLINE struct limbs carry(struct limbs a)
{
    const vec mask = MASK_26;

    a.v1 = ADD64(a.v1, RIGHT(a.v0, 26)), a.v0 = AND(a.v0, mask);
    a.v4 = ADD64(a.v4, RIGHT(a.v3, 26)), a.v3 = AND(a.v3, mask);
    a.v2 = ADD64(a.v2, RIGHT(a.v1, 26)), a.v1 = AND(a.v1, mask);
    a.v0 = ADD64(a.v0, times_5(RIGHT(a.v4, 26))), a.v4 = AND(a.v4, mask);
    a.v3 = ADD64(a.v3, RIGHT(a.v2, 26)), a.v2 = AND(a.v2, mask);
    a.v1 = ADD64(a.v1, RIGHT(a.v0, 26)), a.v0 = AND(a.v0, mask);
    a.v4 = ADD64(a.v4, RIGHT(a.v3, 26)), a.v3 = AND(a.v3, mask);
    return a;
}

INLINE struct limbs multiply(struct limbs a, const struct factor *r)
{
    return carry(product(a, r));
}

INLINE struct limbs limbs_of(vec low, vec high, vec bit_128)
{
    const vec mask = MASK_26;

    return (struct limbs){AND(low, mask), AND(RIGHT(low, 26), mask), AND(OR(RIGHT(low, 52), LEFT(high, 12)), mask),
                          AND(RIGHT(high, 14), mask), OR(RIGHT(high, 40), bit_128)};
}

/* The low and the high words of one block of each message. */
INLINE void words_load(vec *low, vec *high, const uint8_t *const at[MESSAGES], ptrdiff_t offset)
{
#define PAIR(a, b) _mm256_loadu2_m128i((const void *)(at[b] + offset), (const void *)(at[a] + offset))
    const vec even = PAIR(0, 2), odd = PAIR(1, 3);
#undef PAIR
    *low = _mm256_unpacklo_epi64(even, odd);
    *high = _mm256_unpackhi_epi64(even, odd);
}

INLINE struct limbs block_load(const uint8_t *const at[MESSAGES], ptrdiff_t offset, vec bit_128)
{
    vec low, high;

    words_load(&low, &high, at, offset);
    return limbs_of(low, high, bit_128);
}

INLINE struct limbs chunk_absorb(const struct poly1305 *state, struct limbs h, const uint8_t *const at[MESSAGES],
                                 ptrdiff_t offset, const vec bits[4])
{
    struct limbs sum = product(block_load(at, offset + 16, bits[1]), &state->r3);

    sum = limbs_add(sum, product(block_load(at, offset + 32, bits[2]), &state->r2));
    sum = limbs_add(sum, product(block_load(at, offset + 48, bits[3]), &state->r1));
    h = limbs_add(h, block_load(at, offset, bits[0])); /* last, for h is late */
    return carry(limbs_add(sum, product(h, &state->r4)));
}

/* One step in which lanes may begin or end. */
static void step_edge(struct poly1305 *state, const struct lane lanes[MESSAGES], int step)
{
    uint8_t chunks[MESSAGES][64];
    uint64_t counts[4][MESSAGES];
    const uint8_t *at[MESSAGES];
    vec bits[4];

    for (int i = 0; i < MESSAGES; i++) {
        const unsigned found = lane_copy(&lanes[i], step, chunks[i]);

        at[i] = chunks[i];
        for (int k = 0; k < 4; k++)
            counts[k][i] = found >> k & 1;
    }
    for (int k = 0; k < 4; k++)
        bits[k] = LEFT(load(counts[k]), 24);
    state->h = chunk_absorb(state, state->h, at, 0, bits);
}

/* Steps in which every lane is inside its message. */
static void steps_inside(struct poly1305 *state, const struct lane lanes[MESSAGES], int step, int end)
{
    const vec bits[4] = {BIT_128, BIT_128, BIT_128, BIT_128};
    const uint8_t *at[MESSAGES];
    struct limbs h = state->h;

    for (int i = 0; i < MESSAGES; i++)
        at[i] = lane_at(&lanes[i], step);
    for (ptrdiff_t offset = 0; step < end; step++, offset += 64)
        h = chunk_absorb(state, h, at, offset, bits);
    state->h = h;
}

/* r, clamped, and its powers. */
static void keys_load(struct poly1305 *state, const uint8_t *const keys[MESSAGES])
{
    const vec zero = _mm256_setzero_si256();
    vec low, high;

    words_load(&low, &high, keys, 0);
    const struct limbs r = limbs_of(AND(low, _mm256_set1_epi64x(0x0ffffffc0fffffff)),
                                    AND(high, _mm256_set1_epi64x(0x0ffffffc0ffffffc)), zero);
    state->r1 = factor_of(r);
    const struct limbs r2 = multiply(r, &state->r1);
    state->r2 = factor_of(r2);
    state->r3 = factor_of(multiply(r2, &state->r1));
    state->r4 = factor_of(multiply(r2, &state->r2));
    state->h = (struct limbs){zero, zero, zero, zero, zero};
}

/* Each limb of a in the lanes of the mask (32 bits each), of b in the others. */
#define LIMBS_BLEND(a, b, mask) \
    ((struct limbs){_mm256_blend_epi32((b).v0, (a).v0, mask), _mm256_blend_epi32((b).v1, (a).v1, mask), \
                    _mm256_blend_epi32((b).v2, (a).v2, mask), _mm256_blend_epi32((b).v3, (a).v3, mask), \
                    _mm256_blend_epi32((b).v4, (a).v4, mask)})

/* Multiply each segment's sum by r^4 to the power of the chunks behind it. */
static void segments_weigh(struct poly1305 *state, int shift, int steps)
{
    const vec zero = _mm256_setzero_si256();
    const struct limbs one = {_mm256_set1_epi64x(1), zero, zero, zero, zero};
    struct limbs power = {state->r4.r0, state->r4.r1, state->r4.r2, state->r4.r3, state->r4.r4};
    struct factor factor;

    for (int bit = 30 - __builtin_clz((unsigned)steps); bit >= 0; bit--) { /* to the power of `steps` */
        factor = factor_of(power);
        power = multiply(power, &factor);
        if (steps >> bit & 1)
            power = multiply(power, &state->r4);
    }
    struct limbs weight = LIMBS_BLEND(power, one, 0x33); /* lanes 0 and 2 have one segment behind */
    if (shift > 1) {
        factor = factor_of(power);
        const struct limbs square = multiply(power, &factor);
        factor = factor_of(square);
        weight = LIMBS_BLEND(multiply(weight, &factor), weight, 0x0f); /* 0 and 1 have two more */
    }
    factor = factor_of(weight);
    state->h = multiply(state->h, &factor);
}

static void mac(struct wgfp_aead_message *messages, size_t n)
{
    const int shift = n == 1 ? 2 : n == 2 ? 1 : 0;
    uint64_t sums[5][MESSAGES];
    uint32_t h[5];
    const uint8_t *keys[MESSAGES];
    struct lane lanes[MESSAGES];
    struct poly1305 state;
    int inside, step = 0;
    const int steps = lanes_set_up(lanes, MESSAGES, messages, n, shift, &inside);

    for (size_t i = 0; i < MESSAGES; i++)
        keys[i] = messages[i >> shift < n ? i >> shift : n - 1].key;
    keys_load(&state, keys);
    if (inside < steps - 1) {
        for (; step < inside; step++)
            step_edge(&state, lanes, step);
        steps_inside(&state, lanes, step, steps - 1);
        step = steps - 1;
    }
    for (; step < steps; step++)
        step_edge(&state, lanes, step);
    if (shift > 0)
        segments_weigh(&state, shift, steps);

    store(sums[0], state.h.v0);
    store(sums[1], state.h.v1);
    store(sums[2], state.h.v2);
    store(sums[3], state.h.v3);
    store(sums[4], state.h.v4);
    for (size_t i = 0; i < n; i++) {
        for (int limb = 0; limb < 5; limb++) {
            uint64_t sum = 0;

            for (size_t lane = i << shift; lane < (i + 1) << shift; lane++)
                sum += sums[limb][lane];
            h[limb] = (uint32_t)sum;
        }
        wgfp_poly1305_finish(h, messages[i].key + 16, messages[i].tag);
    }
    wgfp_clear(&state, sizeof state);
    wgfp_clear(sums, sizeof sums);
    wgfp_clear(h, sizeof h);
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

static bool supported(void)
{
    return __builtin_cpu_supports("avx2"); /* looks also whether the system saves the wide registers */
}

const struct wgfp_aead_kernel wgfp_aead_avx2 = {
    .name = "avx2",
    .messages = MESSAGES,
    .supported = supported,
    .stream = stream,
    .xor = xor,
    .mac = mac,
};

#endif
