/* TUN superpackets: cut what the kernel hands out uncut, join what belongs together before it is handed in.
 *
 * The kernel puts a virtio_net_hdr in front of every packet of a TUN with IFF_VNET_HDR: whether a checksum is still to
 * be completed, and of how many bytes the segments are that the packet stands for. Here are pure functions over it:
 * no system call, no allocation.
 *
 * Invariant: joined packets, cut again, are the very packets that were joined; only IPv4 identifications that were all the
 * same become consecutive, which means nothing in packets that must not be fragmented (RFC 6864).
 */
#ifndef WGFP_OFFLOAD_H
#define WGFP_OFFLOAD_H

#include "packet.h"

#include <stddef.h>
#include <stdint.h>

/* Why a superpacket is refused: a name for the counter, and what it means. */
#define WGFP_GSO_REFUSALS(X)                                           \
    X(SHORT, "short", "it ends within its headers")                    \
    X(VERSION, "version", "the IP version is not that of its GSO type") \
    X(LENGTH, "length", "its headers give another length")             \
    X(FRAGMENT, "fragment", "it is a fragment")                        \
    X(PROTOCOL, "protocol", "extension headers, or not the protocol of its GSO type") \
    X(TYPE, "type", "the GSO type is unknown")                         \
    X(SIZE, "size", "its segments would be empty")                     \
    X(TUNNEL, "tunnel", "it is in no UDP tunnel of its GSO type, or that's headers are elsewhere or too long") \
    X(CHECKSUM, "checksum", "the checksum to complete is not in it, or not where its headers have one")

enum wgfp_gso_refusal {
    WGFP_GSO_ACCEPTED,
#define WGFP_GSO_REFUSED(name, counter, meaning) WGFP_GSO_REFUSED_##name,
    WGFP_GSO_REFUSALS(WGFP_GSO_REFUSED)
#undef WGFP_GSO_REFUSED
    WGFP_GSO_OUTCOMES
};

/* cffi: begin */

/* The kernel's struct virtio_net_hdr_v1_hash_tunnel, in the byte order of this machine. A shorter one ends before
 * `unused`. */
struct wgfp_vnet {
    uint8_t flags;    /* 1: the checksum at csum_start + csum_offset holds the pseudo-header's sum; complete it.
                       * 8: the tunnel's UDP header has a checksum, too */
    uint8_t gso_type; /* 0 none, 1 TCP over IPv4, 4 TCP over IPv6, 5 UDP; and 0x80 if a TCP segment has CWR; and 0x20 if
                       * it is in a UDP tunnel over IPv4, 0x40 over IPv6 */
    uint16_t hdr_len; /* of IP and TCP or UDP; never believed */
    uint16_t gso_size; /* bytes of payload in each segment but the last */
    uint16_t csum_start;
    uint16_t csum_offset;
    uint16_t unused[5];
    uint16_t outer_th_offset; /* of the tunnel's UDP header */
    uint16_t inner_nh_offset; /* of the IP header in the tunnel */
};

/* -- From the TUN: one superpacket, many segments ------------------------------------------------ */

/* An IP header of the template. */
struct wgfp_gso_ip {
    uint32_t at;     /* its offset */
    uint16_t id;     /* IPv4's, of segment 0 */
    uint8_t version;
    uint64_t sum;    /* of IPv4's */
};

/* A packet that was verified and can be cut. */
struct wgfp_gso {
    struct wgfp_view view;  /* of version 0 for what is whole and no IP packet */
    const uint8_t *packet;
    uint32_t count;         /* of segments */
    uint32_t header_length; /* up to the end of TCP's or UDP's; 0: the packet is whole as it is, and its only segment */
    uint32_t payload;       /* bytes behind the headers */
    uint32_t segment_size;  /* payload of each segment but the last */
    uint32_t transport;     /* offset of the header of TCP or UDP, whose payload is cut */
    uint32_t sequence;      /* TCP's, of segment 0 */
    uint8_t flags;          /* TCP's */
    uint8_t protocol;
    uint8_t tunnel_has_sum; /* has the tunnel's UDP header a checksum? */
    struct wgfp_gso_ip ip;  /* of TCP or UDP; behind the headers of a tunnel unless it is at 0 */
    struct wgfp_gso_ip tunnel;
    uint64_t transport_sum; /* of the template's TCP or UDP header, and the pseudo-header without its length */
    uint8_t template[512];  /* the headers, with zeros for what differs between segments */
};

/* Bytes somewhere; laid out as a struct iovec. */
struct wgfp_slice {
    void *data;
    size_t length;
};

/* Verify a packet that was read from the TUN, and complete its checksum (in place) if it is whole but for that.
 * Returns 0, or why it is refused. The packet must stay as long as its segments are taken. */
int wgfp_gso_parse(struct wgfp_gso *gso, const struct wgfp_vnet *vnet, uint8_t *packet, size_t length);

/* The refusal's name, or NULL for what is none. */
const char *wgfp_gso_refusal_name(int refusal);

/* Take over the addresses of the packet, which were changed. */
void wgfp_gso_readdress(struct wgfp_gso *gso);

/* Write segment i's headers, header_length bytes, and tell where in the packet its payload lies. */
void wgfp_gso_segment(const struct wgfp_gso *gso, uint32_t i, uint8_t *header, struct wgfp_slice *payload);

/* Write segment i, headers and payload, and return its length, at most header_length + segment_size. */
size_t wgfp_gso_copy(const struct wgfp_gso *gso, uint32_t i, uint8_t *segment);

/* -- To the TUN: many packets, few superpackets --------------------------------------------------- */

/* A packet of a batch. */
struct wgfp_packet {
    uint8_t *data;   /* headers are changed in place where packets are joined */
    uint32_t length;
    struct wgfp_view view; /* of the data; of version 0 if it is no IP packet */
    uint32_t next;   /* written: the next of its group, an index; not of the last one */
    uint32_t skip;   /* written: bytes of headers that are not handed in again */
};

/* What is handed in with one write: vnet, then the slices. */
struct wgfp_group {
    struct wgfp_vnet vnet; /* all zeros for a packet that is alone; that one is as it was */
    uint32_t first;        /* packet, an index */
    uint32_t count;        /* of packets, and so of slices, at most 128 */
    uint32_t length;       /* of all slices, at most 65535 if there are several */
};

/* Join the packets of a batch, which are in the order of their arrival, into groups. Order within a flow is kept.
 * kinds: 1 TCP, 2 UDP, 3 both, 0 nothing is joined. groups: room for n. Returns the number of groups. */
size_t wgfp_coalesce(struct wgfp_packet *packets, size_t n, unsigned kinds, struct wgfp_group *groups);

/* Take over the addresses of the group's first packet, which were changed: they are those of all. */
void wgfp_group_readdress(const struct wgfp_group *group, const struct wgfp_packet *packets);

/* The packets of a group as `count` slices: the first whole, then payloads. */
void wgfp_group_slices(const struct wgfp_group *group, const struct wgfp_packet *packets, struct wgfp_slice *slices);

/* cffi: end */

enum {
    WGFP_VNET_SHORT = 10, /* bytes of the header of kernels and programs that know of no tunnels */

    WGFP_VNET_NEEDS_CSUM = 1,
    WGFP_VNET_TUNNEL_CSUM = 8,

    WGFP_VNET_TCP4 = 1,
    WGFP_VNET_TCP6 = 4,
    WGFP_VNET_UDP = 5,
    WGFP_VNET_TUNNEL4 = 0x20,
    WGFP_VNET_TUNNEL6 = 0x40,
    WGFP_VNET_ECN = 0x80,

    WGFP_COALESCE_TCP = 1,
    WGFP_COALESCE_UDP = 2,

    WGFP_GROUP_PACKETS = 128, /* at most so many of TCP: 64 KiB of segments of 512 bytes */
    WGFP_GROUP_DATAGRAMS = 64, /* and of UDP, as the kernel's own GRO */
    WGFP_GROUP_BYTES = 65535,
};

#endif
