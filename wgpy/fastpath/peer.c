/* Peers by number; what the functions mean is said in peer.h and wgfp.h. */
#include "datapath.h"

#include "outbound.h"
#include "peer.h"
#include "permits.h"
#include "udp.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 16 };

_Static_assert(MAX_PEER_NUMBERS - 1 <= WGFP_MAX_OWNER, "each number can own prefixes");

/* Room for twice as many peers. On failure nothing has changed that anybody sees. */
static int peers_grow(struct wgfp_datapath *datapath)
{
    const uint32_t former = datapath->peer_room;
    const uint32_t room = former ? 2 * former : FIRST_ROOM;

    if (room > MAX_PEER_NUMBERS)
        return WGFP_ERR_MEMORY;
    uint32_t *numbers = realloc(datapath->free_peer_numbers, room * sizeof *numbers);

    if (numbers == NULL)
        return WGFP_ERR_MEMORY;
    datapath->free_peer_numbers = numbers;
    struct peer **peers = realloc(datapath->peers, room * sizeof(struct peer *));

    if (peers == NULL)
        return WGFP_ERR_MEMORY;
    datapath->peers = peers;
    datapath->peer_room = room;
    for (uint32_t number = room; number-- > former;) { /* so that the lowest is given first */
        peers[number] = NULL;
        if (number != 0)
            numbers[datapath->free_peer_count++] = number;
    }
    return 0;
}

int peer_new(struct wgfp_datapath *datapath, uint32_t *number)
{
    if (datapath->free_peer_count == 0 && peers_grow(datapath) != 0)
        return WGFP_ERR_MEMORY;
    struct peer *peer = calloc(1, sizeof *peer);

    if (peer == NULL)
        return WGFP_ERR_MEMORY;
    if (pthread_mutex_init(&peer->lock, NULL) != 0) {
        free(peer);
        return WGFP_ERR_MEMORY;
    }
    peer->life = ++datapath->lives;
    peer->number = datapath->free_peer_numbers[--datapath->free_peer_count];
    datapath->peers[peer->number] = peer;
    *number = peer->number;
    return 0;
}

void peer_purge(struct wgfp_datapath *datapath, struct peer *peer)
{
    drop_count(datapath, WGFP_DROP_STAGED_PURGED, peer->staged.count);
    while (peer->staged.count != 0)
        staged_pop(&datapath->staging, &peer->staged, NULL);
}

static void peer_free(struct wgfp_datapath *datapath, struct peer *peer)
{
    peer_purge(datapath, peer);
    keypairs_remove(datapath, peer);
    events_forget(&datapath->events, peer);
    permits_free(peer->policy);
    (void)pthread_mutex_destroy(&peer->lock);
    free(peer->faults);
    free(peer->lent);
    free(peer);
}

struct peer_faults *peer_faults_of(struct peer *peer)
{
    if (peer->faults == NULL)
        peer->faults = calloc(1, sizeof *peer->faults);
    return peer->faults;
}

bool peer_is_plain(const struct peer *peer)
{
    return peer->faults != NULL && memcmp(&peer->faults->plain, &peer->endpoint, sizeof peer->endpoint) == 0;
}

bool peer_take_initiation(struct wgfp_datapath *datapath, struct peer *peer, uint64_t now,
                          uint8_t message[INITIATION_SIZE])
{
    struct initiation *lent = peer->lent;

    if (lent == NULL || now >= lent->until || peer->events & 1u << WGFP_EVENT_KEY_NEEDED) /* then the control sends it */
        return false;
    memcpy(message, lent->message, INITIATION_SIZE);
    peer->initiated = handshake_sender(message);
    peer->lent = NULL;
    free(lent);
    event_raise(&datapath->events, peer, NULL, WGFP_EVENT_INITIATION_SENT);
    return true;
}

void peer_remove(struct wgfp_datapath *datapath, uint32_t number)
{
    wgfp_allowedips_remove_peer(datapath->routes, number);
    relay_remove_end(datapath->relay, peer_of(datapath, number));
    handshakes_sent_remove_peer(&datapath->sent, number);
    peer_free(datapath, peer_of(datapath, number));
    datapath->peers[number] = NULL;
    datapath->free_peer_numbers[datapath->free_peer_count++] = number;
}

void peers_free(struct wgfp_datapath *datapath)
{
    for (uint32_t number = 0; number < datapath->peer_room; number++)
        if (datapath->peers[number] != NULL)
            peer_free(datapath, datapath->peers[number]);
    free(datapath->peers);
    free(datapath->free_peer_numbers);
}

void peer_send_keepalive(struct wgfp_datapath *datapath, struct peer *peer, uint64_t now)
{
    pthread_mutex_lock(&peer->lock);
    if (peer->staged.count == 0)
        drop_count(datapath, WGFP_DROP_STAGED_QUEUE_FULL, staged_push(&datapath->staging, &peer->staged, NULL, 0));
    pthread_mutex_unlock(&peer->lock);
    outbound_staged(datapath->control, peer, now);
}

void peer_learn(struct wgfp_datapath *datapath, struct peer *peer, const struct wgfp_endpoint *endpoint,
                const struct udp_outcome *outcome)
{
    pthread_mutex_lock(&peer->lock);
    if (memcmp(&peer->endpoint, endpoint, sizeof peer->endpoint) == 0) {
        if (outcome->segment_is_bad && peer_faults_of(peer) != NULL)
            peer->faults->plain = peer->endpoint; /* else it is found out again */
        if (outcome->source_is_bad) {
            memset(peer->endpoint.local_address, 0, sizeof peer->endpoint.local_address);
            peer->endpoint.local_interface = 0;
            event_raise(&datapath->events, peer, NULL, WGFP_EVENT_ENDPOINT_CHANGED);
        }
    }
    pthread_mutex_unlock(&peer->lock);
}

/* -- What the peer's own lock is enough for: only the control, which calls, could remove the peer ----- */

void wgfp_peer_set_endpoint(struct wgfp_datapath *datapath, uint32_t number, const struct wgfp_endpoint *endpoint,
                            int pinned)
{
    struct peer *peer = peer_of(datapath, number);

    pthread_mutex_lock(&peer->lock);
    peer->endpoint = *endpoint;
    peer->pinned = pinned != 0;
    relay_note_session(datapath->relay, peer);
    peer->events &= ~(1u << WGFP_EVENT_ENDPOINT_CHANGED); /* the order is newer than the move */
    pthread_mutex_unlock(&peer->lock);
}

void wgfp_peer_clear_source(struct wgfp_datapath *datapath, uint32_t number)
{
    struct peer *peer = peer_of(datapath, number);

    pthread_mutex_lock(&peer->lock);
    memset(peer->endpoint.local_address, 0, sizeof peer->endpoint.local_address);
    peer->endpoint.local_interface = 0;
    pthread_mutex_unlock(&peer->lock);
}

void wgfp_peer_purge_staged(struct wgfp_datapath *datapath, uint32_t number)
{
    struct peer *peer = peer_of(datapath, number);

    pthread_mutex_lock(&peer->lock);
    peer_purge(datapath, peer);
    pthread_mutex_unlock(&peer->lock);
}

void wgfp_initiation_lend(struct wgfp_datapath *datapath, uint32_t number, const uint8_t *message, uint64_t until)
{
    struct peer *peer = peer_of(datapath, number);
    struct initiation *lent = message != NULL ? malloc(sizeof *lent) : NULL;

    if (lent != NULL) {
        lent->until = until;
        memcpy(lent->message, message, INITIATION_SIZE);
    }
    pthread_mutex_lock(&peer->lock);
    struct initiation *former = peer->lent;

    peer->lent = lent;
    pthread_mutex_unlock(&peer->lock);
    free(former);
}

void wgfp_peer_activity(struct wgfp_datapath *datapath, uint32_t number, struct wgfp_activity *activity)
{
    struct peer *peer = peer_of(datapath, number);

    pthread_mutex_lock(&peer->lock);
    *activity = peer->activity;
    pthread_mutex_unlock(&peer->lock);
}
