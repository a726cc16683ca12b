/* Recognises messages of this end that the host routes back into the interface: its tunnel would carry itself.
 *
 * Invariant: what passes for a message of this end is one that was sent. Transport data names an index that the peer
 * chose for this end alone, a counter that was used, and goes to the peer's endpoint; a handshake message is known by
 * its random part. Another WireGuard's messages pass, also from the same port.
 */
#ifndef WGFP_ROUTING_LOOP_H
#define WGFP_ROUTING_LOOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct wgfp_datapath;
struct wgfp_view;

enum { HANDSHAKES_REMEMBERED = 64 }; /* the newest */

struct handshakes_sent {
    _Atomic uint64_t random[HANDSHAKES_REMEMBERED]; /* relaxed: one that is overlooked goes round once more */
    uint32_t next;                                  /* control */
};

/* Whether the packet, from the TUN, carries such a message. Its peer's event is raised, once a keypair. */
bool routing_loop_find(struct wgfp_datapath *datapath, const struct wgfp_view *view, const uint8_t *packet);

#endif
