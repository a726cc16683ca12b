/* Joining packets that go to the TUN; what the functions mean is said in offload.h.
 *
 * What may be joined is what Linux joins when it receives (GRO), and nothing that would not be cut into the same
 * packets again. Source for identifications that stay the same: RFC 6864.
 */
#include "offload.h"

#include "offload_headers.h"

#include <stdbool.h>
#include <string.h>

enum { OPEN_GROUPS = 8 }; /* flows of a batch that are joined at once; of more, the oldest group is closed */

/* A group that may still grow. */
struct open_group {
    struct wgfp_group *group;
    struct wgfp_packet *first, *last;
    struct headers headers;
    uint32_t segment_size; /* payload of the first packet */
    uint32_t sequence;     /* TCP's, of the next packet */
    uint16_t id;           /* IPv4's, of the last packet */
    uint16_t id_step;      /* from packet to packet, 0 or 1; known from the second on */
    bool verified;         /* the first packet's checksum */
};

struct coalescer {
    struct wgfp_packet *packets;
    struct wgfp_group *groups;
    size_t count;                        /* of groups */
    struct open_group open[OPEN_GROUPS]; /* the newest last */
    size_t open_count;
};

/* The kernel sums what follows the pseudo-header. */
static void partial_sum_write(const struct wgfp_group *group, uint8_t *packet, const struct headers *headers)
{
    wgfp_sum_store(packet + headers->transport + group->vnet.csum_offset,
                   pseudo_sum(packet, headers, group->length - headers->transport));
}

/* Make the headers of the first packet those of the whole group. */
static void group_patch(const struct open_group *open)
{
    const struct headers *headers = &open->headers;
    struct wgfp_group *group = open->group;
    uint8_t *ip = open->first->data, *transport = ip + headers->transport;
    const uint32_t transport_length = group->length - headers->transport;

    group->vnet = (struct wgfp_vnet){
        .flags = WGFP_VNET_NEEDS_CSUM,
        .gso_type = WGFP_VNET_UDP,
        .hdr_len = (uint16_t)headers->length,
        .gso_size = (uint16_t)open->segment_size,
        .csum_start = (uint16_t)headers->transport,
        .csum_offset = (uint16_t)checksum_offset(headers->protocol),
    };
    if (headers->version == 4) {
        wgfp_checksum_update(ip + 10, wgfp_sum(ip + 2, 2), wgfp_sum_word((uint16_t)group->length));
        wgfp_store16_be(ip + 2, group->length);
    } else {
        wgfp_store16_be(ip + 4, transport_length);
    }
    if (headers->protocol == TCP) {
        group->vnet.gso_type = headers->version == 4 ? WGFP_VNET_TCP4 : WGFP_VNET_TCP6;
        if (transport[13] & CWR)
            group->vnet.gso_type |= WGFP_VNET_ECN;
        transport[13] |= open->last->data[headers->transport + 13] & (FIN | PSH);
    } else {
        wgfp_store16_be(transport + 4, transport_length);
    }
    partial_sum_write(group, ip, headers);
}

static void group_close(struct coalescer *coalescer, size_t position)
{
    struct open_group *open = &coalescer->open[position];

    if (open->group->count > 1)
        group_patch(open);
    coalescer->open_count--;
    memmove(open, open + 1, (coalescer->open_count - position) * sizeof *open);
}

/* A group of one packet, which is closed already. */
static struct wgfp_group *group_alone(struct coalescer *coalescer, struct wgfp_packet *packet)
{
    struct wgfp_group *group = &coalescer->groups[coalescer->count++];

    *group = (struct wgfp_group){
        .first = (uint32_t)(packet - coalescer->packets), .count = 1, .length = packet->length};
    return group;
}

static void group_open(struct coalescer *coalescer, struct wgfp_packet *packet, const struct headers *headers)
{
    if (coalescer->open_count == OPEN_GROUPS)
        group_close(coalescer, 0);

    const uint32_t payload = packet->length - headers->length;

    coalescer->open[coalescer->open_count++] = (struct open_group){
        .group = group_alone(coalescer, packet),
        .first = packet,
        .last = packet,
        .headers = *headers,
        .segment_size = payload,
        .sequence = headers->protocol == TCP ? wgfp_load32_be(packet->data + headers->transport + 4) + payload : 0,
        .id = wgfp_load16_be(packet->data + 4),
    };
}

/* Addresses, protocol and ports: the packet must not overtake others that share them. */
static bool same_flow(const struct open_group *open, const struct wgfp_packet *packet, const struct headers *headers)
{
    const uint8_t *a = open->first->data, *b = packet->data;
    const size_t addresses = headers->version == 4 ? 12 : 8, size = headers->version == 4 ? 8 : 32;

    return open->headers.version == headers->version && open->headers.protocol == headers->protocol &&
           memcmp(a + addresses, b + addresses, size) == 0 &&
           memcmp(a + open->headers.transport, b + headers->transport, 4) == 0;
}

/* Is it of a kind that may be joined with others at all? */
static bool may_be_joined(const struct wgfp_packet *packet, const struct headers *headers, unsigned kinds)
{
    const uint8_t *ip = packet->data, *transport = ip + headers->transport;

    if (packet->length == headers->length || packet->length > WGFP_GROUP_BYTES)
        return false;
    /* With an IP checksum that is wrong, or right but written otherwise (0xffff), it would not come out as it is. */
    if (headers->version == 4 && (headers->transport != IPV4_HEADER || wgfp_load16_be(ip + 10) == 0xffff ||
                                  wgfp_sum_fold(wgfp_sum(ip, IPV4_HEADER)) != 0xffff))
        return false;
    if (headers->protocol == TCP)
        return (kinds & WGFP_COALESCE_TCP) && (transport[13] & (SYN | RST | URG)) == 0;
    return (kinds & WGFP_COALESCE_UDP) && wgfp_load16_be(transport + 6) != 0;
}

static bool ip_continues(const struct open_group *open, const struct wgfp_packet *packet)
{
    const uint8_t *a = open->first->data, *b = packet->data;

    if (open->headers.version == 6) /* traffic class, flow label; hop limit */
        return memcmp(a, b, 4) == 0 && a[7] == b[7];
    if (a[1] != b[1] || memcmp(a + 6, b + 6, 3) != 0) /* type of service; fragmentation, time to live */
        return false;

    const uint16_t step = (uint16_t)(wgfp_load16_be(b + 4) - open->id);

    if (open->group->count > 1)
        return step == open->id_step;
    return step == 1 || (step == 0 && (a[6] & 0x40)); /* must not be fragmented */
}

static bool tcp_continues(const struct open_group *open, const struct wgfp_packet *packet)
{
    const uint8_t *a = open->first->data + open->headers.transport, *b = packet->data + open->headers.transport;
    const size_t length = open->headers.length - open->headers.transport;

    return wgfp_load32_be(b + 4) == open->sequence && memcmp(a + 8, b + 8, 5) == 0 && /* acknowledgement */
           (b[13] & ~(FIN | PSH)) == (a[13] & ~CWR) && memcmp(a + 14, b + 14, 2) == 0 && /* window */
           memcmp(a + 18, b + 18, length - 18) == 0; /* urgent pointer, options */
}

/* Is the checksum right, and written as it would be written here? */
static bool is_intact(const struct wgfp_packet *packet, const struct headers *headers)
{
    const uint32_t length = packet->length - headers->transport;
    const uint8_t *transport = packet->data + headers->transport;

    if (headers->protocol == TCP && wgfp_load16_be(transport + 16) == 0xffff)
        return false;
    return wgfp_sum_fold(wgfp_sum(transport, length) + pseudo_sum(packet->data, headers, length)) == 0xffff;
}

/* The packet that began the group is looked at when there is another one. */
static bool group_is_intact(struct open_group *open)
{
    open->verified = open->verified || is_intact(open->first, &open->headers);
    return open->verified;
}

/* Would the packet, which is of the group's flow, be its next segment? */
static bool group_continues(struct open_group *open, const struct wgfp_packet *packet, const struct headers *headers)
{
    const uint32_t payload = packet->length - headers->length;
    const uint32_t most = headers->protocol == TCP ? WGFP_GROUP_PACKETS : WGFP_GROUP_DATAGRAMS;

    return headers->length == open->headers.length && payload <= open->segment_size && open->group->count < most &&
           open->group->length + payload <= WGFP_GROUP_BYTES && ip_continues(open, packet) &&
           (headers->protocol == UDP || tcp_continues(open, packet)) && group_is_intact(open) &&
           is_intact(packet, headers);
}

static void group_join(struct coalescer *coalescer, struct open_group *open, struct wgfp_packet *packet)
{
    const uint32_t payload = packet->length - open->headers.length;

    packet->skip = open->headers.length;
    open->last->next = (uint32_t)(packet - coalescer->packets);
    open->last = packet;
    open->sequence += payload;
    if (open->headers.version == 4) {
        const uint16_t id = wgfp_load16_be(packet->data + 4);

        open->id_step = (uint16_t)(id - open->id);
        open->id = id;
    }
    open->group->count++;
    open->group->length += payload;
}

/* Is it the last that a group can have? */
static bool ends_group(const struct wgfp_packet *packet, const struct headers *headers, uint32_t segment_size)
{
    const uint8_t *transport = packet->data + headers->transport;

    return packet->length - headers->length < segment_size ||
           (headers->protocol == TCP && (transport[13] & (FIN | PSH)) != 0);
}

static void coalesce_one(struct coalescer *coalescer, struct wgfp_packet *packet, unsigned kinds)
{
    struct headers headers;
    bool joinable;
    size_t at;

    if (wgfp_headers_parse(&headers, &packet->view, packet->data, packet->length) != WGFP_GSO_ACCEPTED) {
        /* It may belong to any flow, as a fragment does. */
        while (coalescer->open_count > 0)
            group_close(coalescer, coalescer->open_count - 1);
        group_alone(coalescer, packet);
        return;
    }
    joinable = may_be_joined(packet, &headers, kinds);
    at = coalescer->open_count;
    while (at > 0 && !same_flow(&coalescer->open[at - 1], packet, &headers))
        at--;
    if (at > 0) {
        struct open_group *open = &coalescer->open[at - 1];

        if (joinable && group_continues(open, packet, &headers)) {
            group_join(coalescer, open, packet);
            if (ends_group(packet, &headers, open->segment_size))
                group_close(coalescer, at - 1);
            return;
        }
        group_close(coalescer, at - 1);
    }
    if (joinable && !ends_group(packet, &headers, 0))
        group_open(coalescer, packet, &headers);
    else
        group_alone(coalescer, packet);
}

size_t wgfp_coalesce(struct wgfp_packet *packets, size_t n, unsigned kinds, struct wgfp_group *groups)
{
    struct coalescer coalescer = {.packets = packets, .groups = groups};

    for (size_t i = 0; i < n; i++) {
        packets[i].skip = 0;
        coalesce_one(&coalescer, &packets[i], kinds);
    }
    while (coalescer.open_count > 0)
        group_close(&coalescer, coalescer.open_count - 1);
    return coalescer.count;
}

void wgfp_group_readdress(const struct wgfp_group *group, const struct wgfp_packet *packets)
{
    const struct wgfp_packet *first = &packets[group->first];
    const struct headers headers = {first->view.version, first->view.protocol, first->view.transport,
                                    group->vnet.hdr_len};

    if (group->count > 1)
        partial_sum_write(group, first->data, &headers);
}

void wgfp_group_slices(const struct wgfp_group *group, const struct wgfp_packet *packets, struct wgfp_slice *slices)
{
    const struct wgfp_packet *packet = &packets[group->first];

    for (uint32_t i = 0; i < group->count; i++) {
        slices[i] = (struct wgfp_slice){packet->data + packet->skip, packet->length - packet->skip};
        packet = i + 1 < group->count ? &packets[packet->next] : packet;
    }
}
