/* The control's locks, and what it changes under all of them; what the functions mean is said in control.h, wgfp.h. */
#include "datapath.h"

#include "control.h"
#include "inbound.h"
#include "outbound.h"

void control_lock(struct wgfp_datapath *datapath)
{
    pthread_mutex_lock(&datapath->gate);
    atomic_store_explicit(&datapath->waiting, 1, memory_order_relaxed);
    for (uint32_t i = 0; i < 2 * datapath->queue_count; i++)
        pthread_mutex_lock(&datapath->workers[i].lock);
}

void control_unlock(struct wgfp_datapath *datapath)
{
    for (uint32_t i = 0; i < 2 * datapath->queue_count; i++)
        pthread_mutex_unlock(&datapath->workers[i].lock);
    atomic_store_explicit(&datapath->waiting, 0, memory_order_relaxed);
    pthread_mutex_unlock(&datapath->gate);
    events_notify(&datapath->events);
}

void control_first(struct wgfp_datapath *datapath)
{
    if (atomic_load_explicit(&datapath->waiting, memory_order_relaxed)) {
        pthread_mutex_lock(&datapath->gate);
        pthread_mutex_unlock(&datapath->gate);
    }
}

/* -- Peers ------------------------------------------------------------------------------------------ */

int wgfp_peer_add(struct wgfp_datapath *datapath, uint32_t *peer)
{
    control_lock(datapath);
    const int result = peer_new(datapath, peer);

    control_unlock(datapath);
    return result;
}

void wgfp_peer_remove(struct wgfp_datapath *datapath, uint32_t peer)
{
    control_lock(datapath);
    peer_remove(datapath, peer);
    control_unlock(datapath);
}

void wgfp_peer_send_keepalive(struct wgfp_datapath *datapath, uint32_t peer, uint64_t now)
{
    control_lock(datapath);
    peer_send_keepalive(datapath, peer_of(datapath, peer), now);
    control_unlock(datapath);
}

/* What is staged has passed what was in force when it came. */
static void staged_purge(struct wgfp_datapath *datapath, struct peer *peer)
{
    pthread_mutex_lock(&peer->lock);
    peer_purge(datapath, peer);
    pthread_mutex_unlock(&peer->lock);
}

static bool policy_equal(const struct permits *a, const struct permits *b)
{
    return a == b || (a != NULL && b != NULL && permits_equal(a, b));
}

/* Put another policy in the place of a peer's, which the caller then frees. */
static struct permits *policy_replace(struct wgfp_datapath *datapath, struct peer *peer, struct permits *policy)
{
    struct permits *former = peer->policy;

    peer->policy = policy;
    if (!policy_equal(former, policy))
        staged_purge(datapath, peer);
    return former;
}

int wgfp_peer_set_policy(struct wgfp_datapath *datapath, uint32_t peer, const struct wgfp_permit *permits, size_t count,
                         int filtered)
{
    struct permits *policy = NULL;
    const int error = filtered ? permits_new(&policy, permits, count) : 0;

    if (error != 0)
        return error;
    control_lock(datapath);
    struct permits *former = policy_replace(datapath, peer_of(datapath, peer), policy);

    control_unlock(datapath);
    permits_free(former);
    return 0;
}

/* Put others in the place of these, which the caller then frees. */
static struct translations *translations_replace(struct wgfp_datapath *datapath, struct translations *translations)
{
    struct translations *former = datapath->translations;

    datapath->translations = translations;
    if (!translations_equal(former, translations))
        for (uint32_t i = 1; i < datapath->peer_room; i++)
            if (datapath->peers[i] != NULL)
                staged_purge(datapath, datapath->peers[i]);
    return former;
}

int wgfp_translations_set(struct wgfp_datapath *datapath, const struct wgfp_translation *translations, size_t count,
                          const struct wgfp_local_port *closed, size_t closed_count)
{
    struct translations *made = NULL;
    const int error = count > 0 ? translations_new(&made, translations, count, closed, closed_count) : 0;

    if (error != 0)
        return error;
    control_lock(datapath);
    struct translations *former = translations_replace(datapath, made);

    control_unlock(datapath);
    translations_free(former);
    return 0;
}

/* -- Relay ------------------------------------------------------------------------------------------ */

/* Put a relay, or NULL, in the place of what is there. */
static void relay_replace(struct wgfp_datapath *datapath, struct relay *relay)
{
    control_lock(datapath);
    struct relay *former = datapath->relay;

    relay_free(former);
    filter_set_relay(&datapath->filter, relay != NULL);
    datapath->relay = relay;
    control_unlock(datapath);
}

int wgfp_relay_set_rate(struct wgfp_datapath *datapath, uint64_t rate)
{
    struct relay *made = NULL;

    if (rate == 0 || datapath->relay == NULL) {
        const uint32_t pairs = datapath->small ? SMALL_RELAYED_PAIRS : MAX_RELAYED_PAIRS;
        const int error = rate != 0 ? relay_new(&made, datapath->seed, pairs, &datapath->filter) : 0;

        if (error != 0)
            return error;
        relay_replace(datapath, made);
    }
    control_lock(datapath);
    if (datapath->relay != NULL)
        relay_set_rate(datapath->relay, rate);
    control_unlock(datapath);
    return 0;
}

int wgfp_relay_add_peer(struct wgfp_datapath *datapath, uint32_t peer, const uint8_t *public_key)
{
    int error = 0;

    control_lock(datapath);
    if (datapath->relay != NULL)
        error = relay_add_end(datapath->relay, peer_of(datapath, peer), public_key);
    control_unlock(datapath);
    return error;
}

void wgfp_relay_counts(const struct wgfp_datapath *datapath, uint64_t *counts)
{
    counts[0] = counts[1] = 0;
    if (datapath->relay != NULL)
        relay_counts(datapath->relay, counts);
}

/* -- Routes ----------------------------------------------------------------------------------------- */

int wgfp_route_set(struct wgfp_datapath *datapath, uint32_t peer, const uint8_t *address, size_t size, unsigned length)
{
    control_lock(datapath);
    const int result = wgfp_allowedips_insert(datapath->routes, address, size, length, peer);

    control_unlock(datapath);
    return result;
}

void wgfp_route_remove(struct wgfp_datapath *datapath, uint32_t peer, const uint8_t *address, size_t size,
                       unsigned length)
{
    control_lock(datapath);
    wgfp_allowedips_remove(datapath->routes, address, size, length, peer);
    control_unlock(datapath);
}

/* Without a lock: only the control, which calls, could change them. */
size_t wgfp_routes_of_peer(const struct wgfp_datapath *datapath, uint32_t peer, uint8_t *prefixes, size_t room)
{
    return wgfp_allowedips_of_peer(datapath->routes, peer, prefixes, room);
}

/* -- Keypairs --------------------------------------------------------------------------------------- */

int wgfp_keypair_install(struct wgfp_datapath *datapath, uint32_t peer, const struct wgfp_session *session)
{
    control_lock(datapath);
    const int result = keypair_install(datapath, peer_of(datapath, peer), session);

    control_unlock(datapath);
    return result;
}

int wgfp_keypair_use(struct wgfp_datapath *datapath, uint32_t peer, uint32_t local_index, int confirm, uint64_t now)
{
    control_lock(datapath);
    const int result = keypair_use(datapath, peer_of(datapath, peer), local_index, confirm != 0, now);

    control_unlock(datapath);
    return result;
}

void wgfp_keypair_use_none(struct wgfp_datapath *datapath, uint32_t peer)
{
    control_lock(datapath);
    peer_of(datapath, peer)->sending = NULL;
    relay_note_session(datapath->relay, peer_of(datapath, peer));
    control_unlock(datapath);
}

int wgfp_keypair_remove(struct wgfp_datapath *datapath, uint32_t peer, uint32_t local_index)
{
    control_lock(datapath);
    const int result = keypair_remove(datapath, peer_of(datapath, peer), local_index);

    control_unlock(datapath);
    return result;
}

/* -- Handshake messages ----------------------------------------------------------------------------- */

void wgfp_handshakes_set_mac1_key(struct wgfp_datapath *datapath, const uint8_t *public_key)
{
    control_lock(datapath);
    handshake_queue_set_mac1_key(&datapath->handshakes, public_key);
    filter_set_mac1(&datapath->filter, public_key != NULL ? &datapath->handshakes.mac1_key : NULL);
    control_unlock(datapath);
}

void wgfp_handshakes_set_cookie_secret(struct wgfp_datapath *datapath, const uint8_t *secret)
{
    control_lock(datapath);
    handshake_queue_set_cookie_secret(&datapath->handshakes, secret);
    control_unlock(datapath);
}

/* -- The TUNs --------------------------------------------------------------------------------------- */

void wgfp_datapath_set_reading(struct wgfp_datapath *datapath, uint8_t reading)
{
    control_lock(datapath); /* so that no worker is in the middle of a turn */
    atomic_store(&datapath->leaves_packets, reading == 0);
    for (uint32_t i = 0; i < datapath->queue_count; i++)
        worker_finish(&datapath->workers[2 * i]); /* before another process sends what came later */
    control_unlock(datapath);
    for (uint32_t i = 0; i < 2 * datapath->queue_count; i++)
        worker_wake(&datapath->workers[i]);
}

/* -- Sockets ---------------------------------------------------------------------------------------- */

static void filter_move(const struct filter *filter, int former, int udp)
{
    if (former != udp)
        filter_detach(filter, former);
    filter_attach(filter, udp);
}

static void sockets_replace(struct wgfp_datapath *datapath, const struct wgfp_queue *queues)
{
    outbound_set_sockets(datapath->control, queues[0].udp4, queues[0].udp6);
    for (uint32_t i = 0; i < datapath->queue_count; i++) {
        filter_move(&datapath->filter, datapath->queues[i].udp4, queues[i].udp4);
        filter_move(&datapath->filter, datapath->queues[i].udp6, queues[i].udp6);
        datapath->queues[i].udp4 = queues[i].udp4;
        datapath->queues[i].udp6 = queues[i].udp6;
        outbound_set_sockets(datapath->workers[2 * i].out, queues[i].udp4, queues[i].udp6);
        inbound_set_sockets(datapath->workers[2 * i + 1].in, queues[i].udp4, queues[i].udp6);
    }
}

void wgfp_datapath_set_sockets(struct wgfp_datapath *datapath, const struct wgfp_queue *queues)
{
    control_lock(datapath);
    sockets_replace(datapath, queues);
    control_unlock(datapath);
    for (uint32_t i = 0; i < datapath->queue_count; i++)
        worker_wake(&datapath->workers[2 * i + 1]); /* it waits for the former ones */
}
