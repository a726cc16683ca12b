/* Poly1305 for x86-64 with AVX-512 and IFMA.
 *
 * One message a lane, 8 lanes a vector; fewer messages are cut into segments, so that no lane idles, and few bytes do
 * without vectors.
 *
 * Numbers modulo 2^130 - 5 are three limbs of 44, 44 and 42 bits, a few bits more between carries: vpmadd52 takes 52
 * bits of each factor, and adds the low or the high 52 bits of the product to a sum of 64. A message's blocks are
 * taken four at a time (a chunk, 64 bytes): h = (h + m0) r^4 + m1 r^3 + m2 r^2 + m3 r, so one carry does for four.
 */
#include "aead_kernel.h"

#if defined(WGFP_AEAD_X86)

#include "aead_avx512.h"
#include "clear.h"

#include <stdalign.h>
#include <string.h>

WGFP_TARGET_BEGIN(WGFP_TARGET_AVX512)

enum { MESSAGES = AVX512_MESSAGES };

struct limbs {
    vec v0, v1, v2;
};

/* A factor, and 20 times its upper limbs: 2^132 is 20, modulo 2^130 - 5. */
struct factor {
    vec r0, r1, r2, r1_20, r2_20;
};

/* Sums of the low and of the high halves of products, by limb. */
struct products {
    vec low0, low1, low2, high0, high1, high2;
};

struct poly1305 {
    struct factor r4, r3, r2, r1; /* powers of r */
    struct products bits;         /* what the bits 2^128 of a chunk's blocks are, each times its power */
    struct limbs h;
};

/* The four blocks of a chunk in all lanes. */
struct chunk {
    struct limbs m0, m1, m2, m3;
};

#define ADD64(a, b) _mm512_add_epi64(a, b)
#define AND(a, b) _mm512_and_si512(a, b)
#define LEFT(a, bits) _mm512_slli_epi64(a, bits)
#define RIGHT(a, bits) _mm512_srli_epi64(a, bits)
#define MASK_44 _mm512_set1_epi64(0xfffffffffff)
#define MASK_42 _mm512_set1_epi64(0x3ffffffffff)
#define BIT_128 _mm512_set1_epi64(1ll << 40) /* in limb 2 */

INLINE vec times_5(vec a)
{
    return ADD64(a, LEFT(a, 2));
}

INLINE struct factor factor_of(struct limbs a)
{
    return (struct factor){a.v0, a.v1, a.v2, LEFT(times_5(a.v1), 2), LEFT(times_5(a.v2), 2)};
}

INLINE struct limbs limbs_add(struct limbs a, struct limbs b)
{
    return (struct limbs){ADD64(a.v0, b.v0), ADD64(a.v1, b.v1), ADD64(a.v2, b.v2)};
}

INLINE struct products products_none(void)
{
    const vec zero = _mm512_setzero_si512();

    return (struct products){zero, zero, zero, zero, zero, zero};
}

/* p += a * r */
INLINE void multiply_add(struct products *p, struct limbs a, const struct factor *r)
{
#define LOW(sum, x, y) p->sum = _mm512_madd52lo_epu64(p->sum, x, y)
#define HIGH(sum, x, y) p->sum = _mm512_madd52hi_epu64(p->sum, x, y)
    LOW(low0, a.v0, r->r0), HIGH(high0, a.v0, r->r0);
    LOW(low1, a.v0, r->r1), HIGH(high1, a.v0, r->r1);
    LOW(low2, a.v0, r->r2), HIGH(high2, a.v0, r->r2);
    LOW(low0, a.v1, r->r2_20), HIGH(high0, a.v1, r->r2_20);
    LOW(low1, a.v1, r->r0), HIGH(high1, a.v1, r->r0);
    LOW(low2, a.v1, r->r1), HIGH(high2, a.v1, r->r1);
    LOW(low0, a.v2, r->r1_20), HIGH(high0, a.v2, r->r1_20);
    LOW(low1, a.v2, r->r2_20), HIGH(high1, a.v2, r->r2_20);
    LOW(low2, a.v2, r->r0), HIGH(high2, a.v2, r->r0);
#undef LOW
#undef HIGH
}

/* One carry in all limbs at once: they end a little over 44, 44 and 42 bits. */
INLINE struct limbs carry(const struct products *p)
{
    /* 2^52 is 2^8 in the next limb, and beyond limb 2, where 2^140 is 5 * 2^10, it is that in limb 0. */
    const vec t0 = ADD64(p->low0, LEFT(times_5(p->high2), 10));
    const vec t1 = ADD64(p->low1, LEFT(p->high0, 8));
    const vec t2 = ADD64(p->low2, LEFT(p->high1, 8));

    return (struct limbs){
        ADD64(AND(t0, MASK_44), times_5(RIGHT(t2, 42))),
        ADD64(AND(t1, MASK_44), RIGHT(t0, 44)),
        ADD64(AND(t2, MASK_42), RIGHT(t1, 44)),
    };
}

INLINE struct limbs multiply(struct limbs a, const struct factor *r)
{
    struct products p = products_none();

    multiply_add(&p, a, r);
    return carry(&p);
}

INLINE struct limbs limbs_of(vec low, vec high)
{
    /* Plain shifts: vpshrdq goes where vpmadd52 goes on Zen 5. */
    return (struct limbs){
        AND(low, MASK_44),
        AND(_mm512_or_si512(RIGHT(low, 44), LEFT(high, 20)), MASK_44),
        RIGHT(high, 24),
    };
}

/* 64 bytes of each of 8 messages to the low and the high words of four blocks. Messages 0 to 7 end in lanes
 * 0, 2, 4, 6, 1, 3, 5, 7. */
INLINE void transpose_messages(vec low[4], vec high[4], const vec p[MESSAGES])
{
    transpose_quarters(low, _mm512_unpacklo_epi64(p[0], p[4]), _mm512_unpacklo_epi64(p[1], p[5]),
                       _mm512_unpacklo_epi64(p[2], p[6]), _mm512_unpacklo_epi64(p[3], p[7]));
    transpose_quarters(high, _mm512_unpackhi_epi64(p[0], p[4]), _mm512_unpackhi_epi64(p[1], p[5]),
                       _mm512_unpackhi_epi64(p[2], p[6]), _mm512_unpackhi_epi64(p[3], p[7]));
}

INLINE struct chunk chunk_of(const vec p[MESSAGES])
{
    vec low[4], high[4];

    transpose_messages(low, high, p);
    return (struct chunk){limbs_of(low[0], high[0]), limbs_of(low[1], high[1]), limbs_of(low[2], high[2]),
                          limbs_of(low[3], high[3])};
}

/* The first chunk, with zeros in front. Nothing in front of the message is touched, also not by a masked load: that
 * would take long where a page is not there. */
INLINE vec lane_load_first(const struct lane *lane)
{
    const __mmask8 kept = (__mmask8)(0xff << 2 * lane->pad);
    const uint32_t room = 64 - 16 * (uint32_t)lane->pad;
    const vec words = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);

    if (lane->length >= room)
        return _mm512_maskz_expandloadu_epi64(kept, lane->message);

    const vec bytes = _mm512_maskz_loadu_epi8(_bzhi_u64(~0ull, lane->length), lane->message);
    const vec shifted =
        _mm512_maskz_permutexvar_epi64(kept, _mm512_sub_epi64(words, _mm512_set1_epi64(2 * lane->pad)), bytes);
    return lane->chunks > 1 ? shifted : _mm512_mask_set1_epi64(shifted, 0x80, lane->length);
}

/* The last chunk of more than one: the data's end, zeros, and the length as the last word. */
INLINE vec lane_load_last(const struct lane *lane, const uint8_t *at)
{
    const uint32_t left = (uint32_t)(lane->message + lane->length - at);

    return _mm512_mask_set1_epi64(_mm512_maskz_loadu_epi8(_bzhi_u64(~0ull, left), at), 0x80, lane->length);
}

/* Any chunk; `counts` gets a bit for each block that counts. */
INLINE vec lane_load(const struct lane *lane, int step, unsigned *counts)
{
    const int chunk = lane->first + step;

    *counts = chunk < 0 ? 0 : chunk > 0 ? 0xf : 0xfu << lane->pad & 0xf;
    if (chunk > 0) {
        const uint8_t *at = lane_at(lane, step);

        return chunk + 1 < lane->chunks ? _mm512_loadu_si512(at) : lane_load_last(lane, at);
    }
    return chunk < 0 ? _mm512_setzero_si512() : lane_load_first(lane);
}

/* One step in which lanes may begin or end. */
static void step_edge(struct poly1305 *state, const struct lane lanes[MESSAGES], int step)
{
    vec p[MESSAGES], bits[4];
    uint32_t all = 0;

    for (int i = 0; i < MESSAGES; i++) {
        unsigned counts;

        p[i] = lane_load(&lanes[i], step, &counts);
        all |= (uint32_t)counts << 4 * (2 * (i & 3) + (i >> 2)); /* in the order of transpose_messages */
    }
    for (int k = 0; k < 4; k++)
        bits[k] = _mm512_maskz_set1_epi64((__mmask8)_pext_u32(all, 0x11111111u << k), 1ll << 40);

    struct chunk chunk = chunk_of(p);
    struct products sum = products_none();
    chunk.m0.v2 = ADD64(chunk.m0.v2, bits[0]);
    chunk.m1.v2 = ADD64(chunk.m1.v2, bits[1]);
    chunk.m2.v2 = ADD64(chunk.m2.v2, bits[2]);
    chunk.m3.v2 = ADD64(chunk.m3.v2, bits[3]);
    multiply_add(&sum, chunk.m1, &state->r3);
    multiply_add(&sum, chunk.m2, &state->r2);
    multiply_add(&sum, chunk.m3, &state->r1);
    multiply_add(&sum, limbs_add(state->h, chunk.m0), &state->r4); /* last, for h is late */
    state->h = carry(&sum);
}

INLINE struct chunk chunk_load(const uint8_t *const at[MESSAGES], ptrdiff_t offset)
{
    const vec p[MESSAGES] = {
        _mm512_loadu_si512(at[0] + offset), _mm512_loadu_si512(at[1] + offset), _mm512_loadu_si512(at[2] + offset),
        _mm512_loadu_si512(at[3] + offset), _mm512_loadu_si512(at[4] + offset), _mm512_loadu_si512(at[5] + offset),
        _mm512_loadu_si512(at[6] + offset), _mm512_loadu_si512(at[7] + offset),
    };

    return chunk_of(p);
}

/* Steps in which every lane is inside its message. */
static void steps_inside(struct poly1305 *state, const struct lane lanes[MESSAGES], int step, int end)
{
    const uint8_t *at[MESSAGES];
    struct limbs h = state->h;

    for (int i = 0; i < MESSAGES; i++)
        at[i] = lane_at(&lanes[i], step);

    struct chunk chunk = chunk_load(at, 0);
    for (ptrdiff_t offset = 64; step < end; step++, offset += 64) {
        struct products sum = state->bits;

        /* The next chunk's split stands between the products: a processor looks ahead only so far. The last one is
         * loaded twice. */
        multiply_add(&sum, chunk.m1, &state->r3);
        multiply_add(&sum, chunk.m2, &state->r2);
        h = limbs_add(h, chunk.m0);
        multiply_add(&sum, chunk.m3, &state->r1);
        chunk = chunk_load(at, step + 1 < end ? offset : offset - 64);
        multiply_add(&sum, h, &state->r4);
        h = carry(&sum);
    }
    state->h = h;
}

/* The keys' halves: r, clamped, and its powers into the state; s is returned. */
INLINE void keys_load(struct poly1305 *state, const uint8_t *const keys[MESSAGES], vec *s_low, vec *s_high)
{
    vec p[MESSAGES], low[4], high[4];

    for (int i = 0; i < MESSAGES; i++)
        p[i] = _mm512_castsi256_si512(_mm256_loadu_si256((const void *)keys[i]));
    transpose_messages(low, high, p);
    *s_low = low[1];
    *s_high = high[1];

    const struct limbs r = limbs_of(AND(low[0], _mm512_set1_epi64(0x0ffffffc0fffffff)),
                                    AND(high[0], _mm512_set1_epi64(0x0ffffffc0ffffffc)));
    state->r1 = factor_of(r);
    const struct limbs r2 = multiply(r, &state->r1);
    state->r2 = factor_of(r2);
    const struct limbs r3 = multiply(r2, &state->r1), r4 = multiply(r2, &state->r2);
    state->r3 = factor_of(r3);
    state->r4 = factor_of(r4);
    state->h = (struct limbs){_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};

    const struct limbs bit_128 = {state->h.v0, state->h.v0, BIT_128};
    const struct factor powers = factor_of(limbs_add(limbs_add(r, r2), limbs_add(r3, r4)));
    state->bits = products_none();
    multiply_add(&state->bits, bit_128, &powers);
}

/* With 8, 4 or 2 lanes (`segments`) a message, each has the sum of its own segment, `steps` chunks: multiply it by
 * r^4 to the power of the chunks behind it, and add up, two neighbours at a time. */
static void segments_join(struct poly1305 *state, int segments, int steps)
{
    const vec lanes = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
    const vec positions = _mm512_set_epi64(7, 3, 6, 2, 5, 1, 4, 0); /* lane 1 has message or segment 4 */
    const vec one = _mm512_set1_epi64(1), zero = _mm512_setzero_si512();
    struct limbs power = {state->r4.r0, state->r4.r1, state->r4.r2}, h = state->h;
    struct factor factor;

    for (int bit = 30 - __builtin_clz((unsigned)steps); bit >= 0; bit--) { /* to the power of `steps` */
        factor = factor_of(power);
        power = multiply(power, &factor);
        if (steps >> bit & 1)
            power = multiply(power, &state->r4);
    }
    for (int bit = 1; bit < segments; bit *= 2) {
        const __mmask8 first = _mm512_testn_epi64_mask(positions, _mm512_set1_epi64(bit)); /* of the two */
        const vec other = _mm512_xor_si512(lanes, _mm512_set1_epi64((bit << 1 | bit >> 2) & 7));

        factor = factor_of((struct limbs){_mm512_mask_mov_epi64(one, first, power.v0),
                                          _mm512_mask_mov_epi64(zero, first, power.v1),
                                          _mm512_mask_mov_epi64(zero, first, power.v2)});
        h = multiply(h, &factor);
        h = limbs_add(h, (struct limbs){_mm512_permutexvar_epi64(other, h.v0), _mm512_permutexvar_epi64(other, h.v1),
                                        _mm512_permutexvar_epi64(other, h.v2)});
        factor = factor_of(power);
        power = multiply(power, &factor);
    }
    state->h = h;
}

/* tag = h + s, modulo 2^128, of the one h below 2^130 - 5 */
INLINE void tags_finish(struct limbs h, vec s_low, vec s_high, uint8_t tags[MESSAGES][WGFP_TAG_SIZE])
{
    for (int pass = 0; pass < 2; pass++) { /* after one, limb 0 may be a little over again */
        h.v1 = ADD64(h.v1, RIGHT(h.v0, 44));
        h.v0 = AND(h.v0, MASK_44);
        h.v2 = ADD64(h.v2, RIGHT(h.v1, 44));
        h.v1 = AND(h.v1, MASK_44);
        h.v0 = ADD64(h.v0, times_5(RIGHT(h.v2, 42)));
        h.v2 = AND(h.v2, MASK_42);
    }

    /* h + 5 - 2^130, if that is not negative */
    const vec t0 = ADD64(h.v0, _mm512_set1_epi64(5));
    const vec t1 = ADD64(h.v1, RIGHT(t0, 44));
    const vec t2 = ADD64(h.v2, RIGHT(t1, 44));
    const __mmask8 over = _mm512_cmpge_epu64_mask(t2, _mm512_set1_epi64(1ll << 42));
    h.v0 = _mm512_mask_and_epi64(h.v0, over, t0, MASK_44);
    h.v1 = _mm512_mask_and_epi64(h.v1, over, t1, MASK_44);
    h.v2 = _mm512_mask_and_epi64(h.v2, over, t2, MASK_42);

    const vec low = ADD64(_mm512_or_si512(h.v0, LEFT(h.v1, 44)), s_low);
    const __mmask8 carried = _mm512_cmplt_epu64_mask(low, s_low);
    vec high = ADD64(_mm512_or_si512(RIGHT(h.v1, 20), LEFT(h.v2, 24)), s_high);
    high = _mm512_mask_add_epi64(high, carried, high, _mm512_set1_epi64(1));

    /* Lanes 0, 2, 4, 6 are messages 0 to 3, lanes 1, 3, 5, 7 messages 4 to 7. */
    _mm512_storeu_si512(tags[0], _mm512_unpacklo_epi64(low, high));
    _mm512_storeu_si512(tags[4], _mm512_unpackhi_epi64(low, high));
}

/* How many lanes a message gets: 1 << that. */
static int segments_shift(size_t n)
{
    return n == 1 ? 3 : n == 2 ? 2 : n <= 4 ? 1 : 0;
}

static void mac_in_lanes(struct wgfp_aead_message *messages, size_t n)
{
    const int shift = segments_shift(n);
    alignas(64) uint8_t tags[MESSAGES][WGFP_TAG_SIZE];
    const uint8_t *keys[MESSAGES];
    struct lane lanes[MESSAGES];
    struct poly1305 state;
    vec s_low, s_high;
    int inside;
    const int steps = lanes_set_up(lanes, keys, MESSAGES, messages, n, shift, &inside);

    keys_load(&state, keys, &s_low, &s_high);
    for (int step = 0; step < inside; step++)
        step_edge(&state, lanes, step);
    if (inside < steps) {
        steps_inside(&state, lanes, inside, steps - 1);
        step_edge(&state, lanes, steps - 1);
    }
    if (shift > 0)
        segments_join(&state, 1 << shift, steps);
    tags_finish(state.h, s_low, s_high, tags);
    for (size_t i = 0; i < n; i++)
        memcpy(messages[i].tag, tags[i << shift], WGFP_TAG_SIZE);
    wgfp_clear(&state, sizeof state);
    wgfp_clear(tags, sizeof tags);
}

void wgfp_avx512_mac(struct wgfp_aead_message *messages, size_t n)
{
    if (messages_are_short(messages, n, 512))
        wgfp_poly1305_scalar(messages, n);
    else
        mac_in_lanes(messages, n);
}

WGFP_TARGET_END

#endif
