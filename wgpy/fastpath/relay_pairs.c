/* The pairs of a relay, and their indices; what the functions mean is said in relay_tables.h. */
#include "datapath.h"

#include "message.h"
#include "relay_tables.h"
#include "siphash.h"

enum { PAIRS_EXAMINED = 16 }; /* in search of one that can be replaced */

/* -- Indices ---------------------------------------------------------------------------------------- */

static struct relayed_index **index_link(struct relay *relay, const struct relay_end *sender, uint32_t value)
{
    uint8_t key[8];

    wgfp_store32(key, sender->peer->number);
    wgfp_store32(key + 4, value);
    const uint64_t hash = wgfp_siphash(relay->seed, key, sizeof key);
    struct relayed_index **link = &relay->by_index[hash % ((uint64_t)relay->room * INDEX_BUCKETS_PER_PAIR)];

    while (*link != NULL && ((*link)->way->sender != sender || (*link)->value != value))
        link = &(*link)->next;
    return link;
}

struct relayed_index *index_find(struct relay *relay, const struct relay_end *sender, uint32_t value, uint64_t now)
{
    struct relayed_index *index = *index_link(relay, sender, value);

    return index != NULL && now < index->ends_at ? index : NULL;
}

static void index_forget(struct relay *relay, struct relayed_index *index)
{
    struct relayed_index **link = index_link(relay, index->way->sender, index->value);

    *link = index->next;
    index->ends_at = 0;
    filter_remove_index(relay->filter, index->value);
}

static void way_forget(struct relay *relay, struct relay_way *way)
{
    for (uint32_t i = 0; i < MAX_RELAYED_INDICES; i++)
        if (way->indices[i].ends_at != 0)
            index_forget(relay, &way->indices[i]);
}

bool way_takes_initiation(struct relay *relay, struct relay_way *way, uint64_t now)
{
    struct relayed_index *oldest = NULL;
    uint32_t count = 0;

    for (uint32_t i = 0; i < MAX_RELAYED_INDICES; i++) {
        struct relayed_index *index = &way->indices[i];

        if (index->answered || index->ends_at <= now)
            continue;
        count++;
        oldest = oldest == NULL || index->ends_at < oldest->ends_at ? index : oldest;
    }
    if (count < MAX_UNANSWERED_INITIATIONS)
        return true;
    if (now + RELAY_ANSWER_TIME - RELAY_REPLACE_TIME < oldest->ends_at)
        return false;
    index_forget(relay, oldest);
    return true;
}

static bool way_is_over(const struct relay_way *way, uint64_t now)
{
    for (uint32_t i = 0; i < MAX_RELAYED_INDICES; i++)
        if (now < way->indices[i].ends_at)
            return false;
    return true;
}

/* Room for another one: a free one, or the one that ends first. */
static struct relayed_index *index_place(struct relay *relay, struct relay_way *way)
{
    struct relayed_index *place = &way->indices[0];

    for (uint32_t i = 1; i < MAX_RELAYED_INDICES; i++)
        if (way->indices[i].ends_at < place->ends_at)
            place = &way->indices[i];
    if (place->ends_at != 0)
        index_forget(relay, place);
    return place;
}

void index_learn(struct relay *relay, struct relay_way *way, uint32_t value, uint64_t ends_at, bool answered)
{
    struct relayed_index *former = *index_link(relay, way->sender, value);

    if (former != NULL) /* it is over */
        index_forget(relay, former);
    struct relayed_index *index = index_place(relay, way);
    struct relayed_index **link = index_link(relay, way->sender, value);

    *index = (struct relayed_index){.next = *link, .way = way, .ends_at = ends_at, .value = value, .answered = answered};
    *link = index;
    filter_add_index(relay->filter, value);
}

/* -- Pairs ------------------------------------------------------------------------------------------ */

static struct pair **pair_bucket(struct relay *relay, const struct relay_end *a, const struct relay_end *b)
{
    const uint32_t low = a->peer->number < b->peer->number ? a->peer->number : b->peer->number;
    uint8_t key[8];

    wgfp_store32(key, low);
    wgfp_store32(key + 4, low == a->peer->number ? b->peer->number : a->peer->number);
    return &relay->by_ends[wgfp_siphash(relay->seed, key, sizeof key) % relay->room];
}

static struct relay_way *way_find(struct relay *relay, const struct relay_end *sender, const struct relay_end *receiver)
{
    for (struct pair *pair = *pair_bucket(relay, sender, receiver); pair != NULL; pair = pair->next)
        for (int i = 0; i < 2; i++)
            if (pair->ways[i].sender == sender && pair->ways[i].receiver == receiver)
                return &pair->ways[i];
    return NULL;
}

static void pair_vacate(struct relay *relay, struct pair *pair)
{
    struct pair **link = pair_bucket(relay, pair->ways[0].sender, pair->ways[0].receiver);

    way_forget(relay, &pair->ways[0]);
    way_forget(relay, &pair->ways[1]);
    while (*link != pair)
        link = &(*link)->next;
    *link = pair->next;
    pair->vacant = true;
    pair->next = relay->vacant;
    relay->vacant = pair;
}

/* Let one that has no session any more give way, if one is found. */
static void pair_reclaim(struct relay *relay, uint64_t now)
{
    for (uint32_t i = 0; i < PAIRS_EXAMINED && relay->vacant == NULL; i++) {
        struct pair *pair = &relay->pairs[relay->next_examined];

        relay->next_examined = (relay->next_examined + 1) % relay->room;
        if (way_is_over(&pair->ways[0], now) && way_is_over(&pair->ways[1], now))
            pair_vacate(relay, pair);
    }
}

/* NULL: there is no room. */
static struct pair *pair_place(struct relay *relay, uint64_t now)
{
    struct pair *pair;

    if (relay->vacant == NULL && relay->used < relay->room)
        return &relay->pairs[relay->used++];
    pair_reclaim(relay, now);
    pair = relay->vacant;
    if (pair != NULL)
        relay->vacant = pair->next;
    return pair;
}

struct relay_way *way_of(struct relay *relay, struct relay_end *sender, struct relay_end *receiver, uint64_t now)
{
    struct relay_way *way = way_find(relay, sender, receiver);
    struct pair *pair = way == NULL ? pair_place(relay, now) : NULL;

    if (pair == NULL)
        return way;
    struct pair **bucket = pair_bucket(relay, sender, receiver);

    *pair = (struct pair){.next = *bucket};
    pair->ways[0] = (struct relay_way){.sender = sender, .receiver = receiver, .back = &pair->ways[1]};
    pair->ways[1] = (struct relay_way){.sender = receiver, .receiver = sender, .back = &pair->ways[0]};
    *bucket = pair;
    return &pair->ways[0];
}

void pairs_forget(struct relay *relay, const struct relay_end *end)
{
    for (uint32_t i = 0; i < relay->used; i++) {
        struct pair *pair = &relay->pairs[i];

        if (!pair->vacant && (pair->ways[0].sender == end || pair->ways[0].receiver == end))
            pair_vacate(relay, pair);
    }
}
