/* Flows that were begun here, so that their answers are let in. A table of fixed size, for all peers.
 *
 * Invariant: whatever is asked for was noted less than FLOW_LIFETIME ago; of what was noted, some may be forgotten.
 *
 * No lock: an entry is two words, each of them atomic, and no order between them is asked for. Two threads may take the
 * same place for two flows; then one is forgotten, as if the table had been full. A reader may see the fingerprint of one
 * flow with the time of another in whose place it was; then a flow that was noted once lives or dies a little too late
 * or too early. Nobody outside can make a fingerprint, as it is keyed, so a flow that was never noted is not found.
 */
#ifndef WGFP_FLOW_TABLE_H
#define WGFP_FLOW_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { FLOW_SET_SIZE = 8 }; /* of which the one that was not used for longest gives way */

#define FLOW_LIFETIME UINT64_C(180000000000)

/* What was begun. It is hashed as it lies in memory: bytes that mean nothing are 0. */
struct flow_key {
    uint64_t life; /* of the peer: no other one, ever, has this number */
    uint8_t local[16], remote[16];
    uint16_t local_port, remote_port; /* 0 without any; of ICMP its identifier and 0 */
    uint8_t protocol, version;
    uint8_t none[2];
};

struct flow_entry {
    _Atomic uint64_t fingerprint; /* 0: none */
    _Atomic uint64_t used;        /* when, last */
};

struct flow_table {
    struct flow_entry *entries; /* NULL: nothing is remembered */
    uint32_t mask;        /* the number of sets, a power of two, less one */
    uint8_t seed[16];
};

/* count: 0, or a power of two, at least FLOW_SET_SIZE; seed: 16 random bytes.
 * WGFP_ERR_INVALID, WGFP_ERR_MEMORY. */
int flow_table_init(struct flow_table *table, uint32_t count, const uint8_t *seed);
void flow_table_free(struct flow_table *table);

/* All three by any thread. It was used now; if it is not there it is now. */
void flow_note(struct flow_table *table, const struct flow_key *key, uint64_t now);

/* Was it used less than FLOW_LIFETIME ago? refresh: it is used now, if so. */
bool flow_is_alive(struct flow_table *table, const struct flow_key *key, uint64_t now);
bool flow_refresh(struct flow_table *table, const struct flow_key *key, uint64_t now);

#endif
