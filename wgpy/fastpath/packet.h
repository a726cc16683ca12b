/* The few fields of an inner IP header that the data path reads or changes. RFC 791, RFC 8200, RFC 6040.
 *
 * Invariant: only ip_stated_length takes any bytes; the others take packets for which it gave a length.
 */
#ifndef WGFP_PACKET_H
#define WGFP_PACKET_H

#include "allowedips.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { MAX_PACKET = 65535 };

/* The packet's length by its own header, which may not be the real one; 0 for what is no IP packet. An IPv6 jumbogram
 * states no more than its header, as RFC 2675 is not spoken here. */
static inline uint32_t ip_stated_length(const uint8_t *packet, size_t size)
{
    if (size >= 20 && packet[0] >> 4 == 4) {
        const uint32_t length = (uint32_t)packet[2] << 8 | packet[3];

        return length >= 20 ? length : 0;
    }
    if (size >= 40 && packet[0] >> 4 == 6)
        return 40 + ((uint32_t)packet[4] << 8 | packet[5]);
    return 0;
}

/* The peer that owns the address, or 0. */
static inline uint32_t ip_owner_of_source(const struct wgfp_allowedips *routes, const uint8_t *packet)
{
    return packet[0] >> 4 == 4 ? wgfp_allowedips_lookup4(routes, packet + 12)
                               : wgfp_allowedips_lookup6(routes, packet + 8);
}

static inline uint32_t ip_owner_of_destination(const struct wgfp_allowedips *routes, const uint8_t *packet)
{
    return packet[0] >> 4 == 4 ? wgfp_allowedips_lookup4(routes, packet + 16)
                               : wgfp_allowedips_lookup6(routes, packet + 24);
}

/* Have both the same source address? */
static inline bool ip_same_source(const uint8_t *packet, const uint8_t *other)
{
    if (packet[0] >> 4 == 4)
        return other[0] >> 4 == 4 && memcmp(packet + 12, other + 12, 4) == 0;
    return other[0] >> 4 == 6 && memcmp(packet + 8, other + 8, 16) == 0;
}

/* The ECN field: the low bits of IPv4's TOS or IPv6's traffic class. */
static inline uint32_t ip_ecn(const uint8_t *packet)
{
    return (packet[0] >> 4 == 4 ? packet[1] : packet[1] >> 4) & 3u;
}

/* Combine the packet's ECN field with the outer header's; false if the packet must be dropped: that is so for CE
 * around a packet whose sender does not speak ECN, as a loss is the only signal of congestion it understands. */
bool ip_decapsulate_ecn(uint8_t *packet, uint32_t outer);

#endif
