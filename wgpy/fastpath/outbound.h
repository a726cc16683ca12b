/* Outbound: packets from the TUN become messages to peers. */
#ifndef WGFP_OUTBOUND_H
#define WGFP_OUTBOUND_H

#include "offload.h"
#include "peer.h"

struct outbound; /* packets that become messages together; one thread's */

/* tun: where ICMP errors go. WGFP_ERR_MEMORY. */
int outbound_new(struct outbound **out, struct wgfp_datapath *datapath, int tun);
void outbound_free(struct outbound *out);

/* Use these sockets, -1 for none. */
void outbound_set_sockets(struct outbound *out, int udp4, int udp6);

/* Take a packet that was read from the TUN, which may be a superpacket; it is changed. vnet: zeros for a plain one. */
void outbound_packet(struct outbound *out, const struct wgfp_vnet *vnet, uint8_t *packet, size_t length, uint64_t now);

/* Seal and send what was taken. */
void outbound_flush(struct outbound *out, uint64_t now);

/* Send what is staged for a peer, as far as its keypair goes; what is left raises KEY_NEEDED. Control; not under the
 * peer's lock. */
void outbound_staged(struct outbound *out, struct peer *peer, uint64_t now);

#endif
