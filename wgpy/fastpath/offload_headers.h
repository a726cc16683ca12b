/* What cutting and joining share: the headers of a packet that is TCP or UDP. */
#ifndef WGFP_OFFLOAD_HEADERS_H
#define WGFP_OFFLOAD_HEADERS_H

#include "bytes.h"
#include "checksum.h"
#include "offload.h"
#include "packet.h"
#include "protocols.h"

enum {
    FIN = 0x01,
    SYN = 0x02,
    RST = 0x04,
    PSH = 0x08,
    URG = 0x20,
    CWR = 0x80,
};

/* Where things are, in a packet that can be cut or joined. */
struct headers {
    uint32_t version;
    uint32_t protocol;
    uint32_t transport; /* offset of the TCP or UDP header */
    uint32_t length;    /* of all headers */
};

/* Look behind the IP headers that `view` is of. Nothing in the packet is believed that does not agree with its length.
 * Returns 0, or why it is refused. */
int wgfp_headers_parse(struct headers *headers, const struct wgfp_view *view, const uint8_t *packet, size_t length);

/* Of the checksum, in the TCP or UDP header. */
static inline uint32_t checksum_offset(uint32_t protocol)
{
    return protocol == TCP ? 16 : 6;
}

/* Of the packet's addresses, its protocol, and a length. */
static inline uint64_t pseudo_sum(const uint8_t *packet, const struct headers *headers, uint32_t length)
{
    if (headers->version == 4)
        return wgfp_sum_pseudo4(packet + 12, (uint8_t)headers->protocol, (uint16_t)length);
    return wgfp_sum_pseudo6(packet + 8, (uint8_t)headers->protocol, length);
}

#endif
