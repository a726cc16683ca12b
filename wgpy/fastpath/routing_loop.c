/* Routing loops; what the functions mean is said in routing_loop.h. */
#include "datapath.h"

#include "bytes.h"
#include "message.h"
#include "packet.h"
#include "protocols.h"
#include "routing_loop.h"

#include <string.h>

enum { RANDOM_OFFSET = 12 }; /* in any handshake message: part of an ephemeral key, or of a nonce */

void wgfp_handshake_note(struct wgfp_datapath *datapath, const uint8_t *message, size_t length)
{
    struct handshakes_sent *sent = &datapath->sent;

    if (length < COOKIE_REPLY_SIZE)
        return;
    atomic_store_explicit(&sent->random[sent->next], wgfp_load64(message + RANDOM_OFFSET), memory_order_relaxed);
    sent->next = (sent->next + 1) % HANDSHAKES_REMEMBERED;
}

static bool handshake_was_sent(const struct handshakes_sent *sent, const uint8_t *message, size_t length)
{
    const uint64_t random = length < COOKIE_REPLY_SIZE ? 0 : wgfp_load64(message + RANDOM_OFFSET);
    bool found = false;

    for (uint32_t i = 0; i < HANDSHAKES_REMEMBERED && random != 0 && !found; i++)
        found = atomic_load_explicit(&sent->random[i], memory_order_relaxed) == random;
    return found;
}

/* Whether this keypair sealed the message, and it goes to where its peer is. Under the peer's lock. */
static bool keypair_sealed(const struct keypair *keypair, const uint8_t *message, const struct wgfp_view *view,
                           const uint8_t *packet)
{
    const struct wgfp_endpoint *endpoint = &keypair->peer->endpoint;
    const uint8_t *port = packet + view->transport + 2;

    return transport_counter(message) < keypair->counter && endpoint->size == packet_address_size(view) &&
           packet_address_equal(endpoint->address, packet_destination(view, packet), endpoint->size) &&
           endpoint->port == ((uint32_t)port[0] << 8 | port[1]);
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
            event_raise(&datapath->events, keypair->peer, NULL, WGFP_EVENT_ROUTING_LOOP);
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
        return handshake_was_sent(&datapath->sent, message, length);
    }
}
