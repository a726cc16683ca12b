/* ICMP errors; what the function means is said in unreachable.h. RFC 792, RFC 1122 3.2.2, RFC 4443 2.4 and 3.1.
 *
 * An error comes from the destination of its packet: from an address of our own, the kernel would drop it as a martian.
 */
#include "unreachable.h"

#include "bytes.h"
#include "checksum.h"
#include "protocols.h"

enum {
    ICMP_HEADER = 8,
    MAX_SIZE4 = 576, /* RFC 1812, 4.3.2.3 */
    MAX_SIZE6 = ICMP_ERROR_SIZE,
    TTL = 64,
    INTERNETWORK_CONTROL = 0xc0, /* TOS, RFC 1812, 4.3.2.5 */
    MULTICAST4 = 224,            /* first byte; what is above is reserved or broadcast */
    MULTICAST6 = 0xff,
};

/* -- Whether ---------------------------------------------------------------------------------------- */

static bool may_be_one_host(const struct wgfp_view *view, const uint8_t *address)
{
    return address[0] < (view->version == 4 ? MULTICAST4 : MULTICAST6);
}

static bool is_one_host(const struct wgfp_view *view, const uint8_t *address)
{
    static const uint8_t none[16];

    return !packet_address_equal(address, none, packet_address_size(view)) && may_be_one_host(view, address);
}

/* Is it an ICMP error, or may it be one, as it is cut short? */
static bool is_icmp_error(const struct wgfp_view *view, const uint8_t *packet)
{
    if (view->protocol != (view->version == 4 ? ICMP : ICMPV6))
        return false;
    if (view->transport == 0 || view->transport >= view->length)
        return true;
    const uint8_t type = packet[view->transport];

    if (view->version == 4)
        return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
    return type < 128 || type == 137;
}

static bool deserves_error(const struct wgfp_view *view, const uint8_t *packet)
{
    return (view->fragment & FRAGMENT_OFFSET) == 0 && is_one_host(view, packet_source(view, packet)) &&
           may_be_one_host(view, packet_destination(view, packet)) && !is_icmp_error(view, packet);
}

static bool limit_allows(struct unreachable *limit, uint64_t now)
{
    const uint64_t free_at = (limit->free_at > now ? limit->free_at : now) + ICMP_ERROR_INTERVAL;

    if (free_at - now > (uint64_t)ICMP_ERROR_BURST * ICMP_ERROR_INTERVAL)
        return false;
    limit->free_at = free_at;
    return true;
}

/* -- Making ----------------------------------------------------------------------------------------- */

/* Write type, code, and as much of the packet as there is room for; the checksum is still to be made. Returns its
 * length. */
static uint32_t message_write(uint8_t *message, uint8_t type, uint8_t code, const struct wgfp_view *view,
                              const uint8_t *packet, uint32_t most)
{
    const uint32_t room = most - ICMP_HEADER;
    const uint32_t quoted = view->length < room ? view->length : room;

    memset(message, 0, ICMP_HEADER);
    message[0] = type;
    message[1] = code;
    memcpy(message + ICMP_HEADER, packet, quoted);
    return ICMP_HEADER + quoted;
}

static size_t error4(const struct wgfp_view *view, const uint8_t *packet, uint8_t *error)
{
    uint8_t *message = error + IPV4_HEADER;
    const uint32_t length = message_write(message, 3, 1, view, packet, MAX_SIZE4 - IPV4_HEADER);

    wgfp_checksum_store(message + 2, wgfp_sum(message, length));
    memset(error, 0, IPV4_HEADER);
    error[0] = 0x45;
    error[1] = INTERNETWORK_CONTROL;
    wgfp_store16_be(error + 2, IPV4_HEADER + length);
    error[8] = TTL;
    error[9] = ICMP;
    memcpy(error + 12, packet_destination(view, packet), 4);
    memcpy(error + 16, packet_source(view, packet), 4);
    wgfp_checksum_store(error + 10, wgfp_sum(error, IPV4_HEADER));
    return IPV4_HEADER + length;
}

static size_t error6(const struct wgfp_view *view, const uint8_t *packet, uint8_t *error)
{
    uint8_t *message = error + IPV6_HEADER;
    const uint32_t length = message_write(message, 1, 3, view, packet, MAX_SIZE6 - IPV6_HEADER);

    memset(error, 0, IPV6_HEADER);
    error[0] = 0x60;
    wgfp_store16_be(error + 4, length);
    error[6] = ICMPV6;
    error[7] = TTL;
    memcpy(error + 8, packet_destination(view, packet), 16);
    memcpy(error + 24, packet_source(view, packet), 16);
    wgfp_checksum_store(message + 2, wgfp_sum(message, length) + wgfp_sum_pseudo6(error + 8, ICMPV6, length));
    return IPV6_HEADER + length;
}

size_t unreachable_error(struct unreachable *limit, const struct wgfp_view *view, const uint8_t *packet, uint8_t *error,
                         uint64_t now)
{
    if (!deserves_error(view, packet) || !limit_allows(limit, now))
        return 0;
    return view->version == 4 ? error4(view, packet, error) : error6(view, packet, error);
}
