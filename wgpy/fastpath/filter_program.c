/* What the function means is said in filter_program.h.
 *
 * Registers 6 to 8 hold the datagram, the table and the message's length. Little-endian alone: words of a message are read
 * as they lie where mac1 is computed, and elsewhere as of the network. A datagram that is dropped touches as few lines of
 * memory as can be: what a flood costs is mostly what is in no cache.
 */
#include "filter_program.h"

#include "bytes.h"
#include "ebpf.h"
#include "message.h"

#include <netinet/in.h>

enum { DATAGRAM = R6, TABLE = R7, LENGTH = R8 };

enum { /* offsets in struct __sk_buff */
    SKB_LENGTH = 0,
    SKB_PROTOCOL = 16,
    SKB_SEGMENT_SIZE = 176,
};

enum { /* bpf-helpers(7) */
    HELP_NANOSECONDS = 5, /* bpf_ktime_get_ns */
    HELP_LOAD = 26,       /* bpf_skb_load_bytes */
};

enum { UDP_SIZE = 8, IPV4_SOURCE = 12, IPV6_SOURCE = 8, IPV6 = 0x86dd, NETWORK_HEADER = -0x100000 /* linux/filter.h */ };

enum {
    HINT = 8, /* in a foreign datagram: who is expected to send it */
    MAC1_IN_INITIATION = INITIATION_SIZE - 2 * MAC_LENGTH,
    MAC1_IN_RESPONSE = RESPONSE_SIZE - 2 * MAC_LENGTH,
};

/* The frame. */
enum {
    MESSAGE = -(2 * BLOCK + 8), /* one block or two, and the end of mac1 behind them */
    MAC1 = MESSAGE - MAC_LENGTH,
    STATE = MAC1 - 32, /* of BLAKE2s */
};

#define ADDRESS_FACTOR 0x9e3779b1u

_Static_assert((int)MAC1_IN_INITIATION <= 2 * (int)BLOCK && (int)MAC1_IN_RESPONSE <= (int)BLOCK, "what mac1 covers has so many blocks");
_Static_assert(MAC1_IN_INITIATION + MAC_LENGTH <= 2 * BLOCK + 8 && MAC1_IN_INITIATION % 4 == 0, "mac1 fits behind it");
_Static_assert(KNOWN_BUCKETS == 1 << (32 - KNOWN_HASH_SHIFT) && RECENT_BUCKETS == 1 << (32 - RECENT_HASH_SHIFT) &&
                   SOURCE_GROUPS == 1 << (32 - GROUP_HASH_SHIFT),
               "a hash fills its table");
_Static_assert(KNOWN_BUCKETS == 1 << KNOWN_HASH_SHIFT, "an index has two halves");
_Static_assert(sizeof(struct filter_group) == 2, "a group is read at once");

enum label {
    FOREIGN = 1,
    DATA,
    INITIATION,
    RESPONSE,
    COOKIE_REPLY,
    REPLY_TO_NONE,
    RESPONSE_TO_NONE,
    CHECK_MAC1,
    COMPARE_MAC1,
    BLAKE2S,
    PASS,
    DROP, /* and so many more as there are reasons */
};

static int drop_label(enum filter_reason reason)
{
    return DROP + (int)reason;
}

/* -- The datagram ----------------------------------------------------------------------------------- */

/* Make R0 a word of the message, as of the network; the message is that long. */
static void read_word(struct ebpf *program, int offset)
{
    ebpf_read(program, UDP_SIZE + offset);
}

/* -- The table -------------------------------------------------------------------------------------- */

/* Is a field 0? It stays in R0. */
static void jump_unless(struct ebpf *program, size_t field, int where)
{
    ebpf_load(program, R0, TABLE, (int)field);
    ebpf_jump(program, EBPF_JEQ, R0, 0, where);
}

/* Make R0 what is in the bucket in R1. buckets: `known` or `upper`. */
static void look_up(struct ebpf *program, size_t buckets)
{
    ebpf_long(program, EBPF_ADD, R1, TABLE);
    ebpf_long_value(program, EBPF_ADD, R1, (int)buckets);
    ebpf_emit(program, EBPF_LDX | EBPF_MEM | EBPF_B, R0, R1, 0, 0);
}

/* Make R9 the receiver index that is at this offset. */
static void read_index(struct ebpf *program, int offset)
{
    read_word(program, offset);
    ebpf_swap(program, R0);
    ebpf_word(program, EBPF_MOV, R9, R0);
}

/* Go on if the receiver index in R9 is known, else at a label. */
static void look_up_index(struct ebpf *program, int otherwise)
{
    ebpf_word(program, EBPF_MOV, R1, R9);
    ebpf_word_value(program, EBPF_AND, R1, KNOWN_BUCKETS - 1);
    look_up(program, offsetof(struct filter_table, known));
    ebpf_jump(program, EBPF_JEQ, R0, 0, otherwise);
    ebpf_word(program, EBPF_MOV, R1, R9);
    ebpf_word_value(program, EBPF_RSH, R1, KNOWN_HASH_SHIFT);
    look_up(program, offsetof(struct filter_table, upper));
    ebpf_jump(program, EBPF_JEQ, R0, 0, otherwise);
}

/* Have R1 point to the group of the hash in R9. */
static void find_group(struct ebpf *program)
{
    ebpf_word(program, EBPF_MOV, R1, R9);
    ebpf_word_value(program, EBPF_RSH, R1, GROUP_HASH_SHIFT);
    ebpf_word_value(program, EBPF_MUL, R1, sizeof(struct filter_group));
    ebpf_long(program, EBPF_ADD, R1, TABLE);
    ebpf_long_value(program, EBPF_ADD, R1, (int)offsetof(struct filter_table, groups));
}

/* Have R9, the number of a bucket in `recent`, point to it. */
static void find_recent(struct ebpf *program)
{
    ebpf_word_value(program, EBPF_LSH, R9, 2);
    ebpf_long(program, EBPF_ADD, R9, TABLE);
    ebpf_long_value(program, EBPF_ADD, R9, (int)offsetof(struct filter_table, recent));
}

/* Have R0 be the time now. */
static void read_clock(struct ebpf *program)
{
    ebpf_help(program, HELP_NANOSECONDS);
    ebpf_long_value(program, EBPF_RSH, R0, RECENT_SHIFT);
}

/* Pass if something was put into the bucket in R9 a short time ago, else go on at a label. */
static void pass_recent(struct ebpf *program, int otherwise)
{
    find_recent(program);
    ebpf_load(program, R9, R9, 0);
    ebpf_jump(program, EBPF_JEQ, R9, 0, otherwise); /* nothing ever was: the clock is not asked */
    read_clock(program);
    ebpf_word(program, EBPF_SUB, R0, R9);
    ebpf_word_value(program, EBPF_ADD, R0, 1); /* another processor may have put it there after our reading of the clock */
    ebpf_jump(program, EBPF_JLE, R0, RECENT_TIME + 1, PASS);
    ebpf_go(program, otherwise);
}

/* Make R9 a hash of the address where the datagram came from, as filter_address_hash does. */
static void hash_source(struct ebpf *program)
{
    enum { OF_IPV6 = 8 }; /* instructions; a label would be one of two, as this is there twice */

    ebpf_load(program, R0, DATAGRAM, SKB_PROTOCOL);
    ebpf_emit(program, EBPF_JMP | EBPF_K | EBPF_JEQ, R0, 0, 3, htons(IPV6));
    ebpf_read(program, NETWORK_HEADER + IPV4_SOURCE);
    ebpf_word(program, EBPF_MOV, R9, R0);
    ebpf_emit(program, EBPF_JMP | EBPF_JA, 0, 0, OF_IPV6, 0);
    for (int i = 0; i < 16; i += 4) {
        ebpf_read(program, NETWORK_HEADER + IPV6_SOURCE + i);
        ebpf_word(program, i == 0 ? EBPF_MOV : EBPF_XOR, R9, R0);
    }
    ebpf_word_value(program, EBPF_MUL, R9, ADDRESS_FACTOR);
}

uint32_t filter_address_hash(const uint8_t *address, size_t size)
{
    uint32_t words = 0;

    for (size_t i = 0; i < size; i += 4)
        words ^= wgfp_load32_be(address + i);
    return words * ADDRESS_FACTOR;
}

/* -- Judging ---------------------------------------------------------------------------------------- */

static void begin(struct ebpf *program, int map)
{
    ebpf_long(program, EBPF_MOV, DATAGRAM, R1);
    ebpf_emit(program, EBPF_LD | EBPF_IMM | EBPF_DW, TABLE, EBPF_VALUE_OF_MAP, 0, (uint32_t)map);
    ebpf_emit(program, 0, 0, 0, 0, 0);
    ebpf_load(program, R0, DATAGRAM, SKB_SEGMENT_SIZE); /* of several that the kernel joined, any may be good */
    ebpf_jump(program, EBPF_JNE, R0, 0, PASS);
    ebpf_load(program, LENGTH, DATAGRAM, SKB_LENGTH);
    ebpf_word_value(program, EBPF_SUB, LENGTH, UDP_SIZE);
    ebpf_jump(program, EBPF_JLT, LENGTH, TYPE_SIZE, FOREIGN);
    read_word(program, 0);
    ebpf_jump(program, EBPF_JEQ, R0, htonl(TYPE_TRANSPORT), DATA);
    ebpf_jump(program, EBPF_JEQ, R0, htonl(TYPE_INITIATION), INITIATION);
    ebpf_jump(program, EBPF_JEQ, R0, htonl(TYPE_RESPONSE), RESPONSE);
    ebpf_jump(program, EBPF_JEQ, R0, htonl(TYPE_COOKIE_REPLY), COOKIE_REPLY);
    ebpf_label(program, FOREIGN);
    ebpf_word(program, EBPF_MOV, R9, R0); /* its first word, if it has one */
    jump_unless(program, offsetof(struct filter_table, takes_foreign), drop_label(FILTER_UNKNOWN_TYPE));
    jump_unless(program, offsetof(struct filter_table, foreign_magic), PASS);
    ebpf_jump(program, EBPF_JLT, LENGTH, HINT + 4, drop_label(FILTER_UNKNOWN_TYPE));
    ebpf_word(program, EBPF_XOR, R0, R9);
    ebpf_jump(program, EBPF_JNE, R0, 0, drop_label(FILTER_UNKNOWN_TYPE));
    read_index(program, HINT);
    look_up_index(program, drop_label(FILTER_UNKNOWN_PEER));
    ebpf_go(program, PASS);
}

/* By what passes here its source may become an end, and a handshake message from there may be right behind it. */
static void judge_data(struct ebpf *program)
{
    ebpf_label(program, DATA);
    ebpf_jump(program, EBPF_JLT, LENGTH, TRANSPORT_OVERHEAD, drop_label(FILTER_MALFORMED));
    read_index(program, 4);
    look_up_index(program, drop_label(FILTER_UNKNOWN_INDEX));
    jump_unless(program, offsetof(struct filter_table, relays), PASS);
    hash_source(program);
    find_group(program);
    ebpf_load(program, R0, TABLE, (int)offsetof(struct filter_table, epoch));
    ebpf_emit(program, EBPF_STX | EBPF_MEM | EBPF_B, R1, R0, offsetof(struct filter_group, epoch), 0);
    ebpf_word_value(program, EBPF_RSH, R9, RECENT_HASH_SHIFT);
    find_recent(program);
    read_clock(program);
    ebpf_store(program, R9, 0, R0);
    ebpf_go(program, PASS);
}

static void judge_cookie_reply(struct ebpf *program)
{
    ebpf_label(program, COOKIE_REPLY);
    ebpf_jump(program, EBPF_JNE, LENGTH, COOKIE_REPLY_SIZE, drop_label(FILTER_MALFORMED));
    read_index(program, 4);
    look_up_index(program, REPLY_TO_NONE);
    ebpf_go(program, PASS);
    ebpf_label(program, REPLY_TO_NONE);
    ebpf_word_value(program, EBPF_AND, R9, RECENT_BUCKETS - 1);
    pass_recent(program, drop_label(FILTER_UNKNOWN_INDEX));
}

/* Take a block of the message in. count: bytes up to its end, with the key's. */
static void call_blake2s(struct ebpf *program, int block, uint32_t count, uint32_t last)
{
    ebpf_long(program, EBPF_MOV, R1, FRAME);
    ebpf_long_value(program, EBPF_ADD, R1, STATE);
    ebpf_long(program, EBPF_MOV, R2, FRAME);
    ebpf_long_value(program, EBPF_ADD, R2, block);
    ebpf_word_value(program, EBPF_MOV, R3, count);
    ebpf_word_value(program, EBPF_MOV, R4, last);
    ebpf_call(program, BLAKE2S);
}

/* Have a message in the frame up to its mac1, zeros behind what that covers, and mac1 itself. covered: bytes. */
static void begin_mac1(struct ebpf *program, int covered)
{
    for (int i = 0; i < 32; i += 4)
        ebpf_move(program, FRAME, STATE + i, TABLE, (int)offsetof(struct filter_table, mac1_key) + i);
    ebpf_long(program, EBPF_MOV, R1, DATAGRAM);
    ebpf_word_value(program, EBPF_MOV, R2, UDP_SIZE);
    ebpf_long(program, EBPF_MOV, R3, FRAME);
    ebpf_long_value(program, EBPF_ADD, R3, MESSAGE);
    ebpf_word_value(program, EBPF_MOV, R4, (uint32_t)(covered + MAC_LENGTH));
    ebpf_help(program, HELP_LOAD);
    for (int i = 0; i < MAC_LENGTH; i += 4)
        ebpf_move(program, FRAME, MAC1 + i, FRAME, MESSAGE + covered + i);
    for (int i = covered; i % BLOCK != 0; i += 4)
        ebpf_store_value(program, FRAME, MESSAGE + i, 0);
}

/* For a relay any initiation passes that an end may have sent. */
static void judge_initiation(struct ebpf *program)
{
    ebpf_label(program, INITIATION);
    ebpf_jump(program, EBPF_JNE, LENGTH, INITIATION_SIZE, drop_label(FILTER_MALFORMED));
    jump_unless(program, offsetof(struct filter_table, has_mac1_key), PASS);
    jump_unless(program, offsetof(struct filter_table, relays), CHECK_MAC1);
    hash_source(program);
    find_group(program);
    ebpf_emit(program, EBPF_LDX | EBPF_MEM | EBPF_H, R0, R1, 0, 0); /* all of a group */
    ebpf_jump(program, EBPF_JEQ, R0, 0, CHECK_MAC1);
    ebpf_word(program, EBPF_MOV, R1, R9);
    ebpf_word_value(program, EBPF_RSH, R1, KNOWN_HASH_SHIFT);
    look_up(program, offsetof(struct filter_table, known));
    ebpf_jump(program, EBPF_JNE, R0, 0, PASS);
    ebpf_word_value(program, EBPF_RSH, R9, RECENT_HASH_SHIFT);
    pass_recent(program, CHECK_MAC1);
    ebpf_label(program, CHECK_MAC1);
    begin_mac1(program, MAC1_IN_INITIATION);
    call_blake2s(program, MESSAGE, 2 * BLOCK, 0);
    call_blake2s(program, MESSAGE + BLOCK, BLOCK + MAC1_IN_INITIATION, UINT32_MAX);
    ebpf_go(program, COMPARE_MAC1);
}

static void judge_response(struct ebpf *program)
{
    ebpf_label(program, RESPONSE);
    ebpf_jump(program, EBPF_JNE, LENGTH, RESPONSE_SIZE, drop_label(FILTER_MALFORMED));
    jump_unless(program, offsetof(struct filter_table, has_mac1_key), PASS);
    read_index(program, 8);
    look_up_index(program, RESPONSE_TO_NONE);
    ebpf_go(program, PASS);
    ebpf_label(program, RESPONSE_TO_NONE);
    begin_mac1(program, MAC1_IN_RESPONSE);
    call_blake2s(program, MESSAGE, BLOCK + MAC1_IN_RESPONSE, UINT32_MAX);
}

/* In no fixed time: mac1 is made with a public key alone. */
static void compare_mac1(struct ebpf *program)
{
    ebpf_label(program, COMPARE_MAC1);
    for (int i = 0; i < MAC_LENGTH; i += 4) {
        ebpf_load(program, R0, FRAME, STATE + i);
        ebpf_load(program, R1, FRAME, MAC1 + i);
        ebpf_word(program, EBPF_XOR, R0, R1);
        ebpf_jump(program, EBPF_JNE, R0, 0, drop_label(FILTER_INVALID_MAC1));
    }
}

static void end(struct ebpf *program)
{
    ebpf_label(program, PASS);
    ebpf_leave(program, UINT32_MAX); /* all of its bytes */
    for (int reason = 0; reason < FILTER_REASONS; reason++) {
        ebpf_label(program, drop_label((enum filter_reason)reason));
        ebpf_long_value(program, EBPF_MOV, R1, 1);
        ebpf_emit(program, EBPF_STX | EBPF_ATOMIC | EBPF_DW, TABLE, R1,
                  (int)offsetof(struct filter_table, drops) + 8 * reason, EBPF_ADD);
        ebpf_leave(program, 0);
    }
}

void filter_program(struct ebpf *program, int map)
{
    begin(program, map);
    judge_data(program);
    judge_cookie_reply(program);
    judge_initiation(program);
    judge_response(program);
    compare_mac1(program);
    end(program);
    ebpf_label(program, BLAKE2S);
    filter_blake2s(program);
    ebpf_finish(program);
}
