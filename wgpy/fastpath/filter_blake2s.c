/* What the function means is said in filter_program.h. The names are those of RFC 7693.
 *
 * The kernel's machine has ten registers, no rotation, and adds nothing from memory: so the first and the third row of v
 * stay in registers, the others in the frame, and R0 is for all the rest. The first halves of all columns, or diagonals,
 * come before the second ones: each step waits for the one before, and the processor has the others to do meanwhile.
 * The code is short rather than quick once it is cached, as the kernel's own evicts it between two datagrams.
 */
#include "blake2s_tables.h"
#include "ebpf.h"
#include "filter_program.h"

enum { A = R1, C = R5, TWICE = R9 }; /* v[0] and v[8], and the three after each; what rotations multiply by */

enum { B = -16, D = -32, MESSAGE = -96, STATE = -104 }; /* in the function's own frame: v[4], v[12], m, and where h is */

/* A product with 2^32 + 1 has the word twice, and what is shifted out of the upper one is in the lower one. */
static void rotate_right(struct ebpf *program, int word, int bits)
{
    ebpf_long(program, EBPF_MUL, word, TWICE);
    ebpf_long_value(program, EBPF_RSH, word, bits);
}

/* a += m + b; d = (d ^ a) >>> first; c += d; b = (b ^ c) >>> second. turn: 0 of a column, 1 of a diagonal. */
static void half_mix(struct ebpf *program, int column, int turn, int m, int first, int second)
{
    const int a = A + column, b = B + 4 * ((column + turn) % 4);
    const int c = C + (column + 2 * turn) % 4, d = D + 4 * ((column + 3 * turn) % 4);

    ebpf_load(program, R0, FRAME, MESSAGE + 4 * m);
    ebpf_word(program, EBPF_ADD, a, R0);
    ebpf_load(program, R0, FRAME, b);
    ebpf_word(program, EBPF_ADD, a, R0);
    ebpf_load(program, R0, FRAME, d);
    ebpf_word(program, EBPF_XOR, R0, a);
    rotate_right(program, R0, first);
    ebpf_store(program, FRAME, d, R0);
    ebpf_word(program, EBPF_ADD, c, R0);
    ebpf_load(program, R0, FRAME, b);
    ebpf_word(program, EBPF_XOR, R0, c);
    rotate_right(program, R0, second);
    ebpf_store(program, FRAME, b, R0);
}

/* R1 to R4 are the arguments: h, m, t and f. What there is of t beyond 32 bits is 0. */
static void begin(struct ebpf *program)
{
    ebpf_emit(program, EBPF_STX | EBPF_MEM | EBPF_DW, FRAME, R1, STATE, 0);
    for (int i = 0; i < BLOCK; i += 4)
        ebpf_move(program, FRAME, MESSAGE + i, R2, i);
    ebpf_word_value(program, EBPF_XOR, R3, wgfp_blake2s_iv[4]);
    ebpf_store(program, FRAME, D, R3);
    ebpf_store_value(program, FRAME, D + 4, wgfp_blake2s_iv[5]);
    ebpf_word_value(program, EBPF_XOR, R4, wgfp_blake2s_iv[6]);
    ebpf_store(program, FRAME, D + 8, R4);
    ebpf_store_value(program, FRAME, D + 12, wgfp_blake2s_iv[7]);
    for (int i = 0; i < 4; i++) {
        ebpf_word_value(program, EBPF_MOV, C + i, wgfp_blake2s_iv[i]);
        ebpf_move(program, FRAME, B + 4 * i, R1, 16 + 4 * i);
    }
    for (int i = 3; i >= 0; i--) /* the register of h is the last */
        ebpf_load(program, A + i, R1, 4 * i);
    ebpf_long_value(program, EBPF_MOV, TWICE, 1);
    ebpf_long_value(program, EBPF_LSH, TWICE, 32);
    ebpf_long_value(program, EBPF_OR, TWICE, 1);
}

/* h ^= v[0..7] ^ v[8..15]. The fourth row takes the third one's registers. */
static void end(struct ebpf *program)
{
    for (int i = 0; i < 4; i++) {
        ebpf_word(program, EBPF_XOR, A + i, C + i);
        ebpf_load(program, C + i, FRAME, D + 4 * i);
        ebpf_load(program, R0, FRAME, B + 4 * i);
        ebpf_word(program, EBPF_XOR, C + i, R0);
    }
    ebpf_emit(program, EBPF_LDX | EBPF_MEM | EBPF_DW, R9, FRAME, STATE, 0);
    for (int i = 0; i < 8; i++) {
        ebpf_load(program, R0, R9, 4 * i);
        ebpf_word(program, EBPF_XOR, R0, A + i);
        ebpf_store(program, R9, 4 * i, R0);
    }
}

void filter_blake2s(struct ebpf *program)
{
    begin(program);
    for (int half = 0; half < 4 * BLAKE2S_ROUNDS; half++) {
        const int turn = half / 2 % 2, second = half % 2;
        const uint8_t *m = &wgfp_blake2s_sigma[half / 4][8 * turn + second];

        for (int i = 0; i < 4; i++)
            half_mix(program, i, turn, m[2 * i], second ? 8 : 16, second ? 7 : 12);
    }
    end(program);
    ebpf_leave(program, 0);
}
