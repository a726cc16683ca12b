/* Two data paths with threads that talk to each other over loopback, and the control of both: for threads_check.c.
 *
 * Each side has FLOW_QUEUES queues: a socketpair for a TUN, and UDP sockets, all of a family on one port. Peer p of one
 * side is peer p of the other; they meet at 127.0.0.1 + p or at ::1. All functions but pair_open's sockets are the
 * control's, which is one thread.
 */
#ifndef PAIR_H
#define PAIR_H

#include "system.h" /* first: it asks for what only Linux has */

#include "flows.h"
#include "wgfp.h"

enum { PAIR_CHANGES = 96 }; /* from then on they repeat */

struct side {
    struct wgfp_datapath *datapath;
    struct wgfp_queue queues[FLOW_QUEUES];
    int tuns[FLOW_QUEUES]; /* the other ends */
    uint16_t port4, port6;
    uint32_t peers[FLOW_PEERS];
    uint32_t newest[FLOW_PEERS], previous[FLOW_PEERS]; /* local indices; 0: none */
};

struct pair {
    struct side sides[2];
    uint32_t sessions;
    uint64_t key_life; /* nanoseconds until keys age; 0: they never do */
    uint64_t events[WGFP_EVENT_DATA_RECEIVED + 1]; /* how many were taken, by kind */
    uint64_t control_messages; /* and foreign datagrams that were taken */
};

/* Say what is not so, and exit with 1. */
void require(bool holds, const char *what);

void pair_open(struct pair *pair, const struct wgfp_system *system);

/* Remove all peers, look whether anything was kept of them, and free everything. */
void pair_close(struct pair *pair);

/* A new session between peers `peer`; what was sent by the one before the last is not opened any more. */
void pair_rekey(struct pair *pair, uint32_t peer);

/* Both ends lend an initiation, which the next packet sends, unless they rekey before. */
void pair_lend(struct pair *pair, uint32_t peer);

/* Take what is handed up, and give keys where they are asked for. */
void pair_answer(struct pair *pair);

/* Tell each side where the other is. */
void pair_introduce(struct pair *pair);

/* One of many changes to what the workers use; each leaves things such that packets pass again. */
void pair_change(struct pair *pair, uint32_t number);

#endif
