/* The ends of a relay; what the functions mean is said in relay_tables.h and relay.h. */
#include "datapath.h"

#include "message.h"
#include "relay_tables.h"
#include "siphash.h"

#include <stdlib.h>
#include <string.h>

/* -- Ends by endpoint ------------------------------------------------------------------------------- */

struct endpoint_key {
    uint8_t address[16];
    uint32_t size, port, scope_id, none;
};

_Static_assert(sizeof(struct endpoint_key) == 32, "a key has no padding, as it is hashed");

static struct endpoint_key endpoint_key_of(const struct wgfp_endpoint *endpoint)
{
    struct endpoint_key key = {.size = endpoint->size, .port = endpoint->port, .scope_id = endpoint->scope_id};

    memcpy(key.address, endpoint->address, sizeof key.address);
    return key;
}

static bool same_remote(const struct wgfp_endpoint *a, const struct wgfp_endpoint *b)
{
    return a->size == b->size && a->port == b->port && a->scope_id == b->scope_id &&
           memcmp(a->address, b->address, sizeof a->address) == 0;
}

static struct relay_end **bucket_of(struct relay *relay, const struct wgfp_endpoint *at)
{
    const struct endpoint_key key = endpoint_key_of(at);

    return &relay->by_endpoint[wgfp_siphash(relay->seed, (const uint8_t *)&key, sizeof key) % ENDPOINT_BUCKETS];
}

static void end_leave(struct relay *relay, const struct relay_end *end)
{
    if (end->at.size == 0)
        return;
    struct relay_end **link = bucket_of(relay, &end->at);

    while (*link != end)
        link = &(*link)->next;
    *link = end->next;
    filter_remove_end(relay->filter, &end->at);
}

/* Behind those that were seen there before. */
static void end_enter(struct relay *relay, struct relay_end *end)
{
    if (end->at.size == 0)
        return;
    struct relay_end **link = bucket_of(relay, &end->at);

    while (*link != NULL)
        link = &(*link)->next;
    end->next = NULL;
    *link = end;
    filter_add_end(relay->filter, &end->at);
}

struct relay_end *end_first_at(struct relay *relay, const struct wgfp_endpoint *at, uint64_t now)
{
    struct relay_end *first = *bucket_of(relay, at);

    return first == NULL || (same_remote(&first->at, at) && end_is_live(first, now)) ? first : end_next_at(first, at, now);
}

struct relay_end *end_next_at(const struct relay_end *end, const struct wgfp_endpoint *at, uint64_t now)
{
    struct relay_end *next = end->next;

    while (next != NULL && !(same_remote(&next->at, at) && end_is_live(next, now)))
        next = next->next;
    return next;
}

bool end_is_live(const struct relay_end *end, uint64_t now)
{
    return end->at.size != 0 && now < end->live_until;
}

bool end_reaches(const struct relay_end *sender, const struct relay_end *receiver, uint64_t now)
{
    return end_is_live(receiver, now) && !same_remote(&sender->at, &receiver->at);
}

void relay_note_session(struct relay *relay, struct peer *peer)
{
    struct relay_end *end = peer->relay_end;

    if (end == NULL)
        return;
    const struct wgfp_endpoint none = {0};
    const struct wgfp_endpoint *at = peer->sending != NULL ? &peer->endpoint : &none;

    pthread_mutex_lock(&relay->lock);
    end->live_until = peer->sending != NULL ? peer->sending->session.reject_after_time : 0;
    if (!same_remote(&end->at, at)) {
        end_leave(relay, end);
        end->at = *at;
        end_enter(relay, end);
    }
    pthread_mutex_unlock(&relay->lock);
}

/* -- Ends by when they were addressed --------------------------------------------------------------- */

static void end_unlink(struct relay *relay, struct relay_end *end)
{
    *(end->earlier != NULL ? &end->earlier->later : &relay->earliest) = end->later;
    *(end->later != NULL ? &end->later->earlier : &relay->latest) = end->earlier;
}

static void end_append(struct relay *relay, struct relay_end *end)
{
    end->earlier = relay->latest;
    end->later = NULL;
    *(relay->latest != NULL ? &relay->latest->later : &relay->earliest) = end;
    relay->latest = end;
}

void end_to_front(struct relay *relay, struct relay_end *end)
{
    end_unlink(relay, end);
    end_append(relay, end);
}

int relay_add_end(struct relay *relay, struct peer *peer, const uint8_t *public_key)
{
    if (peer->relay_end != NULL)
        return 0;
    struct relay_end *end = calloc(1, sizeof *end);

    if (end == NULL)
        return WGFP_ERR_MEMORY;
    end->peer = peer;
    wgfp_mac1_init(&end->mac1, public_key);
    end_append(relay, end);
    peer->relay_end = end;
    relay_note_session(relay, peer);
    return 0;
}

void relay_remove_end(struct relay *relay, struct peer *peer)
{
    struct relay_end *end = peer->relay_end;

    if (end == NULL)
        return;
    pairs_forget(relay, end);
    end_leave(relay, end);
    end_unlink(relay, end);
    wgfp_mac1_clear(&end->mac1);
    free(end);
    peer->relay_end = NULL;
}
