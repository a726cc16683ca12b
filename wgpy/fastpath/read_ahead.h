/* Packets that were read ahead from a TUN: superpackets wait here, and the packets of sparse flows overtake them.
 *
 * A TUN has one queue for all flows, and room in it for 500 superpackets, 32 MB. What RFC 8290 calls a sparse flow, one
 * of which nothing waits, shall not wait behind the others. So a worker reads all that is there before it goes on with
 * the next superpacket, as long as there are sparse flows: a superpacket that has waited here has left the processor's
 * nearest caches.
 *
 * Invariant: the packets of a flow leave in the order in which they came; and fragments, whose flow nothing tells, in
 * their order among all packets.
 */
#ifndef WGFP_READ_AHEAD_H
#define WGFP_READ_AHEAD_H

#include "tun.h"

#define SPARSE_LASTS UINT64_C(250000000) /* nanoseconds after the last packet of a sparse flow */
#define BULK_LASTS UINT64_C(1000000000)  /* after the last superpacket of a flow, until when it is not sparse */

enum {
    READ_AHEAD_BYTES = 4 << 20, /* a ring, of which only what is used takes memory */
    READ_AHEAD_BYTES_SMALL = 1 << 18,
    READ_AHEAD_FLOWS = 1024, /* as in RFC 8290; flows with one number count as one */
};

struct read_ahead {
    uint8_t *bytes; /* packets, one behind the other, each with its struct tun_buffer as far as it is used */
    uint32_t size;
    uint32_t head, tail; /* of what waits, in bytes; tail is at most head if the ring begins again between them */
    uint32_t end;        /* of the bytes before it begins again */
    uint32_t used;       /* the highest tail since read_ahead_release */
    uint32_t count, fragments;
    uint64_t sparse_until; /* are there sparse flows? */
    uint64_t bulk_until[READ_AHEAD_FLOWS];
    uint16_t waiting[READ_AHEAD_FLOWS]; /* packets of each flow */
};

/* WGFP_ERR_MEMORY: what there is then, read_ahead_free frees. */
int read_ahead_new(struct read_ahead **ahead, bool small);
void read_ahead_free(struct read_ahead *ahead);

/* Where the next packet is to be read to; NULL: what waits goes on first. What was taken is gone. */
struct tun_buffer *read_ahead_room(struct read_ahead *ahead, uint64_t now);

/* Let the packet that was read there wait, unless it goes first; false: it does, and may lie there until the next
 * read_ahead_room. */
bool read_ahead_keep(struct read_ahead *ahead, struct tun_buffer *buffer, const uint8_t *packet, size_t length,
                     uint64_t now);

/* What has waited for longest; NULL: nothing waits. It may lie there until the next read_ahead_room. */
struct tun_buffer *read_ahead_take(struct read_ahead *ahead, uint8_t **packet, size_t *length);

/* Give the memory back that it took, if nothing waits. */
void read_ahead_release(struct read_ahead *ahead);

#endif
