/* Recognises messages of this end that the host routes back into the interface: its tunnel would carry itself.
 *
 * Invariant: what passes for a message of this end is one that was sent. Transport data names an index that the peer
 * chose for this end alone, a counter that was used, and goes to the peer's endpoint; a handshake message is known by
 * its random part. Another WireGuard's messages pass, also from the same port.
 */
#ifndef WGFP_ROUTING_LOOP_H
#define WGFP_ROUTING_LOOP_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wgfp_datapath;
struct wgfp_view;

enum { HANDSHAKES_REMEMBERED = 64 }; /* the newest */

struct handshake_sent {
    uint64_t random;
    uint32_t peer; /* whose event is to be raised; 0: nobody's */
};

struct handshakes_sent {
    pthread_mutex_t lock; /* of all below */
    struct handshake_sent messages[HANDSHAKES_REMEMBERED];
    uint32_t count, next;
};

/* WGFP_ERR_MEMORY. */
int handshakes_sent_init(struct handshakes_sent *sent);
void handshakes_sent_free(struct handshakes_sent *sent);

/* The peer is no more: its messages are still dropped. Control. */
void handshakes_sent_remove_peer(struct handshakes_sent *sent, uint32_t peer);

/* Whether the packet, from the TUN, carries such a message. Its peer's event is raised, once for each keypair and for each
 * handshake message. */
bool routing_loop_find(struct wgfp_datapath *datapath, const struct wgfp_view *view, const uint8_t *packet);

#endif
