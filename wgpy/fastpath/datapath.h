/* The data path as a whole: what its parts find in it. */
#ifndef WGFP_DATAPATH_H
#define WGFP_DATAPATH_H

#include "system.h" /* first: it asks for what only Linux has */

#include "allowedips.h"
#include "drops.h"
#include "events.h"
#include "filter.h"
#include "flow_table.h"
#include "foreign.h"
#include "handshake_queue.h"
#include "policy.h"
#include "relay.h"
#include "routing_loop.h"
#include "translation.h"
#include "worker.h"

#include <assert.h>
#include <stdatomic.h>

enum { MAX_QUEUES = 16 };

enum offloads { OFFLOAD_TSO = 1, OFFLOAD_USO = 2, OFFLOAD_GSO = 4, OFFLOAD_FILTER = 8 };

struct wgfp_datapath {
    const struct wgfp_system *system;
    const struct wgfp_aead_kernel *aead;
    struct filter filter; /* of all sockets */
    struct wgfp_queue queues[MAX_QUEUES];
    uint32_t queue_count;
    uint32_t vnet_header;   /* bytes */
    bool small;
    struct worker workers[2 * MAX_QUEUES];
    struct outbound *control; /* the control's */
    pthread_mutex_t gate;   /* workers wait here while the control wants their locks */
    atomic_uint waiting;    /* is it held? */
    atomic_bool stopping;
    atomic_int failure;     /* errno of a TUN */
    atomic_uint offloads;
    atomic_uint mtu;
    atomic_bool silent;     /* about what leads nowhere */
    atomic_bool leaves_packets; /* in the TUNs, which another process reads */
    _Atomic uint64_t drops[WGFP_DROPS];
    _Atomic uint64_t rule_counts[MAX_RULES];
    struct flow_table flows;
    uint8_t seed[16]; /* random, for tables that the network fills */
    /* All workers' locks */
    struct translations *translations; /* NULL: there are none */
    struct relay *relay; /* NULL: nothing is forwarded */
    struct wgfp_allowedips *routes;
    struct keypair_table keypairs;
    struct peer **peers; /* by number; 0 is none */
    uint32_t peer_room, free_peer_count;
    uint32_t *free_peer_numbers; /* a stack */
    uint64_t lives; /* peers that there ever were */
    struct staging staging;
    struct events events;
    struct handshake_queue handshakes;
    struct handshakes_sent sent;
    struct foreign foreign;
};

/* The caller promises that wgfp_peer_add gave the number, and that the peer was not removed. */
static inline struct peer *peer_of(const struct wgfp_datapath *datapath, uint32_t number)
{
    assert(number < datapath->peer_room && datapath->peers[number] != NULL);
    return datapath->peers[number];
}

static inline void drop_count(struct wgfp_datapath *datapath, enum wgfp_drop reason, uint64_t count)
{
    atomic_fetch_add_explicit(&datapath->drops[reason], count, memory_order_relaxed);
}

#endif
