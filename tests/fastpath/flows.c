/* What the functions mean is said in flows.h. */
#include "flows.h"

#include "offload_headers.h"

#include <string.h>

enum { ACK = 0x10, PORT = 5000 };

void flow_prefix(uint32_t side, uint32_t peer, bool six, uint8_t address[16])
{
    memset(address, 0, 16);
    address[0] = six ? 0xfd : 10;
    address[1] = (uint8_t)side;
    address[2] = (uint8_t)peer;
}

static void record_write(uint8_t *at, uint32_t flow, uint32_t record, uint32_t size)
{
    wgfp_store32(at, record);
    wgfp_store32(at + 4, flow);
    for (uint32_t i = FLOW_RECORD; i < size; i++)
        at[i] = (uint8_t)(record * 7 + flow + i);
}

static void address_write(const struct flow *flow, uint32_t side, uint8_t *at)
{
    const bool six = flow_is_six(flow);
    uint8_t address[16];

    flow_prefix(side, flow->peer, six, address);
    address[six ? 15 : 3] = (uint8_t)(1 + flow->queue);
    memcpy(at, address, six ? 16 : 4);
}

/* Returns its length. `rest`: bytes behind it. */
static uint32_t ip_write(const struct flow *flow, uint8_t *packet, uint32_t rest)
{
    const uint8_t protocol = flow_is_tcp(flow) ? TCP : UDP;

    if (flow_is_six(flow)) {
        memset(packet, 0, IPV6_HEADER);
        packet[0] = 0x60;
        wgfp_store16_be(packet + 4, rest);
        packet[6] = protocol;
        packet[7] = 64;
        address_write(flow, flow->side, packet + 8);
        address_write(flow, !flow->side, packet + 24);
        return IPV6_HEADER;
    }
    memset(packet, 0, IPV4_HEADER);
    packet[0] = 0x45;
    wgfp_store16_be(packet + 2, IPV4_HEADER + rest);
    packet[6] = 0x40;
    packet[8] = 64;
    packet[9] = protocol;
    address_write(flow, flow->side, packet + 12);
    address_write(flow, !flow->side, packet + 16);
    wgfp_checksum_store(packet + 10, wgfp_sum(packet, IPV4_HEADER));
    return IPV4_HEADER;
}

/* Returns its length, leaving the checksum zero. */
static uint32_t transport_write(const struct flow *flow, uint8_t *at, uint32_t payload)
{
    const uint32_t length = flow_is_tcp(flow) ? 20 : 8;

    memset(at, 0, length);
    wgfp_store16_be(at, PORT + flow_number(flow));
    wgfp_store16_be(at + 2, PORT);
    if (flow_is_tcp(flow)) {
        wgfp_store16_be(at + 4, flow->sequence >> 16);
        wgfp_store16_be(at + 6, flow->sequence);
        at[12] = 0x50;
        at[13] = ACK;
        wgfp_store16_be(at + 14, 1000);
    } else {
        wgfp_store16_be(at + 4, length + payload);
    }
    return length;
}

/* UDP has no checksum 0, which would say that there is none. */
static void checksum_write(const struct flow *flow, uint8_t *at, uint64_t sum)
{
    if (!flow_is_tcp(flow) && wgfp_sum_fold(sum) == 0xffff)
        wgfp_sum_store(at, sum);
    else
        wgfp_checksum_store(at, sum);
}

size_t flow_write(struct flow *flow, uint32_t count, uint32_t size, struct wgfp_vnet *vnet, uint8_t *packet)
{
    const uint32_t payload = count * size, transport_length = flow_is_tcp(flow) ? 20 : 8;
    const uint32_t transport = ip_write(flow, packet, transport_length + payload);
    const uint32_t headers = transport + transport_write(flow, packet + transport, payload);
    const struct headers parsed = {flow_is_six(flow) ? 6 : 4, flow_is_tcp(flow) ? TCP : UDP, transport, headers};
    const uint32_t at = transport + checksum_offset(parsed.protocol);
    const uint64_t pseudo = pseudo_sum(packet, &parsed, transport_length + payload);

    for (uint32_t i = 0; i < count; i++)
        record_write(packet + headers + i * size, flow_number(flow), flow->next++, size);
    flow->sequence += payload;
    *vnet = (struct wgfp_vnet){0};
    if (count == 1) {
        checksum_write(flow, packet + at, pseudo + wgfp_sum(packet + transport, headers - transport + payload));
        return headers + payload;
    }
    vnet->flags = WGFP_VNET_NEEDS_CSUM;
    vnet->gso_type = !flow_is_tcp(flow) ? WGFP_VNET_UDP : flow_is_six(flow) ? WGFP_VNET_TCP6 : WGFP_VNET_TCP4;
    vnet->hdr_len = (uint16_t)headers;
    vnet->gso_size = (uint16_t)size;
    vnet->csum_start = (uint16_t)transport;
    vnet->csum_offset = (uint16_t)checksum_offset(parsed.protocol);
    wgfp_sum_store(packet + at, pseudo);
    return headers + payload;
}

bool flow_read(uint32_t from, const uint8_t *packet, size_t length, uint32_t *number, uint32_t *record)
{
    uint8_t expected[FLOW_PACKET], *sent = expected;
    struct wgfp_view view;
    struct headers headers;
    struct wgfp_vnet vnet;

    if (!wgfp_packet_parse(&view, packet, length) ||
        wgfp_headers_parse(&headers, &view, packet, length) != WGFP_GSO_ACCEPTED ||
        length < headers.length + FLOW_RECORD)
        return false;
    *record = wgfp_load32(packet + headers.length);
    *number = wgfp_load32(packet + headers.length + 4);

    struct flow flow = flow_of_number(*number);

    if (*number >= FLOWS || flow.side != from)
        return false;
    flow.next = *record;
    if (flow_is_tcp(&flow))
        flow.sequence = wgfp_load32_be(packet + headers.transport + 4);
    if (flow_write(&flow, 1, (uint32_t)length - headers.length, &vnet, sent) != length)
        return false;
    if (headers.version == 4) { /* identifications may become consecutive */
        memcpy(sent + 4, packet + 4, 2);
        memset(sent + 10, 0, 2);
        wgfp_checksum_store(sent + 10, wgfp_sum(sent, IPV4_HEADER));
    }
    return memcmp(packet, sent, length) == 0;
}
