/* What the functions mean is said in ebpf.h. */
#include "ebpf.h"

#include <assert.h>

void ebpf_emit(struct ebpf *program, int code, int to, int from, int offset, uint32_t value)
{
    assert(program->count < EBPF_MAX_INSTRUCTIONS);
    program->instructions[program->count++] =
        (struct ebpf_instruction){(uint8_t)code, (uint8_t)(to | from << 4), (int16_t)offset, (int32_t)value};
}

void ebpf_word(struct ebpf *program, enum ebpf_operation operation, int to, int from)
{
    ebpf_emit(program, EBPF_ALU | EBPF_X | (int)operation, to, from, 0, 0);
}

void ebpf_word_value(struct ebpf *program, enum ebpf_operation operation, int to, uint32_t value)
{
    ebpf_emit(program, EBPF_ALU | EBPF_K | (int)operation, to, 0, 0, value);
}

void ebpf_long(struct ebpf *program, enum ebpf_operation operation, int to, int from)
{
    ebpf_emit(program, EBPF_ALU64 | EBPF_X | (int)operation, to, from, 0, 0);
}

void ebpf_long_value(struct ebpf *program, enum ebpf_operation operation, int to, int value)
{
    ebpf_emit(program, EBPF_ALU64 | EBPF_K | (int)operation, to, 0, 0, (uint32_t)value);
}

void ebpf_load(struct ebpf *program, int to, int base, int offset)
{
    ebpf_emit(program, EBPF_LDX | EBPF_MEM | EBPF_W, to, base, offset, 0);
}

void ebpf_store(struct ebpf *program, int base, int offset, int from)
{
    ebpf_emit(program, EBPF_STX | EBPF_MEM | EBPF_W, base, from, offset, 0);
}

void ebpf_move(struct ebpf *program, int to, int to_offset, int from, int from_offset)
{
    ebpf_load(program, R0, from, from_offset);
    ebpf_store(program, to, to_offset, R0);
}

void ebpf_store_value(struct ebpf *program, int base, int offset, uint32_t value)
{
    ebpf_emit(program, EBPF_ST | EBPF_MEM | EBPF_W, base, 0, offset, value);
}

void ebpf_swap(struct ebpf *program, int word)
{
    ebpf_emit(program, EBPF_ALU | EBPF_TO_BIG_ENDIAN | EBPF_END, word, 0, 0, 32);
}

void ebpf_read(struct ebpf *program, int offset)
{
    ebpf_emit(program, EBPF_LD | EBPF_ABS | EBPF_W, 0, 0, 0, (uint32_t)offset);
}

void ebpf_label(struct ebpf *program, int label)
{
    program->labels[label] = program->count;
}

void ebpf_jump(struct ebpf *program, enum ebpf_condition condition, int left, uint32_t right, int label)
{
    program->targets[program->count] = (uint8_t)label;
    ebpf_emit(program, EBPF_JMP | EBPF_K | (int)condition, left, 0, 0, right);
}

void ebpf_go(struct ebpf *program, int label)
{
    ebpf_jump(program, EBPF_JA, 0, 0, label);
}

void ebpf_call(struct ebpf *program, int label)
{
    program->targets[program->count] = (uint8_t)label;
    ebpf_emit(program, EBPF_JMP | EBPF_CALL, 0, EBPF_FUNCTION_OF_PROGRAM, 0, 0);
}

void ebpf_help(struct ebpf *program, int number)
{
    ebpf_emit(program, EBPF_JMP | EBPF_CALL, 0, 0, 0, (uint32_t)number);
}

void ebpf_leave(struct ebpf *program, uint32_t result)
{
    ebpf_word_value(program, EBPF_MOV, R0, result);
    ebpf_emit(program, EBPF_JMP | EBPF_EXIT, 0, 0, 0, 0);
}

void ebpf_finish(struct ebpf *program)
{
    for (uint32_t i = 0; i < program->count; i++) {
        struct ebpf_instruction *jump = &program->instructions[i];
        const int distance = (int)program->labels[program->targets[i]] - (int)i - 1;

        if (program->targets[i] == 0)
            continue;
        if (jump->code == (EBPF_JMP | EBPF_CALL))
            jump->value = distance;
        else
            jump->offset = (int16_t)distance;
    }
}
