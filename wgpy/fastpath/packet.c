/* Views of packets, and ECN; what the functions mean is said in packet.h. */
#include "packet.h"

#include "bytes.h"
#include "checksum.h"
#include "protocols.h"

enum {
    HOP_BY_HOP = 0,
    ROUTING = 43,
    FRAGMENT = 44,
    AUTHENTICATION = 51,
    DESTINATION_OPTIONS = 60,

    LEAST_EXTENSION = 8, /* bytes */
};

/* -- Headers ---------------------------------------------------------------------------------------- */

static void parse4(struct wgfp_view *view, const uint8_t *packet)
{
    const uint32_t header = 4 * (packet[0] & 15u);
    const uint32_t fragment = wgfp_load16_be(packet + 6) & (FRAGMENT_MORE | FRAGMENT_OFFSET);

    view->protocol = packet[9];
    view->transport = header >= IPV4_HEADER && header <= view->length ? header : 0;
    view->fragment = (uint16_t)(fragment != 0 ? fragment | FRAGMENT_ANY : 0);
}

static bool is_extension(uint8_t protocol)
{
    return protocol == HOP_BY_HOP || protocol == ROUTING || protocol == FRAGMENT || protocol == AUTHENTICATION ||
           protocol == DESTINATION_OPTIONS;
}

static uint32_t extension_length(uint8_t protocol, const uint8_t *header)
{
    if (protocol == FRAGMENT)
        return LEAST_EXTENSION;
    return protocol == AUTHENTICATION ? 4 * (header[1] + 2u) : 8 * (header[1] + 1u);
}

static uint16_t fragment_of(const uint8_t *header)
{
    const uint32_t field = wgfp_load16_be(header + 2);

    return (uint16_t)(FRAGMENT_ANY | (field & 1 ? FRAGMENT_MORE : 0) | field >> 3);
}

/* Go on behind the extension header that is next; without `transport` if one cannot. */
static void extension_pass(struct wgfp_view *view, const uint8_t *packet)
{
    const uint8_t *header = packet + view->transport;
    const uint32_t left = view->length - view->transport;
    const uint32_t length = left >= LEAST_EXTENSION ? extension_length(view->protocol, header) : LEAST_EXTENSION;
    const bool is_fragment = view->protocol == FRAGMENT;

    if (length > left || (is_fragment && view->fragment != 0)) {
        view->transport = 0;
        return;
    }
    if (is_fragment)
        view->fragment = fragment_of(header);
    view->protocol = header[0];
    view->transport += length;
}

static void parse6(struct wgfp_view *view, const uint8_t *packet)
{
    uint32_t passed = 0;

    view->protocol = packet[6];
    view->transport = IPV6_HEADER;
    view->fragment = 0;
    while (view->transport != 0 && (view->fragment & FRAGMENT_OFFSET) == 0 && is_extension(view->protocol)) {
        if (passed++ < MAX_EXTENSION_HEADERS)
            extension_pass(view, packet);
        else
            view->transport = 0;
    }
}

/* The version, and the length that its header says. */
static void length_parse(struct wgfp_view *view, const uint8_t *packet, size_t size)
{
    const uint32_t version = size >= IPV4_HEADER ? packet[0] >> 4 : 0;

    view->version = 0;
    if (version == 4) {
        view->length = wgfp_load16_be(packet + 2);
        view->version = view->length >= IPV4_HEADER ? 4 : 0;
    } else if (version == 6 && size >= IPV6_HEADER) {
        view->length = IPV6_HEADER + wgfp_load16_be(packet + 4);
        view->version = 6;
    }
}

static bool headers_parse(struct wgfp_view *view, const uint8_t *packet)
{
    if (view->version == 4)
        parse4(view, packet);
    else if (view->version == 6)
        parse6(view, packet);
    return view->version != 0;
}

bool wgfp_packet_parse(struct wgfp_view *view, const uint8_t *packet, size_t size)
{
    length_parse(view, packet, size);
    if (view->version != 0 && view->length > size)
        view->version = 0;
    return headers_parse(view, packet);
}

bool wgfp_packet_parse_quoted(struct wgfp_view *view, const uint8_t *data, size_t size)
{
    length_parse(view, data, size);
    if (view->version != 0 && view->length > size)
        view->length = (uint32_t)size;
    return headers_parse(view, data);
}

/* -- ECN -------------------------------------------------------------------------------------------- */

enum ecn { NOT_ECT, ECT_1, ECT_0, CE, DROP };

/* RFC 6040 figure 4: [inner][outer] is the field to pass on. */
static const uint8_t decapsulated[4][4] = {
    [NOT_ECT] = {[NOT_ECT] = NOT_ECT, [ECT_0] = NOT_ECT, [ECT_1] = NOT_ECT, [CE] = DROP},
    [ECT_0] = {[NOT_ECT] = ECT_0, [ECT_0] = ECT_0, [ECT_1] = ECT_1, [CE] = CE},
    [ECT_1] = {[NOT_ECT] = ECT_1, [ECT_0] = ECT_1, [ECT_1] = ECT_1, [CE] = CE},
    [CE] = {[NOT_ECT] = CE, [ECT_0] = CE, [ECT_1] = CE, [CE] = CE},
};

bool packet_decapsulate_ecn(uint8_t *packet, uint32_t outer)
{
    const uint32_t inner = packet_ecn(packet), combined = decapsulated[inner][outer];

    if (combined == DROP)
        return false;
    if (combined == inner)
        return true;
    if (packet[0] >> 4 == 4) {
        const uint64_t before = wgfp_sum(packet, 2);

        packet[1] = (uint8_t)((packet[1] & ~3u) | combined);
        wgfp_checksum_update(packet + 10, before, wgfp_sum(packet, 2));
    } else {
        packet[1] = (uint8_t)((packet[1] & ~0x30u) | combined << 4);
    }
    return true;
}
