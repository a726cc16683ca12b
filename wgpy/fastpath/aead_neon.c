/* ChaCha20-Poly1305 for 64-bit ARM with NEON.
 *
 * ChaCha20: one block a lane, 4 lanes a vector. Poly1305: four blocks of one message side by side.
 */
#include "aead_lanes.h"

#if defined(WGFP_AEAD_ARM)

#include "clear.h"

#include <arm_neon.h>
#include <stdalign.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

typedef uint32x4_t vec;

/* ChaCha20 ------------------------------------------------------------------------------------- */

enum { LANES = 4 };

/* What ChaCha20 begins with. Rows 0 to 11 are alike in all lanes, row 13 is 0; rows 12, 14 and 15 are here for all
 * blocks, as many sets of lanes as it takes. A run is written a vector at a time. */
struct chacha20_input {
    uint32_t words[12];
    alignas(16) uint32_t block[WGFP_STREAM_BLOCKS + LANES];
    alignas(16) uint32_t nonce_low[WGFP_STREAM_BLOCKS + LANES];
    alignas(16) uint32_t nonce_high[WGFP_STREAM_BLOCKS + LANES];
};

static uint32_t positions_set(struct chacha20_input *input, const struct wgfp_aead_run *runs, size_t n)
{
    static const uint32_t numbers[LANES] = {0, 1, 2, 3};
    uint32_t lane = 0;

    for (size_t i = 0; i < n; i++) {
        const vec low = vdupq_n_u32((uint32_t)runs[i].counter);
        const vec high = vdupq_n_u32((uint32_t)(runs[i].counter >> 32));
        vec block = vaddq_u32(vdupq_n_u32(runs[i].first), vld1q_u32(numbers));

        for (uint32_t j = 0; j < runs[i].blocks; j += LANES) {
            vst1q_u32(input->block + lane + j, block);
            vst1q_u32(input->nonce_low + lane + j, low);
            vst1q_u32(input->nonce_high + lane + j, high);
            block = vaddq_u32(block, vdupq_n_u32(LANES));
        }
        lane += runs[i].blocks;
    }
    return lane;
}

#define ADD(a, b) a = vaddq_u32(a, b)
#define XOR_LEFT_16(d, a) \
    d = veorq_u32(d, a), d = vreinterpretq_u32_u16(vrev32q_u16(vreinterpretq_u16_u32(d)))
#define XOR_LEFT_8(d, a) \
    d = veorq_u32(d, a), d = vreinterpretq_u32_u8(vqtbl1q_u8(vreinterpretq_u8_u32(d), left_8))
#define XOR_LEFT(b, c, bits) b = veorq_u32(b, c), b = vsriq_n_u32(vshlq_n_u32(b, bits), b, 32 - (bits))

/* Four quarter rounds side by side: of the columns, or of the diagonals. */
#define FOUR_QUARTERS(a0, b0, c0, d0, a1, b1, c1, d1, a2, b2, c2, d2, a3, b3, c3, d3) \
    ADD(a0, b0), ADD(a1, b1), ADD(a2, b2), ADD(a3, b3); \
    XOR_LEFT_16(d0, a0), XOR_LEFT_16(d1, a1), XOR_LEFT_16(d2, a2), XOR_LEFT_16(d3, a3); \
    ADD(c0, d0), ADD(c1, d1), ADD(c2, d2), ADD(c3, d3); \
    XOR_LEFT(b0, c0, 12), XOR_LEFT(b1, c1, 12), XOR_LEFT(b2, c2, 12), XOR_LEFT(b3, c3, 12); \
    ADD(a0, b0), ADD(a1, b1), ADD(a2, b2), ADD(a3, b3); \
    XOR_LEFT_8(d0, a0), XOR_LEFT_8(d1, a1), XOR_LEFT_8(d2, a2), XOR_LEFT_8(d3, a3); \
    ADD(c0, d0), ADD(c1, d1), ADD(c2, d2), ADD(c3, d3); \
    XOR_LEFT(b0, c0, 7), XOR_LEFT(b1, c1, 7), XOR_LEFT(b2, c2, 7), XOR_LEFT(b3, c3, 7);

/* Four rows are words `word` to `word` + 3 of four blocks: write each block's together. */
INLINE void words_write(uint8_t *blocks, int word, vec r0, vec r1, vec r2, vec r3)
{
    const uint64x2_t a = vreinterpretq_u64_u32(vtrn1q_u32(r0, r1)), b = vreinterpretq_u64_u32(vtrn2q_u32(r0, r1));
    const uint64x2_t c = vreinterpretq_u64_u32(vtrn1q_u32(r2, r3)), d = vreinterpretq_u64_u32(vtrn2q_u32(r2, r3));
    uint8_t *at = blocks + 4 * word;

    vst1q_u8(at, vreinterpretq_u8_u64(vtrn1q_u64(a, c)));
    vst1q_u8(at + 64, vreinterpretq_u8_u64(vtrn1q_u64(b, d)));
    vst1q_u8(at + 128, vreinterpretq_u8_u64(vtrn2q_u64(a, c)));
    vst1q_u8(at + 192, vreinterpretq_u8_u64(vtrn2q_u64(b, d)));
}

static void set_stream(const struct chacha20_input *input, uint32_t lane, uint8_t *blocks)
{
    static const uint8_t left_8_bytes[16] = {3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14};
    const uint8x16_t left_8 = vld1q_u8(left_8_bytes);
    const vec block = vld1q_u32(input->block + lane);
    const vec nonce_low = vld1q_u32(input->nonce_low + lane), nonce_high = vld1q_u32(input->nonce_high + lane);
#define WORD(n) vdupq_n_u32(input->words[n])
    vec x0 = WORD(0), x1 = WORD(1), x2 = WORD(2), x3 = WORD(3), x4 = WORD(4), x5 = WORD(5);
    vec x6 = WORD(6), x7 = WORD(7), x8 = WORD(8), x9 = WORD(9), x10 = WORD(10), x11 = WORD(11);
    vec x12 = block, x13 = vdupq_n_u32(0), x14 = nonce_low, x15 = nonce_high;

    for (int round = 0; round < 20; round += 2) {
        FOUR_QUARTERS(x0, x4, x8, x12, x1, x5, x9, x13, x2, x6, x10, x14, x3, x7, x11, x15)
        FOUR_QUARTERS(x0, x5, x10, x15, x1, x6, x11, x12, x2, x7, x8, x13, x3, x4, x9, x14)
    }
    ADD(x0, WORD(0)), ADD(x1, WORD(1)), ADD(x2, WORD(2)), ADD(x3, WORD(3));
    ADD(x4, WORD(4)), ADD(x5, WORD(5)), ADD(x6, WORD(6)), ADD(x7, WORD(7));
    ADD(x8, WORD(8)), ADD(x9, WORD(9)), ADD(x10, WORD(10)), ADD(x11, WORD(11));
    ADD(x12, block), ADD(x14, nonce_low), ADD(x15, nonce_high);
    words_write(blocks, 0, x0, x1, x2, x3);
    words_write(blocks, 4, x4, x5, x6, x7);
    words_write(blocks, 8, x8, x9, x10, x11);
    words_write(blocks, 12, x12, x13, x14, x15);
#undef WORD
}

static void stream(const uint8_t key[WGFP_KEY_SIZE], const struct wgfp_aead_run *runs, size_t n, uint8_t *blocks,
                   struct wgfp_aead_tags *tags)
{
    struct chacha20_input input;
    const uint32_t lanes = positions_set(&input, runs, n);

    (void)tags;
    memcpy(input.words, wgfp_sigma, sizeof wgfp_sigma);
    memcpy(input.words + 4, key, WGFP_KEY_SIZE);
    for (uint32_t lane = 0; lane < lanes; lane += LANES)
        set_stream(&input, lane, blocks + lane * WGFP_BLOCK_SIZE);
    wgfp_clear(input.words, sizeof input.words);
}

static void xor(uint8_t *dst, const uint8_t *src, const uint8_t *blocks, size_t length)
{
    size_t at = 0;

    for (; at + 64 <= length; at += 64) {
        const uint8x16x4_t text = vld1q_u8_x4(src + at), key = vld1q_u8_x4(blocks + at);
        const uint8x16x4_t result = {{veorq_u8(text.val[0], key.val[0]), veorq_u8(text.val[1], key.val[1]),
                                      veorq_u8(text.val[2], key.val[2]), veorq_u8(text.val[3], key.val[3])}};

        vst1q_u8_x4(dst + at, result);
    }
    for (; at + 16 <= length; at += 16)
        vst1q_u8(dst + at, veorq_u8(vld1q_u8(src + at), vld1q_u8(blocks + at)));
    for (; at < length; at++)
        dst[at] = src[at] ^ blocks[at];
}

/* Poly1305 ------------------------------------------------------------------------------------- *
 *
 * Numbers modulo 2^130 - 5 are five limbs of 26 bits, a little more between carries. A step takes a chunk of four
 * blocks: h = (h + m0) r^4 + m1 r^3 + m2 r^2 + m3 r, the four products side by side.
 */

enum { LIMBS = 5, LIMB_BITS = 26, MASK = (1 << LIMB_BITS) - 1 };

struct poly1305 {
    vec r[LIMBS];   /* limbs of r^4, r^3, r^2, r */
    vec r_5[LIMBS]; /* 5 times those: 2^130 is 5. The first is not used */
    vec h[LIMBS];   /* in lane 0, the others are 0 */
};

static void limbs_multiply(uint32_t result[LIMBS], const uint32_t a[LIMBS], const uint32_t b[LIMBS])
{
    uint64_t carry = 0;

    for (int i = 0; i < LIMBS; i++) {
        uint64_t sum = carry;

        for (int j = 0; j < LIMBS; j++)
            sum += (uint64_t)a[j] * (j <= i ? b[i - j] : 5 * b[LIMBS + i - j]);
        result[i] = (uint32_t)sum & MASK;
        carry = sum >> LIMB_BITS;
    }
    carry = carry * 5 + result[0];
    result[0] = (uint32_t)carry & MASK;
    result[1] += (uint32_t)(carry >> LIMB_BITS);
}

static void key_load(struct poly1305 *state, const uint8_t key[16])
{
    const uint32_t w0 = wgfp_load32(key) & 0x0fffffff, w1 = wgfp_load32(key + 4) & 0x0ffffffc;
    const uint32_t w2 = wgfp_load32(key + 8) & 0x0ffffffc, w3 = wgfp_load32(key + 12) & 0x0ffffffc;
    uint32_t powers[4][LIMBS] = {[3] = {w0 & MASK, (w0 >> 26 | w1 << 6) & MASK, (w1 >> 20 | w2 << 12) & MASK,
                                        (w2 >> 14 | w3 << 18) & MASK, w3 >> 8}};

    limbs_multiply(powers[2], powers[3], powers[3]);
    limbs_multiply(powers[1], powers[2], powers[3]);
    limbs_multiply(powers[0], powers[2], powers[2]);
    for (int i = 0; i < LIMBS; i++) {
        const uint32_t limb[4] = {powers[0][i], powers[1][i], powers[2][i], powers[3][i]};

        state->r[i] = vld1q_u32(limb);
        state->r_5[i] = vmulq_n_u32(state->r[i], 5);
        state->h[i] = vdupq_n_u32(0);
    }
    wgfp_clear(powers, sizeof powers);
}

/* sum += x * y, lanes 0 and 1 */
#define LOW(sum, x, y) sum = vmlal_u32(sum, vget_low_u32(x), vget_low_u32(y))
/* ... lanes 2 and 3 */
#define HIGH(sum, x, y) sum = vmlal_high_u32(sum, x, y)

/* All five limbs of a product in one half of the lanes. */
#define PRODUCT(HALF, s, m, state) \
    HALF(s##0, m##0, state->r[0]), HALF(s##1, m##0, state->r[1]), HALF(s##2, m##0, state->r[2]); \
    HALF(s##3, m##0, state->r[3]), HALF(s##4, m##0, state->r[4]); \
    HALF(s##0, m##1, state->r_5[4]), HALF(s##1, m##1, state->r[0]), HALF(s##2, m##1, state->r[1]); \
    HALF(s##3, m##1, state->r[2]), HALF(s##4, m##1, state->r[3]); \
    HALF(s##0, m##2, state->r_5[3]), HALF(s##1, m##2, state->r_5[4]), HALF(s##2, m##2, state->r[0]); \
    HALF(s##3, m##2, state->r[1]), HALF(s##4, m##2, state->r[2]); \
    HALF(s##0, m##3, state->r_5[2]), HALF(s##1, m##3, state->r_5[3]), HALF(s##2, m##3, state->r_5[4]); \
    HALF(s##3, m##3, state->r[0]), HALF(s##4, m##3, state->r[1]); \
    HALF(s##0, m##4, state->r_5[1]), HALF(s##1, m##4, state->r_5[2]), HALF(s##2, m##4, state->r_5[3]); \
    HALF(s##3, m##4, state->r_5[4]), HALF(s##4, m##4, state->r[0])

/* Both lanes' sum in lane 0, and 0 in lane 1 */
INLINE uint64x2_t lanes_sum(uint64x2_t a)
{
    return vcombine_u64(vcreate_u64(vaddvq_u64(a)), vcreate_u64(0));
}

/* One chunk. bits: 2^24, for the bit 2^128, in the lane of each block that counts. */
INLINE void chunk_absorb(struct poly1305 *state, const uint8_t *chunk, vec bits)
{
    const uint32x4x4_t words = vld4q_u32((const uint32_t *)(const void *)chunk);
    const vec w0 = words.val[0], w1 = words.val[1], w2 = words.val[2], w3 = words.val[3];
    const vec mask = vdupq_n_u32(MASK);
    const uint64x2_t zero = vdupq_n_u64(0), mask64 = vdupq_n_u64(MASK);
    uint64x2_t s0 = zero, s1 = zero, s2 = zero, s3 = zero, s4 = zero;
    vec m0 = vandq_u32(w0, mask);
    vec m1 = vandq_u32(vsliq_n_u32(vshrq_n_u32(w0, 26), w1, 6), mask);
    vec m2 = vandq_u32(vsliq_n_u32(vshrq_n_u32(w1, 20), w2, 12), mask);
    vec m3 = vandq_u32(vsliq_n_u32(vshrq_n_u32(w2, 14), w3, 18), mask);
    vec m4 = vorrq_u32(vshrq_n_u32(w3, 8), bits);

    PRODUCT(HIGH, s, m, state);
    m0 = vaddq_u32(m0, state->h[0]);
    m1 = vaddq_u32(m1, state->h[1]);
    m2 = vaddq_u32(m2, state->h[2]);
    m3 = vaddq_u32(m3, state->h[3]);
    m4 = vaddq_u32(m4, state->h[4]);
    PRODUCT(LOW, s, m, state);

    s0 = lanes_sum(s0);
    s1 = lanes_sum(s1);
    s2 = lanes_sum(s2);
    s3 = lanes_sum(s3);
    s4 = lanes_sum(s4);
    /* Two carries at a time, from limbs 0 and 3 on: limbs 1 and 4 may end a little above 2^26. */
    s1 = vsraq_n_u64(s1, s0, 26), s0 = vandq_u64(s0, mask64);
    s4 = vsraq_n_u64(s4, s3, 26), s3 = vandq_u64(s3, mask64);
    s2 = vsraq_n_u64(s2, s1, 26), s1 = vandq_u64(s1, mask64);
    const uint64x2_t over = vshrq_n_u64(s4, 26);
    s0 = vaddq_u64(s0, vaddq_u64(over, vshlq_n_u64(over, 2))), s4 = vandq_u64(s4, mask64);
    s3 = vsraq_n_u64(s3, s2, 26), s2 = vandq_u64(s2, mask64);
    s1 = vsraq_n_u64(s1, s0, 26), s0 = vandq_u64(s0, mask64);
    s4 = vsraq_n_u64(s4, s3, 26), s3 = vandq_u64(s3, mask64);
    state->h[0] = vreinterpretq_u32_u64(s0);
    state->h[1] = vreinterpretq_u32_u64(s1);
    state->h[2] = vreinterpretq_u32_u64(s2);
    state->h[3] = vreinterpretq_u32_u64(s3);
    state->h[4] = vreinterpretq_u32_u64(s4);
}

/* The first or the last chunk. */
static void chunk_absorb_edge(struct poly1305 *state, const struct lane *lane, int step)
{
    static const int32_t positions[4] = {24, 23, 22, 21}; /* bit k of `counts`, shifted, is 2^24 */
    uint8_t edge[64];
    unsigned counts;
    const uint8_t *chunk = lane_chunk(lane, step, edge, &counts);
    const vec bits = vandq_u32(vshlq_u32(vdupq_n_u32(counts), vld1q_s32(positions)), vdupq_n_u32(1 << 24));

    chunk_absorb(state, chunk, bits);
}

static void chunks_absorb(struct poly1305 *state, const uint8_t *at, int count)
{
    const vec bits = vdupq_n_u32(1 << 24);
    struct poly1305 local = *state;

    for (; count > 0; count--, at += 64)
        chunk_absorb(&local, at, bits);
    memcpy(state->h, local.h, sizeof state->h);
}

static void mac(struct wgfp_aead_message *messages, size_t n)
{
    struct poly1305 state;
    uint32_t h[LIMBS];

    for (size_t i = 0; i < n; i++) {
        const struct lane lane = lane_of(&messages[i]);
        const int last = lane.chunks - 1;

        key_load(&state, messages[i].key);
        chunk_absorb_edge(&state, &lane, 0);
        chunks_absorb(&state, lane_at(&lane, 1), last - 1);
        if (last > 0)
            chunk_absorb_edge(&state, &lane, last);
        for (int limb = 0; limb < LIMBS; limb++)
            h[limb] = vgetq_lane_u32(state.h[limb], 0);
        wgfp_poly1305_finish(h, messages[i].key + 16, messages[i].tag);
    }
    wgfp_clear(&state, sizeof state);
    wgfp_clear(h, sizeof h);
}

static bool supported(void)
{
    return true; /* it is part of every 64-bit ARM that runs Linux */
}

const struct wgfp_aead_kernel wgfp_aead_neon = {
    .name = "neon",
    .messages = 1,
    .blocks = WGFP_STREAM_BLOCKS,
    .supported = supported,
    .stream = stream,
    .xor = xor,
    .mac = mac,
};

#endif
