/* Foreign datagrams: what arrives at the sockets and is not WireGuard's waits for whoever asked for it.
 *
 * Invariant: what one source sends keeps no other source out.
 */
#ifndef WGFP_FOREIGN_H
#define WGFP_FOREIGN_H

#include "datagram_queue.h"

#include <pthread.h>

enum {
    MAX_FOREIGN = 64, /* that wait */
    MAX_FOREIGN_PER_SOURCE = 8, /* of them: of an IPv4 address, or of what an IPv6 host may have, a /64 */
    MAX_FOREIGN_SIZE = sizeof((struct wgfp_datagram *)0)->data,
};

struct foreign {
    pthread_mutex_t lock;
    struct datagram_queue queue; /* of no size if they are not accepted. foreign.lock */
    uint32_t *expected;          /* words that the filter knows. The control's alone */
    size_t expected_count;
};

/* accept: whether any is kept.
 * WGFP_ERR_MEMORY. */
int foreign_init(struct foreign *foreign, bool accept);
void foreign_free(struct foreign *foreign);

/* Keep a datagram that is not WireGuard's, or count why not. */
void foreign_receive(struct wgfp_datapath *datapath, const struct wgfp_endpoint *source, const uint8_t *data,
                     size_t length);

#endif
