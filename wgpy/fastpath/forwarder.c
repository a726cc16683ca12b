/* Forwarding in batches; what the functions mean is said in forwarder.h. */
#include "datapath.h"

#include "forwarder.h"
#include "message.h"

#include <string.h>

static void charge(struct forwarder *forwarder, uint64_t now)
{
    if (forwarder->datagrams > 0)
        relay_charge(forwarder->datapath->relay, forwarder->way, forwarder->datagrams, forwarder->bytes, now);
    forwarder->datagrams = forwarder->bytes = 0;
}

/* A full buffer is not waited for: the interface's own datagrams come first. */
static void batch_begin(struct forwarder *forwarder, struct peer *to, uint64_t now)
{
    const unsigned offloads = atomic_load_explicit(&forwarder->datapath->offloads, memory_order_relaxed);

    pthread_mutex_lock(&to->lock);
    const bool plain = peer_is_plain(to);

    forwarder->endpoint = to->endpoint;
    pthread_mutex_unlock(&to->lock);
    forwarder->to = to;
    udp_batch_begin(&forwarder->sending, forwarder->endpoint.size == 4 ? forwarder->udp4 : forwarder->udp6,
                    &forwarder->endpoint, (offloads & OFFLOAD_GSO) && !plain, now);
    forwarder->sending.stalled_at = now;
}

static void batch_send(struct forwarder *forwarder)
{
    if (forwarder->to == NULL)
        return;
    const struct udp_outcome outcome = udp_batch_send(&forwarder->sending);

    peer_learn(forwarder->datapath, forwarder->to, &forwarder->endpoint, &outcome);
    forwarder->to = NULL;
}

static void batch_add(struct forwarder *forwarder, struct peer *to, uint8_t *data, uint32_t length, uint32_t tos,
                      uint64_t now)
{
    if (forwarder->to != to || forwarder->sending.slices_count == BATCH_MESSAGES) {
        batch_send(forwarder);
        batch_begin(forwarder, to, now);
    }
    udp_batch_add(&forwarder->sending, data, length, tos);
    forwarder->datagrams++;
    forwarder->bytes += length;
}

static void session_ask(struct wgfp_datapath *datapath, struct peer *peer)
{
    pthread_mutex_lock(&peer->lock);
    event_raise(&datapath->events, peer, NULL, WGFP_EVENT_SESSION_NEEDED);
    pthread_mutex_unlock(&peer->lock);
}

/* Is it of the same session as the one before, which came with it? */
static bool continues(const struct forwarder *forwarder, enum message_type type, uint32_t index,
                      const struct udp_origin *origin)
{
    return type == TYPE_TRANSPORT && forwarder->to != NULL && origin == forwarder->origin && index == forwarder->index;
}

bool forwarder_take(struct forwarder *forwarder, uint8_t *data, uint32_t length, const struct udp_origin *origin,
                    uint64_t now)
{
    const enum message_type type = message_type(data, length);
    const uint32_t index = type == TYPE_TRANSPORT ? transport_index(data) : 0;

    if (continues(forwarder, type, index, origin)) {
        batch_add(forwarder, forwarder->to, data, length, origin->tos, now);
        return true;
    }
    charge(forwarder, now);
    const struct relay_judgement judgement = relay_judge(forwarder->datapath, &origin->source, data, length, now);

    forwarder->origin = type == TYPE_TRANSPORT && judgement.verdict == RELAY_FORWARD ? origin : NULL;
    forwarder->index = index;
    if (judgement.verdict == RELAY_DROP)
        drop_count(forwarder->datapath, judgement.reason, 1);
    if (judgement.verdict == RELAY_DROP && judgement.to != NULL)
        session_ask(forwarder->datapath, judgement.to);
    if (judgement.verdict == RELAY_FORWARD) {
        forwarder->way = judgement.way;
        batch_add(forwarder, judgement.to, data, length, origin->tos, now);
    }
    return judgement.verdict != RELAY_NONE;
}

void forwarder_flush(struct forwarder *forwarder, uint64_t now)
{
    charge(forwarder, now);
    batch_send(forwarder);
    forwarder->origin = NULL;
}
