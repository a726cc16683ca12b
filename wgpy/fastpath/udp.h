/* UDP sockets: many datagrams by one system call, in both directions. udp(7), ip(7), ipv6(7) */
#ifndef WGFP_UDP_H
#define WGFP_UDP_H

#include "datapath.h"

#include <netinet/in.h>

enum {
    BATCH_MESSAGES = 64, /* as many as one UDP_SEGMENT takes on every kernel */
    BATCH_BYTES = 65507, /* of messages: the most that IPv4's UDP takes */
};

/* -- Sending ---------------------------------------------------------------------------------------- */

/* Datagrams that the kernel takes as one: all of one size but the last, which may be shorter. */
struct udp_run {
    uint32_t first_slice, slices;
    uint32_t size;   /* of all but the last */
    uint32_t length; /* of all together */
    uint32_t count;
    uint32_t tos;
    bool closed; /* the last is shorter */
};

/* Room for a UDP_SEGMENT, a source address and a traffic class. */
union udp_send_control {
    struct cmsghdr align;
    uint8_t bytes[CMSG_SPACE(sizeof(uint16_t)) + CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int))];
};

/* Datagrams to one endpoint. */
struct udp_batch {
    struct wgfp_datapath *datapath;
    int fd;
    struct wgfp_endpoint to;
    bool segment; /* may datagrams be joined to runs? */
    uint64_t now;        /* of the turn */
    uint64_t stalled_at; /* of the last turn in which a wait for room in the socket's buffer was too short; 0: of none */
    uint32_t runs_count, slices_count;
    struct udp_run runs[BATCH_MESSAGES];
    struct iovec slices[BATCH_MESSAGES];
    struct mmsghdr messages[BATCH_MESSAGES];
    union udp_send_control controls[BATCH_MESSAGES];
    struct sockaddr_in6 address; /* or a sockaddr_in */
};

/* What was learnt from sending. */
struct udp_outcome {
    bool source_is_bad;   /* the datagrams left from another of our addresses */
    bool segment_is_bad; /* they left as they do without UDP_SEGMENT */
};

/* A batch that was never begun. */
void udp_batch_init(struct udp_batch *batch, struct wgfp_datapath *datapath);

/* Empty it. fd: -1 if there is no socket of this family; now: the same in all of a turn. */
void udp_batch_begin(struct udp_batch *batch, int fd, const struct wgfp_endpoint *to, bool segment, uint64_t now);

/* At most BATCH_MESSAGES, of which those that lie without gaps count as one. The data must stay until the batch is sent. */
void udp_batch_add(struct udp_batch *batch, uint8_t *data, uint32_t length, uint32_t tos);

/* Send all; what cannot be sent is counted. A full buffer is waited for once a turn in vain, as a worker holds its lock
 * meanwhile. */
struct udp_outcome udp_batch_send(struct udp_batch *batch);

/* -- Receiving -------------------------------------------------------------------------------------- */

/* Room for a source address, a traffic class and a segment size. */
union udp_receive_control {
    struct cmsghdr align;
    uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + 2 * CMSG_SPACE(sizeof(int)) + 32];
};

/* What came with a message: where from, its TOS byte, and of what size its datagrams are (0: it is one). */
struct udp_origin {
    struct wgfp_endpoint source;
    uint32_t tos;
    uint32_t segment_size;
};

/* Prepare a message for being received into. */
void udp_message_prepare(struct msghdr *message, struct sockaddr_in6 *address, union udp_receive_control *control,
                         struct iovec *slice);
void udp_message_origin(struct msghdr *message, struct udp_origin *origin);

#endif
