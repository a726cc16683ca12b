/* Routing loops; what the functions mean is said in routing_loop.h. */
#include "datapath.h"

#include "bytes.h"
#include "message.h"
#include "packet.h"
#include "protocols.h"
#include "routing_loop.h"

#include <string.h>

enum { RANDOM_OFFSET = 12 }; /* in any handshake message: part of an ephemeral key, or of a nonce */

int handshakes_sent_init(struct handshakes_sent *sent)
{
    return pthread_mutex_init(&sent->lock, NULL) == 0 ? 0 : WGFP_ERR_MEMORY;
}

void handshakes_sent_free(struct handshakes_sent *sent)
{
    (void)pthread_mutex_destroy(&sent->lock);
}

/* The one with this random part; NULL: it was not sent, or is forgotten. Under the lock. */
static struct handshake_sent *handshake_sent_find(struct handshakes_sent *sent, uint64_t random)
{
    for (uint32_t i = 0; i < sent->count; i++)
        if (sent->messages[i].random == random)
            return &sent->messages[i];
    return NULL;
}

/* Room for one more, in place of the oldest if there is no other. Under the lock. */
static struct handshake_sent *handshake_sent_new(struct handshakes_sent *sent)
{
    struct handshake_sent *message = &sent->messages[sent->next];

    sent->next = (sent->next + 1) % HANDSHAKES_REMEMBERED;
    if (sent->count < HANDSHAKES_REMEMBERED)
        sent->count++;
    return message;
}

void wgfp_handshake_note(struct wgfp_datapath *datapath, const uint8_t *message, size_t length, uint32_t peer)
{
    struct handshakes_sent *sent = &datapath->sent;

    if (length < COOKIE_REPLY_SIZE)
        return;
    const uint64_t random = wgfp_load64(message + RANDOM_OFFSET);

    filter_expect_cookie(&datapath->filter, handshake_sender(message));
    pthread_mutex_lock(&sent->lock);
    struct handshake_sent *noted = handshake_sent_find(sent, random);

    if (noted == NULL)
        noted = handshake_sent_new(sent);
    *noted = (struct handshake_sent){random, peer};
    pthread_mutex_unlock(&sent->lock);
}

void handshakes_sent_remove_peer(struct handshakes_sent *sent, uint32_t peer)
{
    pthread_mutex_lock(&sent->lock);
    for (uint32_t i = 0; i < HANDSHAKES_REMEMBERED; i++)
        if (sent->messages[i].peer == peer)
            sent->messages[i].peer = 0;
    pthread_mutex_unlock(&sent->lock);
}

/* Whether it was sent; peer: whose event is to be raised, which is forgotten here; 0: nobody's. */
static bool handshake_sent_take(struct handshakes_sent *sent, uint64_t random, uint32_t *peer)
{
    *peer = 0;
    pthread_mutex_lock(&sent->lock);
    struct handshake_sent *found = handshake_sent_find(sent, random);

    if (found != NULL) {
        *peer = found->peer;
        found->peer = 0;
    }
    pthread_mutex_unlock(&sent->lock);
    return found != NULL;
}

static uint32_t destination_port(const struct wgfp_view *view, const uint8_t *packet)
{
    const uint8_t *port = packet + view->transport + 2;

    return (uint32_t)port[0] << 8 | port[1];
}

/* What was sent to where the packet goes has come back. Under the peer's lock. */
static void loop_raise(struct events *events, struct peer *peer, const struct wgfp_view *view, const uint8_t *packet)
{
    if (peer_faults_of(peer) == NULL)
        return;
    if ((peer->events & 1u << WGFP_EVENT_ROUTING_LOOP) == 0) {
        struct wgfp_endpoint *looped = &peer->faults->looped;

        *looped = (struct wgfp_endpoint){.size = packet_address_size(view), .port = destination_port(view, packet)};
        memcpy(looped->address, packet_destination(view, packet), looped->size);
    }
    event_raise(events, peer, NULL, WGFP_EVENT_ROUTING_LOOP);
}

static bool handshake_was_sent(struct wgfp_datapath *datapath, const uint8_t *message, size_t length,
                               const struct wgfp_view *view, const uint8_t *packet)
{
    uint32_t number;

    if (length < COOKIE_REPLY_SIZE ||
        !handshake_sent_take(&datapath->sent, wgfp_load64(message + RANDOM_OFFSET), &number))
        return false;
    if (number != 0) {
        struct peer *peer = peer_of(datapath, number);

        pthread_mutex_lock(&peer->lock);
        loop_raise(&datapath->events, peer, view, packet);
        pthread_mutex_unlock(&peer->lock);
    }
    return true;
}

/* Whether this keypair sealed the message, and it goes to where its peer is. Under the peer's lock. */
static bool keypair_sealed(const struct keypair *keypair, const uint8_t *message, const struct wgfp_view *view,
                           const uint8_t *packet)
{
    const struct wgfp_endpoint *endpoint = &keypair->peer->endpoint;

    return transport_counter(message) < keypair->counter && endpoint->size == packet_address_size(view) &&
           packet_address_equal(endpoint->address, packet_destination(view, packet), endpoint->size) &&
           endpoint->port == destination_port(view, packet);
}

static bool transport_was_sent(struct wgfp_datapath *datapath, const uint8_t *message, const struct wgfp_view *view,
                               const uint8_t *packet)
{
    const uint32_t index = transport_index(message);
    bool found = false;

    for (struct keypair *keypair = keypair_first_remote(&datapath->keypairs, index); keypair != NULL && !found;
         keypair = keypair->next_remote) {
        if (keypair->session.remote_index != index)
            continue;
        pthread_mutex_lock(&keypair->peer->lock);
        found = keypair_sealed(keypair, message, view, packet);
        if (found && !keypair->looped) {
            keypair->looped = true;
            loop_raise(&datapath->events, keypair->peer, view, packet);
        }
        pthread_mutex_unlock(&keypair->peer->lock);
    }
    return found;
}

bool routing_loop_find(struct wgfp_datapath *datapath, const struct wgfp_view *view, const uint8_t *packet)
{
    if (view->protocol != UDP || view->transport == 0 || (view->fragment & FRAGMENT_OFFSET) != 0 ||
        view->length < view->transport + UDP_HEADER + TRANSPORT_OVERHEAD)
        return false;
    const uint8_t *message = packet + view->transport + UDP_HEADER;
    const size_t length = view->length - view->transport - UDP_HEADER;

    switch (message_type(message, length)) {
    case NO_MESSAGE:
        return false;
    case TYPE_TRANSPORT:
        return transport_was_sent(datapath, message, view, packet);
    default:
        return handshake_was_sent(datapath, message, length, view, packet);
    }
}
