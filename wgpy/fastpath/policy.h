/* The policy of a peer: what it may begin, and what answers us. The filter of wgpy/datapath/policy.py.
 *
 * Invariant: a packet of a peer with a policy is let in if a permit allows what it begins, or if it answers what was
 * begun here. Nothing here takes a lock or makes a system call; policies change under the locks of all workers.
 */
#ifndef WGFP_POLICY_H
#define WGFP_POLICY_H

#include "drops.h"
#include "flow_table.h"
#include "packet.h"
#include "peer.h"
#include "permits.h"

/* These two: by a worker that holds its lock, about a peer with a policy. Remember what a packet to the peer begins, so
 * that its answers pass. */
void policy_note_sent(struct wgfp_datapath *datapath, const struct peer *peer, const struct wgfp_view *view,
                      const uint8_t *packet, uint64_t now);

/* The rule of the last packet that was looked up, for the next one of the same stream. All zero: there was none. */
struct policy_cache {
    uint8_t source[16], destination[16]; /* copies: what is let in may be changed */
    uint32_t size;                       /* of an address */
    int protocol;
    uint32_t port, rule;
    uint64_t admitted; /* packets by that rule that are not counted yet */
};

/* Is a packet of the peer, from a source that it may use, let in? false: for this reason it is not. cache: of this peer,
 * and not of an earlier turn, as policies may be others then. */
bool policy_admits(struct wgfp_datapath *datapath, const struct peer *peer, struct policy_cache *cache,
                   const struct wgfp_view *view, const uint8_t *packet, uint64_t now, enum wgfp_drop *reason);

/* Count what was admitted, after the last packet. */
void policy_cache_end(struct wgfp_datapath *datapath, struct policy_cache *cache);

#endif
