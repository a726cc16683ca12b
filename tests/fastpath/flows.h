/* Flows of packets that say what they are, for checks of the whole data path.
 *
 * Two sides, 0 and 1, know each other as peers 0 to FLOW_PEERS - 1; each sends every peer one flow a queue. A packet
 * is a row of records, one for each segment that it is cut into: their number, their flow, and bytes that follow from
 * both.
 */
#ifndef FLOWS_H
#define FLOWS_H

#include "offload.h"

#include <stdbool.h>

enum {
    FLOW_PEERS = 4,
    FLOW_QUEUES = 2,
    FLOWS = 2 * FLOW_QUEUES * FLOW_PEERS,
    FLOW_RECORD = 8, /* bytes at least, and FLOW_LONGEST at most */
    FLOW_LONGEST = 1300,
    FLOW_PACKET = 65535,
};

/* One end's prefix of a peer, as wgfp_route_set takes it: 24 bits of 4 bytes, or 64 of 16. */
void flow_prefix(uint32_t side, uint32_t peer, bool six, uint8_t address[16]);

struct flow {
    uint32_t side, peer, queue; /* who sends, to whom, from which TUN */
    uint32_t next;              /* number of the next record */
    uint32_t sequence;          /* TCP's */
};

static inline uint32_t flow_number(const struct flow *flow)
{
    return (flow->peer * FLOW_QUEUES + flow->queue) * 2 + flow->side;
}

static inline struct flow flow_of_number(uint32_t number)
{
    return (struct flow){.side = number % 2, .queue = number / 2 % FLOW_QUEUES, .peer = number / 2 / FLOW_QUEUES};
}

/* Half of the flows are TCP, half of these and of the UDP flows IPv6. */
static inline bool flow_is_tcp(const struct flow *flow)
{
    return flow->queue % 2 == 0;
}

static inline bool flow_is_six(const struct flow *flow)
{
    return flow->peer / 2 % 2 != 0;
}

/* Write the flow's next `count` records, all of `size` bytes, as one packet, and return its length. With virtio headers
 * it is one superpacket, else count must be 1. */
size_t flow_write(struct flow *flow, uint32_t count, uint32_t size, struct wgfp_vnet *vnet, uint8_t *packet);

/* Is this a packet of one record, as it was sent and with right checksums, from a flow of side `from`? Then say which
 * flow, and the record's number. */
bool flow_read(uint32_t from, const uint8_t *packet, size_t length, uint32_t *number, uint32_t *record);

#endif
