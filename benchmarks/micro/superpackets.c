/* Times how superpackets are cut into packets of 1,420 bytes, and how these are joined again.
 *
 * Before that, what is joined is what was cut, byte by byte.
 */
#define _GNU_SOURCE
#include "superpacket.h"
#include "timing.h"

enum { STRIDE = 1536, MOST_PACKETS = 64 };

/* A superpacket and the packets it is cut into. */
struct trip {
    struct superpacket whole;
    uint8_t cut[MOST_PACKETS * STRIDE], again[MOST_PACKETS * STRIDE];
    struct wgfp_packet packets[MOST_PACKETS];
    struct wgfp_group groups[MOST_PACKETS];
};

static void cut(void *state)
{
    struct trip *trip = state;
    struct wgfp_gso gso;
    size_t length = 0;

    if (wgfp_gso_parse(&gso, &trip->whole.vnet, trip->whole.bytes, trip->whole.length) != WGFP_GSO_ACCEPTED)
        fail("the superpacket is refused");
    for (uint32_t i = 0; i < gso.count; i++)
        length += wgfp_gso_copy(&gso, i, trip->cut + (size_t)i * STRIDE);
    sink = length;
}

/* Joining changes headers in place. */
static void lay_out(void *state)
{
    struct trip *trip = state;

    memcpy(trip->again, trip->cut, sizeof trip->again);
    for (uint32_t i = 0; i < trip->whole.packets; i++)
        trip->packets[i] = (struct wgfp_packet){.data = trip->again + (size_t)i * STRIDE, .length = MTU};
}

static void join(void *state)
{
    struct trip *trip = state;

    for (uint32_t i = 0; i < trip->whole.packets; i++)
        (void)wgfp_packet_parse(&trip->packets[i].view, trip->packets[i].data, trip->packets[i].length);
    sink = wgfp_coalesce(trip->packets, trip->whole.packets, WGFP_COALESCE_TCP | WGFP_COALESCE_UDP, trip->groups);
}

static void check(struct trip *trip)
{
    static uint8_t joined[MOST_BYTES + 1];
    struct wgfp_slice slices[WGFP_GROUP_PACKETS];
    size_t length = 0;

    cut(trip);
    lay_out(trip);
    join(trip);
    if (sink != 1 || memcmp(&trip->groups[0].vnet, &trip->whole.vnet, sizeof trip->whole.vnet) != 0)
        fail("what was cut is not joined again");
    wgfp_group_slices(&trip->groups[0], trip->packets, slices);
    for (uint32_t i = 0; i < trip->groups[0].count; i++) {
        memcpy(joined + length, slices[i].data, slices[i].length);
        length += slices[i].length;
    }
    if (length != trip->whole.length || memcmp(joined, trip->whole.bytes, length) != 0)
        fail("what is joined is not what was cut");
}

static struct candidate *add(const char *column, void (*run)(void *), struct trip *trip, const char *kind)
{
    struct candidate *added = candidate_add(column, run, trip);

    snprintf(added->line, sizeof added->line, "%s, %u packets", kind, trip->whole.packets);
    added->bytes = (double)trip->whole.length;
    return added;
}

int main(int count, char **arguments)
{
    static const uint32_t sizes[] = {2, 8, UINT32_MAX};

    for (int kind = 0; kind < SUPERPACKET_KINDS; kind++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            struct trip *trip = allocated(sizeof *trip);

            superpacket_make(&trip->whole, (enum superpacket_kind)kind, sizes[i]);
            check(trip);
            add("segment", cut, trip, superpacket_names[kind]);
            add("coalesce", join, trip, superpacket_names[kind])->prepare = lay_out;
        }
    }
    return timing_main(count, arguments);
}
