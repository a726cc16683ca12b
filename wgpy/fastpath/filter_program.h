/* The program of eBPF by which the kernel judges datagrams, and the memory that it shares with the data path. */
#ifndef WGFP_FILTER_PROGRAM_H
#define WGFP_FILTER_PROGRAM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum { BLOCK = 64 }; /* of BLAKE2s, in bytes */

enum {
    KNOWN_BUCKETS = 1 << 16,
    RECENT_BUCKETS = 1 << 14,
    SOURCE_GROUPS = 1 << 12,
    KNOWN_HASH_SHIFT = 16, /* the upper bits of a hash are its bucket, or its group */
    RECENT_HASH_SHIFT = 18,
    GROUP_HASH_SHIFT = 20,
    RECENT_SHIFT = 30, /* times in the table are nanoseconds >> this: a little more than seconds */
    RECENT_TIME = 16,  /* of these */
};

/* Datagrams that the program dropped are counted by reason. */
enum filter_reason {
    FILTER_MALFORMED,
    FILTER_UNKNOWN_TYPE,
    FILTER_INVALID_MAC1,
    FILTER_UNKNOWN_INDEX,
    FILTER_UNKNOWN_PEER,
    FILTER_REASONS
};

/* The value of a map with one entry. A bucket of `known` and `upper` counts what is in it; of `recent`, it says when
 * something was put into it (monotonic clock). An index is random, so that its halves are two tests.
 *
 * Which addresses are in `known` or `recent`, `groups` says roughly, in two pages of memory that stay in the processor's
 * cache: a flood from anywhere looks nowhere else. */
struct filter_group {
    _Atomic uint8_t ends;  /* that are in it, as a bucket counts */
    _Atomic uint8_t epoch; /* in which an address of it was put into `recent` last; 0: what was is over */
};

struct filter_table {
    _Atomic uint64_t drops[FILTER_REASONS];
    uint32_t mac1_key[8]; /* BLAKE2s's state after the key's block */
    _Atomic uint32_t has_mac1_key, takes_foreign, foreign_magic, relays;
    _Atomic uint32_t epoch; /* 1 or 2, in turn */
    uint32_t epoch_began;
    struct filter_group groups[SOURCE_GROUPS]; /* of addresses by their hash */
    _Atomic uint8_t known[KNOWN_BUCKETS]; /* receiver indices and hints by their lower half, and addresses of ends */
    _Atomic uint8_t upper[KNOWN_BUCKETS]; /* receiver indices and hints by their upper half */
    _Atomic uint32_t recent[RECENT_BUCKETS];
};

struct ebpf;

/* Write the program for the map of this descriptor. */
void filter_program(struct ebpf *program, int map);

/* Write a function that takes a block in. Its arguments are those of RFC 7693's F: pointers to h and m in
 * the caller's frame; of t, which is below 2^32; and of f, all its bits, as a word. */
void filter_blake2s(struct ebpf *program);

/* Of an address of 4 or 16 bytes, as on the network. */
uint32_t filter_address_hash(const uint8_t *address, size_t size);

#endif
