/* Superpackets as the kernel hands them out: all headers but the lengths of one packet, the checksum begun. */
#ifndef SUPERPACKET_H
#define SUPERPACKET_H

#include "checksum.h"
#include "offload.h"
#include "protocols.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

enum {
    MTU = 1420, /* bytes of each packet that they stand for */
    MOST_BYTES = 65535,
    TCP_WITH_TIMESTAMPS = 32, /* bytes of the header */
};

enum superpacket_kind { TCP4, TCP6, UDP4, UDP6, SUPERPACKET_KINDS };

static const char *const superpacket_names[SUPERPACKET_KINDS] = {"TCP4", "TCP6", "UDP4", "UDP6"};

static const uint8_t superpacket_addresses[2][4] = {{10, 0, 0, 1}, {10, 0, 0, 2}}; /* source and destination */

struct superpacket {
    struct wgfp_vnet vnet;
    uint8_t bytes[MOST_BYTES + 1];
    size_t length;
    size_t headers;
    uint32_t packets;
};

static void superpacket_ip(struct superpacket *made, bool ipv6, uint8_t protocol, size_t transport)
{
    uint8_t *ip = made->bytes;
    const size_t length = made->length - (ipv6 ? transport : 0);

    ip[0] = ipv6 ? 0x60 : 0x45;
    ip[ipv6 ? 4 : 2] = (uint8_t)(length >> 8);
    ip[ipv6 ? 5 : 3] = (uint8_t)length;
    ip[ipv6 ? 7 : 8] = 64;
    ip[ipv6 ? 6 : 9] = protocol;
    if (ipv6) {
        memcpy(ip + 8, "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2", 32);
    } else {
        ip[6] = 0x40; /* do not fragment */
        memcpy(ip + 12, superpacket_addresses, sizeof superpacket_addresses);
        wgfp_checksum_store(ip + 10, wgfp_sum(ip, transport));
    }
}

/* packets: that it stands for, at most as many as fit; 1: a plain one whose checksum is left to us. */
static void superpacket_make(struct superpacket *made, enum superpacket_kind kind, uint32_t packets)
{
    static const uint8_t types[] = {WGFP_VNET_TCP4, WGFP_VNET_TCP6, WGFP_VNET_UDP, WGFP_VNET_UDP};
    const bool ipv6 = kind == TCP6 || kind == UDP6, tcp = kind == TCP4 || kind == TCP6;
    const size_t transport = ipv6 ? 40 : 20, header = tcp ? TCP_WITH_TIMESTAMPS : UDP_HEADER, headers = transport + header;
    const size_t most = (MOST_BYTES - headers) / (MTU - headers);
    const uint8_t protocol = tcp ? IPPROTO_TCP : IPPROTO_UDP;
    uint8_t *above = made->bytes + transport;

    made->packets = packets < most ? packets : (uint32_t)most;
    made->headers = headers;
    made->length = headers + made->packets * (MTU - headers);
    memset(made->bytes, 0x5a, made->length);
    memset(made->bytes, 0, headers);
    superpacket_ip(made, ipv6, protocol, transport);
    const size_t length = made->length - transport;

    if (tcp) {
        above[12] = TCP_WITH_TIMESTAMPS / 4 << 4;
        above[13] = 0x10;                     /* ACK */
        memcpy(above + 20, "\1\1\10\12", 4); /* timestamps */
    } else {
        above[4] = (uint8_t)(length >> 8);
        above[5] = (uint8_t)length;
    }
    made->vnet = (struct wgfp_vnet){
        .flags = WGFP_VNET_NEEDS_CSUM, .hdr_len = (uint16_t)headers, .csum_start = (uint16_t)transport,
        .csum_offset = tcp ? 16 : 6, .gso_type = made->packets > 1 ? types[kind] : 0,
        .gso_size = made->packets > 1 ? (uint16_t)(MTU - headers) : 0,
    };
    wgfp_sum_store(above + made->vnet.csum_offset,
                   ipv6 ? wgfp_sum_pseudo6(made->bytes + 8, protocol, (uint32_t)length)
                        : wgfp_sum_pseudo4(made->bytes + 12, protocol, (uint16_t)length));
}

#endif
