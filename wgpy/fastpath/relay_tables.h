/* What a relay knows: ends, by endpoint and by when they were addressed; pairs of them; and the indices by which the ends
 * of a pair address each other. Under the relay's lock, unless something else is said. */
#ifndef WGFP_RELAY_TABLES_H
#define WGFP_RELAY_TABLES_H

#include "cookie.h"
#include "relay.h"

#include <pthread.h>
#include <stdbool.h>

enum { ENDPOINT_BUCKETS = 1024, INDEX_BUCKETS_PER_PAIR = 4 };

/* One by which a way's sender addresses its receiver, who chose it. */
struct relayed_index {
    struct relayed_index *next; /* in its bucket */
    struct relay_way *way;
    uint64_t ends_at; /* 0: it is none */
    uint32_t value;
    bool answered;
};

struct relay_way {
    struct relay_end *sender, *receiver;
    struct relay_way *back;
    uint64_t paid_at; /* a token bucket, as the time at which what was sent is paid */
    struct relayed_index indices[MAX_RELAYED_INDICES];
};

struct pair {
    struct pair *next; /* in its bucket, or of those that are vacant */
    struct relay_way ways[2];
    bool vacant;
};

struct relay_end {
    struct peer *peer;
    struct relay_end *earlier, *later; /* by when they were addressed last */
    struct relay_end *next; /* in its bucket, by endpoint */
    struct wgfp_endpoint at; /* without our address; size 0: it has none, or no session */
    uint64_t live_until;
    uint64_t searches_paid_at; /* as paid_at of a way */
    struct wgfp_mac1 mac1;
};

struct relay {
    pthread_mutex_t lock; /* of all of it, down to its ends */
    uint64_t rate;
    uint8_t seed[16];
    const struct filter *filter; /* which knows the same indices and endpoints */
    struct relay_end *earliest, *latest;
    struct relay_end *by_endpoint[ENDPOINT_BUCKETS]; /* those that came first, first */
    struct relayed_index **by_index;
    struct pair **by_ends;
    struct pair *pairs, *vacant;
    uint32_t used, room, next_examined; /* of pairs */
    uint64_t searches_paid_at; /* of all ends */
    uint64_t datagrams, bytes;
};

/* -- Ends ------------------------------------------------------------------------------------------- */

/* Those with a session that are at an endpoint, in the order in which they came there; NULL: no more. */
struct relay_end *end_first_at(struct relay *relay, const struct wgfp_endpoint *at, uint64_t now);
struct relay_end *end_next_at(const struct relay_end *end, const struct wgfp_endpoint *at, uint64_t now);

bool end_is_live(const struct relay_end *end, uint64_t now);
bool end_reaches(const struct relay_end *sender, const struct relay_end *receiver, uint64_t now);

/* It was addressed last. */
void end_to_front(struct relay *relay, struct relay_end *end);

/* -- Pairs and indices ------------------------------------------------------------------------------ */

/* The direction of their pair, which is made if there is room; else NULL. */
struct relay_way *way_of(struct relay *relay, struct relay_end *sender, struct relay_end *receiver, uint64_t now);

/* May its sender have one more initiation of its receiver to answer? Of as many as there may be the oldest gives way
 * once it has waited for RELAY_REPLACE_TIME. */
bool way_takes_initiation(struct relay *relay, struct relay_way *way, uint64_t now);

/* Forget the pairs of an end. */
void pairs_forget(struct relay *relay, const struct relay_end *end);

/* NULL: there is none, or not any more. */
struct relayed_index *index_find(struct relay *relay, const struct relay_end *sender, uint32_t value, uint64_t now);

/* From now on the way's sender may address its receiver by this index. It is not in use: index_find says so. */
void index_learn(struct relay *relay, struct relay_way *way, uint32_t value, uint64_t ends_at, bool answered);

#endif
