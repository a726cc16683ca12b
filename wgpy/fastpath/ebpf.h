/* An assembler of eBPF, the kernel's machine for programs from outside. RFC 9669; its terms, and numbers of linux/bpf.h,
 * which is not on every host.
 */
#ifndef WGFP_EBPF_H
#define WGFP_EBPF_H

#include <stdint.h>

enum ebpf_register { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, FRAME };

enum { /* classes of instructions */
    EBPF_LD = 0x00,
    EBPF_LDX = 0x01,
    EBPF_ST = 0x02,
    EBPF_STX = 0x03,
    EBPF_ALU = 0x04,
    EBPF_JMP = 0x05,
    EBPF_ALU64 = 0x07,
};

enum { /* what is loaded and stored, and how */
    EBPF_W = 0x00,
    EBPF_H = 0x08,
    EBPF_B = 0x10,
    EBPF_DW = 0x18,
    EBPF_IMM = 0x00,
    EBPF_ABS = 0x20,
    EBPF_MEM = 0x60,
    EBPF_ATOMIC = 0xc0,
};

enum { /* the second operand: a value or a register */
    EBPF_K = 0x00,
    EBPF_X = 0x08,
    EBPF_TO_BIG_ENDIAN = 0x08, /* of EBPF_END */
};

enum ebpf_operation {
    EBPF_ADD = 0x00,
    EBPF_SUB = 0x10,
    EBPF_MUL = 0x20,
    EBPF_OR = 0x40,
    EBPF_AND = 0x50,
    EBPF_LSH = 0x60,
    EBPF_RSH = 0x70,
    EBPF_XOR = 0xa0,
    EBPF_MOV = 0xb0,
    EBPF_END = 0xd0,
};

enum ebpf_condition {
    EBPF_JA = 0x00,
    EBPF_JEQ = 0x10,
    EBPF_JNE = 0x50,
    EBPF_CALL = 0x80,
    EBPF_EXIT = 0x90,
    EBPF_JLT = 0xa0, /* unsigned */
    EBPF_JLE = 0xb0,
};

enum { /* what a register field says where no register is */
    EBPF_FUNCTION_OF_PROGRAM = 1,
    EBPF_VALUE_OF_MAP = 2,
};

struct ebpf_instruction {
    uint8_t code;
    uint8_t registers; /* to, and from in the upper half */
    int16_t offset;
    int32_t value;
};

enum { EBPF_MAX_INSTRUCTIONS = 4096, EBPF_MAX_LABELS = 32 };

/* All zeros at the beginning. A label is a number from 1 on. */
struct ebpf {
    struct ebpf_instruction instructions[EBPF_MAX_INSTRUCTIONS];
    uint32_t count;
    uint32_t labels[EBPF_MAX_LABELS];
    uint8_t targets[EBPF_MAX_INSTRUCTIONS]; /* the label that a jump leads to; 0: it is none, or has its offset */
};

void ebpf_emit(struct ebpf *program, int code, int to, int from, int offset, uint32_t value);

/* Of 32 bits, which leave 0 in the upper ones, and of 64. */
void ebpf_word(struct ebpf *program, enum ebpf_operation operation, int to, int from);
void ebpf_word_value(struct ebpf *program, enum ebpf_operation operation, int to, uint32_t value);
void ebpf_long(struct ebpf *program, enum ebpf_operation operation, int to, int from);
void ebpf_long_value(struct ebpf *program, enum ebpf_operation operation, int to, int value);

/* Words of 32 bits. base: a register. */
void ebpf_load(struct ebpf *program, int to, int base, int offset);
void ebpf_store(struct ebpf *program, int base, int offset, int from);
void ebpf_store_value(struct ebpf *program, int base, int offset, uint32_t value);

/* From memory to memory. R0 is used up. */
void ebpf_move(struct ebpf *program, int to, int to_offset, int from, int from_offset);

/* Reverse a word's bytes, on a processor that is little-endian. */
void ebpf_swap(struct ebpf *program, int word);

/* Make R0 a word of a packet, as of the network: R6 is its __sk_buff, and R1 to R5 are used up. A program ends and drops
 * the packet if that is shorter. bpf_skb_load_bytes costs three times as much. */
void ebpf_read(struct ebpf *program, int offset);

/* The label stands in front of the next instruction. It may be jumped to before. */
void ebpf_label(struct ebpf *program, int label);
void ebpf_jump(struct ebpf *program, enum ebpf_condition condition, int left, uint32_t right, int label);
void ebpf_go(struct ebpf *program, int label);
void ebpf_call(struct ebpf *program, int label);

/* Call one of the kernel's functions; bpf-helpers(7). */
void ebpf_help(struct ebpf *program, int number);
void ebpf_leave(struct ebpf *program, uint32_t result);

/* The program is whole: have jumps lead to their labels. */
void ebpf_finish(struct ebpf *program);

#endif
