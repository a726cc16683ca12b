/* What a worker forwards by its relay: datagrams to one peer leave together, as few messages to the kernel. */
#ifndef WGFP_FORWARDER_H
#define WGFP_FORWARDER_H

#include "relay.h"
#include "udp.h"

struct forwarder {
    struct wgfp_datapath *datapath;
    int udp4, udp6;
    struct udp_batch sending;
    struct peer *to;           /* NULL: nothing waits to be sent */
    struct wgfp_endpoint endpoint; /* its */
    struct relay_way *way;     /* of what waits */
    uint64_t datagrams, bytes; /* of this way, that were not charged yet */
    const struct udp_origin *origin; /* of the datagram before */
    uint32_t index;            /* that it named, if it was transport data; else 0 and no `origin` */
};

/* Take a message, if it is not the interface's own: forward it at the next forwarder_flush at the latest, until when its
 * data must stay, or count why not. Transport data comes here only if its index is not the interface's own. */
bool forwarder_take(struct forwarder *forwarder, uint8_t *data, uint32_t length, const struct udp_origin *origin,
                    uint64_t now);

/* Send what waits; origins may be others then. */
void forwarder_flush(struct forwarder *forwarder, uint64_t now);

#endif
