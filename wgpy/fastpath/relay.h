/* Forwarding between peers that cannot reach each other, by what WireGuard's own messages say.
 *
 * An initiation's mac1 names its addressee: the end whose mac1 key fits. All other messages name theirs by the receiver
 * index, which the addressee chose: the relay learns it from each initiation and response that it forwards.
 *
 * Invariant: what is forwarded came from the present endpoint of an end with a live session, and goes to that of
 * another one, one datagram out for one in. Of unknown sources nothing is kept, and each of their datagrams costs one
 * look-up. Every table has a maximum, and is made when the relay is.
 */
#ifndef WGFP_RELAY_H
#define WGFP_RELAY_H

#include "drops.h"
#include "wgfp.h"

enum {
    MAX_RELAYED_PAIRS = 4096,
    SMALL_RELAYED_PAIRS = 512,
    MAX_RELAYED_INDICES = 8,        /* of each way */
    MAX_UNANSWERED_INITIATIONS = 4, /* of each way */
    RELAY_SEARCHES_PER_SECOND = 20000,
    RELAY_SEARCHES_PER_SECOND_OF_ALL = 100000,
};

#define RELAY_ANSWER_TIME UINT64_C(10000000000)
#define RELAY_REPLACE_TIME UINT64_C(1000000000)
#define RELAY_INDEX_LIFETIME UINT64_C(185000000000)
#define RELAY_BURST_TIME UINT64_C(100000000)
#define RELAY_SEARCH_BURST_TIME UINT64_C(1000000000)

struct filter;
struct peer;
struct relay;     /* of one data path */
struct relay_end; /* a peer between which and others it forwards */
struct relay_way; /* one direction of a pair of ends */

/* -- Control ---------------------------------------------------------------------------------------- */

/* seed: 16 random bytes; filter: which it keeps up to date. WGFP_ERR_MEMORY. */
int relay_new(struct relay **relay, const uint8_t *seed, uint32_t max_pairs, const struct filter *filter);

/* No peer is an end of it any more. */
void relay_free(struct relay *relay);
void relay_set_rate(struct relay *relay, uint64_t rate);

/* Both: nothing if that is so already. WGFP_ERR_MEMORY. */
int relay_add_end(struct relay *relay, struct peer *peer, const uint8_t *public_key);
void relay_remove_end(struct relay *relay, struct peer *peer);

/* The peer's endpoint or its sending keypair changed. Under the peer's lock, or by the control. */
void relay_note_session(struct relay *relay, struct peer *peer);

void relay_counts(struct relay *relay, uint64_t counts[2]);

/* -- Workers ---------------------------------------------------------------------------------------- */

enum relay_verdict {
    RELAY_NONE,    /* it is the interface's own, or nobody's */
    RELAY_FORWARD, /* as it is: to `to` */
    RELAY_DROP,    /* for this reason; `to` has no session, if it is not NULL */
};

struct relay_judgement {
    enum relay_verdict verdict;
    enum wgfp_drop reason;
    struct peer *to;
    struct relay_way *way;
};

/* What to do with a message, whose type is known and whose size may be wrong. Transport data comes here only if its
 * index is not the interface's own. */
struct relay_judgement relay_judge(struct wgfp_datapath *datapath, const struct wgfp_endpoint *source,
                                   const uint8_t *message, uint32_t length, uint64_t now);

/* So much of what was to be forwarded is, and is of the way's budget. */
void relay_charge(struct relay *relay, struct relay_way *way, uint64_t datagrams, uint64_t bytes, uint64_t now);

#endif
