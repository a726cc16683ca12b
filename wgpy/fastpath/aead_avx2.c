/* ChaCha20-Poly1305 for x86-64 with AVX2.
 *
 * ChaCha20: one block a lane, 8 lanes a vector; up to four blocks in rows. Poly1305: one message a lane, 4 lanes a
 * vector; fewer messages are cut into segments, and few bytes do without vectors.
 */
#include "aead_lanes.h"

#if defined(WGFP_AEAD_X86)

#include "clear.h"

#include <immintrin.h>
#include <stdalign.h>
#include <string.h>

WGFP_TARGET_BEGIN("avx2")

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

enum { LANES = 8, BLOCKS_IN_ROWS = 4 };

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

/* What ChaCha20 begins with: rows 0 to 11 are alike in all lanes, row 13 is 0. */
struct chacha20_input {
    struct positions positions;
    uint32_t words[12];
};

/* The rounds are assembly text, for the 16 registers just do: rows a, b and d of the four columns are in registers 0 to
 * 7 and 12 to 15, two of the four rows c in 8 and 9, the other two in memory, and 10 and 11 are spare. Compilers
 * spill many more. */
#define YMM(n) "%%ymm" #n
#define OP3(op, a, b, to) #op " " a ", " b ", " to "\n\t"
#define ADD(a, b) OP3(vpaddd, YMM(b), YMM(a), YMM(a))
#define XOR(a, b) OP3(vpxor, YMM(b), YMM(a), YMM(a))
#define SHUFFLE(a, how) OP3(vpshufb, how, YMM(a), YMM(a))
#define ROTATE_2(b0, b1, left, right) \
    OP3(vpslld, "$" #left, YMM(b0), YMM(10)) OP3(vpslld, "$" #left, YMM(b1), YMM(11)) \
    OP3(vpsrld, "$" #right, YMM(b0), YMM(b0)) OP3(vpsrld, "$" #right, YMM(b1), YMM(b1)) \
    OP3(vpor, YMM(10), YMM(b0), YMM(b0)) OP3(vpor, YMM(11), YMM(b1), YMM(b1))

/* Half of a quarter round in two columns or diagonals: a += b, d ^= a, rotate d; c += d, b ^= c, rotate b */
#define TWO_HALVES(a0, b0, d0, a1, b1, d1, shuffle, left, right) \
    ADD(a0, b0) ADD(a1, b1) XOR(d0, a0) XOR(d1, a1) SHUFFLE(d0, shuffle) SHUFFLE(d1, shuffle) \
    ADD(8, d0) ADD(9, d1) XOR(b0, 8) XOR(b1, 9) ROTATE_2(b0, b1, left, right)
#define TWO_QUARTERS(a0, b0, d0, a1, b1, d1) \
    TWO_HALVES(a0, b0, d0, a1, b1, d1, "%[left_16]", 12, 20) TWO_HALVES(a0, b0, d0, a1, b1, d1, "%[left_8]", 7, 25)

#define MOVE(from, to) "vmovdqa " from ", " to "\n\t"
#define ROW(n) "32*" #n "(%[rows])"
#define STORE(n) MOVE(YMM(n), ROW(n))
#define SWAP_C(c0, c1, d0, d1) \
    MOVE(YMM(8), ROW(c0)) MOVE(YMM(9), ROW(c1)) MOVE(ROW(d0), YMM(8)) MOVE(ROW(d1), YMM(9))
#define DOUBLE_ROUND \
    TWO_QUARTERS(0, 4, 12, 1, 5, 13) SWAP_C(8, 9, 10, 11) TWO_QUARTERS(2, 6, 14, 3, 7, 15) \
    TWO_QUARTERS(0, 5, 15, 1, 6, 12) SWAP_C(10, 11, 8, 9) TWO_QUARTERS(2, 7, 13, 3, 4, 14)

#define LOAD_WORD(n, to) "vpbroadcastd 4*" #n "(%[words]), " YMM(to) "\n\t"

static const alignas(32) uint8_t left_16[32] = {2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13,
                                                2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13};
static const alignas(32) uint8_t left_8[32] = {3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14,
                                               3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14};

static void rounds(const struct chacha20_input *input, uint32_t lane, vec rows[16])
{
    int double_rounds = 10;

    __asm__ volatile(
        LOAD_WORD(10, 8) LOAD_WORD(11, 9) MOVE(YMM(8), ROW(10)) MOVE(YMM(9), ROW(11))
        LOAD_WORD(0, 0) LOAD_WORD(1, 1) LOAD_WORD(2, 2) LOAD_WORD(3, 3) LOAD_WORD(4, 4) LOAD_WORD(5, 5)
        LOAD_WORD(6, 6) LOAD_WORD(7, 7) LOAD_WORD(8, 8) LOAD_WORD(9, 9)
        "vmovdqu (%[block]), %%ymm12\n\t"
        "vpxor %%ymm13, %%ymm13, %%ymm13\n\t"
        "vmovdqu (%[low]), %%ymm14\n\t"
        "vmovdqu (%[high]), %%ymm15\n\t"
        ".balign 64\n"
        "1:\n\t" DOUBLE_ROUND
        "dec %[n]\n\t"
        "jnz 1b\n\t"
        STORE(0) STORE(1) STORE(2) STORE(3) STORE(4) STORE(5) STORE(6) STORE(7) STORE(8) STORE(9)
        STORE(12) STORE(13) STORE(14) STORE(15)
        : [n] "+r"(double_rounds)
        : [words] "r"(input->words), [block] "r"(input->positions.block + lane),
          [low] "r"(input->positions.nonce_low + lane), [high] "r"(input->positions.nonce_high + lane),
          [rows] "r"(rows), [left_16] "m"(left_16), [left_8] "m"(left_8)
        : "memory", "cc", "ymm0", "ymm1", "ymm2", "ymm3", "ymm4", "ymm5", "ymm6", "ymm7", "ymm8", "ymm9", "ymm10",
          "ymm11", "ymm12", "ymm13", "ymm14", "ymm15");
}

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

/* After the rounds, whose rows are where the blocks are to be: add the input, and bring each lane's words together. */
INLINE void set_finish(const struct chacha20_input *input, uint32_t lane, uint8_t *blocks)
{
    const struct positions *positions = &input->positions;
    const vec *rows = (const vec *)(const void *)blocks;
#define WORDS(n) _mm256_add_epi32(rows[n], _mm256_set1_epi32((int)input->words[n]))
    vec x0 = WORDS(0), x1 = WORDS(1), x2 = WORDS(2), x3 = WORDS(3);
    vec x4 = WORDS(4), x5 = WORDS(5), x6 = WORDS(6), x7 = WORDS(7);
    vec x8 = WORDS(8), x9 = WORDS(9), x10 = WORDS(10), x11 = WORDS(11);
#undef WORDS
    vec x12 = _mm256_add_epi32(rows[12], load(positions->block + lane)), x13 = rows[13];
    vec x14 = _mm256_add_epi32(rows[14], load(positions->nonce_low + lane));
    vec x15 = _mm256_add_epi32(rows[15], load(positions->nonce_high + lane));

    TRANSPOSE_4(x0, x1, x2, x3);
    TRANSPOSE_4(x4, x5, x6, x7);
    TRANSPOSE_4(x8, x9, x10, x11);
    TRANSPOSE_4(x12, x13, x14, x15);
    blocks_write(blocks, 0, x0, x4, x8, x12);
    blocks_write(blocks, 1, x1, x5, x9, x13);
    blocks_write(blocks, 2, x2, x6, x10, x14);
    blocks_write(blocks, 3, x3, x7, x11, x15);
}

/* Few blocks: a vector is a row of two of them, and what differs between columns is done by turning rows. */
#define ROTATE_XOR(b, c, bits) \
    b = _mm256_xor_si256(b, c), b = _mm256_or_si256(_mm256_slli_epi32(b, bits), _mm256_srli_epi32(b, 32 - (bits)))
#define SHUFFLE_XOR(d, a, how) d = _mm256_shuffle_epi8(_mm256_xor_si256(d, a), load(how))
#define FOUR_QUARTERS(a, b, c, d) \
    a = _mm256_add_epi32(a, b), SHUFFLE_XOR(d, a, left_16), c = _mm256_add_epi32(c, d), ROTATE_XOR(b, c, 12); \
    a = _mm256_add_epi32(a, b), SHUFFLE_XOR(d, a, left_8), c = _mm256_add_epi32(c, d), ROTATE_XOR(b, c, 7);
#define TURN(b, c, d, b_by, c_by, d_by) \
    b = _mm256_shuffle_epi32(b, b_by), c = _mm256_shuffle_epi32(c, c_by), d = _mm256_shuffle_epi32(d, d_by);

INLINE void two_blocks_write(uint8_t *blocks, vec a, vec b, vec c, vec d)
{
    store(blocks, _mm256_permute2x128_si256(a, b, 0x20));
    store(blocks + 32, _mm256_permute2x128_si256(c, d, 0x20));
    store(blocks + 64, _mm256_permute2x128_si256(a, b, 0x31));
    store(blocks + 96, _mm256_permute2x128_si256(c, d, 0x31));
}

static void rows_stream(const struct chacha20_input *input, uint32_t lane, uint8_t *blocks)
{
#define WORDS(n) _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)(input->words + (n))))
#define POSITION(i) \
    (int)input->positions.nonce_high[lane + (i)], (int)input->positions.nonce_low[lane + (i)], 0, \
        (int)input->positions.block[lane + (i)]
    const vec a = WORDS(0), b = WORDS(4), c = WORDS(8);
    const vec d0 = _mm256_set_epi32(POSITION(1), POSITION(0)), d1 = _mm256_set_epi32(POSITION(3), POSITION(2));
    vec x0 = a, x1 = b, x2 = c, x3 = d0, y0 = a, y1 = b, y2 = c, y3 = d1;
#undef WORDS
#undef POSITION

    for (int round = 0; round < 20; round += 2) {
        FOUR_QUARTERS(x0, x1, x2, x3)
        FOUR_QUARTERS(y0, y1, y2, y3)
        TURN(x1, x2, x3, 0x39, 0x4e, 0x93)
        TURN(y1, y2, y3, 0x39, 0x4e, 0x93)
        FOUR_QUARTERS(x0, x1, x2, x3)
        FOUR_QUARTERS(y0, y1, y2, y3)
        TURN(x1, x2, x3, 0x93, 0x4e, 0x39)
        TURN(y1, y2, y3, 0x93, 0x4e, 0x39)
    }
    two_blocks_write(blocks, _mm256_add_epi32(x0, a), _mm256_add_epi32(x1, b), _mm256_add_epi32(x2, c),
                     _mm256_add_epi32(x3, d0));
    two_blocks_write(blocks + 128, _mm256_add_epi32(y0, a), _mm256_add_epi32(y1, b), _mm256_add_epi32(y2, c),
                     _mm256_add_epi32(y3, d1));
}

static void stream(const uint8_t key[WGFP_KEY_SIZE], const struct wgfp_aead_run *runs, size_t n, uint8_t *blocks)
{
    struct chacha20_input input;
    const uint32_t lanes = positions_set(&input.positions, runs, n);

    memcpy(input.words, wgfp_sigma, sizeof wgfp_sigma);
    memcpy(input.words + 4, key, WGFP_KEY_SIZE);
    for (uint32_t lane = 0; lane < lanes; lane += LANES) {
        uint8_t *at = blocks + lane * WGFP_BLOCK_SIZE;

        if (lanes - lane <= BLOCKS_IN_ROWS) {
            rows_stream(&input, lane, at);
        } else {
            rounds(&input, lane, (vec *)(void *)at);
            set_finish(&input, lane, at);
        }
    }
    wgfp_clear(input.words, sizeof input.words);
}

static void xor(uint8_t *dst, const uint8_t *src, const uint8_t *blocks, size_t length)
{
    uint8_t rest[32];
    size_t at = 0;

    for (; at + 128 <= length; at += 128) {
        const vec a = _mm256_xor_si256(load(src + at), load(blocks + at));
        const vec b = _mm256_xor_si256(load(src + at + 32), load(blocks + at + 32));
        const vec c = _mm256_xor_si256(load(src + at + 64), load(blocks + at + 64));
        const vec d = _mm256_xor_si256(load(src + at + 96), load(blocks + at + 96));

        store(dst + at, a);
        store(dst + at + 32, b);
        store(dst + at + 64, c);
        store(dst + at + 96, d);
    }
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
    uint64_t counts[4][MESSAGES];
    const uint8_t *at[MESSAGES];
    vec bits[4];

    for (int i = 0; i < MESSAGES; i++) {
        unsigned found;

        at[i] = lane_chunk(&lanes[i], step, edges[i], &found);
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

/* Multiply each segment's sum by r^4 to the power of the chunks behind it. */
static void segments_weigh(struct poly1305 *state, int shift, int steps)
{
    const vec *r4 = state->r4.v + 4;
    struct limbs one = limbs_zero(), power = {r4[0], r4[1], r4[2], r4[3], r4[4]};
    struct factor factor;

    one.v0 = _mm256_set1_epi64x(1);
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

static void mac_in_lanes(struct wgfp_aead_message *messages, size_t n)
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

static void mac(struct wgfp_aead_message *messages, size_t n)
{
    if (messages_are_short(messages, n, 800))
        wgfp_poly1305_scalar(messages, n);
    else
        mac_in_lanes(messages, n);
}

WGFP_TARGET_END

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
