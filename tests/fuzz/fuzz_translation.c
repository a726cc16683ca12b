/* Any packets through any of some translations.
 *
 * Invariant: nothing is read or written beyond the packet; what is translated to a site and, with its ends exchanged, back
 * to the mesh is the packet that it was, but that a checksum may be written in its other way (0 and 0xffff are one
 * number); and of a packet that is no ICMP error nothing but addresses and checksums ever changes.
 */
#include "fuzz.h"

#include "translation.h"

#include <stdlib.h>

enum { LONGEST = 2048, MOST_CHANGES = 16 + 2 + 2 /* bytes: an address, IPv4's checksum, and that of the transport */ };

/* Of a host within one prefix of each length; addresses of packets are of one of them, or any. */
static const struct wgfp_translation sites[] = {
    {.mapped = {100, 96, 4}, .real = {192, 168, 1}, .size = 4, .length = 24},
    {.mapped = {100, 112}, .real = {172, 16}, .size = 4, .length = 12},
    {.mapped = {100, 98, 7, 80}, .real = {172, 64, 0, 9}, .size = 4, .length = 32},
    {.mapped = {0xfd, 1, 2, 3, 4, 5}, .real = {0x20, 1, 0xd, 0xb8, 0, 1}, .size = 16, .length = 48},
    {.mapped = {0xfd, 9, 9, 9, 2, 0, 0, 7}, .real = {0x20, 1, 0xd, 0xb8, 0, 3, 0, 1}, .size = 16, .length = 64},
    {.mapped = {0xfd, 8, [13] = 7}, .real = {0xfd, 0, 0, 0x10, [5] = 0x96}, .size = 16, .length = 112},
};
enum { SITES = sizeof sites / sizeof sites[0] };

static uint8_t *destination_of(const struct wgfp_view *view, uint8_t *packet)
{
    return packet + (view->version == 4 ? 16 : 24);
}

/* Let it be a host of a site, whose bits the packet says. */
static void destination_set(const struct wgfp_view *view, uint8_t *packet, const struct wgfp_translation *site)
{
    uint8_t *address = destination_of(view, packet);

    if (packet_address_size(view) != site->size)
        return;
    for (uint32_t bit = 0; bit < site->length; bit++) {
        const uint8_t mask = (uint8_t)(0x80 >> bit % 8);

        address[bit / 8] = (uint8_t)((address[bit / 8] & ~mask) | (site->mapped[bit / 8] & mask));
    }
}

static void ends_exchange(const struct wgfp_view *view, uint8_t *packet)
{
    const uint32_t size = packet_address_size(view);
    uint8_t *source = destination_of(view, packet) - size, former[16];

    memcpy(former, source, size);
    memcpy(source, source + size, size);
    memcpy(source + size, former, size);
}

/* Bytes that differ; 0 and 0xffff at an even place are one number. */
static uint32_t changes_count(const uint8_t *a, const uint8_t *b, uint32_t length)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < length; i++)
        count += a[i] != b[i];
    return count;
}

static bool same_but_for_zeros(const uint8_t *a, const uint8_t *b, uint32_t length)
{
    uint32_t i = 0;

    while (i + 2 <= length) {
        const uint32_t x = wgfp_load16_be(a + i), y = wgfp_load16_be(b + i);

        if (x != y && x % 0xffff != y % 0xffff)
            return false;
        i += 2;
    }
    return i == length || a[i] == b[i];
}

static void packet_check(const struct translations *translations, const struct wgfp_view *view, uint8_t *packet,
                         const uint8_t *before)
{
    enum wgfp_drop reason = WGFP_DROPS;
    const bool is_error = packet_is_icmp_error(view, packet);

    if (!translate_inbound(translations, view, packet, &reason)) {
        require(reason == WGFP_DROP_INVALID_FRAGMENT || reason == WGFP_DROP_UNTRANSLATABLE ||
                reason == WGFP_DROP_FORBIDDEN_DESTINATION, "it says why not");
        return;
    }
    if (is_error)
        return;
    const uint32_t destination = (uint32_t)(destination_of(view, packet) - packet);

    if (packet_address_equal(packet + destination, before + destination, packet_address_size(view))) {
        require(memcmp(packet, before, view->length) == 0, "what is to no site is left as it is");
        return;
    }
    require(changes_count(packet, before, view->length) <= MOST_CHANGES, "only addresses and checksums change");
    ends_exchange(view, packet);
    require(translate_outbound(translations, view, packet, &reason), "what came in goes out");
    ends_exchange(view, packet);
    require(same_but_for_zeros(packet, before, view->length), "there and back is the packet that it was");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct wgfp_local_port closed = {.address = {192, 168, 1, 1}, .size = 4, .protocol = 17, .port = 51820};
    struct translations *translations;
    struct wgfp_view view;

    if (size < 2 || size > LONGEST)
        return 0;
    uint8_t *packet = malloc(size - 1), *before = malloc(size - 1);

    require(packet != NULL && before != NULL, "there is memory");
    require(translations_new(&translations, sites, SITES, &closed, 1) == 0, "there is memory");
    memcpy(packet, data + 1, size - 1);
    if (wgfp_packet_parse(&view, packet, size - 1)) {
        destination_set(&view, packet, &sites[data[0] % SITES]);
        memcpy(before, packet, size - 1);
        packet_check(translations, &view, packet, before);
    }
    translations_free(translations);
    free(packet);
    free(before);
    return 0;
}
