/* Forwarding between peers; what the functions mean is said in relay.h. wgpy/datapath/relay.py is the same in Python. */
#include "datapath.h"

#include "message.h"
#include "relay_tables.h"
#include "siphash.h"

#include <stdlib.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)

/* -- Beginning and end ------------------------------------------------------------------------------ */

int relay_new(struct relay **relay, const uint8_t *seed, uint32_t max_pairs, const struct filter *filter)
{
    struct relay *made = calloc(1, sizeof *made);

    if (made == NULL)
        return WGFP_ERR_MEMORY;
    memcpy(made->seed, seed, sizeof made->seed);
    made->room = max_pairs;
    made->filter = filter;
    made->pairs = calloc(max_pairs, sizeof *made->pairs);
    made->by_ends = calloc(max_pairs, sizeof(struct pair *));
    made->by_index = calloc((size_t)max_pairs * INDEX_BUCKETS_PER_PAIR, sizeof(struct relayed_index *));
    if (made->pairs == NULL || made->by_ends == NULL || made->by_index == NULL ||
        pthread_mutex_init(&made->lock, NULL) != 0) {
        free(made->pairs);
        free(made->by_ends);
        free(made->by_index);
        free(made);
        return WGFP_ERR_MEMORY;
    }
    *relay = made;
    return 0;
}

void relay_free(struct relay *relay)
{
    if (relay == NULL)
        return;
    while (relay->latest != NULL)
        relay_remove_end(relay, relay->latest->peer);
    free(relay->pairs);
    free(relay->by_ends);
    free(relay->by_index);
    (void)pthread_mutex_destroy(&relay->lock);
    free(relay);
}

void relay_set_rate(struct relay *relay, uint64_t rate)
{
    relay->rate = rate;
}

void relay_counts(struct relay *relay, uint64_t counts[2])
{
    pthread_mutex_lock(&relay->lock);
    counts[0] = relay->datagrams;
    counts[1] = relay->bytes;
    pthread_mutex_unlock(&relay->lock);
}

/* -- Budgets ---------------------------------------------------------------------------------------- */

static bool budget_is_left(uint64_t paid_at, uint64_t burst_time, uint64_t now)
{
    return paid_at < now + burst_time;
}

static void budget_take(uint64_t *paid_at, uint64_t amount, uint64_t per_second, uint64_t now)
{
    *paid_at = (*paid_at > now ? *paid_at : now) + amount * SECOND / per_second;
}

/* -- Judging ---------------------------------------------------------------------------------------- */

static struct relay_judgement refused(enum wgfp_drop reason)
{
    return (struct relay_judgement){.verdict = RELAY_DROP, .reason = reason};
}

static const struct relay_judgement none = {.verdict = RELAY_NONE};

static struct relay_judgement pass(struct relay_way *way, uint64_t now)
{
    if (!end_reaches(way->sender, way->receiver, now))
        return refused(WGFP_DROP_RELAY_NO_SESSION);
    if (!budget_is_left(way->paid_at, RELAY_BURST_TIME, now))
        return refused(WGFP_DROP_RELAY_RATE_LIMITED);
    return (struct relay_judgement){.verdict = RELAY_FORWARD, .to = way->receiver->peer, .way = way};
}

/* The end whose mac1 key fits, those that were addressed last first; NULL: none. */
static struct relay_end *addressee(struct relay *relay, struct relay_end *sender, const uint8_t *message, uint64_t now)
{
    struct relay_end *end = relay->latest;
    uint64_t tried = 0;

    for (; end != NULL && !(tried++, wgfp_mac1_valid(&end->mac1, message, INITIATION_SIZE)); end = end->earlier) {
    }
    budget_take(&sender->searches_paid_at, tried, RELAY_SEARCHES_PER_SECOND, now);
    budget_take(&relay->searches_paid_at, tried, RELAY_SEARCHES_PER_SECOND_OF_ALL, now);
    if (end != NULL)
        end_to_front(relay, end);
    return end;
}

/* Neither the interface nor the way's sender knows another session by it. */
static bool index_is_free(const struct wgfp_datapath *datapath, const struct relay_way *way, uint32_t value, uint64_t now)
{
    return keypair_find(&datapath->keypairs, value) == NULL &&
           index_find(datapath->relay, way->sender, value, now) == NULL;
}

static struct relay_judgement initiation_judge(struct wgfp_datapath *datapath, struct relay_end *sender,
                                               const uint8_t *message, uint64_t now)
{
    struct relay *relay = datapath->relay;
    const uint32_t chosen = wgfp_load32(message + 4);

    if (!budget_is_left(sender->searches_paid_at, RELAY_SEARCH_BURST_TIME, now) ||
        !budget_is_left(relay->searches_paid_at, RELAY_SEARCH_BURST_TIME, now))
        return refused(WGFP_DROP_RELAY_SEARCH_LIMITED);
    struct relay_end *receiver = addressee(relay, sender, message, now);

    if (receiver == NULL)
        return refused(WGFP_DROP_RELAY_NO_ADDRESSEE);
    if (!end_is_live(receiver, now))
        return (struct relay_judgement){.verdict = RELAY_DROP, .reason = WGFP_DROP_RELAY_NO_SESSION, .to = receiver->peer};
    if (!end_reaches(sender, receiver, now))
        return refused(WGFP_DROP_RELAY_NO_SESSION);
    struct relay_way *way = way_of(relay, sender, receiver, now);

    if (way == NULL)
        return refused(WGFP_DROP_RELAY_FULL);
    if (!way_takes_initiation(relay, way->back, now))
        return refused(WGFP_DROP_RELAY_RATE_LIMITED);
    if (!index_is_free(datapath, way->back, chosen, now))
        return refused(WGFP_DROP_RELAY_INDEX_IN_USE);
    index_learn(relay, way->back, chosen, now + RELAY_ANSWER_TIME, false);
    return pass(way, now);
}

static struct relay_judgement response_judge(struct wgfp_datapath *datapath, struct relayed_index *index,
                                             const uint8_t *message, uint64_t now)
{
    struct relay_way *way = index->way;
    const uint32_t chosen = wgfp_load32(message + 4);

    if (!wgfp_mac1_valid(&way->receiver->mac1, message, RESPONSE_SIZE))
        return refused(WGFP_DROP_INVALID_MAC1);
    if (!end_reaches(way->sender, way->receiver, now))
        return refused(WGFP_DROP_RELAY_NO_SESSION);
    if (!index_is_free(datapath, way->back, chosen, now))
        return refused(WGFP_DROP_RELAY_INDEX_IN_USE);
    index_learn(datapath->relay, way->back, chosen, now + RELAY_INDEX_LIFETIME, true);
    index->ends_at = now + RELAY_INDEX_LIFETIME;
    index->answered = true;
    return pass(way, now);
}

/* Whose index a message names, of all that its source may be; NULL: nobody's. */
static struct relayed_index *index_of(struct relay *relay, const struct wgfp_endpoint *source, uint32_t value, uint64_t now)
{
    struct relay_end *sender = end_first_at(relay, source, now);
    struct relayed_index *index = NULL;

    while (sender != NULL && (index = index_find(relay, sender, value, now)) == NULL)
        sender = end_next_at(sender, source, now);
    return index;
}

static struct relay_judgement locked_judge(struct wgfp_datapath *datapath, const struct wgfp_endpoint *source,
                                           enum message_type type, const uint8_t *message, uint64_t now)
{
    struct relay *relay = datapath->relay;

    if (type == TYPE_INITIATION) {
        struct relay_end *sender = end_first_at(relay, source, now);

        return sender != NULL ? initiation_judge(datapath, sender, message, now) : none;
    }
    struct relayed_index *index = index_of(relay, source, wgfp_load32(message + (type == TYPE_RESPONSE ? 8 : 4)), now);

    if (index == NULL)
        return none;
    return type == TYPE_RESPONSE ? response_judge(datapath, index, message, now) : pass(index->way, now);
}

struct relay_judgement relay_judge(struct wgfp_datapath *datapath, const struct wgfp_endpoint *source,
                                   const uint8_t *message, uint32_t length, uint64_t now)
{
    static const uint32_t sizes[] = {
        [TYPE_INITIATION] = INITIATION_SIZE, [TYPE_RESPONSE] = RESPONSE_SIZE, [TYPE_COOKIE_REPLY] = COOKIE_REPLY_SIZE};
    const enum message_type type = message_type(message, length);
    const bool has_mac1 = type == TYPE_INITIATION || type == TYPE_RESPONSE;
    struct relay *relay = datapath->relay;

    if (type != TYPE_TRANSPORT && length != sizes[type])
        return none;
    if (has_mac1 && handshake_is_own(&datapath->handshakes, message, length))
        return none;
    pthread_mutex_lock(&relay->lock);
    const struct relay_judgement judgement = locked_judge(datapath, source, type, message, now);

    pthread_mutex_unlock(&relay->lock);
    return has_mac1 && judgement.verdict == RELAY_NONE ? refused(WGFP_DROP_INVALID_MAC1) : judgement;
}

void relay_charge(struct relay *relay, struct relay_way *way, uint64_t datagrams, uint64_t bytes, uint64_t now)
{
    pthread_mutex_lock(&relay->lock);
    budget_take(&way->paid_at, bytes, relay->rate, now);
    relay->datagrams += datagrams;
    relay->bytes += bytes;
    pthread_mutex_unlock(&relay->lock);
}
