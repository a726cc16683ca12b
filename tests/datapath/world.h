/* A kernel in memory: what a data path reads is what a test gave, and what it writes a test takes. It can be told to
 * fail. One thread uses all worlds. */
#ifndef WORLD_H
#define WORLD_H

#include <stddef.h>
#include <stdint.h>

/* cffi: begin */

struct world;

/* Its descriptors. */
enum { WORLD_TUN = 1001, WORLD_UDP4, WORLD_UDP6 };

struct world *world_new(void);
void world_free(struct world *world);

/* System calls name no world, and no time: until the next call of this it is this one, and now. */
void world_enter(struct world *world, uint64_t now);

/* Its struct wgfp_system. */
const void *world_system(void);

/* Bytes that the TUN will have ready, and those that were written to it: a packet, with a virtio header in front if the
 * data path uses them. take: the length, or -1 if there is nothing. */
void world_tun_give(struct world *world, const uint8_t *data, size_t length);
long world_tun_take(struct world *world, uint8_t *data, size_t room);

/* What goes with a datagram: its TOS byte, and of what size the datagrams are that it is joined of (0: it is one). */
struct world_label {
    uint8_t endpoint[48]; /* a struct wgfp_endpoint */
    uint32_t tos;
    uint32_t segment_size;
};

void world_udp_give(struct world *world, const struct world_label *label, const uint8_t *data, size_t length);
long world_udp_take(struct world *world, struct world_label *label, uint8_t *data, size_t room);

enum world_call { WORLD_READV, WORLD_WRITEV, WORLD_RECVMMSG, WORLD_SENDMMSG, WORLD_POLL, WORLD_CALLS };

/* After `skip` more, let `count` calls fail with this errno. joined: count only those with a superpacket or with
 * UDP_SEGMENT. Of sendmmsg each message is a call. */
void world_fail(struct world *world, enum world_call call, int error, uint32_t skip, uint32_t count, int joined);

/* How many there were. Here sendmmsg is one, however many its messages. */
uint64_t world_calls(const struct world *world, enum world_call call);

/* cffi: end */

#endif
