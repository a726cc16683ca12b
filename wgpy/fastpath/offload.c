/* Cutting superpackets that come from the TUN; what the functions mean is said in offload.h.
 *
 * Sources: RFC 791, 768, 8200, 9293, 3168 (CWR only on the first segment); for the header in front, virtio's
 * specification.
 */
#include "offload.h"

#include "offload_headers.h"

#include <string.h>
#include <sys/uio.h>

_Static_assert(sizeof(struct wgfp_vnet) == 10, "a virtio_net_hdr of 10 bytes");
_Static_assert(sizeof(struct wgfp_slice) == sizeof(struct iovec), "slices are iovecs");
_Static_assert(offsetof(struct wgfp_slice, data) == offsetof(struct iovec, iov_base), "slices are iovecs");
_Static_assert(offsetof(struct wgfp_slice, length) == offsetof(struct iovec, iov_len), "slices are iovecs");

enum {
    TCP_HEADER = 20,
    UDP_HEADER = 8,
    IPV6_FRAGMENT = 44,
};

/* -- Headers ------------------------------------------------------------------------------------- */

static int ip4_parse(struct headers *headers, const uint8_t *packet, size_t length)
{
    if (length < IPV4_HEADER)
        return WGFP_GSO_REFUSED_SHORT;
    headers->transport = 4 * (packet[0] & 15u);
    if (headers->transport < IPV4_HEADER || headers->transport > length)
        return WGFP_GSO_REFUSED_SHORT;
    if (load16(packet + 2) != length)
        return WGFP_GSO_REFUSED_LENGTH;
    if ((load16(packet + 6) & 0x3fff) != 0)
        return WGFP_GSO_REFUSED_FRAGMENT;
    headers->protocol = packet[9];
    return WGFP_GSO_ACCEPTED;
}

static int ip6_parse(struct headers *headers, const uint8_t *packet, size_t length)
{
    if (length < IPV6_HEADER)
        return WGFP_GSO_REFUSED_SHORT;
    if (load16(packet + 4) != length - IPV6_HEADER)
        return WGFP_GSO_REFUSED_LENGTH;
    headers->transport = IPV6_HEADER;
    headers->protocol = packet[6];
    return headers->protocol == IPV6_FRAGMENT ? WGFP_GSO_REFUSED_FRAGMENT : WGFP_GSO_ACCEPTED;
}

static int transport_parse(struct headers *headers, const uint8_t *packet, size_t length)
{
    const uint8_t *transport = packet + headers->transport;
    const size_t rest = length - headers->transport;

    switch (headers->protocol) {
    case TCP:
        if (rest < TCP_HEADER)
            return WGFP_GSO_REFUSED_SHORT;
        headers->length = headers->transport + 4 * (transport[12] >> 4u);
        if (headers->length < headers->transport + TCP_HEADER || headers->length > length)
            return WGFP_GSO_REFUSED_SHORT;
        return WGFP_GSO_ACCEPTED;
    case UDP:
        if (rest < UDP_HEADER)
            return WGFP_GSO_REFUSED_SHORT;
        if (load16(transport + 4) != rest)
            return WGFP_GSO_REFUSED_LENGTH;
        headers->length = headers->transport + UDP_HEADER;
        return WGFP_GSO_ACCEPTED;
    default:
        return WGFP_GSO_REFUSED_PROTOCOL;
    }
}

int wgfp_headers_parse(struct headers *headers, const uint8_t *packet, size_t length)
{
    int refusal;

    if (length == 0)
        return WGFP_GSO_REFUSED_SHORT;
    headers->version = packet[0] >> 4;
    if (headers->version == 4)
        refusal = ip4_parse(headers, packet, length);
    else if (headers->version == 6)
        refusal = ip6_parse(headers, packet, length);
    else
        refusal = WGFP_GSO_REFUSED_VERSION;
    return refusal == WGFP_GSO_ACCEPTED ? transport_parse(headers, packet, length) : refusal;
}

/* -- Segments ------------------------------------------------------------------------------------ */

static void store32(uint8_t *p, uint32_t word)
{
    store16(p, word >> 16);
    store16(p + 2, word);
}

/* A checksum that is not 0, which in UDP would say that there is none; 0xffff is as right. */
static void checksum_store_nonzero(uint8_t *at, uint64_t sum)
{
    if (wgfp_sum_fold(sum) == 0xffff)
        wgfp_sum_store(at, 0xffff);
    else
        wgfp_checksum_store(at, sum);
}

const char *wgfp_gso_refusal_name(int refusal)
{
    static const char *const names[] = {
        NULL,
#define WGFP_GSO_NAME(name, counter, meaning) counter,
        WGFP_GSO_REFUSALS(WGFP_GSO_NAME)
#undef WGFP_GSO_NAME
    };

    return refusal >= 0 && refusal < WGFP_GSO_OUTCOMES ? names[refusal] : NULL;
}

/* A packet that is not to be cut. What is in it, and so where its checksum is, is the kernel's matter. */
static int whole_parse(struct wgfp_gso *gso, const struct wgfp_vnet *vnet, uint8_t *packet, size_t length)
{
    *gso = (struct wgfp_gso){.packet = packet, .count = 1, .payload = (uint32_t)length};

    if (vnet->flags & WGFP_VNET_NEEDS_CSUM) {
        const size_t start = vnet->csum_start, at = start + vnet->csum_offset;

        if (at + 2 > length)
            return WGFP_GSO_REFUSED_CHECKSUM;
        checksum_store_nonzero(packet + at, wgfp_sum(packet + start, length - start));
    }
    return WGFP_GSO_ACCEPTED;
}

/* Are the headers of this packet those that the virtio header speaks of? */
static int gso_verify(const struct headers *headers, const struct wgfp_vnet *vnet)
{
    static const struct {
        uint8_t type, version, protocol;
    } types[] = {{WGFP_VNET_TCP4, 4, TCP}, {WGFP_VNET_TCP6, 6, TCP}, {WGFP_VNET_UDP, 0, UDP}};
    const size_t known = sizeof types / sizeof types[0];
    const uint8_t type = vnet->gso_type & (uint8_t)~WGFP_VNET_ECN;
    size_t i = 0;

    while (i < known && types[i].type != type)
        i++;
    if (i == known)
        return WGFP_GSO_REFUSED_TYPE;
    if (types[i].version != 0 && types[i].version != headers->version)
        return WGFP_GSO_REFUSED_VERSION;
    if (types[i].protocol != headers->protocol)
        return WGFP_GSO_REFUSED_PROTOCOL;
    if (vnet->gso_size == 0)
        return WGFP_GSO_REFUSED_SIZE;
    if ((vnet->flags & WGFP_VNET_NEEDS_CSUM) && (vnet->csum_start != headers->transport ||
                                                 vnet->csum_offset != checksum_offset(headers->protocol)))
        return WGFP_GSO_REFUSED_CHECKSUM;
    return WGFP_GSO_ACCEPTED;
}

/* Copy the headers, take out what differs between segments, and sum up what stays. */
static void template_make(struct wgfp_gso *gso, const struct headers *headers)
{
    uint8_t *ip = gso->template, *transport = ip + headers->transport;

    memcpy(ip, gso->packet, headers->length);
    if (headers->version == 4) {
        gso->id = load16(ip + 4);
        store32(ip + 2, 0); /* length and identification */
        store16(ip + 10, 0);
        gso->ip_sum = wgfp_sum(ip, headers->transport);
    } else {
        store16(ip + 4, 0);
    }
    if (headers->protocol == TCP) {
        gso->sequence = wgfp_load32_be(transport + 4);
        gso->flags = transport[13];
        store32(transport + 4, 0);
        transport[13] = 0;
    } else {
        store16(transport + 4, 0);
    }
    store16(transport + checksum_offset(headers->protocol), 0);
    gso->transport_sum = wgfp_sum(transport, headers->length - headers->transport) + pseudo_sum(ip, headers, 0);
}

int wgfp_gso_parse(struct wgfp_gso *gso, const struct wgfp_vnet *vnet, uint8_t *packet, size_t length)
{
    struct headers headers;
    int refusal;

    if (vnet->gso_type == 0)
        return whole_parse(gso, vnet, packet, length);
    refusal = wgfp_headers_parse(&headers, packet, length);
    if (refusal == WGFP_GSO_ACCEPTED)
        refusal = gso_verify(&headers, vnet);
    if (refusal != WGFP_GSO_ACCEPTED)
        return refusal;

    const uint32_t payload = (uint32_t)length - headers.length;

    *gso = (struct wgfp_gso){
        .packet = packet,
        .count = payload > 0 ? (payload + vnet->gso_size - 1u) / vnet->gso_size : 1,
        .header_length = headers.length,
        .payload = payload,
        .segment_size = vnet->gso_size,
        .transport = headers.transport,
        .version = (uint8_t)headers.version,
        .protocol = (uint8_t)headers.protocol,
    };
    template_make(gso, &headers);
    return WGFP_GSO_ACCEPTED;
}

static struct wgfp_slice payload_slice(const struct wgfp_gso *gso, uint32_t i)
{
    const uint32_t offset = i * gso->segment_size, rest = gso->payload - offset;

    return (struct wgfp_slice){
        .data = (uint8_t *)(uintptr_t)(gso->packet + gso->header_length + offset), /* a slice is not const */
        .length = gso->header_length == 0 || rest < gso->segment_size ? rest : gso->segment_size,
    };
}

static uint8_t segment_flags(const struct wgfp_gso *gso, uint32_t i)
{
    uint8_t flags = gso->flags;

    if (i > 0)
        flags &= (uint8_t)~CWR;
    if (i + 1 < gso->count)
        flags &= (uint8_t) ~(FIN | PSH);
    return flags;
}

/* payload, payload_sum: of segment i. */
static void header_write(const struct wgfp_gso *gso, uint32_t i, uint8_t *header, size_t payload,
                         uint64_t payload_sum)
{
    const uint32_t length = gso->header_length + (uint32_t)payload;
    const uint32_t transport_length = length - gso->transport;
    uint8_t *transport = header + gso->transport;
    uint64_t sum = gso->transport_sum + payload_sum + wgfp_sum_word((uint16_t)transport_length);

    memcpy(header, gso->template, gso->header_length);
    if (gso->version == 4) {
        const uint16_t id = (uint16_t)(gso->id + i);

        store16(header + 2, length);
        store16(header + 4, id);
        wgfp_checksum_store(header + 10, gso->ip_sum + wgfp_sum_word((uint16_t)length) + wgfp_sum_word(id));
    } else {
        store16(header + 4, transport_length);
    }
    if (gso->protocol == TCP) {
        const uint32_t sequence = gso->sequence + i * gso->segment_size;

        store32(transport + 4, sequence);
        transport[13] = segment_flags(gso, i);
        sum += wgfp_sum_word((uint16_t)(sequence >> 16)) + wgfp_sum_word((uint16_t)sequence);
        wgfp_checksum_store(transport + 16, sum + wgfp_sum_word(transport[13]));
    } else {
        store16(transport + 4, transport_length);
        checksum_store_nonzero(transport + 6, sum + wgfp_sum_word((uint16_t)transport_length));
    }
}

void wgfp_gso_segment(const struct wgfp_gso *gso, uint32_t i, uint8_t *header, struct wgfp_slice *payload)
{
    *payload = payload_slice(gso, i);
    if (gso->header_length > 0)
        header_write(gso, i, header, payload->length, wgfp_sum(payload->data, payload->length));
}

size_t wgfp_gso_copy(const struct wgfp_gso *gso, uint32_t i, uint8_t *segment)
{
    const struct wgfp_slice payload = payload_slice(gso, i);

    if (gso->header_length == 0)
        memcpy(segment, payload.data, payload.length);
    else
        header_write(gso, i, segment, payload.length,
                     wgfp_sum_copy(segment + gso->header_length, payload.data, payload.length));
    return gso->header_length + payload.length;
}
