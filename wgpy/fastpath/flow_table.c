/* Flows; what the functions mean, and why they need no lock, is said in flow_table.h. */
#include "flow_table.h"

#include "errors.h"
#include "siphash.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(struct flow_key) == 48, "a key has no padding, as it is hashed");

int flow_table_init(struct flow_table *table, uint32_t count, const uint8_t *seed)
{
    if (count == 0)
        return 0;
    if (count < FLOW_SET_SIZE || (count & (count - 1)) != 0)
        return WGFP_ERR_INVALID;
    table->entries = calloc(count, sizeof *table->entries); /* pages that are never written take no memory */
    table->mask = count / FLOW_SET_SIZE - 1;
    memcpy(table->seed, seed, sizeof table->seed);
    return table->entries != NULL ? 0 : WGFP_ERR_MEMORY;
}

void flow_table_free(struct flow_table *table)
{
    free(table->entries);
}

static uint64_t used_at(const struct flow_entry *flow)
{
    return atomic_load_explicit(&flow->used, memory_order_relaxed);
}

/* Its low bits choose the set, all of them are compared. */
static uint64_t fingerprint_of(const struct flow_table *table, const struct flow_key *key)
{
    const uint64_t hash = wgfp_siphash(table->seed, (const uint8_t *)key, sizeof *key);

    return hash != 0 ? hash : 1;
}

static struct flow_entry *set_of(const struct flow_table *table, uint64_t fingerprint)
{
    return &table->entries[(size_t)(fingerprint & table->mask) * FLOW_SET_SIZE];
}

/* NULL: it is not there. */
static struct flow_entry *find(const struct flow_table *table, uint64_t fingerprint)
{
    struct flow_entry *set = set_of(table, fingerprint);

    for (uint32_t i = 0; i < FLOW_SET_SIZE; i++)
        if (atomic_load_explicit(&set[i].fingerprint, memory_order_relaxed) == fingerprint)
            return &set[i];
    return NULL;
}

static struct flow_entry *least_recent(struct flow_entry *set)
{
    struct flow_entry *least = set;

    for (uint32_t i = 1; i < FLOW_SET_SIZE; i++)
        if (used_at(&set[i]) < used_at(least))
            least = &set[i];
    return least;
}

void flow_note(struct flow_table *table, const struct flow_key *key, uint64_t now)
{
    if (table->entries == NULL)
        return;
    const uint64_t fingerprint = fingerprint_of(table, key);
    struct flow_entry *flow = find(table, fingerprint);

    if (flow == NULL) {
        flow = least_recent(set_of(table, fingerprint));
        atomic_store_explicit(&flow->fingerprint, fingerprint, memory_order_relaxed);
    }
    atomic_store_explicit(&flow->used, now, memory_order_relaxed);
}

/* NULL: it is not there, or was not used for too long. Two threads' clocks may differ a little, either way. */
static struct flow_entry *find_alive(const struct flow_table *table, const struct flow_key *key, uint64_t now)
{
    struct flow_entry *flow = table->entries != NULL ? find(table, fingerprint_of(table, key)) : NULL;

    return flow != NULL && now < used_at(flow) + FLOW_LIFETIME ? flow : NULL;
}

bool flow_is_alive(struct flow_table *table, const struct flow_key *key, uint64_t now)
{
    return find_alive(table, key, now) != NULL;
}

bool flow_refresh(struct flow_table *table, const struct flow_key *key, uint64_t now)
{
    struct flow_entry *flow = find_alive(table, key, now);

    if (flow != NULL)
        atomic_store_explicit(&flow->used, now, memory_order_relaxed);
    return flow != NULL;
}
