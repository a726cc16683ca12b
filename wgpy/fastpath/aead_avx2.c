/* ChaCha20-Poly1305 for x86-64 with AVX2: ChaCha20, and the kernel.
 *
 * One block a lane, 8 lanes a vector, and beside a set of lanes a part of a tag; up to four blocks in rows.
 */
#include "aead_kernel.h"

#if defined(WGFP_AEAD_X86)

#include "aead_avx2.h"
#include "aead_words.h"
#include "clear.h"
#include "cpu_x86.h"

#include <stdalign.h>
#include <string.h>

WGFP_TARGET_BEGIN(WGFP_TARGET_AVX2)

enum {
    LANES = 8,
    STREAM_BLOCKS = 24, /* a full packet: beside its blocks goes the tag of the packet before */
};

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

/* The rounds are assembly text: they have 16 rows for the 16 registers, of which compilers spill many. A rotation takes
 * a register more: that of a row a, which is in memory from one addition to rows a to the next.
 *
 * Poly1305 in words of 64 bits is a chain of results that wait for each other. So are the rounds, and they are computed
 * by other units of the processor: both side by side take hardly longer than the rounds alone. */
#define YMM(n) "%%ymm" #n
#define ROW(n) "32*" #n "(%[rows])"
#define OP3(op, a, b, to) #op " " a ", " b ", " to "\n\t"
#define MOVE(from, to) "vmovdqa " from ", " to "\n\t"
#define STORE(n) MOVE(YMM(n), ROW(n))
#define ADD(a, b) OP3(vpaddd, YMM(b), YMM(a), YMM(a))
#define ADD_STORED(a, b) OP3(vpaddd, ROW(a), YMM(b), YMM(a))
#define XOR(a, b) OP3(vpxor, YMM(b), YMM(a), YMM(a))
#define SHUFFLE(a, how) OP3(vpshufb, how, YMM(a), YMM(a))
#define ROTATE(b, spare, left, right) \
    OP3(vpslld, "$" #left, YMM(b), YMM(spare)) OP3(vpsrld, "$" #right, YMM(b), YMM(b)) \
    OP3(vpor, YMM(spare), YMM(b), YMM(b))

/* a += b, d ^= a, rotate d: in four columns or diagonals. a0 goes to memory, a3 comes from there. */
#define A_AND_D(a0, a1, a2, a3, b0, b1, b2, b3, d0, d1, d2, d3, shuffle) \
    ADD(a0, b0) STORE(a0) ADD(a1, b1) ADD(a2, b2) ADD_STORED(a3, b3) \
    XOR(d0, a0) XOR(d1, a1) XOR(d2, a2) XOR(d3, a3) \
    SHUFFLE(d0, shuffle) SHUFFLE(d1, shuffle) SHUFFLE(d2, shuffle) SHUFFLE(d3, shuffle)
/* c += d, b ^= c, rotate b: in one of them after the other */
#define C_AND_B_OF(c, d, b, spare, left, right) ADD(c, d) XOR(b, c) ROTATE(b, spare, left, right)
#define C_AND_B(c0, c1, c2, c3, d0, d1, d2, d3, b0, b1, b2, b3, spare, left, right) \
    C_AND_B_OF(c0, d0, b0, spare, left, right) C_AND_B_OF(c1, d1, b1, spare, left, right) \
    C_AND_B_OF(c2, d2, b2, spare, left, right) C_AND_B_OF(c3, d3, b3, spare, left, right)

#define DOUBLE_ROUND(beside_0, beside_1, beside_2) \
    A_AND_D(0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 15, "%[left_16]") beside_0 \
    C_AND_B(8, 9, 10, 11, 12, 13, 14, 15, 4, 5, 6, 7, 0, 12, 20) \
    A_AND_D(1, 2, 3, 0, 5, 6, 7, 4, 13, 14, 15, 12, "%[left_8]") beside_1 \
    C_AND_B(9, 10, 11, 8, 13, 14, 15, 12, 5, 6, 7, 4, 1, 7, 25) \
    A_AND_D(2, 3, 0, 1, 7, 4, 5, 6, 13, 14, 15, 12, "%[left_16]") beside_2 \
    C_AND_B(8, 9, 10, 11, 13, 14, 15, 12, 7, 4, 5, 6, 2, 12, 20) \
    A_AND_D(3, 0, 1, 2, 4, 5, 6, 7, 14, 15, 12, 13, "%[left_8]") \
    C_AND_B(9, 10, 11, 8, 14, 15, 12, 13, 4, 5, 6, 7, 3, 7, 25)

#define MAC_BLOCK(at, h0, h1, to0, to1) \
    WGFP_WORDS_BLOCK(#at, "%[data]", "0", "%[words]", h0, h1, "%[h2]", to0, to1, "%[t1]", "%[t2]", "%[t3]", "%[t5]")

enum {
    DOUBLE_ROUNDS = 10,
    MAC_BYTES = 48, /* beside a double round */
    END_BYTES = 96, /* with fewer bytes left a message is not worth a set of lanes */
};
#define LOAD_WORD(n) "vpbroadcastd 4*" #n "(%[t0]), " YMM(n) "\n\t"

static const alignas(32) uint8_t left_16[32] = {2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13,
                                                2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13};
static const alignas(32) uint8_t left_8[32] = {3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14,
                                               3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14};

/* The rounds, and beside as many double rounds as `beside` says, MAC_BYTES of data each. */
static void rounds(const struct chacha20_input *input, uint32_t lane, vec rows[16], struct wgfp_poly1305_words *words,
                   const uint8_t *data, uint32_t beside)
{
    const uint32_t *t0 = input->words, *t1 = input->positions.block + lane;
    const uint32_t *t2 = input->positions.nonce_low + lane, *t3 = input->positions.nonce_high + lane;
    uint64_t t4, t5;
    uint32_t alone = DOUBLE_ROUNDS - beside; /* in memory, too, for all registers are taken */

    __asm__ volatile(
        LOAD_WORD(0) LOAD_WORD(1) LOAD_WORD(2) LOAD_WORD(3) LOAD_WORD(4) LOAD_WORD(5) LOAD_WORD(6) LOAD_WORD(7)
        LOAD_WORD(8) LOAD_WORD(9) LOAD_WORD(10) LOAD_WORD(11)
        "vmovdqu (%[t1]), %%ymm12\n\t"
        "vpxor %%ymm13, %%ymm13, %%ymm13\n\t"
        "vmovdqu (%[t2]), %%ymm14\n\t"
        "vmovdqu (%[t3]), %%ymm15\n\t"
        STORE(3)
        "cmpl $0, %[beside]\n\t"
        "je 2f\n\t"
        ".balign 64\n"
        "1:\n\t" DOUBLE_ROUND(MAC_BLOCK(0, "%[h0]", "%[h1]", "%[t0]", "%[t4]"),
                            MAC_BLOCK(16, "%[t0]", "%[t4]", "%[h0]", "%[h1]"),
                            MAC_BLOCK(32, "%[h0]", "%[h1]", "%[t0]", "%[t4]"))
        "mov %[t0], %[h0]\n\t"
        "mov %[t4], %[h1]\n\t"
        "add $48, %[data]\n\t"
        "decl %[beside]\n\t"
        "jnz 1b\n"
        "2:\n\t"
        "cmpl $0, %[alone]\n\t"
        "je 4f\n\t"
        ".balign 64\n"
        "3:\n\t" DOUBLE_ROUND(, , )
        "decl %[alone]\n\t"
        "jnz 3b\n"
        "4:\n\t"
        STORE(0) STORE(1) STORE(2) STORE(4) STORE(5) STORE(6) STORE(7) STORE(8) STORE(9) STORE(10) STORE(11)
        STORE(12) STORE(13) STORE(14) STORE(15)
        : [beside] "+m"(beside), [alone] "+m"(alone), [data] "+r"(data), [t0] "+r"(t0), [t1] "+r"(t1), [t2] "+r"(t2),
          [t3] "+r"(t3), [t4] "=&r"(t4), [t5] "=&r"(t5), [h0] "+r"(words->h0), [h1] "+r"(words->h1),
          [h2] "+r"(words->h2)
        : [words] "r"(words), [rows] "r"(rows), [left_16] "m"(left_16), [left_8] "m"(left_8)
        : "memory", "cc", "rdx", "ymm0", "ymm1", "ymm2", "ymm3", "ymm4", "ymm5", "ymm6", "ymm7", "ymm8", "ymm9",
          "ymm10", "ymm11", "ymm12", "ymm13", "ymm14", "ymm15");
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
    do { \
        a = _mm256_add_epi32(a, b), SHUFFLE_XOR(d, a, left_16), c = _mm256_add_epi32(c, d), ROTATE_XOR(b, c, 12); \
        a = _mm256_add_epi32(a, b), SHUFFLE_XOR(d, a, left_8), c = _mm256_add_epi32(c, d), ROTATE_XOR(b, c, 7); \
    } while (0)
#define TURN(b, c, d, b_by, c_by, d_by) \
    b = _mm256_shuffle_epi32(b, b_by), c = _mm256_shuffle_epi32(c, c_by), d = _mm256_shuffle_epi32(d, d_by)

INLINE void two_blocks_write(uint8_t *blocks, vec a, vec b, vec c, vec d)
{
    store(blocks, _mm256_permute2x128_si256(a, b, 0x20));
    store(blocks + 32, _mm256_permute2x128_si256(c, d, 0x20));
    store(blocks + 64, _mm256_permute2x128_si256(a, b, 0x31));
    store(blocks + 96, _mm256_permute2x128_si256(c, d, 0x31));
}

/* Two blocks, or four in two pairs: the second fills the time in which the first waits for its own results. */
INLINE void rows_stream(const struct chacha20_input *input, uint32_t lane, uint8_t *blocks, bool four)
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
        FOUR_QUARTERS(x0, x1, x2, x3);
        if (four)
            FOUR_QUARTERS(y0, y1, y2, y3);
        TURN(x1, x2, x3, 0x39, 0x4e, 0x93);
        TURN(y1, y2, y3, 0x39, 0x4e, 0x93);
        FOUR_QUARTERS(x0, x1, x2, x3);
        if (four)
            FOUR_QUARTERS(y0, y1, y2, y3);
        TURN(x1, x2, x3, 0x93, 0x4e, 0x39);
        TURN(y1, y2, y3, 0x93, 0x4e, 0x39);
    }
    two_blocks_write(blocks, _mm256_add_epi32(x0, a), _mm256_add_epi32(x1, b), _mm256_add_epi32(x2, c),
                     _mm256_add_epi32(x3, d0));
    if (four)
        two_blocks_write(blocks + 128, _mm256_add_epi32(y0, a), _mm256_add_epi32(y1, b), _mm256_add_epi32(y2, c),
                         _mm256_add_epi32(y3, d1));
}

/* The rounds, and beside them as much of the next tag as there is. */
INLINE void rounds_and_tag(const struct chacha20_input *input, uint32_t lane, vec rows[16], struct wgfp_aead_tags *tags)
{
    if (tags->made == tags->ready) {
        rounds(input, lane, rows, tags->words, NULL, 0);
        return;
    }
    struct wgfp_aead_message *message = &tags->messages[tags->made];
    const uint32_t whole = (message->length - tags->begun) / MAC_BYTES;
    const uint32_t beside = whole < DOUBLE_ROUNDS ? whole : DOUBLE_ROUNDS;

    if (tags->begun == 0)
        wgfp_words_start(tags->words, message->key);
    rounds(input, lane, rows, tags->words, message->data + tags->begun, beside);
    tags->begun += beside * MAC_BYTES;
    if (message->length - tags->begun < END_BYTES) {
        wgfp_words_end(tags->words[0], message, tags->begun);
        tags->begun = 0;
        tags->made++;
    }
}

static void stream(const uint8_t key[WGFP_KEY_SIZE], const struct wgfp_aead_run *runs, size_t n, uint8_t *blocks,
                   struct wgfp_aead_tags *tags)
{
    struct chacha20_input input;
    const uint32_t lanes = positions_set(&input.positions, runs, n);

    memcpy(input.words, wgfp_sigma, sizeof wgfp_sigma);
    memcpy(input.words + 4, key, WGFP_KEY_SIZE);
    for (uint32_t lane = 0; lane < lanes; lane += LANES) {
        uint8_t *at = blocks + lane * WGFP_BLOCK_SIZE;

        if (lanes - lane <= 2) {
            rows_stream(&input, lane, at, false);
        } else if (lanes - lane <= 4) {
            rows_stream(&input, lane, at, true);
        } else {
            rounds_and_tag(&input, lane, (vec *)(void *)at, tags);
            set_finish(&input, lane, at);
        }
    }
    wgfp_clear(input.words, sizeof input.words);
}

static void xor(uint8_t *dst, const uint8_t *src, const uint8_t *blocks, size_t length)
{
    size_t at = 0;

    if (length < 32) {
        uint8_t rest[32];

        memcpy(rest, src, length);
        store(rest, _mm256_xor_si256(load(rest), load(blocks)));
        memcpy(dst, rest, length);
        wgfp_clear(rest, sizeof rest);
        return;
    }
    /* The first and the last 32 bytes overlap with the others. What stands between begins where dst is aligned, for a
     * store that is in two lines of the cache takes two. */
    const vec first = _mm256_xor_si256(load(src), load(blocks));
    const vec last = _mm256_xor_si256(load(src + length - 32), load(blocks + length - 32));
    for (at = -(uintptr_t)dst & 31; at + 64 <= length; at += 64) {
        const vec a = _mm256_xor_si256(load(src + at), load(blocks + at));
        const vec b = _mm256_xor_si256(load(src + at + 32), load(blocks + at + 32));

        store(dst + at, a);
        store(dst + at + 32, b);
    }
    if (at + 32 <= length)
        store(dst + at, _mm256_xor_si256(load(src + at), load(blocks + at)));
    store(dst, first);
    store(dst + length - 32, last);
}

WGFP_TARGET_END

static bool supported(void)
{
    return wgfp_cpu_has(bit_AVX2 | bit_BMI2, WGFP_CPU_YMM);
}

const struct wgfp_aead_kernel wgfp_aead_avx2 = {
    .name = "avx2",
    .messages = AVX2_MESSAGES,
    .blocks = STREAM_BLOCKS,
    .waiting = 4,
    .supported = supported,
    .stream = stream,
    .xor = xor,
    .mac = wgfp_avx2_mac,
};

#endif
