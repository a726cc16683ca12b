/* ChaCha20-Poly1305 for x86-64 with AVX-512 (F, DQ, BW, VL) and IFMA: ChaCha20, and the kernel.
 *
 * One block a lane, 16 lanes a vector, two sets of 16 at once, for one alone waits for its own results; up to eight
 * blocks in rows, alone or beside one set.
 */
#include "aead_kernel.h"

#if defined(WGFP_AEAD_X86)

#include "aead_avx512.h"
#include "clear.h"
#include "cpu_x86.h"

#include <string.h>

WGFP_TARGET_BEGIN(WGFP_TARGET_AVX512)

enum { LANES = 16, SETS = 2, BLOCKS_IN_ROWS = 8 };

/* What ChaCha20 begins with: rows 0 to 11 are alike in all lanes, row 13 is 0. */
struct chacha20_input {
    vec block[SETS], nonce_low[SETS], nonce_high[SETS]; /* rows 12, 14 and 15: by lane */
    vec turned[2]; /* rows 12 to 15 of four lanes each, for blocks in rows */
    uint32_t words[12];
};

/* The rounds are assembly text because two sets take exactly the 32 registers that there are, and compilers spill a
 * score of them when they schedule intrinsics. Register n holds row n of the first set, n + 16 of the second. */
#define ZMM(n) "%%zmm" #n
#define ADD(a, b) "vpaddd " ZMM(b) ", " ZMM(a) ", " ZMM(a) "\n\t"
#define XOR(d, a) "vpxord " ZMM(a) ", " ZMM(d) ", " ZMM(d) "\n\t"
#define ROTATE(d, bits) "vprold $" #bits ", " ZMM(d) ", " ZMM(d) "\n\t"
#define XOR_ROTATE(d, a, bits) XOR(d, a) ROTATE(d, bits)

/* d = rotate(d ^ a), in four columns or diagonals: in pairs of instructions, or in two passes, with which the rounds of
 * two sets take an eighth less time on Zen 4. */
#define PAIRS(a0, a1, a2, a3, d0, d1, d2, d3, bits) \
    XOR_ROTATE(d0, a0, bits) XOR_ROTATE(d1, a1, bits) XOR_ROTATE(d2, a2, bits) XOR_ROTATE(d3, a3, bits)
#define PASSES(a0, a1, a2, a3, d0, d1, d2, d3, bits) \
    XOR(d0, a0) XOR(d1, a1) XOR(d2, a2) XOR(d3, a3) \
    ROTATE(d0, bits) ROTATE(d1, bits) ROTATE(d2, bits) ROTATE(d3, bits)

/* a += b; d = rotate(d ^ a), in four columns or diagonals */
#define HALF_STEP(order, a0, a1, a2, a3, b0, b1, b2, b3, d0, d1, d2, d3, bits) \
    ADD(a0, b0) ADD(a1, b1) ADD(a2, b2) ADD(a3, b3) order(a0, a1, a2, a3, d0, d1, d2, d3, bits)

#define COLUMNS_AB_0(order, bits) HALF_STEP(order, 0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 15, bits)
#define COLUMNS_CD_0(order, bits) HALF_STEP(order, 8, 9, 10, 11, 12, 13, 14, 15, 4, 5, 6, 7, bits)
#define DIAGONALS_AB_0(order, bits) HALF_STEP(order, 0, 1, 2, 3, 5, 6, 7, 4, 15, 12, 13, 14, bits)
#define DIAGONALS_CD_0(order, bits) HALF_STEP(order, 10, 11, 8, 9, 15, 12, 13, 14, 5, 6, 7, 4, bits)
#define COLUMNS_AB_1(order, bits) HALF_STEP(order, 16, 17, 18, 19, 20, 21, 22, 23, 28, 29, 30, 31, bits)
#define COLUMNS_CD_1(order, bits) HALF_STEP(order, 24, 25, 26, 27, 28, 29, 30, 31, 20, 21, 22, 23, bits)
#define DIAGONALS_AB_1(order, bits) HALF_STEP(order, 16, 17, 18, 19, 21, 22, 23, 20, 31, 28, 29, 30, bits)
#define DIAGONALS_CD_1(order, bits) HALF_STEP(order, 26, 27, 24, 25, 31, 28, 29, 30, 21, 22, 23, 20, bits)

#define DOUBLE_ROUND_1_SET \
    COLUMNS_AB_0(PAIRS, 16) COLUMNS_CD_0(PAIRS, 12) COLUMNS_AB_0(PAIRS, 8) COLUMNS_CD_0(PAIRS, 7) \
    DIAGONALS_AB_0(PAIRS, 16) DIAGONALS_CD_0(PAIRS, 12) DIAGONALS_AB_0(PAIRS, 8) DIAGONALS_CD_0(PAIRS, 7)

#define DOUBLE_ROUND_2_SETS(order) \
    COLUMNS_AB_0(order, 16) COLUMNS_AB_1(order, 16) COLUMNS_CD_0(order, 12) COLUMNS_CD_1(order, 12) \
    COLUMNS_AB_0(order, 8) COLUMNS_AB_1(order, 8) COLUMNS_CD_0(order, 7) COLUMNS_CD_1(order, 7) \
    DIAGONALS_AB_0(order, 16) DIAGONALS_AB_1(order, 16) DIAGONALS_CD_0(order, 12) DIAGONALS_CD_1(order, 12) \
    DIAGONALS_AB_0(order, 8) DIAGONALS_AB_1(order, 8) DIAGONALS_CD_0(order, 7) DIAGONALS_CD_1(order, 7)

/* Eight blocks more, beside one set: four to a register, row by row; registers 16 to 19 and 20 to 23. What differs
 * between columns and diagonals is done by turning rows. */
#define TURN(r, how) "vpshufd $" #how ", " ZMM(r) ", " ZMM(r) "\n\t"
#define ROWS_AB(bits) ADD(16, 17) ADD(20, 21) XOR_ROTATE(19, 16, bits) XOR_ROTATE(23, 20, bits)
#define ROWS_CD(bits) ADD(18, 19) ADD(22, 23) XOR_ROTATE(17, 18, bits) XOR_ROTATE(21, 22, bits)
#define ROWS_TO_DIAGONALS TURN(17, 0x39) TURN(21, 0x39) TURN(18, 0x4e) TURN(22, 0x4e) TURN(19, 0x93) TURN(23, 0x93)
#define ROWS_TO_COLUMNS TURN(17, 0x93) TURN(21, 0x93) TURN(18, 0x4e) TURN(22, 0x4e) TURN(19, 0x39) TURN(23, 0x39)

#define DOUBLE_ROUND_ROWS \
    ROWS_AB(16) ROWS_CD(12) ROWS_AB(8) ROWS_CD(7) ROWS_TO_DIAGONALS \
    ROWS_AB(16) ROWS_CD(12) ROWS_AB(8) ROWS_CD(7) ROWS_TO_COLUMNS

#define DOUBLE_ROUND_1_SET_AND_ROWS \
    COLUMNS_AB_0(PAIRS, 16) ROWS_AB(16) COLUMNS_CD_0(PAIRS, 12) ROWS_CD(12) \
    COLUMNS_AB_0(PAIRS, 8) ROWS_AB(8) COLUMNS_CD_0(PAIRS, 7) ROWS_CD(7) ROWS_TO_DIAGONALS \
    DIAGONALS_AB_0(PAIRS, 16) ROWS_AB(16) DIAGONALS_CD_0(PAIRS, 12) ROWS_CD(12) \
    DIAGONALS_AB_0(PAIRS, 8) ROWS_AB(8) DIAGONALS_CD_0(PAIRS, 7) ROWS_CD(7) ROWS_TO_COLUMNS

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
#define LOAD_ROW(n, r) "vbroadcasti32x4 16*" #n "(%[words]), " ZMM(r) "\n\t"
#define LOAD_ROWS \
    LOAD_ROW(0, 16) LOAD_ROW(1, 17) LOAD_ROW(2, 18) "vmovdqa64 (%[turned]), " ZMM(19) "\n\t" \
    COPY(16, 20) COPY(17, 21) COPY(18, 22) "vmovdqa64 64(%[turned]), " ZMM(23) "\n\t"
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

#define STORE_ROWS(s0, s1, s2, s3, s4, s5, s6, s7) \
    STORE(16, s0) STORE(17, s1) STORE(18, s2) STORE(19, s3) STORE(20, s4) STORE(21, s5) STORE(22, s6) STORE(23, s7)

#define ASM_OPERANDS(input, rows, count) \
    : [n] "+r"(count) \
    : [words] "r"((input)->words), [block] "r"((input)->block), [low] "r"((input)->nonce_low), \
      [high] "r"((input)->nonce_high), [turned] "r"((input)->turned), [rows] "r"(rows) \
    : "memory", "cc", "zmm0", "zmm1", "zmm2", "zmm3", "zmm4", "zmm5", "zmm6", "zmm7", "zmm8", "zmm9", "zmm10", \
      "zmm11", "zmm12", "zmm13", "zmm14", "zmm15"

static void rounds_1_set(const struct chacha20_input *input, vec rows[16])
{
    int double_rounds = 10;

    __asm__ volatile(LOAD_WORDS LOAD_POSITION(0, 12, 13, 14, 15) ".balign 64\n1:\n\t" DOUBLE_ROUND_1_SET
                     "dec %[n]\n\tjnz 1b\n\t" STORE_SET_0 ASM_OPERANDS(input, rows, double_rounds));
    wgfp_written(rows, 16 * sizeof *rows);
}

static void rounds_in_rows(const struct chacha20_input *input, vec rows[8])
{
    int double_rounds = 10;

    __asm__ volatile(LOAD_ROWS ".balign 64\n1:\n\t" DOUBLE_ROUND_ROWS
                     "dec %[n]\n\tjnz 1b\n\t" STORE_ROWS(0, 1, 2, 3, 4, 5, 6, 7)
                     ASM_OPERANDS(input, rows, double_rounds),
                     "zmm16", "zmm17", "zmm18", "zmm19", "zmm20", "zmm21", "zmm22", "zmm23");
    wgfp_written(rows, 8 * sizeof *rows);
}

static void rounds_1_set_and_rows(const struct chacha20_input *input, vec rows[24])
{
    int double_rounds = 10;

    __asm__ volatile(LOAD_WORDS LOAD_POSITION(0, 12, 13, 14, 15) LOAD_ROWS
                     ".balign 64\n1:\n\t" DOUBLE_ROUND_1_SET_AND_ROWS
                     "dec %[n]\n\tjnz 1b\n\t" STORE_SET_0 STORE_ROWS(16, 17, 18, 19, 20, 21, 22, 23)
                     ASM_OPERANDS(input, rows, double_rounds),
                     "zmm16", "zmm17", "zmm18", "zmm19", "zmm20", "zmm21", "zmm22", "zmm23");
    wgfp_written(rows, 24 * sizeof *rows);
}

#define ROUNDS_2_SETS(order, input, rows, count) \
    __asm__ volatile(LOAD_WORDS COPY_WORDS LOAD_POSITION(0, 12, 13, 14, 15) LOAD_POSITION(1, 28, 29, 30, 31) \
                     ".balign 64\n1:\n\t" DOUBLE_ROUND_2_SETS(order) \
                     "dec %[n]\n\tjnz 1b\n\t" STORE_SET_0 STORE_SET_1 ASM_OPERANDS(input, rows, count), \
                     "zmm16", "zmm17", "zmm18", "zmm19", "zmm20", "zmm21", "zmm22", "zmm23", "zmm24", "zmm25", \
                     "zmm26", "zmm27", "zmm28", "zmm29", "zmm30", "zmm31")

static bool in_passes; /* order_choose */

static void rounds_2_sets(const struct chacha20_input *input, vec rows[32])
{
    int double_rounds = 10;

    if (in_passes)
        ROUNDS_2_SETS(PASSES, input, rows, double_rounds);
    else
        ROUNDS_2_SETS(PAIRS, input, rows, double_rounds);
    wgfp_written(rows, 32 * sizeof *rows);
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

static void stream(const uint8_t key[WGFP_KEY_SIZE], const struct wgfp_aead_run *runs, size_t n, uint8_t *blocks,
                   struct wgfp_aead_tags *tags)
{
    struct chacha20_input input;
    vec *rows = (vec *)(void *)blocks;
    const uint32_t lanes = lanes_assign(&input, runs, n);

    (void)tags;
    memcpy(input.words, wgfp_sigma, sizeof wgfp_sigma);
    memcpy(input.words + 4, key, WGFP_KEY_SIZE);
    if (lanes <= BLOCKS_IN_ROWS) {
        rows_begin(&input, 0);
        rounds_in_rows(&input, rows);
        rows_finish(&input, blocks);
    } else if (lanes <= LANES) {
        rounds_1_set(&input, rows);
        set_finish(&input, 0, rows, blocks);
    } else if (lanes <= LANES + BLOCKS_IN_ROWS) {
        rows_begin(&input, 1);
        rounds_1_set_and_rows(&input, rows);
        set_finish(&input, 0, rows, blocks);
        rows_finish(&input, blocks + LANES * WGFP_BLOCK_SIZE);
    } else {
        rounds_2_sets(&input, rows);
        set_finish(&input, 0, rows, blocks);
        set_finish(&input, 1, rows + 16, blocks + LANES * WGFP_BLOCK_SIZE);
    }
    wgfp_clear(input.words, sizeof input.words);
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

/* Once, when the library is loaded. */
__attribute__((constructor)) static void order_choose(void)
{
    in_passes = wgfp_cpu_is_amd();
}

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
    .stream = stream,
    .xor = xor,
    .mac = wgfp_avx512_mac,
};

#endif
