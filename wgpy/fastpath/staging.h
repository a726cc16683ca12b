/* Packets that wait for a keypair. */
#ifndef WGFP_STAGING_H
#define WGFP_STAGING_H

#include <pthread.h>
#include <stdint.h>

enum {
    MAX_STAGED_PACKETS = 128, /* of one peer */
    STAGED_CELL = 512,
};

/* Those of one peer: the first and the last cell, numbers in the pool. */
struct staged {
    uint32_t first, last;
    uint32_t count; /* of packets */
};

/* One pool of cells for the packets of all peers. */
struct staging {
    pthread_mutex_t lock;
    struct staged_cell *cells; /* cell 0 is not used: 0 is the end of a list */
    uint32_t free;             /* the first of the list of cells that were given back */
    uint32_t fresh;            /* from here on none was ever used, so its memory is not there yet */
    uint32_t free_count;       /* of both kinds */
};

/* bytes: of all cells together.
 * WGFP_ERR_MEMORY. */
int staging_init(struct staging *staging, uint32_t bytes);
void staging_free(struct staging *staging);

/* These three: under the peer's lock. push makes room by dropping the peer's oldest packets, and drops this one if
 * that is not enough; length 0 is a keepalive. Returns how many were dropped. */
uint32_t staged_push(struct staging *staging, struct staged *staged, const uint8_t *packet, uint32_t length);

/* Length of the first packet, or -1 if there is none. */
int staged_first_length(const struct staging *staging, const struct staged *staged);

/* Copy the first packet to `packet` (NULL: to nowhere) and let it go. There must be one. */
void staged_pop(struct staging *staging, struct staged *staged, uint8_t *packet);

#endif
