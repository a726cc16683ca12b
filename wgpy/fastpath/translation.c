/* Translation; what the functions mean is said in translation.h. */
#include "translation.h"

#include "allowedips.h"
#include "bytes.h"
#include "checksum.h"
#include "protocols.h"

#include <stdlib.h>
#include <string.h>

enum {
    NEUTRAL_LENGTH = 64, /* longer prefixes of IPv6 leave no word to adjust */
    SUBNET_LENGTH = 48,  /* up to here the word behind it is adjusted: RFC 6296, 3.4; else see 3.5 */
    SUBNET_WORD = 3,
    WORDS = 8, /* in an IPv6 address */
    BROADCAST_LENGTH = 30, /* longer prefixes have no broadcast address: RFC 3021 */

    ICMP_HEADER = 8,
    ICMP_CHECKSUM = 2, /* offset */
    IPV4_CHECKSUM = 10,
};

/* From one prefix to another. */
struct mapping {
    uint8_t after[16], host[16]; /* host: a mask */
    uint32_t size, length;
    bool keeps_checksums;
    uint32_t adjustment; /* of the first word that is not 0xffff, ... */
    uint32_t first, end; /* ... of these */
};

struct translations {
    size_t count, closed_count;
    struct wgfp_translation *from; /* to be compared with others */
    struct mapping *to_real, *to_mapped;
    struct wgfp_allowedips *mapped, *real; /* to whose number in these one is added */
    struct wgfp_local_port closed[MAX_CLOSED_PORTS];
};

/* One way through a gateway. */
struct direction {
    const struct wgfp_allowedips *prefixes;
    const struct mapping *mappings;
    bool inbound; /* translates destinations, and sources that are quoted; else the other ones */
};

/* -- Addresses -------------------------------------------------------------------------------------- */

static void host_mask_make(uint8_t mask[16], uint32_t length)
{
    memset(mask, 0xff, 16);
    for (uint32_t bit = 0; bit < length; bit++)
        mask[bit / 8] &= (uint8_t)~(0x80 >> bit % 8);
}

/* The sum of an address's words modulo 0xffff, as a number. */
static uint32_t address_sum(const uint8_t address[16])
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < WORDS; i++)
        sum += wgfp_load16_be(address + 2 * i);
    return sum % 0xffff;
}

static void mapping_make(struct mapping *mapping, const uint8_t before[16], const uint8_t after[16], uint32_t size,
                         uint32_t length)
{
    const bool has_subnet = length <= SUBNET_LENGTH;

    *mapping = (struct mapping){
        .size = size,
        .length = length,
        .keeps_checksums = size == 16 && length <= NEUTRAL_LENGTH,
        .adjustment = (address_sum(before) + 0xffff - address_sum(after)) % 0xffff,
        .first = has_subnet ? SUBNET_WORD : SUBNET_WORD + 1,
        .end = has_subnet ? SUBNET_WORD + 1 : WORDS,
    };
    memcpy(mapping->after, after, 16);
    host_mask_make(mapping->host, length);
}

/* false: it has no counterpart, as 0xffff cannot be told from 0 in a checksum. RFC 6296, 3.7. */
static bool address_adjust(const struct mapping *mapping, uint8_t *address)
{
    for (uint32_t i = mapping->first; i < mapping->end; i++) {
        const uint32_t word = wgfp_load16_be(address + 2 * i);

        if (word != 0xffff) {
            wgfp_store16_be(address + 2 * i, (word + mapping->adjustment) % 0xffff);
            return true;
        }
    }
    return false;
}

static bool address_map(const struct mapping *mapping, const uint8_t *address, uint8_t *mapped)
{
    for (uint32_t i = 0; i < mapping->size; i++)
        mapped[i] = (address[i] & mapping->host[i]) | mapping->after[i];
    return !mapping->keeps_checksums || address_adjust(mapping, mapped);
}

static const struct mapping *mapping_find(const struct direction *direction, const uint8_t *address, uint32_t size)
{
    const uint32_t number = wgfp_allowedips_lookup(direction->prefixes, address, size);

    return number > 0 ? &direction->mappings[number - 1] : NULL;
}

/* -- Which there are -------------------------------------------------------------------------------- */

static int translation_add(struct translations *all, uint32_t number)
{
    const struct wgfp_translation *from = &all->from[number];
    const int error = wgfp_allowedips_insert(all->mapped, from->mapped, from->size, from->length, number + 1);

    if (error != 0)
        return error;
    mapping_make(&all->to_real[number], from->mapped, from->real, from->size, from->length);
    mapping_make(&all->to_mapped[number], from->real, from->mapped, from->size, from->length);
    return wgfp_allowedips_insert(all->real, from->real, from->size, from->length, number + 1);
}

static int translations_fill(struct translations *all, const struct wgfp_translation *from)
{
    all->mapped = wgfp_allowedips_new();
    all->real = wgfp_allowedips_new();
    all->from = calloc(all->count, sizeof *all->from);
    all->to_real = calloc(all->count, sizeof *all->to_real);
    all->to_mapped = calloc(all->count, sizeof *all->to_mapped);
    if (all->mapped == NULL || all->real == NULL || all->from == NULL || all->to_real == NULL ||
        all->to_mapped == NULL)
        return WGFP_ERR_MEMORY;
    memcpy(all->from, from, all->count * sizeof *from);
    for (uint32_t i = 0; i < all->count; i++) {
        const int error = translation_add(all, i);

        if (error != 0)
            return error;
    }
    return 0;
}

int translations_new(struct translations **translations, const struct wgfp_translation *from, size_t count,
                     const struct wgfp_local_port *closed, size_t closed_count)
{
    if (count == 0 || count > MAX_TRANSLATIONS || closed_count > MAX_CLOSED_PORTS)
        return WGFP_ERR_INVALID;
    struct translations *all = calloc(1, sizeof *all);

    if (all == NULL)
        return WGFP_ERR_MEMORY;
    all->count = count;
    all->closed_count = closed_count;
    if (closed_count > 0)
        memcpy(all->closed, closed, closed_count * sizeof *closed);
    const int error = translations_fill(all, from);

    if (error != 0) {
        translations_free(all);
        return error;
    }
    *translations = all;
    return 0;
}

void translations_free(struct translations *translations)
{
    if (translations == NULL)
        return;
    wgfp_allowedips_free(translations->mapped);
    wgfp_allowedips_free(translations->real);
    free(translations->from);
    free(translations->to_real);
    free(translations->to_mapped);
    free(translations);
}

bool translations_equal(const struct translations *a, const struct translations *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    return a->count == b->count && a->closed_count == b->closed_count &&
           memcmp(a->from, b->from, a->count * sizeof *a->from) == 0 &&
           memcmp(a->closed, b->closed, a->closed_count * sizeof *a->closed) == 0;
}

/* -- Checksums -------------------------------------------------------------------------------------- */

/* Where a checksum over the addresses lies in the header of the packet's protocol; 0: it has none. */
static uint32_t checksum_offset(const struct wgfp_view *view)
{
    switch (view->protocol) {
    case TCP:
        return 16;
    case UDP:
    case UDP_LITE:
    case DCCP:
        return 6;
    case ICMPV6:
        return view->version == 6 ? ICMP_CHECKSUM : 0;
    default:
        return 0;
    }
}

/* Is the checksum over the addresses there, or none to be there? */
static bool has_checksum(const struct wgfp_view *view)
{
    const uint32_t offset = checksum_offset(view);

    return packet_fragment_offset(view) != 0 ||
           (view->transport != 0 && (offset == 0 || view->length - view->transport >= offset + 2));
}

/* before, after: sums of the address. */
static void transport_update(const struct wgfp_view *view, uint8_t *packet, uint64_t before, uint64_t after)
{
    const uint32_t offset = checksum_offset(view);
    uint8_t *at = packet + view->transport + offset;

    if (offset == 0 || (view->protocol == UDP && wgfp_load16_be(at) == 0))
        return; /* there is none */
    wgfp_checksum_update(at, before, after);
    if (view->protocol == UDP && wgfp_load16_be(at) == 0)
        wgfp_store16_be(at, 0xffff);
}

/* -- Packets ---------------------------------------------------------------------------------------- */

/* The address in a packet; quoted: one that an error quotes. */
static uint8_t *field_of(const struct direction *direction, const struct wgfp_view *view, uint8_t *packet, bool quoted)
{
    uint8_t *source = packet + (view->version == 4 ? 12 : 8);

    return direction->inbound != quoted ? source + packet_address_size(view) : source;
}

/* Translate an address and the checksums over it. false: it has no counterpart, and nothing is changed. */
static bool readdress(const struct mapping *mapping, const struct wgfp_view *view, uint8_t *packet, uint8_t *field)
{
    uint8_t address[16];

    if (!address_map(mapping, field, address))
        return false;
    const uint64_t before = wgfp_sum(field, mapping->size), after = wgfp_sum(address, mapping->size);

    memcpy(field, address, mapping->size);
    if (view->version == 4)
        wgfp_checksum_update(packet + IPV4_CHECKSUM, before, after);
    if (!mapping->keeps_checksums && packet_fragment_offset(view) == 0 && has_checksum(view))
        transport_update(view, packet, before, after);
    return true;
}

/* Let an ICMP error quote what its receiver had sent. */
static void quoted_translate(const struct direction *direction, const struct wgfp_view *view, uint8_t *packet)
{
    uint8_t *quoted = packet + view->transport + ICMP_HEADER;
    struct wgfp_view inner;

    if (!wgfp_packet_parse_quoted(&inner, quoted, view->length - view->transport - ICMP_HEADER))
        return;
    uint8_t *field = field_of(direction, &inner, quoted, true);
    const struct mapping *mapping = mapping_find(direction, field, packet_address_size(&inner));

    if (mapping == NULL)
        return;
    const uint64_t before = wgfp_sum(quoted, inner.length);

    (void)readdress(mapping, &inner, quoted, field);
    wgfp_checksum_update(packet + view->transport + ICMP_CHECKSUM, before, wgfp_sum(quoted, inner.length));
}

static bool outer_translate(const struct mapping *mapping, const struct wgfp_view *view, uint8_t *packet,
                            uint8_t *field, enum wgfp_drop *reason)
{
    if (!mapping->keeps_checksums && !has_checksum(view)) {
        *reason = view->fragment & FRAGMENT_MORE ? WGFP_DROP_INVALID_FRAGMENT : WGFP_DROP_UNTRANSLATABLE;
        return false;
    }
    *reason = WGFP_DROP_UNTRANSLATABLE;
    return readdress(mapping, view, packet, field);
}

/* mapping: written; NULL: none was for the packet's own address. */
static bool translate(const struct direction *direction, const struct wgfp_view *view, uint8_t *packet,
                      const struct mapping **mapping, enum wgfp_drop *reason)
{
    uint8_t *field = field_of(direction, view, packet, false);

    *mapping = mapping_find(direction, field, packet_address_size(view));
    if (*mapping != NULL && !outer_translate(*mapping, view, packet, field, reason))
        return false;
    if (packet_is_icmp_error(view, packet))
        quoted_translate(direction, view, packet);
    return true;
}

bool translate_outbound(const struct translations *translations, const struct wgfp_view *view, uint8_t *packet,
                        enum wgfp_drop *reason)
{
    const struct direction direction = {translations->real, translations->to_mapped, .inbound = false};
    const struct mapping *mapping;

    return translate(&direction, view, packet, &mapping, reason);
}

/* -- What no translated packet may reach -------------------------------------------------------------- */

/* Clouds tell a host its own secrets there, beside 169.254.169.254, which is link-local. */
static const struct {
    uint32_t size;
    uint8_t address[16];
} metadata[] = {
    {4, {192, 0, 0, 192}},      /* Oracle */
    {4, {100, 100, 100, 200}},  /* Alibaba */
    {4, {168, 63, 129, 16}},    /* Azure */
    {16, {0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, 0x54}}, /* Amazon */
    {16, {0xfd, 0x20, 0x00, 0xce, [14] = 0x02, 0x54}}, /* Google */
};

static bool is_metadata(const uint8_t *address, uint32_t size)
{
    for (size_t i = 0; i < sizeof metadata / sizeof metadata[0]; i++)
        if (metadata[i].size == size && packet_address_equal(metadata[i].address, address, size))
            return true;
    return false;
}

static bool is_special4(const uint8_t a[4])
{
    return a[0] == 0 || a[0] == 127 || (a[0] == 169 && a[1] == 254) || (a[0] >= 224 && a[0] <= 239) ||
           wgfp_load32_be(a) == UINT32_MAX;
}

static bool is_special6(const uint8_t a[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, 0xff}, compatible[12] = {0};

    return a[0] == 0xff || (a[0] == 0xfe && (a[1] & 0xc0) == 0x80) || memcmp(a, mapped, 12) == 0 ||
           memcmp(a, compatible, 12) == 0;
}

static bool is_broadcast(const struct mapping *mapping, const uint8_t *address)
{
    if (mapping->size != 4 || mapping->length > BROADCAST_LENGTH)
        return false;
    const uint32_t host = wgfp_load32_be(mapping->host);

    return (wgfp_load32_be(address) & host) == host;
}

static bool is_closed(const struct translations *translations, const struct wgfp_view *view, const uint8_t *packet)
{
    const uint8_t *transport = packet_transport(view, packet);
    const uint32_t size = packet_address_size(view);

    if (transport == NULL || !packet_has_ports(view))
        return false;
    for (size_t i = 0; i < translations->closed_count; i++) {
        const struct wgfp_local_port *port = &translations->closed[i];

        if (port->port == wgfp_load16_be(transport + 2) && port->protocol == view->protocol && port->size == size &&
            packet_address_equal(port->address, packet_destination(view, packet), size))
            return true;
    }
    return false;
}

static bool is_forbidden(const struct translations *translations, const struct mapping *mapping,
                         const struct wgfp_view *view, const uint8_t *packet)
{
    const uint8_t *address = packet_destination(view, packet);

    return (mapping->size == 4 ? is_special4(address) : is_special6(address)) ||
           is_metadata(address, mapping->size) || is_broadcast(mapping, address) ||
           is_closed(translations, view, packet);
}

bool translate_inbound(const struct translations *translations, const struct wgfp_view *view, uint8_t *packet,
                       enum wgfp_drop *reason)
{
    const struct direction direction = {translations->mapped, translations->to_real, .inbound = true};
    const struct mapping *mapping;

    if (!translate(&direction, view, packet, &mapping, reason))
        return false;
    *reason = WGFP_DROP_FORBIDDEN_DESTINATION;
    return mapping == NULL || !is_forbidden(translations, mapping, view, packet);
}
