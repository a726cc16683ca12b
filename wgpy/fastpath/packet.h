/* One parsed view of an IP packet, for all who read its headers. RFC 791, RFC 8200, RFC 4302 (AH), RFC 6040 (ECN).
 *
 * Invariant: only wgfp_packet_parse takes any bytes; the others take packets for which it returned true.
 */
#ifndef WGFP_PACKET_H
#define WGFP_PACKET_H

#include "protocols.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    MAX_PACKET = 65535,
    MAX_EXTENSION_HEADERS = 8,

    TCP_FLAGS_END = 14, /* bytes of its header up to its flags */
    LEAST_TRANSPORT = 8, /* bytes of a header with ports, or of ICMP's */

    FRAGMENT_OFFSET = 0x1fff,
    FRAGMENT_MORE = 0x2000,
    FRAGMENT_ANY = 0x8000, /* so an atomic one of IPv6 is one, too */
};

/* cffi: begin */

/* What the IP headers of a packet say; its other fields are where `transport` says. */
struct wgfp_view {
    uint32_t length;    /* of the packet by its own header; what lies behind is padding */
    uint32_t transport; /* offset of what follows all IP headers, at most `length`; 0: they go beyond it, are wrong or too
                         * many */
    uint16_t fragment;  /* 0: it is none. Else FRAGMENT_ANY, FRAGMENT_MORE, and its offset in units of 8 bytes */
    uint8_t version;    /* 4 or 6; 0: it is no IP packet */
    uint8_t protocol;   /* of what follows all IP headers; of a fragment that is not the first: as it says */
};

/* false: it is no IP packet, or it is longer than `size` bytes. An IPv6 jumbogram is as long as its header here, as RFC
 * 2675 is not spoken. */
bool wgfp_packet_parse(struct wgfp_view *view, const uint8_t *packet, size_t size);

/* The same of the beginning of a packet, as ICMP errors quote it: `length` is that of what is there. */
bool wgfp_packet_parse_quoted(struct wgfp_view *view, const uint8_t *data, size_t size);

/* cffi: end */

static inline const uint8_t *packet_source(const struct wgfp_view *view, const uint8_t *packet)
{
    return packet + (view->version == 4 ? 12 : 8);
}

static inline const uint8_t *packet_destination(const struct wgfp_view *view, const uint8_t *packet)
{
    return packet + (view->version == 4 ? 16 : 24);
}

/* Of an address, in bytes. */
static inline uint32_t packet_address_size(const struct wgfp_view *view)
{
    return view->version == 4 ? 4 : 16;
}

static inline bool packet_address_equal(const uint8_t *a, const uint8_t *b, uint32_t size)
{
    return size == 4 ? memcmp(a, b, 4) == 0 : memcmp(a, b, 16) == 0;
}

static inline bool packet_is_icmp(const struct wgfp_view *view)
{
    return view->protocol == (view->version == 4 ? ICMP : ICMPV6);
}

static inline bool packet_has_ports(const struct wgfp_view *view)
{
    return view->protocol == TCP || view->protocol == UDP || view->protocol == DCCP || view->protocol == SCTP ||
           view->protocol == UDP_LITE;
}

/* Of a fragment, in units of 8 bytes. */
static inline uint32_t packet_fragment_offset(const struct wgfp_view *view)
{
    return view->fragment & FRAGMENT_OFFSET;
}

/* Bytes of the transport header in which the fields are that one looks at. */
static inline uint32_t packet_least_transport(const struct wgfp_view *view)
{
    if (view->protocol == TCP)
        return TCP_FLAGS_END;
    return packet_has_ports(view) || packet_is_icmp(view) ? LEAST_TRANSPORT : 0;
}

/* NULL: these fields are not in the packet. */
static inline const uint8_t *packet_transport(const struct wgfp_view *view, const uint8_t *packet)
{
    if (view->transport == 0 || packet_fragment_offset(view) != 0 ||
        view->length - view->transport < packet_least_transport(view))
        return NULL;
    return packet + view->transport;
}

/* Is it an ICMP message that reports an error, and quotes a packet? RFC 792, RFC 4443. */
static inline bool packet_is_icmp_error(const struct wgfp_view *view, const uint8_t *packet)
{
    const uint8_t *icmp = packet_is_icmp(view) ? packet_transport(view, packet) : NULL;

    if (icmp == NULL)
        return false;
    return view->version == 4 ? icmp[0] == 3 || icmp[0] == 11 || icmp[0] == 12 : icmp[0] >= 1 && icmp[0] <= 4;
}

/* The ECN field: the low bits of IPv4's TOS or IPv6's traffic class. */
static inline uint32_t packet_ecn(const uint8_t *packet)
{
    return (packet[0] >> 4 == 4 ? packet[1] : packet[1] >> 4) & 3u;
}

/* Combine the packet's ECN field with the outer header's; false if the packet must be dropped: that is so for CE
 * around a packet whose sender does not speak ECN, as a loss is the only signal of congestion it understands. */
bool packet_decapsulate_ecn(uint8_t *packet, uint32_t outer);

#endif
