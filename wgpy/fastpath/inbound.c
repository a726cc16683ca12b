/* Inbound: messages from peers become packets for the TUN. Whitepaper 5.4.6.
 *
 * What one system call received is taken apart into datagrams. Those of one keypair are opened by one call; then,
 * under their peer's lock, they pass the replay window and are noted. What is left of them goes to the TUN together,
 * in the order in which a peer's datagrams came.
 */
#include "datapath.h"

#include "forwarder.h"
#include "inbound.h"
#include "message.h"
#include "packet.h"
#include "policy.h"
#include "tun.h"
#include "udp.h"

#include <stdlib.h>
#include <string.h>

enum {
    MESSAGES = 32,       /* of one system call, each one datagram or many */
    MESSAGES_SMALL = 4,  /* for small hosts */
    MESSAGE_BYTES = 1 << 16,
    TURN_BYTES = 1 << 19, /* until outbound may have its turn; and what was received stays in the second cache */
    BURST = 16,          /* datagrams of UDP that are written as one */
    BURST_MESSAGES = 2,  /* to receive behind one: a socket that nobody enlarges has room for no more datagrams */
    DATAGRAMS = 256,     /* that are taken together */
    END = DATAGRAMS,
    ECN = 3, /* of a TOS byte */
};

struct datagram {
    uint8_t *data;
    uint32_t length;
    uint32_t next; /* of the same keypair, a number; END after the last */
    const struct udp_origin *origin;
};

/* Datagrams of one keypair, between which none of another of its peer's came. */
struct bundle {
    struct keypair *keypair;
    uint32_t first, last, count;
};

struct inbound {
    struct wgfp_datapath *datapath;
    uint32_t room; /* messages */
    uint32_t most; /* messages to receive next: as many as make TURN_BYTES, if they are as long as the last ones */
    bool burst;    /* was there one among the last ones? */
    struct mmsghdr messages[MESSAGES];
    struct iovec slices[MESSAGES];
    struct sockaddr_in6 addresses[MESSAGES];
    union udp_receive_control controls[MESSAGES];
    struct udp_origin origins[MESSAGES];
    uint32_t count, bundle_count;
    struct datagram datagrams[DATAGRAMS];
    struct bundle bundles[DATAGRAMS];
    struct wgfp_aead_packet opening[DATAGRAMS];
    size_t packet_count;
    struct wgfp_packet packets[DATAGRAMS];
    struct wgfp_group groups[DATAGRAMS];
    uint8_t scratch[MAX_PACKET];
    uint8_t *buffers; /* room * MESSAGE_BYTES */
    struct forwarder forwarder;
};

/* For being received into. */
static void message_prepare(struct inbound *in, uint32_t i)
{
    in->slices[i] = (struct iovec){in->buffers + (size_t)i * MESSAGE_BYTES, MESSAGE_BYTES};
    udp_message_prepare(&in->messages[i].msg_hdr, &in->addresses[i], &in->controls[i], &in->slices[i]);
}

static int inbound_init(struct inbound *in, struct wgfp_datapath *datapath)
{
    in->datapath = datapath;
    in->forwarder.datapath = datapath;
    udp_batch_init(&in->forwarder.sending, datapath);
    in->room = in->most = datapath->small ? MESSAGES_SMALL : MESSAGES;
    in->buffers = malloc((size_t)in->room * MESSAGE_BYTES);
    if (in->buffers == NULL)
        return WGFP_ERR_MEMORY;
    for (uint32_t i = 0; i < in->room; i++)
        message_prepare(in, i);
    return 0;
}

int inbound_new(struct inbound **in, struct wgfp_datapath *datapath)
{
    *in = calloc(1, sizeof **in); /* what there is on failure, inbound_free frees */
    return *in != NULL ? inbound_init(*in, datapath) : WGFP_ERR_MEMORY;
}

void inbound_free(struct inbound *in)
{
    if (in != NULL)
        free(in->buffers);
    free(in);
}

void inbound_set_sockets(struct inbound *in, int udp4, int udp6)
{
    in->forwarder.udp4 = udp4;
    in->forwarder.udp6 = udp6;
}

/* -- Opening ---------------------------------------------------------------------------------------- */

/* Note that an authentic datagram came: where from, by which keypair, and when. Under the peer's lock. */
static void note_received(struct inbound *in, struct keypair *keypair, const struct datagram *datagram, uint64_t now)
{
    struct peer *peer = keypair->peer;
    struct wgfp_activity *activity = &peer->activity;
    struct events *events = &in->datapath->events;

    if (memcmp(&peer->endpoint, &datagram->origin->source, sizeof peer->endpoint) != 0 && !peer->pinned) {
        peer->endpoint = datagram->origin->source;
        relay_note_session(in->datapath->relay, peer);
        event_raise(events, peer, NULL, WGFP_EVENT_ENDPOINT_CHANGED);
    }
    if (!keypair->confirmed) {
        keypair->confirmed = true;
        if (keypair == peer->keypairs) {
            peer->sending = keypair;
            relay_note_session(in->datapath->relay, peer);
        }
        event_raise(events, peer, keypair, WGFP_EVENT_KEY_CONFIRMED);
    }
    if (now >= keypair->session.rekey_after_received_time) {
        keypair->session.rekey_after_received_time = NEVER;
        event_raise(events, peer, keypair, WGFP_EVENT_KEY_AGED);
    }
    activity->last_received = now;
    activity->rx_bytes += datagram->length;
    activity->first_unanswered_sent = 0;
    if (datagram->length > TRANSPORT_OVERHEAD && activity->first_unacked_received == 0) {
        activity->first_unacked_received = now;
        event_raise(events, peer, NULL, WGFP_EVENT_DATA_RECEIVED);
    }
}

/* Pass what is authentic through the replay window. Those that did not come through are not `ok` any more. */
static void bundle_accept(struct inbound *in, const struct bundle *bundle, uint64_t now)
{
    struct keypair *keypair = bundle->keypair;
    uint64_t forged = 0, replayed = 0;
    uint32_t at = bundle->first;

    pthread_mutex_lock(&keypair->peer->lock);
    for (uint32_t i = 0; i < bundle->count; i++) {
        struct wgfp_aead_packet *opened = &in->opening[i];

        if (!opened->ok) {
            forged++;
        } else if (!wgfp_replay_accept(&keypair->window, opened->counter)) {
            opened->ok = 0;
            replayed++;
        } else {
            note_received(in, keypair, &in->datagrams[at], now);
        }
        at = in->datagrams[at].next;
    }
    pthread_mutex_unlock(&keypair->peer->lock);
    if (forged > 0)
        drop_count(in->datapath, WGFP_DROP_DECRYPTION_FAILED, forged);
    if (replayed > 0)
        drop_count(in->datapath, WGFP_DROP_REPLAYED_COUNTER, replayed);
}

/* The source of the packet before, of the same peer, which may use it. A copy: what is handed on may be changed. */
struct source {
    uint32_t size; /* 0: there was none */
    uint8_t address[16];
};

/* May packets from there come from this peer? */
static bool source_is_allowed(const struct wgfp_allowedips *routes, struct source *source, const uint8_t *address,
                              uint32_t size, uint32_t peer)
{
    if (source->size == size && packet_address_equal(source->address, address, size))
        return true;
    if (wgfp_allowedips_lookup(routes, address, size) != peer)
        return false;
    source->size = size;
    memcpy(source->address, address, size);
    return true;
}

/* What is known of the packet before, of the same peer. */
struct previous {
    struct source source;
    struct policy_cache policy;
};

/* Is it one that may come from this peer, and come in? false: for this reason it is not. padded: bytes, with padding. */
static bool packet_is_good(struct inbound *in, struct wgfp_packet *packet, uint32_t padded, const struct peer *peer,
                           uint32_t outer_ecn, struct previous *previous, uint64_t now, enum wgfp_drop *reason)
{
    struct wgfp_view *view = &packet->view;

    *reason = WGFP_DROP_INVALID_PACKET;
    if (!wgfp_packet_parse(view, packet->data, padded))
        return false;
    *reason = WGFP_DROP_SOURCE_NOT_ALLOWED;
    if (!source_is_allowed(in->datapath->routes, &previous->source, packet_source(view, packet->data),
                           packet_address_size(view), peer->number))
        return false;
    if (peer->policy != NULL &&
        !policy_admits(in->datapath, peer, &previous->policy, view, packet->data, now, reason))
        return false;
    *reason = WGFP_DROP_ECN_CONGESTION;
    return outer_ecn == 0 || packet_decapsulate_ecn(packet->data, outer_ecn);
}

/* Hand on the packets of this peer's opened messages, and count those that are not. */
static void bundle_check(struct inbound *in, const struct bundle *bundle, uint64_t now)
{
    const struct peer *peer = bundle->keypair->peer;
    struct previous previous = {0};
    uint32_t at = bundle->first;
    enum wgfp_drop reason;

    for (uint32_t i = 0; i < bundle->count; at = in->datagrams[at].next, i++) {
        const struct wgfp_aead_packet *opened = &in->opening[i];
        struct wgfp_packet *packet = &in->packets[in->packet_count];

        if (!opened->ok || opened->length == 0)
            continue;
        packet->data = opened->dst;
        if (packet_is_good(in, packet, opened->length, peer, in->datagrams[at].origin->tos & ECN, &previous, now,
                           &reason)) {
            packet->length = packet->view.length;
            in->packet_count++;
        } else {
            drop_count(in->datapath, reason, 1);
        }
    }
    policy_cache_end(in->datapath, &previous.policy);
}

static void bundle_open(struct inbound *in, const struct bundle *bundle, uint64_t now)
{
    const struct keypair *keypair = bundle->keypair;
    uint32_t at = bundle->first;

    for (uint32_t i = 0; i < bundle->count; i++) {
        const struct datagram *datagram = &in->datagrams[at];
        uint8_t *sealed = datagram->data + TRANSPORT_HEADER_SIZE;

        in->opening[i] = (struct wgfp_aead_packet){
            .src = sealed, .dst = sealed, .length = datagram->length - TRANSPORT_OVERHEAD,
            .counter = transport_counter(datagram->data)};
        at = datagram->next;
    }
    wgfp_aead_open(in->datapath->aead, keypair->session.receiving_key, in->opening, bundle->count);
    bundle_accept(in, bundle, now);
    bundle_check(in, bundle, now);
}

/* Once for all packets that are written as one. false, and counted: it cannot be. */
static bool group_translate(struct inbound *in, const struct wgfp_group *group)
{
    const struct translations *translations = in->datapath->translations;
    struct wgfp_packet *first = &in->packets[group->first];
    enum wgfp_drop reason;

    if (translations == NULL)
        return true;
    if (!translate_inbound(translations, &first->view, first->data, &reason)) {
        drop_count(in->datapath, reason, group->count);
        return false;
    }
    wgfp_group_readdress(group, in->packets);
    return true;
}

static void packets_deliver(struct inbound *in, int tun)
{
    const struct tun_batch batch = {in->packets, in->groups, in->packet_count, in->scratch};
    const size_t groups = tun_join(in->datapath, &batch);

    for (size_t i = 0; i < groups; i++) {
        in->burst |= in->groups[i].vnet.gso_type == WGFP_VNET_UDP && in->groups[i].count >= BURST;
        if (group_translate(in, &in->groups[i]))
            tun_write(in->datapath, tun, &batch, &in->groups[i]);
    }
}

static void inbound_flush(struct inbound *in, int tun, uint64_t now)
{
    for (uint32_t i = 0; i < in->bundle_count; i++)
        bundle_open(in, &in->bundles[i], now);
    packets_deliver(in, tun);
    in->count = in->bundle_count = 0;
    in->packet_count = 0;
}

/* -- Collecting ------------------------------------------------------------------------------------- */

/* Bundles are opened one after the other: so a datagram joins none but its peer's latest, or it would overtake that. */
static void bundle_add(struct inbound *in, struct keypair *keypair, uint32_t number)
{
    uint32_t i = in->bundle_count;

    while (i > 0 && in->bundles[i - 1].keypair->peer != keypair->peer)
        i--;
    if (i == 0 || in->bundles[i - 1].keypair != keypair) {
        in->bundles[in->bundle_count++] = (struct bundle){keypair, number, number, 1};
        return;
    }
    in->datagrams[in->bundles[i - 1].last].next = number;
    in->bundles[i - 1].last = number;
    in->bundles[i - 1].count++;
}

static bool is_forwarded(struct inbound *in, uint8_t *data, uint32_t length, const struct udp_origin *origin,
                         uint64_t now)
{
    return in->datapath->relay != NULL && forwarder_take(&in->forwarder, data, length, origin, now);
}

/* The keypair that a data message may be opened with; NULL, and counted or forwarded, if there is none. */
static struct keypair *keypair_of(struct inbound *in, uint8_t *data, uint32_t length, const struct udp_origin *origin,
                                  uint64_t now)
{
    struct keypair *keypair = NULL;
    enum wgfp_drop reason = WGFP_DROP_UNKNOWN_INDEX;

    if (length < TRANSPORT_OVERHEAD)
        reason = WGFP_DROP_MALFORMED;
    else if ((keypair = keypair_find(&in->datapath->keypairs, transport_index(data))) == NULL) {
        if (is_forwarded(in, data, length, origin, now))
            return NULL;
    } else if (now >= keypair->session.reject_after_time ||
             transport_counter(data) >= REJECT_AFTER_MESSAGES)
        reason = WGFP_DROP_KEYPAIR_EXPIRED;
    else
        return keypair;
    drop_count(in->datapath, reason, 1);
    return NULL;
}

static void transport_add(struct inbound *in, uint8_t *data, uint32_t length, const struct udp_origin *origin,
                          uint64_t now)
{
    struct keypair *keypair = keypair_of(in, data, length, origin, now);

    if (keypair == NULL)
        return;
    in->datagrams[in->count] = (struct datagram){data, length, END, origin};
    bundle_add(in, keypair, in->count++);
}

/* Open what waits if the last of it came from the same source. By that its sender may become one of the ends that are
 * forwarded between, or one at another endpoint, and a handshake message often is right behind it.
 */
static void source_settle(struct inbound *in, const struct udp_origin *origin, int tun, uint64_t now)
{
    if (in->datapath->relay != NULL && in->count > 0 &&
        memcmp(&in->datagrams[in->count - 1].origin->source, &origin->source, sizeof origin->source) == 0)
        inbound_flush(in, tun, now);
}

static void handshake_add(struct inbound *in, uint8_t *data, uint32_t length, const struct udp_origin *origin, int tun,
                          uint64_t now)
{
    source_settle(in, origin, tun, now);
    if (!is_forwarded(in, data, length, origin, now))
        handshake_receive(in->datapath, &origin->source, data, length);
}

static void datagram_add(struct inbound *in, uint8_t *data, uint32_t length, const struct udp_origin *origin, int tun,
                         uint64_t now)
{
    const enum message_type type = message_type(data, length);

    if (type == TYPE_TRANSPORT)
        transport_add(in, data, length, origin, now);
    else if (type == NO_MESSAGE)
        foreign_receive(in->datapath, &origin->source, data, length);
    else
        handshake_add(in, data, length, origin, tun, now);
}

/* Take a message apart: with UDP_GRO it may be many datagrams. */
static void message_add(struct inbound *in, uint32_t number, int tun, uint64_t now)
{
    struct msghdr *message = &in->messages[number].msg_hdr;
    struct udp_origin *origin = &in->origins[number];
    uint8_t *data = in->slices[number].iov_base;
    uint32_t left = in->messages[number].msg_len;

    if (message->msg_flags & MSG_TRUNC) {
        drop_count(in->datapath, WGFP_DROP_MALFORMED, 1);
        return;
    }
    udp_message_origin(message, origin);
    do {
        const uint32_t length =
            origin->segment_size > 0 && left > origin->segment_size ? origin->segment_size : left;

        if (in->count == DATAGRAMS)
            inbound_flush(in, tun, now);
        datagram_add(in, data, length, origin, tun, now);
        data += length;
        left -= length;
    } while (left > 0);
}

/* How many messages to receive after these, of so many bytes. */
static uint32_t messages_next(const struct inbound *in, uint32_t received, uint32_t bytes)
{
    const uint32_t fit = received * TURN_BYTES / (bytes + 1), most = in->burst ? BURST_MESSAGES : in->room;

    return fit < most ? fit : most;
}

bool inbound_receive(struct inbound *in, int udp, int tun, uint64_t now)
{
    const uint32_t most = in->most;
    const int received = in->datapath->system->recvmmsg(udp, in->messages, most, 0, NULL);
    uint32_t bytes = 0;

    in->burst = false;
    if (received <= 0)
        return false; /* nothing, or an ICMP error of an earlier datagram, which says nothing about the next */
    for (uint32_t i = 0; i < (uint32_t)received; i++) {
        bytes += in->messages[i].msg_len;
        message_add(in, i, tun, now);
    }
    inbound_flush(in, tun, now);
    forwarder_flush(&in->forwarder, now);
    for (uint32_t i = 0; i < (uint32_t)received; i++)
        message_prepare(in, i);
    in->most = messages_next(in, (uint32_t)received, bytes);
    return (uint32_t)received == most;
}

bool inbound_wrote_burst(const struct inbound *in)
{
    return in->burst;
}
