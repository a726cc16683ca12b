/* Cutting superpackets that come from the TUN; what the functions mean is said in offload.h.
 *
 * Sources: RFC 791, 768, 8200, 9293, 3168 (CWR only on the first segment), 7348 and 8926 (VXLAN and Geneve, which are UDP
 * tunnels); for the header in front, virtio's specification.
 */
#include "offload.h"

#include "offload_headers.h"

#include <stdbool.h>
#include <string.h>
#include <sys/uio.h>

_Static_assert(offsetof(struct wgfp_vnet, unused) == WGFP_VNET_SHORT, "a virtio_net_hdr of 10 bytes");
_Static_assert(sizeof(struct wgfp_vnet) == 24, "a virtio_net_hdr_v1_hash_tunnel of 24 bytes");
_Static_assert(sizeof(struct wgfp_slice) == sizeof(struct iovec), "slices are iovecs");
_Static_assert(offsetof(struct wgfp_slice, data) == offsetof(struct iovec, iov_base), "slices are iovecs");
_Static_assert(offsetof(struct wgfp_slice, length) == offsetof(struct iovec, iov_len), "slices are iovecs");

/* -- Headers ------------------------------------------------------------------------------------- */

/* Why a packet is refused for its IP headers. */
static int ip_refusal(const struct wgfp_view *view, const uint8_t *packet, size_t length)
{
    const uint32_t version = length > 0 ? packet[0] >> 4 : 4;

    if (version != 4 && version != 6)
        return WGFP_GSO_REFUSED_VERSION;
    if (length < (version == 4 ? IPV4_HEADER : IPV6_HEADER))
        return WGFP_GSO_REFUSED_SHORT;
    if (view->version == 0 || view->length != length)
        return WGFP_GSO_REFUSED_LENGTH;
    if (view->fragment != 0)
        return WGFP_GSO_REFUSED_FRAGMENT;
    if (version == 6)
        return WGFP_GSO_REFUSED_PROTOCOL; /* extension headers */
    return WGFP_GSO_REFUSED_SHORT;
}

/* Can a packet with these IP headers be cut or joined? */
static bool ip_accepted(const struct wgfp_view *view, size_t length)
{
    return view->length == length && view->fragment == 0 &&
           (view->version == 4 ? view->transport != 0 : view->version == 6 && view->transport == IPV6_HEADER);
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
        if (wgfp_load16_be(transport + 4) != rest)
            return WGFP_GSO_REFUSED_LENGTH;
        headers->length = headers->transport + UDP_HEADER;
        return WGFP_GSO_ACCEPTED;
    default:
        return WGFP_GSO_REFUSED_PROTOCOL;
    }
}

int wgfp_headers_parse(struct headers *headers, const struct wgfp_view *view, const uint8_t *packet, size_t length)
{
    if (!ip_accepted(view, length))
        return ip_refusal(view, packet, length);
    headers->version = view->version;
    headers->protocol = view->protocol;
    headers->transport = view->transport;
    return transport_parse(headers, packet, length);
}

/* -- Segments ------------------------------------------------------------------------------------ */

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
    gso->packet = packet;
    gso->count = 1;
    gso->header_length = gso->segment_size = 0;
    gso->payload = (uint32_t)length;
    if (vnet->flags & WGFP_VNET_NEEDS_CSUM) {
        const size_t start = vnet->csum_start, at = start + vnet->csum_offset;

        if (at + 2 > length)
            return WGFP_GSO_REFUSED_CHECKSUM;
        checksum_store_nonzero(packet + at, wgfp_sum(packet + start, length - start));
    }
    (void)wgfp_packet_parse(&gso->view, packet, length); /* now, as nothing says that the checksum is in no IP header */
    return WGFP_GSO_ACCEPTED;
}

/* Are the headers of this packet those that the virtio header speaks of? at: their offset. */
static int gso_verify(const struct headers *headers, const struct wgfp_vnet *vnet, uint32_t at)
{
    static const struct {
        uint8_t type, version, protocol;
    } types[] = {{WGFP_VNET_TCP4, 4, TCP}, {WGFP_VNET_TCP6, 6, TCP}, {WGFP_VNET_UDP, 0, UDP}};
    const size_t known = sizeof types / sizeof types[0];
    const uint8_t type = vnet->gso_type & (uint8_t)~(WGFP_VNET_ECN | WGFP_VNET_TUNNEL4 | WGFP_VNET_TUNNEL6);
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
    if ((vnet->flags & WGFP_VNET_NEEDS_CSUM) && (vnet->csum_start != at + headers->transport ||
                                                 vnet->csum_offset != checksum_offset(headers->protocol)))
        return WGFP_GSO_REFUSED_CHECKSUM;
    return WGFP_GSO_ACCEPTED;
}

/* Are the headers of this packet those of a UDP tunnel, and can there be an IP header behind them, where the virtio
 * header says? What is between is the same in all segments, whatever it is: so VXLAN, Geneve and others are as one. */
static int tunnel_verify(const struct headers *headers, const struct wgfp_vnet *vnet, size_t length)
{
    const uint32_t type = vnet->gso_type & (WGFP_VNET_TUNNEL4 | WGFP_VNET_TUNNEL6);

    if (type != (headers->version == 4 ? WGFP_VNET_TUNNEL4 : WGFP_VNET_TUNNEL6) || headers->protocol != UDP ||
        vnet->outer_th_offset != headers->transport || vnet->inner_nh_offset < headers->length ||
        vnet->inner_nh_offset >= length || vnet->inner_nh_offset % 2 != 0) /* as sums are of words */
        return WGFP_GSO_REFUSED_TUNNEL;
    return WGFP_GSO_ACCEPTED;
}

/* The headers of a superpacket. */
struct layers {
    struct headers outer; /* of its tunnel, if it is in one */
    struct headers inner; /* of what is cut */
    uint32_t at;          /* offset of the inner; 0: there is no tunnel, and both are the same */
};

static int layers_parse(struct layers *layers, const struct wgfp_gso *gso, const struct wgfp_vnet *vnet,
                        const uint8_t *packet, size_t length)
{
    struct wgfp_view inner;
    int refusal = wgfp_headers_parse(&layers->outer, &gso->view, packet, length);

    if (refusal == WGFP_GSO_ACCEPTED && (vnet->gso_type & (WGFP_VNET_TUNNEL4 | WGFP_VNET_TUNNEL6)) == 0) {
        layers->inner = layers->outer;
        return gso_verify(&layers->inner, vnet, 0);
    }
    if (refusal == WGFP_GSO_ACCEPTED)
        refusal = tunnel_verify(&layers->outer, vnet, length);
    if (refusal != WGFP_GSO_ACCEPTED)
        return refusal;
    layers->at = vnet->inner_nh_offset;
    (void)wgfp_packet_parse(&inner, packet + layers->at, length - layers->at);
    refusal = wgfp_headers_parse(&layers->inner, &inner, packet + layers->at, length - layers->at);
    if (refusal == WGFP_GSO_ACCEPTED)
        refusal = gso_verify(&layers->inner, vnet, layers->at);
    return refusal == WGFP_GSO_ACCEPTED && layers->at + layers->inner.length > sizeof gso->template
               ? WGFP_GSO_REFUSED_TUNNEL
               : refusal;
}

void wgfp_gso_readdress(struct wgfp_gso *gso)
{
    const uint32_t size = 2 * packet_address_size(&gso->view);
    const uint8_t *addresses = packet_source(&gso->view, gso->packet);
    uint8_t *former = gso->template + (addresses - gso->packet);

    if (gso->header_length == 0)
        return; /* the packet itself is sent */
    const uint64_t change = wgfp_sum(addresses, size) + (uint16_t)~wgfp_sum_fold(wgfp_sum(former, size));

    if (gso->ip.at > 0) {
        gso->tunnel.sum += change;
    } else {
        gso->ip.sum += change;
        gso->transport_sum += change;
    }
    memcpy(former, addresses, size);
}

/* Take out of an IP header what differs between segments. at: its offset. */
static void template_ip_make(struct wgfp_gso *gso, struct wgfp_gso_ip *made, uint32_t at, const struct headers *headers)
{
    uint8_t *ip = gso->template + at;

    made->at = at;
    made->version = (uint8_t)headers->version;
    made->id = wgfp_load16_be(ip + 4);
    if (headers->version == 4) {
        wgfp_store32_be(ip + 2, 0); /* length and identification */
        wgfp_store16_be(ip + 10, 0);
        made->sum = wgfp_sum(ip, headers->transport);
    } else {
        wgfp_store16_be(ip + 4, 0);
    }
}

/* The same of a UDP header, and its checksum. */
static void template_udp_make(uint8_t *udp)
{
    wgfp_store32_be(udp + 4, 0);
}

static void template_tcp_make(struct wgfp_gso *gso, uint8_t *tcp)
{
    gso->sequence = wgfp_load32_be(tcp + 4);
    gso->flags = tcp[13];
    wgfp_store32_be(tcp + 4, 0);
    tcp[13] = 0;
    wgfp_store16_be(tcp + 16, 0);
}

/* Copy the headers, take out what differs between segments, and sum up what stays. at: offset of `headers`, of what is
 * cut. */
static void template_make(struct wgfp_gso *gso, uint32_t at, const struct headers *headers)
{
    uint8_t *transport = gso->template + at + headers->transport;

    memcpy(gso->template, gso->packet, gso->header_length);
    template_ip_make(gso, &gso->ip, at, headers);
    gso->transport = at + headers->transport;
    gso->protocol = (uint8_t)headers->protocol;
    if (headers->protocol == TCP)
        template_tcp_make(gso, transport);
    else
        template_udp_make(transport);
    gso->transport_sum = wgfp_sum(transport, headers->length - headers->transport) +
                         pseudo_sum(gso->template + at, headers, 0);
}

/* The same of the tunnel around it. */
static void template_tunnel_make(struct wgfp_gso *gso, const struct wgfp_vnet *vnet, const struct headers *headers)
{
    uint8_t *udp = gso->template + headers->transport;

    gso->tunnel_has_sum = (vnet->flags & WGFP_VNET_TUNNEL_CSUM) != 0 || wgfp_load16_be(udp + 6) != 0;
    template_ip_make(gso, &gso->tunnel, 0, headers);
    template_udp_make(udp);
}

int wgfp_gso_parse(struct wgfp_gso *gso, const struct wgfp_vnet *vnet, uint8_t *packet, size_t length)
{
    struct layers layers = {0};
    int refusal;

    if (vnet->gso_type == 0)
        return whole_parse(gso, vnet, packet, length);
    (void)wgfp_packet_parse(&gso->view, packet, length);
    refusal = layers_parse(&layers, gso, vnet, packet, length);
    if (refusal != WGFP_GSO_ACCEPTED)
        return refusal;

    gso->packet = packet;
    gso->header_length = layers.at + layers.inner.length;
    gso->payload = (uint32_t)length - gso->header_length;
    gso->segment_size = vnet->gso_size;
    gso->count = gso->payload > 0 ? (gso->payload + vnet->gso_size - 1u) / vnet->gso_size : 1;
    template_make(gso, layers.at, &layers.inner);
    if (layers.at > 0)
        template_tunnel_make(gso, vnet, &layers.outer);
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

/* length: of the segment from this header on. */
static void ip_write(const struct wgfp_gso_ip *ip, uint32_t i, uint8_t *header, uint32_t length)
{
    header += ip->at;
    if (ip->version == 4) {
        const uint16_t id = (uint16_t)(ip->id + i);

        wgfp_store16_be(header + 2, length);
        wgfp_store16_be(header + 4, id);
        wgfp_checksum_store(header + 10, ip->sum + wgfp_sum_word((uint16_t)length) + wgfp_sum_word(id));
    } else {
        wgfp_store16_be(header + 4, length - IPV6_HEADER);
    }
}

/* The headers of the tunnel, when those in it are written. length: of the segment; payload_sum: of what follows all
 * headers. */
static void tunnel_write(const struct wgfp_gso *gso, uint32_t i, uint8_t *header, uint32_t length, uint64_t payload_sum)
{
    const struct headers tunnel = {gso->view.version, UDP, gso->view.transport, 0};
    const uint32_t udp_length = length - tunnel.transport;
    uint8_t *udp = header + tunnel.transport;

    ip_write(&gso->tunnel, i, header, length);
    wgfp_store16_be(udp + 4, udp_length);
    if (gso->tunnel_has_sum)
        checksum_store_nonzero(udp + 6, pseudo_sum(header, &tunnel, udp_length) + payload_sum +
                                            wgfp_sum(udp, gso->header_length - tunnel.transport));
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
    ip_write(&gso->ip, i, header, length - gso->ip.at);
    if (gso->protocol == TCP) {
        const uint32_t sequence = gso->sequence + i * gso->segment_size;

        wgfp_store32_be(transport + 4, sequence);
        transport[13] = segment_flags(gso, i);
        sum += wgfp_sum_word((uint16_t)(sequence >> 16)) + wgfp_sum_word((uint16_t)sequence);
        wgfp_checksum_store(transport + 16, sum + wgfp_sum_word(transport[13]));
    } else {
        wgfp_store16_be(transport + 4, transport_length);
        checksum_store_nonzero(transport + 6, sum + wgfp_sum_word((uint16_t)transport_length));
    }
    if (gso->ip.at > 0)
        tunnel_write(gso, i, header, length, payload_sum);
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
