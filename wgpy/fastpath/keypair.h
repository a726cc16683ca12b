/* Keypairs: found by the local index that messages name, held by their peers, cleared when they are no more. */
#ifndef WGFP_KEYPAIR_H
#define WGFP_KEYPAIR_H

#include "message.h"
#include "replay.h"
#include "wgfp.h"

#include <stdbool.h>

#define NEVER UINT64_MAX

struct peer;

struct keypair {
    struct keypair *next; /* of its peer. Control */
    struct keypair *next_in_bucket;
    struct keypair *next_remote; /* in the bucket of its remote index */
    struct peer *peer;
    struct wgfp_session session; /* the keys, the indices and reject_after_time never change */
    uint64_t counter;            /* of the next message to send. Peer's lock, as all below */
    bool confirmed;              /* it sends, or KEY_CONFIRMED was raised */
    bool looped;                 /* ROUTING_LOOP was raised for it */
    unsigned events;             /* 1 << wgfp_event_kind */
    struct wgfp_replay window;
};

struct keypair_table {
    struct keypair **buckets; /* a power of two of them */
    struct keypair **remote_buckets; /* as many, by the index that the other end chose */
    uint32_t mask;
    uint32_t count;
};

/* NULL: there is none. */
static inline struct keypair *keypair_find(const struct keypair_table *table, uint32_t local_index)
{
    struct keypair *keypair = table->buckets[local_index & table->mask];

    while (keypair != NULL && keypair->session.local_index != local_index)
        keypair = keypair->next_in_bucket;
    return keypair;
}

/* The first of the chain, by next_remote, in which those with this remote index are; or NULL. */
static inline struct keypair *keypair_first_remote(const struct keypair_table *table, uint32_t remote_index)
{
    return table->remote_buckets[remote_index & table->mask];
}

static inline bool keypair_may_seal(const struct keypair *keypair, uint64_t now)
{
    return now < keypair->session.reject_after_time && keypair->counter < REJECT_AFTER_MESSAGES;
}

/* WGFP_ERR_MEMORY. */
int keypair_table_init(struct keypair_table *table);
void keypair_table_free(struct keypair_table *table);

/* The rest: control. What the functions of wgfp.h of these names do, but for the locks.
 *
 * WGFP_ERR_EXISTS: the local index is in use; WGFP_ERR_MEMORY. */
int keypair_install(struct wgfp_datapath *datapath, struct peer *peer, const struct wgfp_session *session);

/* WGFP_ERR_ABSENT: the peer has no such keypair. */
int keypair_use(struct wgfp_datapath *datapath, struct peer *peer, uint32_t local_index, bool confirm, uint64_t now);
int keypair_remove(struct wgfp_datapath *datapath, struct peer *peer, uint32_t local_index);

/* Remove all of a peer's. */
void keypairs_remove(struct wgfp_datapath *datapath, struct peer *peer);

#endif
