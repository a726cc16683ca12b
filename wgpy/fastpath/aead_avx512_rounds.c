/* ChaCha20's rounds for x86-64 with AVX-512, and tags of Poly1305 beside them. */
#include "aead_kernel.h"

#if defined(WGFP_AEAD_X86)

#include "aead_avx512.h"
#include "aead_words.h"
#include "clear.h"

WGFP_TARGET_BEGIN(WGFP_TARGET_AVX512)

enum { DOUBLE_ROUNDS = 10 };

_Static_assert(offsetof(struct chacha20_input, block) == 0 && offsetof(struct chacha20_input, nonce_low) == 128 &&
                   offsetof(struct chacha20_input, nonce_high) == 256 &&
                   offsetof(struct chacha20_input, turned) == 384 && offsetof(struct chacha20_input, words) == 512,
               "the assembly text has these");

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

/* beside_0 to beside_7: what stands between half a step of both sets and the next. */
#define DOUBLE_ROUND_2_SETS(order, beside_0, beside_1, beside_2, beside_3, beside_4, beside_5, beside_6, beside_7) \
    COLUMNS_AB_0(order, 16) COLUMNS_AB_1(order, 16) beside_0 COLUMNS_CD_0(order, 12) COLUMNS_CD_1(order, 12) beside_1 \
    COLUMNS_AB_0(order, 8) COLUMNS_AB_1(order, 8) beside_2 COLUMNS_CD_0(order, 7) COLUMNS_CD_1(order, 7) beside_3 \
    DIAGONALS_AB_0(order, 16) DIAGONALS_AB_1(order, 16) beside_4 \
    DIAGONALS_CD_0(order, 12) DIAGONALS_CD_1(order, 12) beside_5 \
    DIAGONALS_AB_0(order, 8) DIAGONALS_AB_1(order, 8) beside_6 \
    DIAGONALS_CD_0(order, 7) DIAGONALS_CD_1(order, 7) beside_7

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

/* at: what register has the address of the input. */
#define LOAD_WORD(at, n) "vpbroadcastd 512+4*" #n "(" at "), " ZMM(n) "\n\t"
#define LOAD_WORDS(at) \
    LOAD_WORD(at, 0) LOAD_WORD(at, 1) LOAD_WORD(at, 2) LOAD_WORD(at, 3) LOAD_WORD(at, 4) LOAD_WORD(at, 5) \
    LOAD_WORD(at, 6) LOAD_WORD(at, 7) LOAD_WORD(at, 8) LOAD_WORD(at, 9) LOAD_WORD(at, 10) LOAD_WORD(at, 11)
#define COPY(from, to) "vmovdqa64 " ZMM(from) ", " ZMM(to) "\n\t"
#define COPY_WORDS \
    COPY(0, 16) COPY(1, 17) COPY(2, 18) COPY(3, 19) COPY(4, 20) COPY(5, 21) \
    COPY(6, 22) COPY(7, 23) COPY(8, 24) COPY(9, 25) COPY(10, 26) COPY(11, 27)
#define LOAD_POSITION(at, set, r12, r13, r14, r15) \
    "vmovdqa64 64*" #set "(" at "), " ZMM(r12) "\n\t" \
    "vpxord " ZMM(r13) ", " ZMM(r13) ", " ZMM(r13) "\n\t" \
    "vmovdqa64 128+64*" #set "(" at "), " ZMM(r14) "\n\t" \
    "vmovdqa64 256+64*" #set "(" at "), " ZMM(r15) "\n\t"
#define LOAD_1_SET(at) LOAD_WORDS(at) LOAD_POSITION(at, 0, 12, 13, 14, 15)
#define LOAD_2_SETS(at) LOAD_1_SET(at) COPY_WORDS LOAD_POSITION(at, 1, 28, 29, 30, 31)
#define LOAD_ROW(at, n, r) "vbroadcasti32x4 512+16*" #n "(" at "), " ZMM(r) "\n\t"
#define LOAD_ROWS(at) \
    LOAD_ROW(at, 0, 16) LOAD_ROW(at, 1, 17) LOAD_ROW(at, 2, 18) "vmovdqa64 384(" at "), " ZMM(19) "\n\t" \
    COPY(16, 20) COPY(17, 21) COPY(18, 22) "vmovdqa64 448(" at "), " ZMM(23) "\n\t"
#define STORE(at, r, row) "vmovdqa64 " ZMM(r) ", 64*" #row "(" at ")\n\t"
#define STORE_4(at, r0, r1, r2, r3, s0, s1, s2, s3) \
    STORE(at, r0, s0) STORE(at, r1, s1) STORE(at, r2, s2) STORE(at, r3, s3)
#define STORE_SET_0(at) \
    STORE_4(at, 0, 1, 2, 3, 0, 1, 2, 3) STORE_4(at, 4, 5, 6, 7, 4, 5, 6, 7) \
    STORE_4(at, 8, 9, 10, 11, 8, 9, 10, 11) STORE_4(at, 12, 13, 14, 15, 12, 13, 14, 15)
#define STORE_SET_1(at) \
    STORE_4(at, 16, 17, 18, 19, 16, 17, 18, 19) STORE_4(at, 20, 21, 22, 23, 20, 21, 22, 23) \
    STORE_4(at, 24, 25, 26, 27, 24, 25, 26, 27) STORE_4(at, 28, 29, 30, 31, 28, 29, 30, 31)
#define STORE_ROWS(at, s0, s1, s2, s3, s4, s5, s6, s7) \
    STORE_4(at, 16, 17, 18, 19, s0, s1, s2, s3) STORE_4(at, 20, 21, 22, 23, s4, s5, s6, s7)

#define ZMM_0_TO_15 \
    "zmm0", "zmm1", "zmm2", "zmm3", "zmm4", "zmm5", "zmm6", "zmm7", "zmm8", "zmm9", "zmm10", "zmm11", "zmm12", \
        "zmm13", "zmm14", "zmm15"
#define ZMM_16_TO_23 "zmm16", "zmm17", "zmm18", "zmm19", "zmm20", "zmm21", "zmm22", "zmm23"
#define ZMM_16_TO_31 ZMM_16_TO_23, "zmm24", "zmm25", "zmm26", "zmm27", "zmm28", "zmm29", "zmm30", "zmm31"

#define ASM_OPERANDS(input, rows, count) \
    : [n] "+r"(count) \
    : [input] "r"(input), [rows] "r"(rows) \
    : "memory", "cc", ZMM_0_TO_15

void wgfp_avx512_rounds_1_set(const struct chacha20_input *input, vec rows[16])
{
    int double_rounds = DOUBLE_ROUNDS;

    __asm__ volatile(LOAD_1_SET("%[input]") ".balign 64\n1:\n\t" DOUBLE_ROUND_1_SET
                     "dec %[n]\n\tjnz 1b\n\t" STORE_SET_0("%[rows]") ASM_OPERANDS(input, rows, double_rounds));
    wgfp_written(rows, 16 * sizeof *rows);
}

void wgfp_avx512_rounds_in_rows(const struct chacha20_input *input, vec rows[8])
{
    int double_rounds = DOUBLE_ROUNDS;

    __asm__ volatile(LOAD_ROWS("%[input]") ".balign 64\n1:\n\t" DOUBLE_ROUND_ROWS
                     "dec %[n]\n\tjnz 1b\n\t" STORE_ROWS("%[rows]", 0, 1, 2, 3, 4, 5, 6, 7)
                     ASM_OPERANDS(input, rows, double_rounds),
                     ZMM_16_TO_23);
    wgfp_written(rows, 8 * sizeof *rows);
}

void wgfp_avx512_rounds_1_set_and_rows(const struct chacha20_input *input, vec rows[24])
{
    int double_rounds = DOUBLE_ROUNDS;

    __asm__ volatile(LOAD_1_SET("%[input]") LOAD_ROWS("%[input]")
                     ".balign 64\n1:\n\t" DOUBLE_ROUND_1_SET_AND_ROWS
                     "dec %[n]\n\tjnz 1b\n\t" STORE_SET_0("%[rows]")
                     STORE_ROWS("%[rows]", 16, 17, 18, 19, 20, 21, 22, 23)
                     ASM_OPERANDS(input, rows, double_rounds),
                     ZMM_16_TO_23);
    wgfp_written(rows, 24 * sizeof *rows);
}

void wgfp_avx512_rounds_2_sets(const struct chacha20_input *input, vec rows[32])
{
    int double_rounds = DOUBLE_ROUNDS;

    __asm__ volatile(LOAD_2_SETS("%[input]")
                     ".balign 64\n1:\n\t" DOUBLE_ROUND_2_SETS(PAIRS, , , , , , , , )
                     "dec %[n]\n\tjnz 1b\n\t" STORE_SET_0("%[rows]") STORE_SET_1("%[rows]")
                     ASM_OPERANDS(input, rows, double_rounds),
                     ZMM_16_TO_31);
    wgfp_written(rows, 32 * sizeof *rows);
}

/* -- Tags beside the rounds -------------------------------------------------------------------------- */

/* Poly1305 in words of 64 bits is a chain of results that wait for each other, in units that the rounds leave idle. On
 * Zen 4 five blocks each of two messages go beside a double round, and it takes no longer. What a message has beyond
 * fives is done before, and its end, with the block of the lengths, is copied for the last five. */
enum {
    FIVE = 5 * WGFP_POLY1305_BLOCK,
    WORTH_FIVES = 10, /* shorter messages are better off in vectors */
};

/* What the assembly text needs of a message. */
struct beside {
    uint64_t r0, r1, r1_5;
    const uint8_t *data; /* of the five blocks at hand */
};

/* Two messages, and what else the assembly text needs: it has no register left. */
struct pair {
    struct beside beside[2];
    const uint8_t *(*next)[2];
    struct wgfp_poly1305_words *words; /* of both */
    vec *rows;
    uint32_t count, alone;                 /* double rounds with something beside, and without */
    const uint8_t *data[DOUBLE_ROUNDS][2]; /* beside each double round */
    uint8_t ends[2][FIVE];
};

_Static_assert(offsetof(struct beside, r1) == 8 && offsetof(struct beside, r1_5) == 16 &&
                   offsetof(struct beside, data) == 24 && sizeof(struct beside) == 32 &&
                   offsetof(struct pair, next) == 64 && offsetof(struct pair, words) == 72 &&
                   offsetof(struct pair, rows) == 80 && offsetof(struct pair, count) == 88 &&
                   offsetof(struct pair, alone) == 92,
               "the assembly text has these");
_Static_assert(offsetof(struct wgfp_poly1305_words, h0) == 24 && offsetof(struct wgfp_poly1305_words, h1) == 32 &&
                   offsetof(struct wgfp_poly1305_words, h2) == 40 && sizeof(struct wgfp_poly1305_words) == 48,
               "and these");

#define WORDS_LOAD \
    "mov 72(%[pair]), %[t0]\n\t" \
    "mov 24(%[t0]), %[a0]\n\t" \
    "mov 32(%[t0]), %[a1]\n\t" \
    "mov 40(%[t0]), %[a2]\n\t" \
    "mov 72(%[t0]), %[b0]\n\t" \
    "mov 80(%[t0]), %[b1]\n\t" \
    "mov 88(%[t0]), %[b2]\n\t"
#define WORDS_STORE \
    "mov 72(%[pair]), %[t0]\n\t" \
    "mov %[a0], 24(%[t0])\n\t" \
    "mov %[a1], 32(%[t0])\n\t" \
    "mov %[a2], 40(%[t0])\n\t" \
    "mov %[b0], 72(%[t0])\n\t" \
    "mov %[b1], 80(%[t0])\n\t" \
    "mov %[b2], 88(%[t0])\n\t"
#define NEXT_FIVES \
    "mov 64(%[pair]), %[t0]\n\t" \
    "mov (%[t0]), %[t1]\n\t" \
    "mov 8(%[t0]), %[t2]\n\t" \
    "mov %[t1], 24(%[pair])\n\t" \
    "mov %[t2], 56(%[pair])\n\t" \
    "addq $16, 64(%[pair])\n\t"
/* The next block of a message, whose h0 and h1 are in two registers before and in two others behind it. */
#define MAC_BLOCK(offset, beside, h0, h1, h2, to0, to1) \
    "mov 24+" beside "(%[pair]), %[t3]\n\t" \
    WGFP_WORDS_BLOCK(offset, "%[t3]", beside, "%[pair]", h0, h1, h2, to0, to1, "%[t0]", "%[t1]", "%[t2]", "%[t3]")
/* Of both; the second's go to where the first's came from. */
#define MAC_BLOCKS(offset, a0, a1, b0, b1, to0, to1) \
    MAC_BLOCK(offset, "0", a0, a1, "%[a2]", to0, to1) MAC_BLOCK(offset, "32", b0, b1, "%[b2]", a0, a1)

static void rounds_beside(const struct chacha20_input *input, struct pair *pair)
{
    const void *t0 = input; /* until the rounds begin */
    uint64_t a0, a1, a2, b0, b1, b2, s0, s1, t1, t2, t3;

    __asm__ volatile(
        LOAD_2_SETS("%[t0]")
        "cmpl $0, 88(%[pair])\n\t"
        "je 2f\n\t" WORDS_LOAD
        ".balign 64\n"
        "1:\n\t" NEXT_FIVES
        DOUBLE_ROUND_2_SETS(PASSES, MAC_BLOCKS("0", "%[a0]", "%[a1]", "%[b0]", "%[b1]", "%[s0]", "%[s1]"),
                            MAC_BLOCKS("16", "%[s0]", "%[s1]", "%[a0]", "%[a1]", "%[b0]", "%[b1]"), ,
                            MAC_BLOCKS("32", "%[b0]", "%[b1]", "%[s0]", "%[s1]", "%[a0]", "%[a1]"), ,
                            MAC_BLOCKS("48", "%[a0]", "%[a1]", "%[b0]", "%[b1]", "%[s0]", "%[s1]"), ,
                            MAC_BLOCKS("64", "%[s0]", "%[s1]", "%[a0]", "%[a1]", "%[b0]", "%[b1]"))
        "mov %[b0], %[a0]\n\t"
        "mov %[b1], %[a1]\n\t"
        "mov %[s0], %[b0]\n\t"
        "mov %[s1], %[b1]\n\t"
        "decl 88(%[pair])\n\t"
        "jnz 1b\n\t" WORDS_STORE
        "2:\n\t"
        "cmpl $0, 92(%[pair])\n\t"
        "je 4f\n\t"
        ".balign 64\n"
        "3:\n\t" DOUBLE_ROUND_2_SETS(PASSES, , , , , , , , )
        "decl 92(%[pair])\n\t"
        "jnz 3b\n"
        "4:\n\t"
        "mov 80(%[pair]), %[t0]\n\t" STORE_SET_0("%[t0]") STORE_SET_1("%[t0]")
        : [a0] "=&r"(a0), [a1] "=&r"(a1), [a2] "=&r"(a2), [b0] "=&r"(b0), [b1] "=&r"(b1), [b2] "=&r"(b2),
          [s0] "=&r"(s0), [s1] "=&r"(s1), [t0] "+r"(t0), [t1] "=&r"(t1), [t2] "=&r"(t2), [t3] "=&r"(t3)
        : [pair] "r"(pair)
        : "memory", "cc", "rdx", ZMM_0_TO_15, ZMM_16_TO_31);
    wgfp_written(pair->rows, 32 * sizeof *pair->rows);
}

/* With that of the lengths. */
static uint32_t blocks_of(const struct wgfp_aead_message *message)
{
    return message->length / WGFP_POLY1305_BLOCK + (message->length % WGFP_POLY1305_BLOCK != 0) + 1;
}

/* How many fives the next two messages have, if their tags are made side by side; 0: they are not. */
static uint32_t fives_of(const struct wgfp_aead_tags *tags)
{
    const struct wgfp_aead_message *messages = &tags->messages[tags->made];

    if (tags->ready - tags->made < 2 || blocks_of(&messages[0]) != blocks_of(&messages[1]))
        return 0;
    const uint32_t fives = blocks_of(&messages[0]) / 5;

    return fives >= WORTH_FIVES ? fives : 0;
}

/* What is beyond fives. */
static void message_begin(struct wgfp_poly1305_words *words, const struct wgfp_aead_message *message)
{
    wgfp_words_start(words, message->key);
    for (uint32_t i = 0; i < blocks_of(message) % 5; i++)
        wgfp_words_block(words, wgfp_words_load(message->data + WGFP_POLY1305_BLOCK * i));
}

/* Copy the last five blocks: three whole ones, the last of the data, and that of the lengths. */
static void message_end(uint8_t end[FIVE], const struct wgfp_aead_message *message)
{
    const uint32_t rest = (message->length - 1) % WGFP_POLY1305_BLOCK + 1;
    const wgfp_wide last = wgfp_words_rest(message, rest);

    memcpy(end, message->data + message->length - rest - 48, 48);
    wgfp_store64(end + 48, (uint64_t)last);
    wgfp_store64(end + 56, (uint64_t)(last >> 64));
    wgfp_store64(end + 64, 0); /* no associated data */
    wgfp_store64(end + 72, message->length);
}

/* Plan what of message i goes beside. */
static void pair_plan(struct pair *pair, const struct wgfp_aead_tags *tags, uint32_t i, bool ends)
{
    const struct wgfp_aead_message *message = &tags->messages[tags->made + i];
    struct wgfp_poly1305_words *words = &pair->words[i];
    const uint8_t *data = message->data + WGFP_POLY1305_BLOCK * (blocks_of(message) % 5) + FIVE * tags->begun;

    if (tags->begun == 0)
        message_begin(words, message);
    pair->beside[i] = (struct beside){.r0 = words->r0, .r1 = words->r1, .r1_5 = words->r1_5};
    for (uint32_t j = 0; j < pair->count; j++)
        pair->data[j][i] = data + FIVE * j;
    if (ends) {
        message_end(pair->ends[i], message);
        pair->data[pair->count - 1][i] = pair->ends[i];
    }
}

static void tag_make(struct wgfp_aead_tags *tags, uint32_t i)
{
    struct wgfp_aead_message *message = &tags->messages[tags->made + i];

    wgfp_words_finish(&tags->words[i], message->key + WGFP_POLY1305_BLOCK, message->tag);
}

void wgfp_avx512_rounds_2_sets_and_tags(const struct chacha20_input *input, vec rows[32], struct wgfp_aead_tags *tags)
{
    const uint32_t left = fives_of(tags) - tags->begun, count = left < DOUBLE_ROUNDS ? left : DOUBLE_ROUNDS;
    struct pair pair;

    pair.next = pair.data;
    pair.words = tags->words;
    pair.rows = rows;
    pair.count = count;
    pair.alone = DOUBLE_ROUNDS - count;
    for (uint32_t i = 0; i < 2 && count > 0; i++)
        pair_plan(&pair, tags, i, count == left);
    rounds_beside(input, &pair);
    if (count == 0)
        return;
    wgfp_written(tags->words, sizeof tags->words);
    wgfp_clear(pair.beside, sizeof pair.beside);
    tags->begun += count;
    if (count == left) {
        tag_make(tags, 0);
        tag_make(tags, 1);
        tags->made += 2;
        tags->begun = 0;
    }
}

WGFP_TARGET_END

#endif
