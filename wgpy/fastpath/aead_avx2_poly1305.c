/* Poly1305 for x86-64 with AVX2.
 *
 * One message a lane, 4 lanes a vector; fewer messages are cut into segments, and few bytes do without vectors.
 *
 * Numbers modulo 2^130 - 5 are five limbs of 26 bits, a little more between carries: vpmuludq multiplies 32 by 32
 * bits. A step is h = (h + m0) r^4 + m1 r^3 + m2 r^2 + m3 r, in every lane, so one carry does for four blocks.
 */
#include "aead_kernel.h"

#if defined(WGFP_AEAD_X86)

#include "aead_avx2.h"
#include "clear.h"

#include <stdalign.h>

WGFP_TARGET_BEGIN(WGFP_TARGET_AVX2)

enum { MESSAGES = AVX2_MESSAGES };

struct limbs {
    vec v0, v1, v2, v3, v4;
};

/* A factor r: 5 r1, 5 r2, 5 r3, 5 r4, r0, r1, r2, r3, r4, for 2^130 is 5. Limb i of a number times r adds to limb j of
 * the product what stands at 4 - i + j. */
struct factor {
    vec v[9];
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
    return (struct factor){{times_5(a.v1), times_5(a.v2), times_5(a.v3), times_5(a.v4), a.v0, a.v1, a.v2, a.v3, a.v4}};
}

INLINE struct limbs limbs_add(struct limbs a, struct limbs b)
{
    return (struct limbs){ADD64(a.v0, b.v0), ADD64(a.v1, b.v1), ADD64(a.v2, b.v2), ADD64(a.v3, b.v3),
                          ADD64(a.v4, b.v4)};
}

/* sum += limb * (f[0], f[1], f[2], f[3], f[4]). Assembly text, for gcc keeps sums in memory when left to itself, and
 * then each of the twenty additions to one takes as long as a store and a load. */
INLINE void limb_multiply_add(struct limbs *sum, vec limb, const vec *f)
{
    vec a, b;

    __asm__("vpmuludq 0*32(%[f]), %[limb], %[a]\n\t"
            "vpmuludq 1*32(%[f]), %[limb], %[b]\n\t"
            "vpaddq %[a], %[v0], %[v0]\n\t"
            "vpaddq %[b], %[v1], %[v1]\n\t"
            "vpmuludq 2*32(%[f]), %[limb], %[a]\n\t"
            "vpmuludq 3*32(%[f]), %[limb], %[b]\n\t"
            "vpaddq %[a], %[v2], %[v2]\n\t"
            "vpaddq %[b], %[v3], %[v3]\n\t"
            "vpmuludq 4*32(%[f]), %[limb], %[a]\n\t"
            "vpaddq %[a], %[v4], %[v4]\n\t"
            : [v0] "+x"(sum->v0), [v1] "+x"(sum->v1), [v2] "+x"(sum->v2), [v3] "+x"(sum->v3), [v4] "+x"(sum->v4),
              [a] "=&x"(a), [b] "=&x"(b)
            : [limb] "x"(limb), [f] "r"(f), "m"(*(const vec(*)[5])f));
}

/* sum += a * r. One limb after the other: so few registers are taken. */
INLINE void multiply_add(struct limbs *sum, struct limbs a, const struct factor *r)
{
    limb_multiply_add(sum, a.v0, r->v + 4);
    limb_multiply_add(sum, a.v1, r->v + 3);
    limb_multiply_add(sum, a.v2, r->v + 2);
    limb_multiply_add(sum, a.v3, r->v + 1);
    limb_multiply_add(sum, a.v4, r->v);
}

INLINE struct limbs limbs_zero(void)
{
    const vec zero = _mm256_setzero_si256();

    return (struct limbs){zero, zero, zero, zero, zero};
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
    struct limbs sum = limbs_zero();

    multiply_add(&sum, a, r);
    return carry(sum);
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
    struct limbs sum = limbs_zero();

    multiply_add(&sum, block_load(at, offset + 16, bits[1]), &state->r3);
    multiply_add(&sum, block_load(at, offset + 32, bits[2]), &state->r2);
    multiply_add(&sum, block_load(at, offset + 48, bits[3]), &state->r1);
    multiply_add(&sum, limbs_add(h, block_load(at, offset, bits[0])), &state->r4); /* last, for h is late */
    return carry(sum);
}

/* One step in which lanes may begin or end. */
static void step_edge(struct poly1305 *state, const struct lane lanes[MESSAGES], int step)
{
    uint8_t edges[MESSAGES][64];
    const uint8_t *at[MESSAGES];
    const vec nibbles = _mm256_set_epi64x(12, 8, 4, 0);
    unsigned all = 0;
    vec bits[4];

    for (int i = 0; i < MESSAGES; i++) {
        unsigned counts;

        at[i] = lane_chunk(&lanes[i], step, edges[i], &counts);
        all |= counts << 4 * i;
    }
    const vec counts = _mm256_srlv_epi64(_mm256_set1_epi64x(all), nibbles);
    bits[0] = AND(LEFT(counts, 24), BIT_128);
    bits[1] = AND(LEFT(counts, 23), BIT_128);
    bits[2] = AND(LEFT(counts, 22), BIT_128);
    bits[3] = AND(LEFT(counts, 21), BIT_128);
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
    vec low, high;

    words_load(&low, &high, keys, 0);
    const struct limbs r = limbs_of(AND(low, _mm256_set1_epi64x(0x0ffffffc0fffffff)),
                                    AND(high, _mm256_set1_epi64x(0x0ffffffc0ffffffc)), _mm256_setzero_si256());
    state->r1 = factor_of(r);
    const struct limbs r2 = multiply(r, &state->r1);
    state->r2 = factor_of(r2);
    state->r3 = factor_of(multiply(r2, &state->r1));
    state->r4 = factor_of(multiply(r2, &state->r2));
    state->h = limbs_zero();
}

/* Each limb of a in the lanes of the mask (32 bits each), of b in the others. */
#define LIMBS_BLEND(a, b, mask) \
    ((struct limbs){_mm256_blend_epi32((b).v0, (a).v0, mask), _mm256_blend_epi32((b).v1, (a).v1, mask), \
                    _mm256_blend_epi32((b).v2, (a).v2, mask), _mm256_blend_epi32((b).v3, (a).v3, mask), \
                    _mm256_blend_epi32((b).v4, (a).v4, mask)})

/* Each lane has the sum of its own segment, `steps` chunks: multiply it by r^4 to the power of the chunks behind it,
 * and add up, two neighbours at a time. */
static void segments_join(struct poly1305 *state, int shift, int steps)
{
    const vec *r4 = state->r4.v + 4;
    struct limbs one = limbs_zero(), power = {r4[0], r4[1], r4[2], r4[3], r4[4]}, h;
    struct factor factor;

    one.v0 = _mm256_set1_epi64x(1);
    for (int bit = 30 - __builtin_clz((unsigned)steps); bit >= 0; bit--) { /* to the power of `steps` */
        factor = factor_of(power);
        power = multiply(power, &factor);
        if (steps >> bit & 1)
            power = multiply(power, &state->r4);
    }
    factor = factor_of(LIMBS_BLEND(power, one, 0x33)); /* lanes 0 and 2 have one more behind than 1 and 3 */
    h = multiply(state->h, &factor);
#define OTHER(v) _mm256_shuffle_epi32(v, 0x4e)
    h = limbs_add(h, (struct limbs){OTHER(h.v0), OTHER(h.v1), OTHER(h.v2), OTHER(h.v3), OTHER(h.v4)});
#undef OTHER
    if (shift > 1) {
        factor = factor_of(power);
        power = multiply(power, &factor);
        factor = factor_of(LIMBS_BLEND(power, one, 0x0f)); /* the first two lanes have two more than the others */
        h = multiply(h, &factor);
#define OTHER(v) _mm256_permute4x64_epi64(v, 0x4e)
        h = limbs_add(h, (struct limbs){OTHER(h.v0), OTHER(h.v1), OTHER(h.v2), OTHER(h.v3), OTHER(h.v4)});
#undef OTHER
    }
    state->h = h;
}

/* Carry from limb 0 to 4, and no further. */
INLINE struct limbs carry_up(struct limbs a)
{
    a.v1 = ADD64(a.v1, RIGHT(a.v0, 26)), a.v0 = AND(a.v0, MASK_26);
    a.v2 = ADD64(a.v2, RIGHT(a.v1, 26)), a.v1 = AND(a.v1, MASK_26);
    a.v3 = ADD64(a.v3, RIGHT(a.v2, 26)), a.v2 = AND(a.v2, MASK_26);
    a.v4 = ADD64(a.v4, RIGHT(a.v3, 26)), a.v3 = AND(a.v3, MASK_26);
    return a;
}

/* tag = h + s, modulo 2^128, of the one h below 2^130 - 5 */
INLINE void tags_finish(struct limbs h, const uint8_t *const keys[MESSAGES], uint8_t tags[MESSAGES][WGFP_TAG_SIZE])
{
    vec s_low, s_high;

    for (int pass = 0; pass < 2; pass++) { /* after one, limb 0 may be over again */
        h = carry_up(h);
        h.v0 = ADD64(h.v0, times_5(RIGHT(h.v4, 26)));
        h.v4 = AND(h.v4, MASK_26);
    }

    /* h + 5 - 2^130, if that is not negative: then 5 more, and the bit 2^130 falls out below. */
    struct limbs more = h;
    more.v0 = ADD64(more.v0, _mm256_set1_epi64x(5));
    const vec over = RIGHT(carry_up(more).v4, 26);
    h.v0 = ADD64(h.v0, times_5(over));
    h = carry_up(h);

    words_load(&s_low, &s_high, keys, 16);
    const vec low = ADD64(OR(OR(h.v0, LEFT(h.v1, 26)), LEFT(h.v2, 52)), s_low);
    const vec sign = _mm256_set1_epi64x((long long)(1ull << 63)); /* turns a signed comparison into an unsigned one */
    const vec carried = _mm256_cmpgt_epi64(_mm256_xor_si256(s_low, sign), _mm256_xor_si256(low, sign));
    const vec high = _mm256_sub_epi64(
        ADD64(OR(OR(RIGHT(h.v2, 12), LEFT(h.v3, 14)), LEFT(h.v4, 40)), s_high), carried);

    /* As words_load has them: messages 0, 1, 2, 3 in lanes 0, 1, 2, 3 of low and of high. */
    const vec even = _mm256_unpacklo_epi64(low, high), odd = _mm256_unpackhi_epi64(low, high);
    store(tags[0], _mm256_permute2x128_si256(even, odd, 0x20));
    store(tags[2], _mm256_permute2x128_si256(even, odd, 0x31));
}

static void mac_in_lanes(struct wgfp_aead_message *messages, size_t n)
{
    const int shift = n == 1 ? 2 : n == 2 ? 1 : 0;
    alignas(32) uint8_t tags[MESSAGES][WGFP_TAG_SIZE];
    const uint8_t *keys[MESSAGES];
    struct lane lanes[MESSAGES];
    struct poly1305 state;
    int inside;
    const int steps = lanes_set_up(lanes, keys, MESSAGES, messages, n, shift, &inside);

    keys_load(&state, keys);
    for (int step = 0; step < inside; step++)
        step_edge(&state, lanes, step);
    if (inside < steps) {
        steps_inside(&state, lanes, inside, steps - 1);
        step_edge(&state, lanes, steps - 1);
    }
    if (shift > 0)
        segments_join(&state, shift, steps);
    tags_finish(state.h, keys, tags);
    for (size_t i = 0; i < n; i++)
        memcpy(messages[i].tag, tags[i << shift], WGFP_TAG_SIZE);
    wgfp_clear(&state, sizeof state);
    wgfp_clear(tags, sizeof tags);
}

void wgfp_avx2_mac(struct wgfp_aead_message *messages, size_t n)
{
    if (messages_are_short(messages, n, 800))
        wgfp_poly1305_scalar(messages, n);
    else
        mac_in_lanes(messages, n);
}

WGFP_TARGET_END

#endif
