/* The packets of a superpacket: their headers, lengths and sums. */
#ifndef PACKETS_H
#define PACKETS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    TCP_SEQUENCE = 4,        /* offsets in a TCP header */
    TCP_ACKNOWLEDGEMENT = 8,
    TCP_OFFSET = 12,
    TCP_FLAGS = 13,
    TCP_WINDOW = 14,
    TCP_CHECKSUM = 16,
    TCP_LEAST = 20,
    TCP_FIN = 0x01,
    TCP_PSH = 0x08,
    TCP_ACK = 0x10,
    UDP_LENGTH = 4, /* offsets in a UDP header */
    UDP_CHECKSUM = 6,
    UDP_LEAST = 8,
};

/* -- Bytes and sums --------------------------------------------------------------------------------- */

static uint16_t load16(const uint8_t *from)
{
    return (uint16_t)(from[0] << 8 | from[1]);
}

static void store16(uint8_t *to, size_t value)
{
    to[0] = (uint8_t)(value >> 8);
    to[1] = (uint8_t)value;
}

static uint32_t load32(const uint8_t *from)
{
    return (uint32_t)load16(from) << 16 | load16(from + 2);
}

static void store32(uint8_t *to, uint32_t value)
{
    store16(to, value >> 16);
    store16(to + 2, value & 0xffff);
}

/* Add bytes to an Internet checksum, RFC 1071, in the host's byte order: what is added is stored as it is. */
static uint64_t sum_add(uint64_t sum, const uint8_t *bytes, size_t length)
{
    uint32_t word;
    uint16_t half = 0;

    for (; length >= sizeof word; bytes += sizeof word, length -= sizeof word) {
        memcpy(&word, bytes, sizeof word);
        sum += word;
    }
    if (length >= sizeof half) {
        memcpy(&half, bytes, sizeof half);
        sum += half;
        bytes += sizeof half;
        length -= sizeof half;
    }
    if (length > 0) {
        half = 0;
        memcpy(&half, bytes, 1);
        sum += half;
    }
    return sum;
}

static void sum_store(uint8_t *to, uint64_t sum, bool complement)
{
    uint16_t folded;

    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    folded = (uint16_t)(complement && sum != 0xffff ? ~sum : sum); /* zero would mean "no sum" in UDP */
    memcpy(to, &folded, sizeof folded);
}

/* -- Packets ---------------------------------------------------------------------------------------- */

/* Where the parts of a TCP or UDP packet are. */
struct shape {
    bool ipv6;
    bool tcp;
    size_t transport; /* where the TCP or UDP header begins */
    size_t payload;   /* where the payload begins */
};

/* Say whether a packet is plain TCP or UDP (no extension header, no fragment), and its shape. */
static bool shape_read(struct shape *shape, const uint8_t *packet, size_t length)
{
    uint8_t protocol;

    if (length < 20)
        return false;
    shape->ipv6 = packet[0] >> 4 == 6;
    if (shape->ipv6) {
        shape->transport = 40;
        protocol = packet[6];
    } else {
        shape->transport = (size_t)(packet[0] & 15) * 4;
        protocol = packet[9];
        if (packet[0] >> 4 != 4 || shape->transport < 20 || (load16(packet + 6) & 0x3fff) != 0)
            return false;
    }
    shape->tcp = protocol == IPPROTO_TCP;
    if (!shape->tcp && protocol != IPPROTO_UDP)
        return false;
    if (length < shape->transport + (shape->tcp ? TCP_LEAST : UDP_LEAST))
        return false;
    shape->payload = shape->transport + UDP_LEAST;
    if (shape->tcp) {
        shape->payload = shape->transport + (size_t)(packet[shape->transport + TCP_OFFSET] >> 4) * 4;
        if (shape->payload < shape->transport + TCP_LEAST)
            return false;
    }
    return length >= shape->payload;
}

static uint8_t *checksum_of(const struct shape *shape, uint8_t *packet)
{
    return packet + shape->transport + (shape->tcp ? TCP_CHECKSUM : UDP_CHECKSUM);
}

/* Sum the pseudo header of a packet whose IP header is complete. */
static uint64_t sum_pseudo_header(const struct shape *shape, const uint8_t *packet, size_t length)
{
    uint8_t rest[4] = {0, shape->tcp ? IPPROTO_TCP : IPPROTO_UDP, 0, 0};
    uint64_t sum;

    store16(rest + 2, length - shape->transport);
    sum = sum_add(0, rest, sizeof rest);
    return shape->ipv6 ? sum_add(sum, packet + 8, 32) : sum_add(sum, packet + 12, 8);
}

/* Write the lengths of a packet that grew or shrank, and the sum of its IPv4 header. */
static void packet_resize(const struct shape *shape, uint8_t *packet, size_t length)
{
    if (!shape->tcp)
        store16(packet + shape->transport + UDP_LENGTH, length - shape->transport);
    if (shape->ipv6) {
        store16(packet + 4, length - 40);
        return;
    }
    store16(packet + 2, length);
    store16(packet + 10, 0);
    sum_store(packet + 10, sum_add(0, packet, shape->transport), true);
}

/* The length that an IP header gives its packet; more than there is for a header that makes no sense. */
static size_t packet_length(const uint8_t *packet, size_t available)
{
    if (available >= 20 && packet[0] >> 4 == 4)
        return load16(packet + 2);
    if (available >= 40 && packet[0] >> 4 == 6)
        return (size_t)load16(packet + 4) + 40;
    return SIZE_MAX;
}

#endif
