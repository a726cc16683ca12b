/* Peers by number, and what changes of them as packets pass. */
#ifndef WGFP_PEER_H
#define WGFP_PEER_H

#include "message.h"
#include "staging.h"
#include "wgfp.h"

#include <pthread.h>
#include <stdbool.h>

enum {
    MAX_PEERS = 1 << 20,
    MAX_PEER_NUMBERS = 2 * MAX_PEERS, /* as memory for them doubles, and 0 is none */
};

struct udp_outcome; /* udp.h */

/* What most peers' endpoints never do. Zeros: this one did not. */
struct peer_faults {
    struct wgfp_endpoint plain;  /* it takes no UDP_SEGMENT */
    struct wgfp_endpoint looped; /* of ROUTING_LOOP: what was sent there comes back */
};

/* The first message of a handshake, which the control lends. */
struct initiation {
    uint64_t until; /* when it is too old to be sent */
    uint8_t message[INITIATION_SIZE];
};

/* There may be 10,000: the order leaves no holes. */
struct peer {
    pthread_mutex_t lock;
    uint32_t number;
    struct staged staged;    /* peer's lock */
    uint64_t life;           /* another number, that no other peer ever has */
    struct permits *policy;  /* NULL: none, everything passes. Control */
    struct keypair *keypairs; /* the newest first. Control */
    struct keypair *sending;  /* peer's lock, as all below; or control */
    struct wgfp_endpoint endpoint;
    struct peer_faults *faults;  /* NULL: there are none */
    struct initiation *lent;     /* NULL: there is none */
    struct relay_end *relay_end; /* NULL: nothing is forwarded to it. Control */
    struct wgfp_activity activity;
    struct peer *next_dirty; /* events.lock */
    unsigned events;
    uint32_t initiated; /* the index in the lent initiation that was sent last */
    bool pinned; /* the endpoint stays, wherever datagrams come from */
    bool dirty;  /* it is in the list of peers with events. events.lock */
};

/* All: control. Number a new peer.
 * WGFP_ERR_MEMORY. */
int peer_new(struct wgfp_datapath *datapath, uint32_t *number);

/* Its routes and keypairs go, too. */
void peer_remove(struct wgfp_datapath *datapath, uint32_t number);

/* All of them, with their keypairs. */
void peers_free(struct wgfp_datapath *datapath);

/* What is staged is dropped and counted. Under the peer's lock. */
void peer_purge(struct wgfp_datapath *datapath, struct peer *peer);

/* Keep what was learnt from sending to this endpoint, if the peer has it still. */
void peer_learn(struct wgfp_datapath *datapath, struct peer *peer, const struct wgfp_endpoint *endpoint,
                const struct udp_outcome *outcome);

/* These two: under the peer's lock. peer_faults_of: for one to be noted; NULL: there is no memory. */
struct peer_faults *peer_faults_of(struct peer *peer);

/* Does its endpoint take no UDP_SEGMENT? */
bool peer_is_plain(const struct peer *peer);

/* Take the initiation that is lent, if it may be sent now, and raise INITIATION_SENT. Under the peer's lock. Returns whether
 * there was one. */
bool peer_take_initiation(struct wgfp_datapath *datapath, struct peer *peer, uint64_t now,
                          uint8_t message[INITIATION_SIZE]);

/* Send what is staged or, if nothing is, an empty packet. */
void peer_send_keepalive(struct wgfp_datapath *datapath, struct peer *peer, uint64_t now);

#endif
