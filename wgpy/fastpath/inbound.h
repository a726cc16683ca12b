/* Inbound: datagrams from the sockets become packets for the TUN, or wait for the control. */
#ifndef WGFP_INBOUND_H
#define WGFP_INBOUND_H

#include "wgfp.h"

#include <stdbool.h>

struct inbound; /* what one system call received; one thread's */

/* WGFP_ERR_MEMORY. */
int inbound_new(struct inbound **in, struct wgfp_datapath *datapath);
void inbound_free(struct inbound *in);

/* What is forwarded leaves by these; -1: there is none. */
void inbound_set_sockets(struct inbound *in, int udp4, int udp6);

/* Receive from a socket once, and hand on what came. Returns whether there may be more. */
bool inbound_receive(struct inbound *in, int udp, int tun, uint64_t now);

/* Did it then write many datagrams of UDP as one? */
bool inbound_wrote_burst(const struct inbound *in);

#endif
