/* Permits; what the functions mean is said in permits.h. */
#include "permits.h"

#include "errors.h"

#include <stdlib.h>
#include <string.h>

enum { NO_PERMIT = MAX_PERMITS };

/* What permits have in common that one look-up finds. Masks are in memory's order, and 0 where any address matches. */
struct shape {
    uint64_t source_mask[2], destination_mask[2];
    uint32_t size;        /* of their addresses: 4 or 16; 0: those of both versions */
    uint32_t of_protocol; /* 1: each is of one */
};

struct group {
    struct shape shape;
    uint32_t first; /* the position of its first permit */
};

/* What is compared of a packet. No byte of it is padding. */
struct key {
    uint64_t source[2], destination[2];
    uint32_t group, protocol; /* 0: any */
};

/* Ports from `first` to where the next cell of its key begins. */
struct cell {
    uint32_t first, position; /* of the permit that they have; NO_PERMIT: none */
};

struct entry {
    struct key key;
    uint32_t first_cell, cells;
};

struct permits {
    size_t count;
    struct wgfp_permit *all;
    uint32_t group_count, mask; /* of the slots' number, a power of two */
    struct group *groups;       /* the one with the first permit first */
    struct entry *entries;
    struct cell *cells;
    uint32_t *slots; /* numbers of entries, and one; 0: free */
};

_Static_assert(sizeof(struct wgfp_permit) == 64, "a permit has no padding, as it is compared");
_Static_assert(sizeof(struct shape) == 40, "a shape has no padding, as it is compared");
_Static_assert(sizeof(struct key) == 40, "a key has no padding, as it is compared");

/* -- Shapes and keys -------------------------------------------------------------------------------- */

static void mask_make(uint64_t mask[2], uint32_t length)
{
    uint8_t bytes[16] = {0};

    for (uint32_t bit = 0; bit < length; bit++)
        bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
    memcpy(mask, bytes, sizeof bytes);
}

static void address_load(uint64_t words[2], const uint8_t *address, uint32_t size)
{
    uint32_t word;

    if (size == 16) {
        memcpy(words, address, 16);
        return;
    }
    memcpy(&word, address, sizeof word);
    words[0] = 0;
    words[1] = 0;
    memcpy(words, &word, sizeof word);
}

/* size: of the addresses asked about. */
static void key_make(struct key *key, const struct shape *shape, uint32_t group, const struct subject *subject)
{
    uint64_t source[2], destination[2];

    address_load(source, subject->source, subject->size);
    address_load(destination, subject->destination, subject->size);
    for (int i = 0; i < 2; i++) {
        key->source[i] = source[i] & shape->source_mask[i];
        key->destination[i] = destination[i] & shape->destination_mask[i];
    }
    key->group = group;
    key->protocol = shape->of_protocol ? (uint32_t)subject->protocol : 0;
}

static uint64_t key_hash(const struct key *key)
{
    const uint64_t words[] = {key->source[0], key->source[1], key->destination[0], key->destination[1],
                              (uint64_t)key->group << 32 | key->protocol};
    uint64_t hash = 0;

    for (int i = 0; i < 5; i++) {
        hash = (hash ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }
    return hash;
}

static bool key_equal(const struct key *a, const struct key *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* Where it is, or would be. */
static uint32_t *slot_of(const struct permits *permits, const struct key *key)
{
    uint64_t at = key_hash(key);

    for (;; at++) {
        uint32_t *slot = &permits->slots[at & permits->mask];

        if (*slot == 0 || key_equal(&permits->entries[*slot - 1].key, key))
            return slot;
    }
}

/* -- Looking up ------------------------------------------------------------------------------------- */

static bool shape_asks(const struct shape *shape, const struct subject *subject)
{
    return (shape->size == 0 || shape->size == subject->size) && (!shape->of_protocol || subject->protocol >= 0);
}

/* The position of the permit that has the port. The first cell begins at 0. */
static uint32_t cell_find(const struct cell *cells, uint32_t count, uint32_t port)
{
    while (count > 1) {
        const uint32_t half = count / 2;

        cells += cells[half].first <= port ? half : 0;
        count -= half;
    }
    return cells->position;
}

uint32_t permits_find(const struct permits *permits, const struct subject *subject)
{
    uint32_t best = NO_PERMIT;

    for (uint32_t i = 0; i < permits->group_count && permits->groups[i].first < best; i++) {
        const struct shape *shape = &permits->groups[i].shape;
        struct key key;

        if (!shape_asks(shape, subject))
            continue;
        key_make(&key, shape, i, subject);
        const uint32_t slot = *slot_of(permits, &key);

        if (slot != 0) {
            const struct entry *entry = &permits->entries[slot - 1];
            const uint32_t found = cell_find(&permits->cells[entry->first_cell], entry->cells, subject->port);

            best = found < best ? found : best;
        }
    }
    return best == NO_PERMIT ? NO_RULE : permits->all[best].rule;
}

bool permits_equal(const struct permits *a, const struct permits *b)
{
    return a->count == b->count && memcmp(a->all, b->all, a->count * sizeof *a->all) == 0;
}

/* -- Making ----------------------------------------------------------------------------------------- */

static bool prefix_is_valid(const uint8_t *address, uint32_t size, uint32_t length)
{
    if ((size != 0 && size != 4 && size != 16) || length > 8 * size)
        return false;
    for (uint32_t bit = length; bit < 8 * size; bit++)
        if (address[bit / 8] & 0x80 >> bit % 8)
            return false;
    return true;
}

static bool permit_is_valid(const struct wgfp_permit *permit)
{
    return permit->rule < MAX_RULES && permit->protocol <= UINT8_MAX && permit->first_port <= permit->last_port &&
           permit->last_port <= MAX_PORT &&
           prefix_is_valid(permit->source, permit->source_size, permit->source_length) &&
           prefix_is_valid(permit->destination, permit->destination_size, permit->destination_length);
}

/* What lies behind an address of IPv4 means nothing. */
static void permit_copy(struct wgfp_permit *to, const struct wgfp_permit *from)
{
    *to = *from;
    memset(to->source + from->source_size, 0, 16 - from->source_size);
    memset(to->destination + from->destination_size, 0, 16 - from->destination_size);
}

/* Can a packet have both addresses? */
static bool versions_agree(const struct wgfp_permit *permit)
{
    return permit->source_size == 0 || permit->destination_size == 0 || permit->source_size == permit->destination_size;
}

static void shape_make(struct shape *shape, const struct wgfp_permit *permit)
{
    mask_make(shape->source_mask, permit->source_length);
    mask_make(shape->destination_mask, permit->destination_length);
    shape->size = permit->source_size != 0 ? permit->source_size : permit->destination_size;
    shape->of_protocol = permit->protocol != 0;
}

/* The group of a permit's shape, which is added if it is new. */
static uint32_t group_of(struct permits *permits, const struct wgfp_permit *permit, uint32_t position)
{
    struct group new = {.first = position};
    uint32_t i = 0;

    shape_make(&new.shape, permit);
    while (i < permits->group_count && memcmp(&permits->groups[i].shape, &new.shape, sizeof new.shape) != 0)
        i++;
    if (i == permits->group_count)
        permits->groups[permits->group_count++] = new;
    return i;
}

/* The number of the entry of a permit's key, which is added if it is new. */
static uint32_t entry_of(struct permits *permits, const struct wgfp_permit *permit, uint32_t position, uint32_t *count)
{
    const uint32_t group = group_of(permits, permit, position);
    const struct subject subject = {permit->source, permit->destination, 16, (int)permit->protocol, 0};
    struct key key;

    key_make(&key, &permits->groups[group].shape, group, &subject);
    uint32_t *slot = slot_of(permits, &key);

    if (*slot == 0) {
        permits->entries[*count] = (struct entry){.key = key};
        *slot = ++*count;
    }
    return *slot - 1;
}

/* The first port behind. Only a permit for all ports is of protocols without, too. */
static uint32_t end_of(const struct wgfp_permit *permit)
{
    return permit->first_port == 0 && permit->last_port == MAX_PORT ? NO_PORT + 1 : permit->last_port + 1;
}

static int compare(const void *a, const void *b)
{
    const uint32_t one = *(const uint32_t *)a, other = *(const uint32_t *)b;

    return (one > other) - (one < other);
}

/* The number of the cell that begins at a port. */
static uint32_t cell_at(const struct entry *entry, const struct cell *cells, uint32_t port)
{
    uint32_t low = 0, count = entry->cells;

    while (count > 1) {
        const uint32_t half = count / 2;

        low += cells[low + half].first <= port ? half : 0;
        count -= half;
    }
    return low;
}

/* The first cell from one on that no permit has; free: the next one to look at, of each. */
static uint32_t free_from(uint32_t *free, uint32_t cell)
{
    while (free[cell] != cell) {
        free[cell] = free[free[cell]];
        cell = free[cell];
    }
    return cell;
}

/* What is needed while permits are made. */
struct scratch {
    uint32_t *entry_of; /* of each permit; NO_PERMIT: no packet can match it */
    uint32_t *by_entry; /* positions of permits, those of each entry together and in order */
    uint32_t *begins;   /* where each entry's begin in by_entry, and where the last one's end */
    uint32_t *ports;    /* at which a cell begins */
    uint32_t *free;
};

static void cells_give(struct permits *permits, struct entry *entry, uint32_t position, uint32_t *free)
{
    struct cell *cells = &permits->cells[entry->first_cell];
    const struct wgfp_permit *permit = &permits->all[position];
    const uint32_t end = end_of(permit);
    uint32_t cell = free_from(free, cell_at(entry, cells, permit->first_port));

    for (; cell < entry->cells && cells[cell].first < end; cell = free_from(free, cell)) {
        cells[cell].position = position;
        free[cell] = cell + 1;
    }
}

/* positions: of the entry's permits. Each port goes to the first one that is of it. */
static void cells_make(struct permits *permits, struct entry *entry, const uint32_t *positions, uint32_t count,
                       struct scratch *scratch)
{
    struct cell *cells = &permits->cells[entry->first_cell];
    uint32_t ports = 1;

    scratch->ports[0] = 0;
    for (uint32_t i = 0; i < count; i++) {
        scratch->ports[ports++] = permits->all[positions[i]].first_port;
        scratch->ports[ports++] = end_of(&permits->all[positions[i]]);
    }
    qsort(scratch->ports, ports, sizeof *scratch->ports, compare);
    for (uint32_t i = 0; i < ports; i++)
        if (i == 0 || scratch->ports[i] != scratch->ports[i - 1])
            cells[entry->cells++] = (struct cell){scratch->ports[i], NO_PERMIT};
    for (uint32_t i = 0; i <= entry->cells; i++)
        scratch->free[i] = i;
    for (uint32_t i = 0; i < count; i++)
        cells_give(permits, entry, positions[i], scratch->free);
}

/* Sort the permits by their entries; the sort is stable. */
static void sort_by_entry(const struct permits *permits, struct scratch *scratch, uint32_t entries)
{
    for (size_t i = 0; i < permits->count; i++)
        if (scratch->entry_of[i] != NO_PERMIT)
            scratch->begins[scratch->entry_of[i] + 1]++;
    for (uint32_t i = 0; i < entries; i++)
        scratch->begins[i + 1] += scratch->begins[i];
    memcpy(scratch->free, scratch->begins, (entries + 1) * sizeof *scratch->free);
    for (size_t i = 0; i < permits->count; i++)
        if (scratch->entry_of[i] != NO_PERMIT)
            scratch->by_entry[scratch->free[scratch->entry_of[i]]++] = (uint32_t)i;
}

static void index_make(struct permits *permits, struct scratch *scratch)
{
    uint32_t entries = 0, cells = 0;

    for (uint32_t i = 0; i < permits->count; i++)
        scratch->entry_of[i] = versions_agree(&permits->all[i]) ? entry_of(permits, &permits->all[i], i, &entries)
                                                                : NO_PERMIT;
    sort_by_entry(permits, scratch, entries);
    for (uint32_t i = 0; i < entries; i++) {
        const uint32_t begin = scratch->begins[i], count = scratch->begins[i + 1] - begin;

        permits->entries[i].first_cell = cells;
        cells_make(permits, &permits->entries[i], scratch->by_entry + begin, count, scratch);
        cells += permits->entries[i].cells;
    }
}

static uint32_t slot_count(size_t permits)
{
    uint32_t count = 2;

    while (count < 2 * permits)
        count *= 2;
    return count;
}

/* false: there is no memory for all of it. */
static bool room_make(struct permits *permits, struct scratch *scratch, size_t count)
{
    const size_t cells = 3 * count + 1; /* 1 + 2 x permits of each entry */

    permits->count = count;
    permits->mask = slot_count(count) - 1;
    permits->all = calloc(count + 1, sizeof *permits->all);
    permits->groups = calloc(count + 1, sizeof *permits->groups);
    permits->entries = calloc(count + 1, sizeof *permits->entries);
    permits->cells = calloc(cells, sizeof *permits->cells);
    permits->slots = calloc(permits->mask + 1, sizeof *permits->slots);
    scratch->entry_of = calloc(count + 1, sizeof *scratch->entry_of);
    scratch->by_entry = calloc(count + 1, sizeof *scratch->by_entry);
    scratch->begins = calloc(count + 2, sizeof *scratch->begins);
    scratch->ports = calloc(2 * count + 2, sizeof *scratch->ports);
    scratch->free = calloc(2 * count + 3, sizeof *scratch->free);
    return permits->all != NULL && permits->groups != NULL && permits->entries != NULL && permits->cells != NULL &&
           permits->slots != NULL && scratch->entry_of != NULL && scratch->by_entry != NULL &&
           scratch->begins != NULL && scratch->ports != NULL && scratch->free != NULL;
}

static void scratch_free(struct scratch *scratch)
{
    free(scratch->entry_of);
    free(scratch->by_entry);
    free(scratch->begins);
    free(scratch->ports);
    free(scratch->free);
}

int permits_new(struct permits **permits, const struct wgfp_permit *from, size_t count)
{
    struct scratch scratch = {0};

    if (count > MAX_PERMITS)
        return WGFP_ERR_INVALID;
    for (size_t i = 0; i < count; i++)
        if (!permit_is_valid(&from[i]))
            return WGFP_ERR_INVALID;
    struct permits *made = calloc(1, sizeof *made);
    const bool has_room = made != NULL && room_make(made, &scratch, count);

    if (has_room) {
        for (size_t i = 0; i < count; i++)
            permit_copy(&made->all[i], &from[i]);
        index_make(made, &scratch);
        *permits = made;
    } else {
        permits_free(made);
    }
    scratch_free(&scratch);
    return has_room ? 0 : WGFP_ERR_MEMORY;
}

void permits_free(struct permits *permits)
{
    if (permits == NULL)
        return;
    free(permits->all);
    free(permits->groups);
    free(permits->entries);
    free(permits->cells);
    free(permits->slots);
    free(permits);
}
