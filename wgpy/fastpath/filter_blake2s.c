/* What the function means is said in filter_program.h. The names are those of RFC 7693.
 *
 * The kernel's machine has ten registers, no rotation, and adds nothing from memory: so the first row of v stays in R6 to
 * R9, a column of the others is in R2 to R4 while it is mixed, and R0 is for all the rest.
 */
#include "blake2s_tables.h"
#include "ebpf.h"
#include "filter_program.h"

enum { VECTOR = -48 }; /* v without its first row, in the function's own frame */

/* R0 is used up. */
static void rotate_right(struct ebpf *program, int word, int bits)
{
    ebpf_word(program, EBPF_MOV, R0, word);
    ebpf_word_value(program, EBPF_RSH, word, (uint32_t)bits);
    ebpf_word_value(program, EBPF_LSH, R0, (uint32_t)(32 - bits));
    ebpf_word(program, EBPF_OR, word, R0);
}

/* a += m + b, where b is known last; d = (d ^ a) >>> first; c += d; b = (b ^ c) >>> second */
static void half_mix(struct ebpf *program, const int v[4], int m, int first, int second)
{
    ebpf_load(program, R0, R1, (int)offsetof(struct filter_block, m) + 4 * m);
    ebpf_word(program, EBPF_ADD, v[0], R0);
    ebpf_word(program, EBPF_ADD, v[0], v[1]);
    ebpf_word(program, EBPF_XOR, v[3], v[0]);
    rotate_right(program, v[3], first);
    ebpf_word(program, EBPF_ADD, v[2], v[3]);
    ebpf_word(program, EBPF_XOR, v[1], v[2]);
    rotate_right(program, v[1], second);
}

/* Of v[4] to v[15]. */
static int vector_offset(int i)
{
    return VECTOR + 4 * (i - 4);
}

/* The first row stays in registers from 6 on, of the others what is mixed is in R2 to R4 meanwhile. */
static void mix(struct ebpf *program, int column, int turn, int x, int y)
{
    const int in_memory[3] = {4 + (column + turn) % 4, 8 + (column + 2 * turn) % 4, 12 + (column + 3 * turn) % 4};
    const int v[4] = {R6 + column, R2, R3, R4};

    for (int i = 0; i < 3; i++)
        ebpf_load(program, v[i + 1], FRAME, vector_offset(in_memory[i]));
    half_mix(program, v, x, 16, 12);
    half_mix(program, v, y, 8, 7);
    for (int i = 0; i < 3; i++)
        ebpf_store(program, FRAME, vector_offset(in_memory[i]), v[i + 1]);
}

static void begin_vector(struct ebpf *program)
{
    for (int i = 0; i < 4; i++)
        ebpf_load(program, R6 + i, R1, 4 * i);
    for (int i = 4; i < 8; i++) {
        ebpf_load(program, R0, R1, 4 * i);
        ebpf_store(program, FRAME, vector_offset(i), R0);
    }
    for (int i = 0; i < 8; i++)
        ebpf_store_value(program, FRAME, vector_offset(8 + i), wgfp_blake2s_iv[i]);
    for (int i = 0; i < 2; i++) { /* v[12] ^= t; v[14] ^= f; what there is of t beyond 32 bits is 0 */
        ebpf_load(program, R0, R1, (int)(i == 0 ? offsetof(struct filter_block, count) : offsetof(struct filter_block, last)));
        ebpf_word_value(program, EBPF_XOR, R0, wgfp_blake2s_iv[4 + 2 * i]);
        ebpf_store(program, FRAME, vector_offset(12 + 2 * i), R0);
    }
}

void filter_blake2s(struct ebpf *program)
{
    begin_vector(program);
    for (int round = 0; round < BLAKE2S_ROUNDS; round++)
        for (int i = 0; i < 8; i++)
            mix(program, i % 4, i / 4, wgfp_blake2s_sigma[round][2 * i], wgfp_blake2s_sigma[round][2 * i + 1]);
    for (int i = 0; i < 8; i++) {
        ebpf_load(program, R0, R1, 4 * i);
        if (i >= 4)
            ebpf_load(program, R2, FRAME, vector_offset(i));
        ebpf_word(program, EBPF_XOR, R0, i >= 4 ? R2 : R6 + i);
        ebpf_load(program, R2, FRAME, vector_offset(8 + i));
        ebpf_word(program, EBPF_XOR, R0, R2);
        ebpf_store(program, R1, 4 * i, R0);
    }
    ebpf_leave(program, 0);
}
