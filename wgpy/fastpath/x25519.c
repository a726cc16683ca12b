/* X25519 (RFC 7748) with AVX-512's IFMA: four at once, one a lane; what it means for the caller is said in wgfp.h.
 *
 * Numbers modulo p = 2^255 - 19 are five limbs of 51 bits, a few bits more where they are not `carried`: vpmadd52 takes
 * 52. Vectors are of 256 bits: of those Zen 4 does two for one of 512, so that one handshake alone is done sooner. Neither
 * a branch nor an address depends on a scalar, on a point, or on what becomes of them.
 */
#include "wgfp.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include "aead_kernel.h"
#include "clear.h"
#include "cpu_x86.h"

#include <immintrin.h>
#include <stdalign.h>
#include <stdbool.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 4, LIMBS = 5, LIMB_BITS = 51, BYTES = 32, WORDS = 4, SCALAR_BITS = 255 };

unsigned wgfp_x25519_lanes(void)
{
    return wgfp_cpu_has(bit_AVX512F | bit_AVX512VL | bit_AVX512IFMA, WGFP_CPU_ZMM) ? LANES : 0;
}

WGFP_TARGET_BEGIN("avx512f,avx512vl,avx512ifma")

typedef __m256i vec;

/* One number a lane. */
struct field {
    vec limb[LIMBS];
};

INLINE vec all(uint64_t word)
{
    return _mm256_set1_epi64x((long long)word);
}

INLINE vec limb_of(vec sum)
{
    return _mm256_and_si256(sum, all((UINT64_C(1) << LIMB_BITS) - 1));
}

/* What of these sums is beyond a limb goes to the next one: so limbs are below 2^51 + 2^14, if sums are below 2^60. */
INLINE void carry(struct field *out, vec r0, vec r1, vec r2, vec r3, vec r4)
{
#define BEYOND(sum) _mm256_srli_epi64(sum, LIMB_BITS)
    out->limb[0] = _mm256_madd52lo_epu64(limb_of(r0), BEYOND(r4), all(19));
    out->limb[1] = _mm256_add_epi64(limb_of(r1), BEYOND(r0));
    out->limb[2] = _mm256_add_epi64(limb_of(r2), BEYOND(r1));
    out->limb[3] = _mm256_add_epi64(limb_of(r3), BEYOND(r2));
    out->limb[4] = _mm256_add_epi64(limb_of(r4), BEYOND(r3));
#undef BEYOND
}

INLINE void field_add(struct field *out, const struct field *a, const struct field *b)
{
#define SUM(i) _mm256_add_epi64(a->limb[i], b->limb[i])
    carry(out, SUM(0), SUM(1), SUM(2), SUM(3), SUM(4));
#undef SUM
}

/* Twice p is added, so that no limb is negative. */
INLINE void field_subtract(struct field *out, const struct field *a, const struct field *b)
{
    const vec low = all((UINT64_C(1) << 52) - 38), other = all((UINT64_C(1) << 52) - 2);

#define DIFFERENCE(i, twice_p) _mm256_add_epi64(_mm256_sub_epi64(a->limb[i], b->limb[i]), twice_p)
    carry(out, DIFFERENCE(0, low), DIFFERENCE(1, other), DIFFERENCE(2, other), DIFFERENCE(3, other),
          DIFFERENCE(4, other));
#undef DIFFERENCE
}

/* a + 19 b, as 2^255 is 19 modulo p. */
INLINE vec fold(vec a, vec b)
{
    const vec thrice = _mm256_add_epi64(_mm256_add_epi64(b, b), b);

    return _mm256_add_epi64(_mm256_add_epi64(a, thrice), _mm256_slli_epi64(b, 4));
}

/* Ten sums, the product's limbs, all below 2^55. */
INLINE void reduce(struct field *out, const vec r[2 * LIMBS])
{
    carry(out, fold(r[0], r[5]), fold(r[1], r[6]), fold(r[2], r[7]), fold(r[3], r[8]), fold(r[4], r[9]));
}

/* The upper 52 bits of a product of limbs are of weight 2^52, so in the next limb, of weight 2^51, they count twice. */
#define LOW(sum, x, y) sum = _mm256_madd52lo_epu64(sum, x, y)
#define HIGH(sum, x, y) sum = _mm256_madd52hi_epu64(sum, x, y)
#define TWICE(sum) sum = _mm256_add_epi64(sum, sum)

INLINE void field_multiply(struct field *out, const struct field *x, const struct field *y)
{
    const vec *a = x->limb, *b = y->limb;
    vec r[2 * LIMBS];

    for (int i = 0; i < 2 * LIMBS; i++)
        r[i] = _mm256_setzero_si256();

    HIGH(r[1], a[0], b[0]);
    HIGH(r[2], a[0], b[1]), HIGH(r[2], a[1], b[0]);
    HIGH(r[3], a[0], b[2]), HIGH(r[3], a[1], b[1]), HIGH(r[3], a[2], b[0]);
    HIGH(r[4], a[0], b[3]), HIGH(r[4], a[1], b[2]), HIGH(r[4], a[2], b[1]), HIGH(r[4], a[3], b[0]);
    HIGH(r[5], a[0], b[4]), HIGH(r[5], a[1], b[3]), HIGH(r[5], a[2], b[2]), HIGH(r[5], a[3], b[1]);
    HIGH(r[5], a[4], b[0]);
    HIGH(r[6], a[1], b[4]), HIGH(r[6], a[2], b[3]), HIGH(r[6], a[3], b[2]), HIGH(r[6], a[4], b[1]);
    HIGH(r[7], a[2], b[4]), HIGH(r[7], a[3], b[3]), HIGH(r[7], a[4], b[2]);
    HIGH(r[8], a[3], b[4]), HIGH(r[8], a[4], b[3]);
    HIGH(r[9], a[4], b[4]);
    for (int i = 1; i < 2 * LIMBS; i++)
        TWICE(r[i]);
    LOW(r[0], a[0], b[0]);
    LOW(r[1], a[0], b[1]), LOW(r[1], a[1], b[0]);
    LOW(r[2], a[0], b[2]), LOW(r[2], a[1], b[1]), LOW(r[2], a[2], b[0]);
    LOW(r[3], a[0], b[3]), LOW(r[3], a[1], b[2]), LOW(r[3], a[2], b[1]), LOW(r[3], a[3], b[0]);
    LOW(r[4], a[0], b[4]), LOW(r[4], a[1], b[3]), LOW(r[4], a[2], b[2]), LOW(r[4], a[3], b[1]);
    LOW(r[4], a[4], b[0]);
    LOW(r[5], a[1], b[4]), LOW(r[5], a[2], b[3]), LOW(r[5], a[3], b[2]), LOW(r[5], a[4], b[1]);
    LOW(r[6], a[2], b[4]), LOW(r[6], a[3], b[3]), LOW(r[6], a[4], b[2]);
    LOW(r[7], a[3], b[4]), LOW(r[7], a[4], b[3]);
    LOW(r[8], a[4], b[4]);
    reduce(out, r);
}

/* As a product, where those of two different limbs count twice. */
INLINE void field_square(struct field *out, const struct field *x)
{
    const vec *a = x->limb;
    vec r[2 * LIMBS];

    for (int i = 0; i < 2 * LIMBS; i++)
        r[i] = _mm256_setzero_si256();

    HIGH(r[2], a[0], a[1]);
    HIGH(r[3], a[0], a[2]);
    HIGH(r[4], a[0], a[3]), HIGH(r[4], a[1], a[2]);
    HIGH(r[5], a[0], a[4]), HIGH(r[5], a[1], a[3]);
    HIGH(r[6], a[1], a[4]), HIGH(r[6], a[2], a[3]);
    HIGH(r[7], a[2], a[4]);
    HIGH(r[8], a[3], a[4]);
    for (int i = 2; i < 2 * LIMBS - 1; i++)
        TWICE(r[i]);
    HIGH(r[1], a[0], a[0]), HIGH(r[3], a[1], a[1]), HIGH(r[5], a[2], a[2]), HIGH(r[7], a[3], a[3]);
    HIGH(r[9], a[4], a[4]);
    LOW(r[1], a[0], a[1]);
    LOW(r[2], a[0], a[2]);
    LOW(r[3], a[0], a[3]), LOW(r[3], a[1], a[2]);
    LOW(r[4], a[0], a[4]), LOW(r[4], a[1], a[3]);
    LOW(r[5], a[1], a[4]), LOW(r[5], a[2], a[3]);
    LOW(r[6], a[2], a[4]);
    LOW(r[7], a[3], a[4]);
    for (int i = 1; i < 2 * LIMBS; i++)
        TWICE(r[i]);
    LOW(r[0], a[0], a[0]), LOW(r[2], a[1], a[1]), LOW(r[4], a[2], a[2]), LOW(r[6], a[3], a[3]);
    LOW(r[8], a[4], a[4]);
    reduce(out, r);
}

/* a + 121665 b: the curve's (A - 2) / 4. */
INLINE void field_add_scaled(struct field *out, const struct field *a, const struct field *b)
{
    const vec factor = all(121665);
    vec high[LIMBS], r[LIMBS];

    for (int i = 0; i < LIMBS; i++) {
        high[i] = _mm256_madd52hi_epu64(_mm256_setzero_si256(), b->limb[i], factor);
        r[i] = _mm256_madd52lo_epu64(a->limb[i], b->limb[i], factor);
    }
    r[0] = _mm256_madd52lo_epu64(r[0], high[4], all(2 * 19));
    for (int i = 1; i < LIMBS; i++)
        r[i] = _mm256_add_epi64(r[i], _mm256_add_epi64(high[i - 1], high[i - 1]));
    carry(out, r[0], r[1], r[2], r[3], r[4]);
}

/* Exchange them in these lanes. */
INLINE void field_swap(__mmask8 lanes, struct field *a, struct field *b)
{
    for (int i = 0; i < LIMBS; i++) {
        const vec kept = a->limb[i];

        a->limb[i] = _mm256_mask_blend_epi64(lanes, kept, b->limb[i]);
        b->limb[i] = _mm256_mask_blend_epi64(lanes, b->limb[i], kept);
    }
}

static void field_square_times(struct field *out, const struct field *a, int times)
{
    struct field power = *a;

    for (int i = 0; i < times; i++)
        field_square(&power, &power);
    *out = power;
}

static void field_times(struct field *out, const struct field *a, const struct field *b)
{
    field_multiply(out, a, b);
}

/* a^(p - 2), which is 1 / a; 0 for 0. Names are exponents: t_10_0 is 2^10 - 2^0. */
static void field_invert(struct field *out, const struct field *a)
{
    struct field t2, t9, t11, t, t_5_0, t_10_0, t_20_0, t_50_0, t_100_0;

    field_square_times(&t2, a, 1);
    field_square_times(&t, &t2, 2);
    field_times(&t9, &t, a);
    field_times(&t11, &t9, &t2);
    field_square_times(&t, &t11, 1);
    field_times(&t_5_0, &t, &t9);
    field_square_times(&t, &t_5_0, 5);
    field_times(&t_10_0, &t, &t_5_0);
    field_square_times(&t, &t_10_0, 10);
    field_times(&t_20_0, &t, &t_10_0);
    field_square_times(&t, &t_20_0, 20);
    field_times(&t, &t, &t_20_0);
    field_square_times(&t, &t, 10);
    field_times(&t_50_0, &t, &t_10_0);
    field_square_times(&t, &t_50_0, 50);
    field_times(&t_100_0, &t, &t_50_0);
    field_square_times(&t, &t_100_0, 100);
    field_times(&t, &t, &t_100_0);
    field_square_times(&t, &t, 50);
    field_times(&t, &t, &t_50_0);
    field_square_times(&t, &t, 5);
    field_times(out, &t, &t11);
}

/* 32 bytes a lane as words: words[i] has the i-th of each. */
static void words_read(vec words[WORDS], const uint8_t *bytes, size_t n)
{
    alignas(vec) uint64_t lanes[WORDS][LANES] = {{0}};

    for (size_t lane = 0; lane < n; lane++) {
        for (size_t i = 0; i < WORDS; i++)
            memcpy(&lanes[i][lane], bytes + BYTES * lane + 8 * i, 8);
    }
    for (int i = 0; i < WORDS; i++)
        words[i] = _mm256_load_si256((const vec *)lanes[i]);
    wgfp_clear(lanes, sizeof lanes);
}

static void words_write(uint8_t *bytes, const vec words[WORDS], size_t n)
{
    alignas(vec) uint64_t lanes[WORDS][LANES];

    for (int i = 0; i < WORDS; i++)
        _mm256_store_si256((vec *)lanes[i], words[i]);
    for (size_t lane = 0; lane < n; lane++) {
        for (size_t i = 0; i < WORDS; i++)
            memcpy(bytes + BYTES * lane + 8 * i, &lanes[i][lane], 8);
    }
    wgfp_clear(lanes, sizeof lanes);
}

/* The lower bits of what two words are one after the other, from bit `from` of the first on. */
INLINE vec across(vec first, vec second, int from)
{
    return limb_of(_mm256_or_si256(_mm256_srli_epi64(first, from), _mm256_slli_epi64(second, 64 - from)));
}

/* The uppermost bit does not count. */
static void field_from_words(struct field *out, const vec words[WORDS])
{
    out->limb[0] = limb_of(words[0]);
    out->limb[1] = across(words[0], words[1], 51);
    out->limb[2] = across(words[1], words[2], 38);
    out->limb[3] = across(words[2], words[3], 25);
    out->limb[4] = limb_of(_mm256_srli_epi64(words[3], 12));
}

/* Carry from limb to limb, to the end; returns what is beyond. */
static vec carry_all(struct field *a)
{
    vec beyond = _mm256_setzero_si256();

    for (int i = 0; i < LIMBS; i++) {
        const vec sum = _mm256_add_epi64(a->limb[i], beyond);

        a->limb[i] = limb_of(sum);
        beyond = _mm256_srli_epi64(sum, LIMB_BITS);
    }
    return beyond;
}

/* What is beyond counts 19 times at the beginning. Read limb 0 only then: a call may come before or after what stands
 * beside it. */
static void carry_around(struct field *a)
{
    const vec beyond = carry_all(a);

    a->limb[0] = _mm256_madd52lo_epu64(a->limb[0], beyond, all(19));
}

/* The number below p. */
static void field_to_words(vec words[WORDS], const struct field *a)
{
    struct field b = *a, c;

    carry_around(&b);
    carry_around(&b);
    /* Below 2^255 now; what is from p on is that of b + 19 beyond 2^255. */
    c = b;
    c.limb[0] = _mm256_add_epi64(c.limb[0], all(19));
    b.limb[0] = _mm256_madd52lo_epu64(b.limb[0], carry_all(&c), all(19));
    (void)carry_all(&b);
#define JOINED(i, right, left) \
    _mm256_or_si256(_mm256_srli_epi64(b.limb[i], right), _mm256_slli_epi64(b.limb[(i) + 1], left))
    words[0] = JOINED(0, 0, 51);
    words[1] = JOINED(1, 13, 38);
    words[2] = JOINED(2, 26, 25);
    words[3] = JOINED(3, 39, 12);
#undef JOINED
}

/* All that is secret, to be forgotten at once. */
struct ladder {
    struct field x1, x2, z2, x3, z3;
    struct field a, b, aa, bb, e;
    vec scalars[WORDS], words[WORDS];
};

INLINE void ladder_step(struct ladder *l)
{
    struct field da, cb;

    field_add(&l->a, &l->x2, &l->z2);
    field_subtract(&l->b, &l->x2, &l->z2);
    field_add(&cb, &l->x3, &l->z3);
    field_subtract(&da, &l->x3, &l->z3);
    field_multiply(&da, &da, &l->a);
    field_multiply(&cb, &cb, &l->b);
    field_square(&l->aa, &l->a);
    field_square(&l->bb, &l->b);
    field_add(&l->x3, &da, &cb);
    field_subtract(&l->z3, &da, &cb);
    field_square(&l->x3, &l->x3);
    field_square(&l->z3, &l->z3);
    field_subtract(&l->e, &l->aa, &l->bb);
    field_multiply(&l->x2, &l->aa, &l->bb);
    field_multiply(&l->z3, &l->z3, &l->x1);
    field_add_scaled(&l->z2, &l->aa, &l->e);
    field_multiply(&l->z2, &l->z2, &l->e);
}

/* RFC 7748 section 5, in n lanes. */
static void lanes_multiply(struct ladder *l, uint8_t *shared, const uint8_t *scalars, const uint8_t *points, size_t n)
{
    const struct field zero = {{_mm256_setzero_si256()}};
    __mmask8 swap = 0;

    words_read(l->scalars, scalars, n);
    l->scalars[0] = _mm256_and_si256(l->scalars[0], all(~UINT64_C(7)));
    l->scalars[3] = _mm256_or_si256(l->scalars[3], all(UINT64_C(1) << 62)); /* bit 255 is not looked at */
    words_read(l->words, points, n);
    field_from_words(&l->x1, l->words);
    l->x2 = l->z3 = zero;
    l->x2.limb[0] = l->z3.limb[0] = all(1);
    l->z2 = zero;
    l->x3 = l->x1;
    for (int bit = SCALAR_BITS - 1; bit >= 0; bit--) {
        const __mmask8 set = _mm256_test_epi64_mask(l->scalars[bit / 64], all(UINT64_C(1) << bit % 64));

        swap ^= set;
        field_swap(swap, &l->x2, &l->x3);
        field_swap(swap, &l->z2, &l->z3);
        swap = set;
        ladder_step(l);
    }
    field_swap(swap, &l->x2, &l->x3); /* the lowest bits are clear: for the reader of RFC 7748 */
    field_swap(swap, &l->z2, &l->z3);
    field_invert(&l->z2, &l->z2);
    field_times(&l->x2, &l->x2, &l->z2);
    field_to_words(l->words, &l->x2);
    words_write(shared, l->words, n);
}

void wgfp_x25519(uint8_t *shared, const uint8_t *scalars, const uint8_t *points, size_t n)
{
    struct ladder ladder;

    for (size_t done = 0; done < n; done += LANES) {
        const size_t at = BYTES * done;

        lanes_multiply(&ladder, shared + at, scalars + at, points + at, n - done < LANES ? n - done : LANES);
    }
    wgfp_clear(&ladder, sizeof ladder);
}

WGFP_TARGET_END

#else

unsigned wgfp_x25519_lanes(void)
{
    return 0;
}

void wgfp_x25519(uint8_t *shared, const uint8_t *scalars, const uint8_t *points, size_t n)
{
    (void)shared, (void)scalars, (void)points, (void)n;
}

#endif
