/* ChaCha20-Poly1305 for x86-64 with AVX-512 (F, DQ, BW, VL) and IFMA.
 *
 * ChaCha20: one block a lane, 16 lanes a vector, two sets of 16 at once, for one alone waits for its own results; up to
 * eight blocks in rows. Poly1305: one message a lane, 8 lanes a vector; fewer messages are cut into segments, and few
 * bytes do without vectors.
 */
#include "aead_lanes.h"

#if defined(WGFP_AEAD_X86)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx512ifma,bmi2"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,avx512ifma,bmi2")
#endif

#include "clear.h"

#include <immintrin.h>
#include <stdalign.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

typedef __m512i vec;

/* ChaCha20 ------------------------------------------------------------------------------------- */

enum { LANES = 16, SETS = 2, BLOCKS_IN_ROWS = 8 };

/* What ChaCha20 begins with: rows 0 to 11 are alike in all lanes, row 13 is 0. */
struct chacha20_input {
    vec block[SETS], nonce_low[SETS], nonce_high[SETS]; /* rows 12, 14 and 15: by lane */
    uint32_t words[12];
};

/* The rounds are assembly text because two sets take exactly the 32 registers that there are, and compilers spill a
 * score of them when they schedule intrinsics. Register n holds row n of the first set, n + 16 of the second. */
#define ZMM(n) "%%zmm" #n
#define ADD(a, b) "vpaddd " ZMM(b) ", " ZMM(a) ", " ZMM(a) "\n\t"
#define XOR_ROTATE(d, a, bits) \
    "vpxord " ZMM(a) ", " ZMM(d) ", " ZMM(d) "\n\t" \
    "vprold $" #bits ", " ZMM(d) ", " ZMM(d) "\n\t"

/* a += b; d = rotate(d ^ a), in four columns or diagonals */
#define HALF_STEP(a0, a1, a2, a3, b0, b1, b2, b3, d0, d1, d2, d3, bits) \
    ADD(a0, b0) ADD(a1, b1) ADD(a2, b2) ADD(a3, b3) \
    XOR_ROTATE(d0, a0, bits) XOR_ROTATE(d1, a1, bits) XOR_ROTATE(d2, a2, bits) XOR_ROTATE(d3, a3, bits)

#define COLUMNS_AB_0(bits) HALF_STEP(0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 15, bits)
#define COLUMNS_CD_0(bits) HALF_STEP(8, 9, 10, 11, 12, 13, 14, 15, 4, 5, 6, 7, bits)
#define DIAGONALS_AB_0(bits) HALF_STEP(0, 1, 2, 3, 5, 6, 7, 4, 15, 12, 13, 14, bits)
#define DIAGONALS_CD_0(bits) HALF_STEP(10, 11, 8, 9, 15, 12, 13, 14, 5, 6, 7, 4, bits)
#define COLUMNS_AB_1(bits) HALF_STEP(16, 17, 18, 19, 20, 21, 22, 23, 28, 29, 30, 31, bits)
#define COLUMNS_CD_1(bits) HALF_STEP(24, 25, 26, 27, 28, 29, 30, 31, 20, 21, 22, 23, bits)
#define DIAGONALS_AB_1(bits) HALF_STEP(16, 17, 18, 19, 21, 22, 23, 20, 31, 28, 29, 30, bits)
#define DIAGONALS_CD_1(bits) HALF_STEP(26, 27, 24, 25, 31, 28, 29, 30, 21, 22, 23, 20, bits)

#define DOUBLE_ROUND_1_SET \
    COLUMNS_AB_0(16) COLUMNS_CD_0(12) COLUMNS_AB_0(8) COLUMNS_CD_0(7) \
    DIAGONALS_AB_0(16) DIAGONALS_CD_0(12) DIAGONALS_AB_0(8) DIAGONALS_CD_0(7)

#define DOUBLE_ROUND_2_SETS \
    COLUMNS_AB_0(16) COLUMNS_AB_1(16) COLUMNS_CD_0(12) COLUMNS_CD_1(12) \
    COLUMNS_AB_0(8) COLUMNS_AB_1(8) COLUMNS_CD_0(7) COLUMNS_CD_1(7) \
    DIAGONALS_AB_0(16) DIAGONALS_AB_1(16) DIAGONALS_CD_0(12) DIAGONALS_CD_1(12) \
    DIAGONALS_AB_0(8) DIAGONALS_AB_1(8) DIAGONALS_CD_0(7) DIAGONALS_CD_1(7)

#define LOAD_WORD(n) "vpbroadcastd 4*" #n "(%[words]), " ZMM(n) "\n\t"
#define LOAD_WORDS \
    LOAD_WORD(0) LOAD_WORD(1) LOAD_WORD(2) LOAD_WORD(3) LOAD_WORD(4) LOAD_WORD(5) \
    LOAD_WORD(6) LOAD_WORD(7) LOAD_WORD(8) LOAD_WORD(9) LOAD_WORD(10) LOAD_WORD(11)
#define COPY(from, to) "vmovdqa64 " ZMM(from) ", " ZMM(to) "\n\t"
#define COPY_WORDS \
    COPY(0, 16) COPY(1, 17) COPY(2, 18) COPY(3, 19) COPY(4, 20) COPY(5, 21) \
    COPY(6, 22) COPY(7, 23) COPY(8, 24) COPY(9, 25) COPY(10, 26) COPY(11, 27)
#define LOAD_POSITION(set, r12, r13, r14, r15) \
    "vmovdqa64 64*" #set "(%[block]), " ZMM(r12) "\n\t" \
    "vpxord " ZMM(r13) ", " ZMM(r13) ", " ZMM(r13) "\n\t" \
    "vmovdqa64 64*" #set "(%[low]), " ZMM(r14) "\n\t" \
    "vmovdqa64 64*" #set "(%[high]), " ZMM(r15) "\n\t"
#define STORE(r, row) "vmovdqa64 " ZMM(r) ", 64*" #row "(%[rows])\n\t"
#define STORE_16(r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12, r13, r14, r15, s0, s1, s2, s3, s4, s5, s6, \
                 s7, s8, s9, s10, s11, s12, s13, s14, s15) \
    STORE(r0, s0) STORE(r1, s1) STORE(r2, s2) STORE(r3, s3) STORE(r4, s4) STORE(r5, s5) STORE(r6, s6) STORE(r7, s7) \
    STORE(r8, s8) STORE(r9, s9) STORE(r10, s10) STORE(r11, s11) STORE(r12, s12) STORE(r13, s13) STORE(r14, s14) \
    STORE(r15, s15)
#define STORE_SET_0 \
    STORE_16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
#define STORE_SET_1 \
    STORE_16(16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, \
             26, 27, 28, 29, 30, 31)

#define ASM_OPERANDS(input, rows, count) \
    : [n] "+r"(count) \
    : [words] "r"((input)->words), [block] "r"((input)->block), [low] "r"((input)->nonce_low), \
      [high] "r"((input)->nonce_high), [rows] "r"(rows) \
    : "memory", "cc", "zmm0", "zmm1", "zmm2", "zmm3", "zmm4", "zmm5", "zmm6", "zmm7", "zmm8", "zmm9", "zmm10", \
      "zmm11", "zmm12", "zmm13", "zmm14", "zmm15"

static void rounds_1_set(const struct chacha20_input *input, vec rows[16])
{
    int double_rounds = 10;

    __asm__ volatile(LOAD_WORDS LOAD_POSITION(0, 12, 13, 14, 15) ".balign 64\n1:\n\t" DOUBLE_ROUND_1_SET
                     "dec %[n]\n\tjnz 1b\n\t" STORE_SET_0 ASM_OPERANDS(input, rows, double_rounds));
}

static void rounds_2_sets(const struct chacha20_input *input, vec rows[32])
{
    int double_rounds = 10;

    __asm__ volatile(LOAD_WORDS COPY_WORDS LOAD_POSITION(0, 12, 13, 14, 15) LOAD_POSITION(1, 28, 29, 30, 31)
                     ".balign 64\n1:\n\t" DOUBLE_ROUND_2_SETS
                     "dec %[n]\n\tjnz 1b\n\t" STORE_SET_0 STORE_SET_1 ASM_OPERANDS(input, rows, double_rounds),
                     "zmm16", "zmm17", "zmm18", "zmm19", "zmm20", "zmm21", "zmm22", "zmm23", "zmm24", "zmm25", "zmm26",
                     "zmm27", "zmm28", "zmm29", "zmm30", "zmm31");
}

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

/* Few blocks: a vector is a row of four of them, and what differs between columns is done by turning rows. */
#define ADD_XOR_ROTATE(a, b, d, bits) \
    a = _mm512_add_epi32(a, b), d = _mm512_rol_epi32(_mm512_xor_si512(d, a), bits)
#define FOUR_QUARTERS(a, b, c, d) \
    ADD_XOR_ROTATE(a, b, d, 16), ADD_XOR_ROTATE(c, d, b, 12), ADD_XOR_ROTATE(a, b, d, 8), ADD_XOR_ROTATE(c, d, b, 7);
#define TURN(b, c, d, b_by, c_by, d_by) \
    b = _mm512_shuffle_epi32(b, b_by), c = _mm512_shuffle_epi32(c, c_by), d = _mm512_shuffle_epi32(d, d_by);

INLINE void four_blocks_write(uint8_t *blocks, vec a, vec b, vec c, vec d)
{
    vec out[4];

    transpose_quarters(out, a, b, c, d);
    for (int i = 0; i < 4; i++)
        _mm512_store_si512(blocks + 64 * i, out[i]);
}

/* The blocks of the first eight lanes of a set. */
static void rows_stream(const struct chacha20_input *input, int set, uint8_t *blocks)
{
#define WORDS(n) _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)(input->words + (n))))
#define HALF(rows) _mm512_castsi512_si256(input->rows[set])
    const vec a = WORDS(0), b = WORDS(4), c = WORDS(8);
    /* Bring each lane's words 12 to 15 together. */
    const __m256i block = HALF(block), low = HALF(nonce_low), high = HALF(nonce_high), zero = _mm256_setzero_si256();
#undef WORDS
#undef HALF
    const __m256i b0 = _mm256_unpacklo_epi32(block, zero), b1 = _mm256_unpackhi_epi32(block, zero);
    const __m256i n0 = _mm256_unpacklo_epi32(low, high), n1 = _mm256_unpackhi_epi32(low, high);
    const __m256i p0 = _mm256_unpacklo_epi64(b0, n0), p1 = _mm256_unpackhi_epi64(b0, n0); /* lanes 0, 4 and 1, 5 */
    const __m256i p2 = _mm256_unpacklo_epi64(b1, n1), p3 = _mm256_unpackhi_epi64(b1, n1); /* lanes 2, 6 and 3, 7 */
    const __m256i q0 = _mm256_permute2x128_si256(p0, p1, 0x20), q1 = _mm256_permute2x128_si256(p2, p3, 0x20);
    const __m256i q2 = _mm256_permute2x128_si256(p0, p1, 0x31), q3 = _mm256_permute2x128_si256(p2, p3, 0x31);
    const vec d0 = _mm512_inserti64x4(_mm512_castsi256_si512(q0), q1, 1);
    const vec d1 = _mm512_inserti64x4(_mm512_castsi256_si512(q2), q3, 1);
    vec x0 = a, x1 = b, x2 = c, x3 = d0, y0 = a, y1 = b, y2 = c, y3 = d1;

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
    four_blocks_write(blocks, _mm512_add_epi32(x0, a), _mm512_add_epi32(x1, b), _mm512_add_epi32(x2, c),
                      _mm512_add_epi32(x3, d0));
    four_blocks_write(blocks + 256, _mm512_add_epi32(y0, a), _mm512_add_epi32(y1, b), _mm512_add_epi32(y2, c),
                      _mm512_add_epi32(y3, d1));
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

static void stream(const uint8_t key[WGFP_KEY_SIZE], const struct wgfp_aead_run *runs, size_t n, uint8_t *blocks)
{
    struct chacha20_input input;
    vec *rows = (vec *)(void *)blocks;
    const uint32_t lanes = lanes_assign(&input, runs, n);

    memcpy(input.words, wgfp_sigma, sizeof wgfp_sigma);
    memcpy(input.words + 4, key, WGFP_KEY_SIZE);
    if (lanes <= BLOCKS_IN_ROWS) {
        rows_stream(&input, 0, blocks);
    } else if (lanes <= LANES + BLOCKS_IN_ROWS) {
        rounds_1_set(&input, rows);
        set_finish(&input, 0, rows, blocks);
        if (lanes > LANES)
            rows_stream(&input, 1, blocks + LANES * WGFP_BLOCK_SIZE);
    } else {
        rounds_2_sets(&input, rows);
        set_finish(&input, 0, rows, blocks);
        set_finish(&input, 1, rows + 16, blocks + LANES * WGFP_BLOCK_SIZE);
    }
    wgfp_clear(input.words, sizeof input.words);
}

static void xor(uint8_t *dst, const uint8_t *src, const uint8_t *blocks, size_t length)
{
    size_t at = 0;

    for (; at + 64 <= length; at += 64)
        _mm512_storeu_si512(dst + at, _mm512_xor_si512(_mm512_loadu_si512(src + at), _mm512_load_si512(blocks + at)));
    if (at < length) {
        const __mmask64 rest = _bzhi_u64(~0ull, (unsigned)(length - at));
        const vec text = _mm512_maskz_loadu_epi8(rest, src + at);

        _mm512_mask_storeu_epi8(dst + at, rest, _mm512_xor_si512(text, _mm512_load_si512(blocks + at)));
    }
}

/* Poly1305 ------------------------------------------------------------------------------------- *
 *
 * Numbers modulo 2^130 - 5 are three limbs of 44, 44 and 42 bits, a few bits more between carries: vpmadd52 takes 52
 * bits of each factor, and adds the low or the high 52 bits of the product to a sum of 64. A message's blocks are
 * taken four at a time (a chunk, 64 bytes): h = (h + m0) r^4 + m1 r^3 + m2 r^2 + m3 r, so one carry does for four.
 */

enum { MESSAGES = 8 };

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
INLINE struct limbs carry(const struct products *p, const struct products *q)
{
    /* 2^52 is 2^8 in the next limb, and beyond limb 2, where 2^140 is 5 * 2^10, it is that in limb 0. */
    const vec t0 = ADD64(ADD64(p->low0, q->low0), LEFT(times_5(ADD64(p->high2, q->high2)), 10));
    const vec t1 = ADD64(ADD64(p->low1, q->low1), LEFT(ADD64(p->high0, q->high0), 8));
    const vec t2 = ADD64(ADD64(p->low2, q->low2), LEFT(ADD64(p->high1, q->high1), 8));

    return (struct limbs){
        ADD64(AND(t0, MASK_44), times_5(RIGHT(t2, 42))),
        ADD64(AND(t1, MASK_44), RIGHT(t0, 44)),
        ADD64(AND(t2, MASK_42), RIGHT(t1, 44)),
    };
}

INLINE struct limbs multiply(struct limbs a, const struct factor *r)
{
    const struct products none = products_none();
    struct products p = none;

    multiply_add(&p, a, r);
    return carry(&p, &none);
}

INLINE struct limbs limbs_of(vec low, vec high, vec bit_128)
{
    /* Plain shifts: vpshrdq goes where vpmadd52 goes on Zen 5. 0xa8: (a | b) & c. */
    return (struct limbs){
        AND(low, MASK_44),
        _mm512_ternarylogic_epi64(RIGHT(low, 44), LEFT(high, 20), MASK_44, 0xa8),
        _mm512_or_si512(RIGHT(high, 24), bit_128),
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

INLINE struct chunk chunk_of(const vec p[MESSAGES], const vec bits[4])
{
    vec low[4], high[4];

    transpose_messages(low, high, p);
    return (struct chunk){limbs_of(low[0], high[0], bits[0]), limbs_of(low[1], high[1], bits[1]),
                          limbs_of(low[2], high[2], bits[2]), limbs_of(low[3], high[3], bits[3])};
}

/* h = (h + m0) r^4 + m1 r^3 + m2 r^2 + m3 r */
INLINE struct limbs chunk_absorb(const struct poly1305 *state, struct limbs h, const struct chunk *chunk)
{
    struct products p = products_none(), q = p;

    multiply_add(&p, chunk->m1, &state->r3);
    multiply_add(&q, chunk->m2, &state->r2);
    multiply_add(&p, chunk->m3, &state->r1);
    multiply_add(&q, limbs_add(h, chunk->m0), &state->r4); /* last, for h is late */
    return carry(&p, &q);
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

    const struct chunk chunk = chunk_of(p, bits);
    state->h = chunk_absorb(state, state->h, &chunk);
}

INLINE struct chunk chunk_load(const uint8_t *const at[MESSAGES], ptrdiff_t offset)
{
    const vec bits[4] = {BIT_128, BIT_128, BIT_128, BIT_128};
    const vec p[MESSAGES] = {
        _mm512_loadu_si512(at[0] + offset), _mm512_loadu_si512(at[1] + offset), _mm512_loadu_si512(at[2] + offset),
        _mm512_loadu_si512(at[3] + offset), _mm512_loadu_si512(at[4] + offset), _mm512_loadu_si512(at[5] + offset),
        _mm512_loadu_si512(at[6] + offset), _mm512_loadu_si512(at[7] + offset),
    };

    return chunk_of(p, bits);
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
        struct products p = products_none(), q = p;

        /* As chunk_absorb does, but with the next chunk's split between the halves: a processor looks ahead only so
         * far. The last one is loaded twice. */
        multiply_add(&p, chunk.m1, &state->r3);
        multiply_add(&q, chunk.m2, &state->r2);
        h = limbs_add(h, chunk.m0);
        multiply_add(&p, chunk.m3, &state->r1);
        chunk = chunk_load(at, step + 1 < end ? offset : offset - 64);
        multiply_add(&q, h, &state->r4);
        h = carry(&p, &q);
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
                                    AND(high[0], _mm512_set1_epi64(0x0ffffffc0ffffffc)), _mm512_setzero_si512());
    state->r1 = factor_of(r);
    const struct limbs r2 = multiply(r, &state->r1);
    state->r2 = factor_of(r2);
    state->r3 = factor_of(multiply(r2, &state->r1));
    state->r4 = factor_of(multiply(r2, &state->r2));
    state->h = (struct limbs){_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
}

/* With 8, 4 or 2 lanes (`segments`) a message, each has the sum of its own segment, `steps` chunks: multiply it by
 * r^4 to the power of the chunks behind it, and add up. */
static void segments_join(struct poly1305 *state, int segments, int steps)
{
    const vec zero = _mm512_setzero_si512();
    const vec position = _mm512_set_epi64(7, 3, 6, 2, 5, 1, 4, 0);
    const vec behind = _mm512_andnot_si512(position, _mm512_set1_epi64(segments - 1)); /* segments behind */
    const struct limbs r4 = {state->r4.r0, state->r4.r1, state->r4.r2};
    struct limbs power = r4;                                /* r^(4 steps), by squaring */
    struct limbs weight = {_mm512_set1_epi64(1), zero, zero}; /* power^behind */
    struct factor factor;

    for (int bit = 30 - __builtin_clz((unsigned)steps); bit >= 0; bit--) {
        factor = factor_of(power);
        power = multiply(power, &factor);
        if (steps >> bit & 1)
            power = multiply(power, &state->r4);
    }
    for (int bit = 1; bit < segments; bit *= 2) {
        const __mmask8 has = _mm512_test_epi64_mask(behind, _mm512_set1_epi64(bit));

        factor = factor_of(power);
        const struct limbs heavier = multiply(weight, &factor);
        weight.v0 = _mm512_mask_mov_epi64(weight.v0, has, heavier.v0);
        weight.v1 = _mm512_mask_mov_epi64(weight.v1, has, heavier.v1);
        weight.v2 = _mm512_mask_mov_epi64(weight.v2, has, heavier.v2);
        power = multiply(power, &factor);
    }
    factor = factor_of(weight);
    state->h = multiply(state->h, &factor);

    struct limbs other = {_mm512_permutex_epi64(state->h.v0, 0x4e), _mm512_permutex_epi64(state->h.v1, 0x4e),
                          _mm512_permutex_epi64(state->h.v2, 0x4e)};
    state->h = limbs_add(state->h, other); /* messages 0 and 1, 2 and 3, ... */
    if (segments > 2) {
        other = (struct limbs){_mm512_shuffle_i64x2(state->h.v0, state->h.v0, 0x4e),
                               _mm512_shuffle_i64x2(state->h.v1, state->h.v1, 0x4e),
                               _mm512_shuffle_i64x2(state->h.v2, state->h.v2, 0x4e)};
        state->h = limbs_add(state->h, other);
    }
    if (segments > 4) {
        other = (struct limbs){_mm512_shuffle_epi32(state->h.v0, 0x4e), _mm512_shuffle_epi32(state->h.v1, 0x4e),
                               _mm512_shuffle_epi32(state->h.v2, 0x4e)};
        state->h = limbs_add(state->h, other);
    }
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
    int inside, step = 0;
    const int steps = lanes_set_up(lanes, MESSAGES, messages, n, shift, &inside);

    for (size_t i = 0; i < MESSAGES; i++)
        keys[i] = messages[i >> shift < n ? i >> shift : n - 1].key;
    keys_load(&state, keys, &s_low, &s_high);
    if (inside < steps - 1) {
        for (; step < inside; step++)
            step_edge(&state, lanes, step);
        steps_inside(&state, lanes, step, steps - 1);
        step = steps - 1;
    }
    for (; step < steps; step++)
        step_edge(&state, lanes, step);
    if (shift > 0)
        segments_join(&state, 1 << shift, steps);
    tags_finish(state.h, s_low, s_high, tags);
    for (size_t i = 0; i < n; i++)
        memcpy(messages[i].tag, tags[i << shift], WGFP_TAG_SIZE);
    wgfp_clear(&state, sizeof state);
    wgfp_clear(tags, sizeof tags);
}

static void mac(struct wgfp_aead_message *messages, size_t n)
{
    if (messages_are_short(messages, n, 512))
        wgfp_poly1305_scalar(messages, n);
    else
        mac_in_lanes(messages, n);
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

static bool supported(void)
{
    /* Looks also whether the system saves the wide registers. */
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512ifma") && __builtin_cpu_supports("bmi2");
}

const struct wgfp_aead_kernel wgfp_aead_avx512 = {
    .name = "avx512",
    .messages = MESSAGES,
    .supported = supported,
    .stream = stream,
    .xor = xor,
    .mac = mac,
};

#endif
