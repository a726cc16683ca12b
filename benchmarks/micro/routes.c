/* Times the look-up of a peer by address, and says what a route takes of memory, once a linear search agrees.
 *
 * Warm: the same 64 addresses again and again. Cold: after SWEPT bytes of other memory were read and written, once as
 * many addresses as there are routes, at most 4,096. Every address has a route; they come in no order.
 */
#define _GNU_SOURCE
#include "allowedips.h"
#include "timing.h"

#include <malloc.h>
#include <stdbool.h>

enum { WARM = 64, COLD = 4096, CHECKED = 100, WIDEST = 16, SWEPT = 64 << 20 };

struct route {
    uint8_t address[WIDEST];
    unsigned length;
};

struct lookups {
    const struct wgfp_allowedips *routes;
    size_t size; /* of an address */
    size_t count;
    const uint8_t (*addresses)[WIDEST];
};

struct kind {
    const char *name;
    size_t size;
    unsigned shortest, longest; /* prefixes */
};

static const struct kind kinds[] = {
    {"IPv4 hosts", 4, 32, 32},
    {"IPv4, /16 to /32", 4, 16, 32},
    {"IPv6 hosts", 16, 128, 128},
    {"IPv6, /32 to /64", 16, 32, 64},
};
static const struct { const char *name; size_t count; } sizes[] = {
    {"1", 1}, {"10", 10}, {"100", 100}, {"1,000", 1000}, {"10,000", 10000}, {"100,000", 100000},
};

static uint8_t *other_memory;

static void look_up(void *state)
{
    const struct lookups *lookups = state;
    uint64_t found = 0;

    for (size_t i = 0; i < lookups->count; i++)
        found += lookups->size == 4 ? wgfp_allowedips_lookup4(lookups->routes, lookups->addresses[i])
                                    : wgfp_allowedips_lookup6(lookups->routes, lookups->addresses[i]);
    sink = found;
}

static void sweep(void *state)
{
    (void)state;
    for (size_t i = 0; i < SWEPT; i += 64)
        other_memory[i]++;
}

static bool bit(const uint8_t *address, unsigned number)
{
    return address[number / 8] >> (7 - number % 8) & 1;
}

static bool contains(const struct route *route, const uint8_t *address)
{
    const unsigned whole = route->length / 8;

    if (memcmp(route->address, address, whole) != 0)
        return false;
    for (unsigned i = whole * 8; i < route->length; i++) {
        if (bit(route->address, i) != bit(address, i))
            return false;
    }
    return true;
}

/* The peer is the route's place in the list, counted from 1; of two equal prefixes the later has it. */
static uint32_t search(const struct route *list, size_t count, const uint8_t *address)
{
    uint32_t best = 0;

    for (size_t i = 0; i < count; i++) {
        if ((best == 0 || list[i].length >= list[best - 1].length) && contains(&list[i], address))
            best = (uint32_t)i + 1;
    }
    return best;
}

static void randomize(uint8_t *address, size_t size, unsigned from, uint64_t *seed)
{
    for (unsigned i = from; i < size * 8; i++) {
        const uint8_t mask = (uint8_t)(0x80 >> i % 8);

        address[i / 8] = (uint8_t)((address[i / 8] & ~mask) | (random_next(seed) & 1 ? mask : 0));
    }
}

/* Fill the routes until there are `count` of them, and the list with all that was inserted. Returns how many that are:
 * a few prefixes come twice. */
static size_t fill(struct wgfp_allowedips *routes, struct route *list, const struct kind *kind, size_t count,
                   uint64_t *seed)
{
    size_t filled = 0;

    while (wgfp_allowedips_count(routes) < count) {
        struct route *one = &list[filled++];

        if (filled == 2 * count)
            fail("there are not so many prefixes");
        one->length = kind->shortest + (unsigned)(random_next(seed) % (kind->longest - kind->shortest + 1));
        randomize(one->address, kind->size, 0, seed);
        for (unsigned i = one->length; i < kind->size * 8; i++)
            one->address[i / 8] &= (uint8_t)~(0x80 >> i % 8);
        if (wgfp_allowedips_insert(routes, one->address, kind->size, one->length, (uint32_t)filled) != 0)
            fail("a route cannot be inserted");
    }
    return filled;
}

static void check(const struct lookups *lookups, const struct route *list, size_t filled)
{
    for (size_t i = 0; i < CHECKED; i++) {
        const uint8_t *address = lookups->addresses[i % lookups->count];
        const uint32_t found = lookups->size == 4 ? wgfp_allowedips_lookup4(lookups->routes, address)
                                                  : wgfp_allowedips_lookup6(lookups->routes, address);

        if (found == 0 || found != search(list, filled, address))
            fail("a linear search finds another peer");
    }
}

static size_t memory_used(void)
{
    const struct mallinfo2 heap = mallinfo2();

    return heap.uordblks + heap.hblkhd;
}

static void add(const char *line, const char *column, const struct lookups *lookups, size_t count)
{
    struct lookups *some = allocated(sizeof *some);
    struct candidate *added = candidate_add(column, look_up, some);

    *some = *lookups;
    some->count = count;
    snprintf(added->line, sizeof added->line, "%s", line);
    added->each = (double)count;
}

/* Returns the bytes that a route takes, of what all tables take together. */
static double add_routes(const char *line, const struct kind *kind, size_t count)
{
    struct route *list = allocated((2 * count + 1) * sizeof *list);
    uint8_t(*addresses)[WIDEST] = allocated(COLD * sizeof *addresses);
    const size_t before = memory_used();
    struct wgfp_allowedips *routes = wgfp_allowedips_new();
    uint64_t seed = count;

    if (routes == NULL)
        fail("there is no memory");
    const size_t filled = fill(routes, list, kind, count, &seed), used = memory_used() - before;

    for (size_t i = 0; i < COLD; i++) {
        const struct route *one = &list[random_next(&seed) % filled];

        memcpy(addresses[i], one->address, sizeof one->address);
        randomize(addresses[i], kind->size, one->length, &seed);
    }
    const struct lookups lookups = {routes, kind->size, COLD, (const uint8_t(*)[WIDEST])addresses};

    check(&lookups, list, filled);
    free(list);
    add(line, "warm", &lookups, WARM);
    add(line, "cold", &lookups, count < COLD ? count : COLD);
    candidates[candidate_count - 1].prepare = sweep;
    return (double)used / (double)count;
}

int main(int count, char **arguments)
{
    char line[LINE_SIZE];

    other_memory = allocated(SWEPT);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            snprintf(line, sizeof line, "%s, %s", kinds[i].name, sizes[k].name);
            printf("%s\tmemory, B/route\t%.4f\n", line, add_routes(line, &kinds[i], sizes[k].count));
        }
    }
    return timing_main(count, arguments);
}
