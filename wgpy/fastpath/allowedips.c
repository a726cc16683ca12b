/* One hash table per prefix length in use, longest first, as the portable data path has one dictionary. Nearly always
 * one table knows the address, and that is one access to memory where a trie of many prefixes takes one a level.
 *
 * Some lists have many lengths, such as "everything but the private networks". So it is noted which lengths occur
 * among prefixes that begin with the same byte as the address, and only those are asked.
 *
 * Keys come from the configuration, never from the network, so the hash is no secret.
 */
#include "allowedips.h"

#include "bytes.h"

#include <stdbool.h>
#include <stdlib.h>

enum {
    FEWEST_SLOTS = 4,
    FIRST_CHUNK = 64, /* prefixes; every further chunk has twice as many */
    CHUNKS = 18,      /* hence at most 16,777,151 prefixes */
    FEWEST_PEERS = 16,
    WORD_BITS = 64,
    LENGTHS = 129,
    LENGTH_WORDS = 3,
    NONE = 0, /* no peer, or no number of a prefix */
};

/* The first bits of an address come first; of IPv4 there are only 32, in `high`. */
struct key {
    uint64_t high, low;
};

struct slot {
    struct key key;
    uint32_t peer;   /* NONE: the slot is empty */
    uint32_t number; /* of the prefix */
};

/* Open addressing with linear probing. A key is in the first free slot from its home on, and at most half of the
 * slots are used. */
struct table {
    struct slot *slots; /* NULL: there are none yet */
    uint32_t mask;      /* their number, a power of two, less one */
    uint32_t used;
};

struct level {
    struct table table;
    struct key mask;
};

struct family {
    unsigned bits;
    /* Bit n of lengths[b]: level n may have a prefix of an address whose first byte is b; and it is not empty. */
    uint64_t lengths[256][LENGTH_WORDS];
    struct level levels[LENGTHS]; /* by prefix length */
};

/* Where a prefix is, and the chain of its peer's prefixes. */
struct prefix {
    struct key key;
    uint32_t next, previous; /* numbers; NONE at the ends. In the chain of free ones, `previous` has no meaning */
    uint32_t peer;
    uint8_t length;
    bool is_ipv6;
};

struct wgfp_allowedips {
    struct family ipv4, ipv6;
    uint32_t *newest;   /* number of a peer's newest prefix, by peer; NONE: it has none */
    uint32_t peer_room; /* peers below it have a place there */
    struct prefix *chunks[CHUNKS]; /* memory for prefixes, by number; they never move */
    uint32_t allocated; /* numbers below it have memory */
    uint32_t unused;    /* from here on no number was ever given */
    uint32_t free;      /* the first of the chain of numbers that were given back */
    uint32_t count;     /* of prefixes */
};

/* Keys. */

static uint64_t load64_be(const uint8_t *p)
{
    return (uint64_t)wgfp_load32_be(p) << 32 | wgfp_load32_be(p + 4);
}

static void store64_be(uint8_t *p, uint64_t word)
{
    for (int i = 7; i >= 0; i--, word >>= 8)
        p[i] = (uint8_t)word;
}

static struct key key_ipv4(const uint8_t address[4])
{
    return (struct key){(uint64_t)wgfp_load32_be(address) << 32, 0};
}

static struct key key_ipv6(const uint8_t address[16])
{
    return (struct key){load64_be(address), load64_be(address + 8)};
}

static struct key key_and(struct key a, struct key b)
{
    return (struct key){a.high & b.high, a.low & b.low};
}

static bool key_equal(struct key a, struct key b)
{
    return ((a.high ^ b.high) | (a.low ^ b.low)) == 0;
}

static struct key key_mask(unsigned length)
{
    if (length == 0)
        return (struct key){0, 0};
    if (length <= WORD_BITS)
        return (struct key){UINT64_MAX << (WORD_BITS - length), 0};
    return (struct key){UINT64_MAX, UINT64_MAX << (2 * WORD_BITS - length)};
}

/* Tables. */

static uint32_t home(const struct table *table, struct key key)
{
    uint64_t x = key.high * 0x9e3779b97f4a7c15 + key.low * 0xc2b2ae3d27d4eb4f;

    x = (x ^ x >> 32) * 0x9e3779b97f4a7c15;
    return (uint32_t)(x >> 32) & table->mask;
}

/* The key's slot, or the empty one where it would be. The table must have slots. */
static struct slot *table_slot(const struct table *table, struct key key)
{
    uint32_t at = home(table, key);

    while (table->slots[at].peer != NONE && !key_equal(table->slots[at].key, key))
        at = (at + 1) & table->mask;
    return &table->slots[at];
}

static struct slot *table_find(const struct table *table, struct key key)
{
    struct slot *slot = table->slots == NULL ? NULL : table_slot(table, key);

    return slot == NULL || slot->peer == NONE ? NULL : slot;
}

/* Make room for one key more. False if there is no memory. */
static bool table_reserve(struct table *table)
{
    const uint32_t size = table->slots == NULL ? 0 : table->mask + 1;
    struct table larger = {.used = table->used};

    if (2 * (table->used + 1) <= size)
        return true;
    larger.mask = (size == 0 ? FEWEST_SLOTS : 2 * size) - 1;
    larger.slots = malloc(((size_t)larger.mask + 1) * sizeof *larger.slots);
    if (larger.slots == NULL)
        return false;
    /* Not by calloc: pages that are read before they are written are faulted in twice. */
    for (uint32_t i = 0; i <= larger.mask; i++)
        larger.slots[i].peer = NONE;
    for (uint32_t i = 0; i < size; i++) {
        if (table->slots[i].peer != NONE)
            *table_slot(&larger, table->slots[i].key) = table->slots[i];
    }
    free(table->slots);
    *table = larger;
    return true;
}

static void table_insert(struct table *table, struct slot slot)
{
    *table_slot(table, slot.key) = slot;
    table->used++;
}

/* What follows is moved up, as far as it is not at home, so that nothing is behind an empty slot. */
static void table_remove(struct table *table, struct key key)
{
    uint32_t hole = (uint32_t)(table_slot(table, key) - table->slots);

    for (uint32_t at = (hole + 1) & table->mask; table->slots[at].peer != NONE; at = (at + 1) & table->mask) {
        const uint32_t from_home = (at - home(table, table->slots[at].key)) & table->mask;

        if (from_home >= ((at - hole) & table->mask)) {
            table->slots[hole] = table->slots[at];
            hole = at;
        }
    }
    table->slots[hole].peer = NONE;
    table->used--;
}

/* Numbers of prefixes. */

/* The first number of a chunk, and how many numbers are in the chunks before it. */
static uint32_t chunk_begin(unsigned chunk)
{
    return ((uint32_t)FIRST_CHUNK << chunk) - FIRST_CHUNK;
}

static unsigned chunk_of(uint32_t number)
{
    return (unsigned)(__builtin_clz(FIRST_CHUNK) - __builtin_clz(number + FIRST_CHUNK));
}

static struct prefix *prefix_at(const struct wgfp_allowedips *routes, uint32_t number)
{
    const unsigned chunk = chunk_of(number);

    return &routes->chunks[chunk][number - chunk_begin(chunk)];
}

static bool numbers_reserve(struct wgfp_allowedips *routes)
{
    const unsigned chunk = chunk_of(routes->allocated); /* the next one */

    if (routes->free != NONE || routes->unused < routes->allocated)
        return true;
    if (chunk == CHUNKS)
        return false;
    routes->chunks[chunk] = malloc(((size_t)FIRST_CHUNK << chunk) * sizeof *routes->chunks[chunk]);
    if (routes->chunks[chunk] == NULL)
        return false;
    routes->allocated = chunk_begin(chunk + 1);
    return true;
}

static uint32_t number_take(struct wgfp_allowedips *routes)
{
    const uint32_t number = routes->free;

    routes->count++;
    if (number == NONE)
        return routes->unused++;
    routes->free = prefix_at(routes, number)->next;
    return number;
}

static void number_give_back(struct wgfp_allowedips *routes, uint32_t number)
{
    prefix_at(routes, number)->next = routes->free;
    routes->free = number;
    routes->count--;
}

/* The chains of peers' prefixes. */

static uint32_t newest_of(const struct wgfp_allowedips *routes, uint32_t peer)
{
    return peer < routes->peer_room ? routes->newest[peer] : NONE;
}

/* Have a place for the peer. False if there is no memory. */
static bool peers_reserve(struct wgfp_allowedips *routes, uint32_t peer)
{
    uint32_t room = routes->peer_room == 0 ? FEWEST_PEERS : routes->peer_room;

    if (peer < routes->peer_room)
        return true;
    while (room <= peer)
        room *= 2;
    uint32_t *larger = realloc(routes->newest, room * sizeof *larger);

    if (larger == NULL)
        return false;
    for (uint32_t other = routes->peer_room; other < room; other++)
        larger[other] = NONE;
    routes->newest = larger;
    routes->peer_room = room;
    return true;
}

/* The peer must have a place. */
static void chain_add(struct wgfp_allowedips *routes, uint32_t number, uint32_t peer)
{
    struct prefix *prefix = prefix_at(routes, number);

    prefix->peer = peer;
    prefix->previous = NONE;
    prefix->next = routes->newest[peer];
    if (prefix->next != NONE)
        prefix_at(routes, prefix->next)->previous = number;
    routes->newest[peer] = number;
}

static void chain_remove(struct wgfp_allowedips *routes, uint32_t number)
{
    const struct prefix *prefix = prefix_at(routes, number);

    if (prefix->next != NONE)
        prefix_at(routes, prefix->next)->previous = prefix->previous;
    if (prefix->previous != NONE)
        prefix_at(routes, prefix->previous)->next = prefix->next;
    else
        routes->newest[prefix->peer] = prefix->next;
}

/* Families. */

static void family_init(struct family *family, unsigned bits)
{
    family->bits = bits;
    for (unsigned length = 0; length <= bits; length++)
        family->levels[length].mask = key_mask(length);
}

/* First bytes of addresses that the prefix contains: one, or all from its own on that differ in bits beyond it. */
static void family_note_length(struct family *family, struct key key, unsigned length)
{
    const unsigned first = (unsigned)(key.high >> 56);
    const unsigned more = length >= 8 ? 0 : 0xffu >> length;

    for (unsigned byte = first; byte <= first + more; byte++)
        family->lengths[byte][length / WORD_BITS] |= (uint64_t)1 << length % WORD_BITS;
}

static void family_remove(struct family *family, struct key key, unsigned length)
{
    struct table *table = &family->levels[length].table;

    table_remove(table, key);
    if (table->used > 0)
        return;
    free(table->slots);
    *table = (struct table){0};
    for (unsigned byte = 0; byte < 256; byte++)
        family->lengths[byte][length / WORD_BITS] &= ~((uint64_t)1 << length % WORD_BITS);
}

static inline uint32_t family_lookup(const struct family *family, struct key address, int words)
{
    const uint64_t *lengths = family->lengths[address.high >> 56];

    for (int word = words - 1; word >= 0; word--) {
        for (uint64_t left = lengths[word]; left != 0;) {
            const int bit = WORD_BITS - 1 - __builtin_clzll(left);
            const struct level *level = &family->levels[word * WORD_BITS + bit];
            const uint32_t peer = table_slot(&level->table, key_and(address, level->mask))->peer;

            if (peer != NONE)
                return peer;
            left ^= (uint64_t)1 << bit;
        }
    }
    return NONE;
}

/* What allowedips.h offers. */

struct wgfp_allowedips *wgfp_allowedips_new(void)
{
    struct wgfp_allowedips *routes = calloc(1, sizeof *routes);

    if (routes == NULL)
        return NULL;
    family_init(&routes->ipv4, 32);
    family_init(&routes->ipv6, 128);
    routes->unused = NONE + 1;
    return routes;
}

static void family_free(struct family *family)
{
    for (unsigned length = 0; length <= family->bits; length++)
        free(family->levels[length].table.slots);
}

void wgfp_allowedips_free(struct wgfp_allowedips *routes)
{
    if (routes == NULL)
        return;
    family_free(&routes->ipv4);
    family_free(&routes->ipv6);
    free(routes->newest);
    for (unsigned chunk = 0; chunk < CHUNKS; chunk++)
        free(routes->chunks[chunk]);
    free(routes);
}

/* A prefix's family and key; NULL for what is no prefix. */
static struct family *family_of(struct wgfp_allowedips *routes, const uint8_t *address, size_t size, unsigned length,
                                struct key *key)
{
    struct family *family = size == 4 ? &routes->ipv4 : size == 16 ? &routes->ipv6 : NULL;

    if (family == NULL || length > family->bits)
        return NULL;
    *key = size == 4 ? key_ipv4(address) : key_ipv6(address);
    return key_equal(*key, key_and(*key, family->levels[length].mask)) ? family : NULL;
}

int wgfp_allowedips_insert(struct wgfp_allowedips *routes, const uint8_t *address, size_t size, unsigned length,
                           uint32_t peer)
{
    struct key key;
    struct family *family = family_of(routes, address, size, length, &key);

    if (family == NULL || peer == NONE || peer > WGFP_MAX_OWNER)
        return WGFP_ERR_INVALID;
    struct table *table = &family->levels[length].table;
    struct slot *slot = table_find(table, key);

    if (slot != NULL && slot->peer == peer)
        return 0;
    /* All that can fail comes first. */
    if (!peers_reserve(routes, peer))
        return WGFP_ERR_MEMORY;
    if (slot != NULL) {
        chain_remove(routes, slot->number);
        chain_add(routes, slot->number, peer);
        slot->peer = peer;
        return 0;
    }
    if (!table_reserve(table) || !numbers_reserve(routes))
        return WGFP_ERR_MEMORY;
    const uint32_t number = number_take(routes);

    *prefix_at(routes, number) = (struct prefix){.key = key, .length = (uint8_t)length, .is_ipv6 = size == 16};
    chain_add(routes, number, peer);
    table_insert(table, (struct slot){key, peer, number});
    family_note_length(family, key, length);
    return 0;
}

static void prefix_remove(struct wgfp_allowedips *routes, uint32_t number)
{
    const struct prefix *prefix = prefix_at(routes, number);

    chain_remove(routes, number);
    family_remove(prefix->is_ipv6 ? &routes->ipv6 : &routes->ipv4, prefix->key, prefix->length);
    number_give_back(routes, number);
}

void wgfp_allowedips_remove(struct wgfp_allowedips *routes, const uint8_t *address, size_t size, unsigned length,
                            uint32_t peer)
{
    struct key key;
    struct family *family = family_of(routes, address, size, length, &key);
    const struct slot *slot = family == NULL ? NULL : table_find(&family->levels[length].table, key);

    if (slot != NULL && slot->peer == peer)
        prefix_remove(routes, slot->number);
}

static void prefix_write(const struct prefix *prefix, uint8_t bytes[WGFP_PREFIX_SIZE])
{
    store64_be(bytes, prefix->key.high);
    store64_be(bytes + 8, prefix->key.low);
    bytes[16] = prefix->is_ipv6 ? 16 : 4;
    bytes[17] = prefix->length;
}

size_t wgfp_allowedips_of_peer(const struct wgfp_allowedips *routes, uint32_t peer, uint8_t *prefixes, size_t room)
{
    const uint32_t newest = newest_of(routes, peer);
    size_t count = 0;

    for (uint32_t number = newest; number != NONE; number = prefix_at(routes, number)->next)
        count++;
    if (count > room)
        return count;
    uint8_t *at = prefixes + count * WGFP_PREFIX_SIZE;

    for (uint32_t number = newest; number != NONE; number = prefix_at(routes, number)->next)
        prefix_write(prefix_at(routes, number), at -= WGFP_PREFIX_SIZE);
    return count;
}

void wgfp_allowedips_remove_peer(struct wgfp_allowedips *routes, uint32_t peer)
{
    uint32_t newest;

    while ((newest = newest_of(routes, peer)) != NONE)
        prefix_remove(routes, newest);
}

uint32_t wgfp_allowedips_lookup4(const struct wgfp_allowedips *routes, const uint8_t address[4])
{
    return family_lookup(&routes->ipv4, key_ipv4(address), 1);
}

uint32_t wgfp_allowedips_lookup6(const struct wgfp_allowedips *routes, const uint8_t address[16])
{
    return family_lookup(&routes->ipv6, key_ipv6(address), LENGTH_WORDS);
}

size_t wgfp_allowedips_count(const struct wgfp_allowedips *routes)
{
    return routes->count;
}
