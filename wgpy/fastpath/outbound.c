/* Outbound: packets from the TUN become messages to peers. Whitepaper 5.4.6.
 *
 * Packets are collected in an arena, a batch, until no more fit or no more are there. A batch is then taken peer by
 * peer: counters are given under the peer's lock; sealing, by one call, and sending, by one system call, go without.
 */
#include "datapath.h"

#include "message.h"
#include "outbound.h"
#include "packet.h"
#include "policy.h"
#include "routing_loop.h"
#include "tun.h"
#include "udp.h"
#include "unreachable.h"

#include <stdlib.h>
#include <string.h>

enum {
    END = BATCH_MESSAGES,
    ARENA_BYTES = BATCH_BYTES + 2 * TRANSPORT_OVERHEAD + PADDING_MULTIPLE, /* room for one packet of any length, too */
};

/* A packet on its way to become a message. */
struct message {
    uint8_t *data;   /* room for the header; behind it the packet and its padding; behind that room for the tag */
    uint32_t packet; /* bytes of the packet; 0 for a keepalive */
    uint32_t padded; /* bytes of the packet and its padding */
    uint32_t tos;
    uint32_t next; /* of the same peer, a number in the batch; END after the last */
};

/* The messages of one peer, and what is to be done with them. */
struct bundle {
    struct peer *peer;
    uint32_t first, last;
    uint32_t sealed; /* how many, from the first on, have a counter */
    const struct keypair *keypair;
    struct wgfp_endpoint endpoint;
    bool plain;     /* the endpoint takes no UDP_SEGMENT */
    bool initiates; /* a handshake, by the initiation in `outbound` */
};

struct outbound {
    struct wgfp_datapath *datapath;
    int tun, udp4, udp6;
    uint32_t count, bytes; /* of messages */
    uint32_t bundle_count;
    struct message messages[BATCH_MESSAGES];
    struct bundle bundles[BATCH_MESSAGES];
    struct wgfp_aead_packet sealing[BATCH_MESSAGES];
    struct udp_batch sending;
    struct unreachable unreachable;
    uint8_t initiation[INITIATION_SIZE];
    uint8_t arena[ARENA_BYTES]; /* one message behind the other: the kernel copies few long pieces faster */
};

int outbound_new(struct outbound **out, struct wgfp_datapath *datapath, int tun)
{
    *out = malloc(sizeof **out);
    if (*out == NULL)
        return WGFP_ERR_MEMORY;
    (*out)->datapath = datapath;
    (*out)->tun = tun;
    (*out)->unreachable = (struct unreachable){0};
    udp_batch_init(&(*out)->sending, datapath);
    (*out)->udp4 = (*out)->udp6 = -1;
    (*out)->count = (*out)->bytes = (*out)->bundle_count = 0;
    return 0;
}

void outbound_free(struct outbound *out)
{
    free(out);
}

void outbound_set_sockets(struct outbound *out, int udp4, int udp6)
{
    out->udp4 = udp4;
    out->udp6 = udp6;
}

/* -- Collecting ------------------------------------------------------------------------------------- */

/* How long a packet is with the zeros that follow it: up to PADDING_MULTIPLE, but not past the MTU. A packet longer
 * than the MTU was known to be larger a moment ago; as in the kernel, only what exceeds whole MTUs counts then. */
static uint32_t padded_length(uint32_t length, uint32_t mtu)
{
    const uint32_t last = length > mtu ? length % mtu : length;
    const uint32_t padding = -last % PADDING_MULTIPLE;

    return length + (padding < mtu - last ? padding : mtu - last);
}

static void bundle_add(struct outbound *out, struct peer *peer, uint32_t number)
{
    uint32_t i = out->bundle_count;

    while (i > 0 && out->bundles[i - 1].peer != peer)
        i--;
    if (i == 0) {
        out->bundles[out->bundle_count++] = (struct bundle){.peer = peer, .first = number, .last = number};
        return;
    }
    out->messages[out->bundles[i - 1].last].next = number;
    out->bundles[i - 1].last = number;
}

/* Make room for a packet; returns where it goes. message_done comes next. */
static uint8_t *message_begin(struct outbound *out, uint32_t most, uint64_t now)
{
    if (out->count == BATCH_MESSAGES || out->bytes + most + TRANSPORT_OVERHEAD > BATCH_BYTES)
        outbound_flush(out, now);

    uint8_t *data = out->arena + out->bytes;

    out->messages[out->count] = (struct message){.data = data, .next = END};
    return data + TRANSPORT_HEADER_SIZE;
}

/* tos: its outer TOS byte. */
static void message_done(struct outbound *out, struct peer *peer, uint32_t length, uint32_t tos)
{
    struct message *message = &out->messages[out->count];
    uint8_t *packet = message->data + TRANSPORT_HEADER_SIZE;

    message->packet = length;
    message->padded = padded_length(length, atomic_load_explicit(&out->datapath->mtu, memory_order_relaxed));
    message->tos = tos;
    memset(packet + length, 0, message->padded - length);
    out->bytes += message->padded + TRANSPORT_OVERHEAD;
    bundle_add(out, peer, out->count++);
}

/* For a sender that is of a site. */
static bool error_translate(struct outbound *out, uint8_t *error, size_t size)
{
    const struct translations *translations = out->datapath->translations;
    enum wgfp_drop reason;
    struct wgfp_view view;

    return translations == NULL ||
           (wgfp_packet_parse(&view, error, size) && translate_inbound(translations, &view, error, &reason));
}

/* Say to its sender that a packet leads nowhere. Returns whether there was an ICMP error. */
static bool packet_refuse(struct outbound *out, const uint8_t *packet, size_t length, uint64_t now)
{
    uint8_t error[ICMP_ERROR_SIZE];
    struct wgfp_view view;
    size_t size = 0;

    if (!atomic_load_explicit(&out->datapath->silent, memory_order_relaxed) &&
        wgfp_packet_parse(&view, packet, length))
        size = unreachable_error(&out->unreachable, &view, packet, error, now);
    if (size > 0 && error_translate(out, error, size))
        tun_write_one(out->datapath, out->tun, error, size);
    return size > 0;
}

/* How long its segments are at most. */
static uint32_t segment_most(const struct wgfp_gso *gso, size_t length)
{
    const uint32_t most = gso->header_length > 0 ? gso->header_length + gso->segment_size : (uint32_t)length;

    return most < length ? most : (uint32_t)length;
}

/* The same of a superpacket, segment by segment, as long as there are errors. */
static void superpacket_refuse(struct outbound *out, const struct wgfp_gso *gso, size_t length, uint64_t now)
{
    uint8_t *segment = message_begin(out, segment_most(gso, length), now); /* which is never done */

    for (uint32_t i = 0; i < gso->count && packet_refuse(out, segment, wgfp_gso_copy(gso, i, segment), now); i++) {
    }
}

/* The peer that owns the packet's destination; NULL, and counted, if it leads nowhere. */
static struct peer *peer_towards(struct outbound *out, const struct wgfp_gso *gso, size_t length, uint64_t now)
{
    struct wgfp_datapath *datapath = out->datapath;
    const struct wgfp_view *view = &gso->view;

    if (view->version == 0 || view->length != length) {
        drop_count(datapath, WGFP_DROP_INVALID_OUTBOUND_PACKET, 1);
        return NULL;
    }
    const uint32_t owner = wgfp_allowedips_lookup(datapath->routes, packet_destination(view, gso->packet),
                                                  packet_address_size(view));

    if (owner == 0) {
        drop_count(datapath, WGFP_DROP_NO_PEER_FOR_DESTINATION, gso->count);
        superpacket_refuse(out, gso, length, now);
        return NULL;
    }
    if (routing_loop_find(datapath, view, gso->packet)) {
        drop_count(datapath, WGFP_DROP_ROUTING_LOOP, gso->count);
        return NULL;
    }
    return datapath->peers[owner];
}

/* false, and counted: it cannot be. */
static bool packet_translate(struct outbound *out, struct wgfp_gso *gso, uint8_t *packet)
{
    const struct translations *translations = out->datapath->translations;
    enum wgfp_drop reason;

    if (translations == NULL)
        return true;
    if (!translate_outbound(translations, &gso->view, packet, &reason)) {
        drop_count(out->datapath, reason, gso->count);
        return false;
    }
    wgfp_gso_readdress(gso);
    return true;
}

void outbound_packet(struct outbound *out, const struct wgfp_vnet *vnet, uint8_t *packet, size_t length, uint64_t now)
{
    struct wgfp_gso gso;

    if (wgfp_gso_parse(&gso, vnet, packet, length) != WGFP_GSO_ACCEPTED) {
        drop_count(out->datapath, WGFP_DROP_INVALID_SUPERPACKET, 1);
        return;
    }
    struct peer *peer = peer_towards(out, &gso, length, now);
    const uint32_t most = segment_most(&gso, length);

    if (peer == NULL || !packet_translate(out, &gso, packet))
        return;
    if (peer->policy != NULL)
        policy_note_sent(out->datapath, peer, &gso.view, packet, now);
    const uint32_t tos = packet_ecn(packet);

    for (uint32_t i = 0; i < gso.count; i++) {
        uint8_t *segment = message_begin(out, most, now);

        message_done(out, peer, (uint32_t)wgfp_gso_copy(&gso, i, segment), tos);
    }
}

/* -- Sealing ---------------------------------------------------------------------------------------- */

/* Note that a message was given a counter. Under the peer's lock. */
static void note_sent(struct outbound *out, struct peer *peer, struct keypair *keypair, const struct message *message,
                      uint64_t now)
{
    struct wgfp_activity *activity = &peer->activity;
    struct events *events = &out->datapath->events;

    activity->last_sent = now;
    activity->tx_bytes += message->padded + TRANSPORT_OVERHEAD;
    activity->first_unacked_received = 0;
    if (message->packet > 0 && activity->first_unanswered_sent == 0) {
        activity->first_unanswered_sent = now;
        event_raise(events, peer, NULL, WGFP_EVENT_DATA_SENT);
    }
    if (now >= keypair->session.rekey_after_sent_time) {
        keypair->session.rekey_after_sent_time = NEVER;
        event_raise(events, peer, keypair, WGFP_EVENT_KEY_AGED);
    } else if (keypair->counter == REKEY_AFTER_MESSAGES) {
        event_raise(events, peer, keypair, WGFP_EVENT_KEY_AGED);
    }
}

static bool peer_may_seal(const struct peer *peer, uint64_t now)
{
    return peer->sending != NULL && keypair_may_seal(peer->sending, now);
}

/* Give counters, and write headers, as far as the peer's keypair goes. Returns the first message that has none, or
 * END. Under the peer's lock. */
static uint32_t bundle_number(struct outbound *out, struct bundle *bundle, uint64_t now)
{
    struct keypair *keypair = bundle->peer->sending;
    uint32_t i = bundle->first;

    bundle->keypair = keypair;
    if (bundle->peer->staged.count != 0 && out != out->datapath->control)
        return i; /* only the control sends what is staged, and nothing overtakes that */
    while (i != END && keypair != NULL && keypair_may_seal(keypair, now)) {
        const struct message *message = &out->messages[i];
        uint8_t *packet = message->data + TRANSPORT_HEADER_SIZE;

        out->sealing[bundle->sealed++] = (struct wgfp_aead_packet){
            .src = packet, .dst = packet, .counter = keypair->counter, .length = message->padded};
        transport_header_write(message->data, keypair->session.remote_index, keypair->counter);
        note_sent(out, bundle->peer, keypair, message, now);
        keypair->counter++;
        i = message->next;
    }
    return i;
}

/* Keep messages without a counter until the control orders to use a keypair. Under the peer's lock. */
static void bundle_stage(struct outbound *out, struct bundle *bundle, uint32_t first, uint64_t now)
{
    struct wgfp_datapath *datapath = out->datapath;
    uint32_t dropped = 0;

    for (uint32_t i = first; i != END; i = out->messages[i].next)
        dropped += staged_push(&datapath->staging, &bundle->peer->staged, out->messages[i].data + TRANSPORT_HEADER_SIZE,
                               out->messages[i].packet);
    drop_count(datapath, WGFP_DROP_STAGED_QUEUE_FULL, dropped);
    if (peer_may_seal(bundle->peer, now))
        return;
    bundle->initiates = peer_take_initiation(datapath, bundle->peer, now, out->initiation);
    if (!bundle->initiates)
        event_raise(&datapath->events, bundle->peer, NULL, WGFP_EVENT_KEY_NEEDED);
}

/* Take what sealing and sending need of the peer, and leave it what it needs to know. */
static void bundle_prepare(struct outbound *out, struct bundle *bundle, uint64_t now)
{
    struct peer *peer = bundle->peer;

    pthread_mutex_lock(&peer->lock);
    bundle->endpoint = peer->endpoint;
    if (peer->endpoint.size == 0) {
        uint64_t count = 0;

        for (uint32_t i = bundle->first; i != END; i = out->messages[i].next)
            count++;
        drop_count(out->datapath, WGFP_DROP_NO_ENDPOINT, count);
    } else {
        const uint32_t rest = bundle_number(out, bundle, now);

        bundle->plain = peer_is_plain(peer);
        if (rest != END)
            bundle_stage(out, bundle, rest, now);
    }
    pthread_mutex_unlock(&peer->lock);
}

/* -- Sending ---------------------------------------------------------------------------------------- */

static void sending_begin(struct outbound *out, const struct bundle *bundle, bool segment, uint64_t now)
{
    udp_batch_begin(&out->sending, bundle->endpoint.size == 4 ? out->udp4 : out->udp6, &bundle->endpoint, segment, now);
}

static void sending_finish(struct outbound *out, const struct bundle *bundle)
{
    const struct udp_outcome outcome = udp_batch_send(&out->sending);

    if (outcome.segment_is_bad || outcome.source_is_bad)
        peer_learn(out->datapath, bundle->peer, &bundle->endpoint, &outcome);
}

static void initiation_send(struct outbound *out, const struct bundle *bundle, uint64_t now)
{
    wgfp_handshake_note(out->datapath, out->initiation, INITIATION_SIZE, bundle->peer->number);
    sending_begin(out, bundle, false, now);
    udp_batch_add(&out->sending, out->initiation, INITIATION_SIZE, HANDSHAKE_TOS);
    sending_finish(out, bundle);
}

static void bundle_send(struct outbound *out, const struct bundle *bundle, uint64_t now)
{
    const unsigned offloads = atomic_load_explicit(&out->datapath->offloads, memory_order_relaxed);
    uint32_t i = bundle->first;

    sending_begin(out, bundle, (offloads & OFFLOAD_GSO) && !bundle->plain, now);
    for (uint32_t left = bundle->sealed; left > 0; left--) {
        const struct message *message = &out->messages[i];

        udp_batch_add(&out->sending, message->data, message->padded + TRANSPORT_OVERHEAD, message->tos);
        i = message->next;
    }
    sending_finish(out, bundle);
}

/* The peer has no endpoint. Not under its lock. */
static void bundle_refuse(struct outbound *out, const struct bundle *bundle, uint64_t now)
{
    for (uint32_t i = bundle->first; i != END; i = out->messages[i].next) {
        const struct message *message = &out->messages[i];

        (void)packet_refuse(out, message->data + TRANSPORT_HEADER_SIZE, message->packet, now);
    }
}

void outbound_flush(struct outbound *out, uint64_t now)
{
    for (uint32_t i = 0; i < out->bundle_count; i++) {
        struct bundle *bundle = &out->bundles[i];

        bundle_prepare(out, bundle, now);
        if (bundle->endpoint.size == 0)
            bundle_refuse(out, bundle, now);
        if (bundle->initiates)
            initiation_send(out, bundle, now);
        if (bundle->sealed == 0)
            continue;
        wgfp_aead_seal(out->datapath->aead, bundle->keypair->session.sending_key, out->sealing, bundle->sealed);
        bundle_send(out, bundle, now);
    }
    out->count = out->bytes = out->bundle_count = 0;
}

/* -- What waited ------------------------------------------------------------------------------------ */

/* Move what is staged into the batch, as much as there is room for. Returns whether anything is left. */
static bool staged_collect(struct outbound *out, struct peer *peer, uint64_t now)
{
    struct staging *staging = &out->datapath->staging;
    int length = -1;

    pthread_mutex_lock(&peer->lock);
    while (peer_may_seal(peer, now) && out->count < BATCH_MESSAGES &&
           (length = staged_first_length(staging, &peer->staged)) >= 0 &&
           (out->count == 0 || out->bytes + (uint32_t)length + 2 * TRANSPORT_OVERHEAD <= BATCH_BYTES)) {
        uint8_t *packet = message_begin(out, (uint32_t)length, now);

        staged_pop(staging, &peer->staged, packet);
        message_done(out, peer, (uint32_t)length, length > 0 ? packet_ecn(packet) : 0);
    }
    const bool more = peer->staged.count > 0;

    if (more && !peer_may_seal(peer, now))
        event_raise(&out->datapath->events, peer, NULL, WGFP_EVENT_KEY_NEEDED);
    pthread_mutex_unlock(&peer->lock);
    return more;
}

void outbound_staged(struct outbound *out, struct peer *peer, uint64_t now)
{
    bool more = true;

    while (more) {
        more = staged_collect(out, peer, now) && out->count > 0;
        outbound_flush(out, now);
    }
}
