/* Handshake messages that wait for the engine; what the functions mean is said in handshake_queue.h.
 *
 * A flood of them must cost little, so the macs are checked before a lock is taken, and a queue that is full takes no
 * more.
 */
#include "datapath.h"

#include "handshake_queue.h"
#include "message.h"

#include <assert.h>

int handshake_queue_init(struct handshake_queue *queue)
{
    if (pthread_mutex_init(&queue->lock, NULL) != 0)
        return WGFP_ERR_MEMORY;
    if (datagram_queue_init(&queue->verified, HANDSHAKE_QUEUE_SIZE, INITIATION_SIZE) != 0 ||
        datagram_queue_init(&queue->others, HANDSHAKE_QUEUE_SIZE, INITIATION_SIZE) != 0 ||
        datagram_queue_init(&queue->cookies, COOKIE_QUEUE_SIZE, COOKIE_REPLY_SIZE) != 0)
        return WGFP_ERR_MEMORY;
    return 0;
}

void handshake_queue_free(struct handshake_queue *queue)
{
    datagram_queue_free(&queue->verified);
    datagram_queue_free(&queue->others);
    datagram_queue_free(&queue->cookies);
    wgfp_mac1_clear(&queue->mac1_key);
    wgfp_cookie_secret_clear(&queue->cookie_secret);
    (void)pthread_mutex_destroy(&queue->lock);
}

void handshake_queue_set_mac1_key(struct handshake_queue *queue, const uint8_t *public_key)
{
    queue->has_mac1_key = public_key != NULL;
    if (public_key != NULL)
        wgfp_mac1_init(&queue->mac1_key, public_key);
    else
        wgfp_mac1_clear(&queue->mac1_key);
}

void handshake_queue_set_cookie_secret(struct handshake_queue *queue, const uint8_t *secret)
{
    queue->has_cookie_secret = secret != NULL;
    if (secret != NULL)
        wgfp_cookie_secret_init(&queue->cookie_secret, secret);
    else
        wgfp_cookie_secret_clear(&queue->cookie_secret);
}

/* -- What comes in ---------------------------------------------------------------------------------- */

static void message_push(struct wgfp_datapath *datapath, struct datagram_queue *lane,
                         const struct wgfp_endpoint *source, const uint8_t *data, size_t length)
{
    struct handshake_queue *queue = &datapath->handshakes;

    pthread_mutex_lock(&queue->lock);
    const bool kept = datagram_queue_push(lane, source, data, (uint32_t)length);
    const bool only = kept && lane->count == 1;

    pthread_mutex_unlock(&queue->lock);
    if (!kept)
        drop_count(datapath, WGFP_DROP_HANDSHAKE_QUEUE_FULL, 1);
    if (only)
        events_wake(&datapath->events);
}

/* Many messages wait, or did less than a second ago. The clock is read only then. */
static bool under_load(struct wgfp_datapath *datapath)
{
    struct handshake_queue *queue = &datapath->handshakes;
    bool loaded = true;

    pthread_mutex_lock(&queue->lock);
    if (queue->verified.count + queue->others.count >= UNDER_LOAD_DEPTH)
        queue->loaded_until = datapath->system->now() + UNDER_LOAD_HOLD;
    else if (queue->loaded_until == 0 || datapath->system->now() >= queue->loaded_until) {
        queue->loaded_until = 0;
        loaded = false;
    }
    pthread_mutex_unlock(&queue->lock);
    return loaded;
}

bool handshake_is_own(const struct handshake_queue *queue, const uint8_t *data, size_t length)
{
    return !queue->has_mac1_key || wgfp_mac1_valid(&queue->mac1_key, data, length);
}

/* An initiation or response of the right size. */
static void initiation_or_response_receive(struct wgfp_datapath *datapath, const struct wgfp_endpoint *source,
                                           const uint8_t *data, size_t length)
{
    struct handshake_queue *queue = &datapath->handshakes;

    if (!handshake_is_own(queue, data, length)) {
        drop_count(datapath, WGFP_DROP_INVALID_MAC1, 1);
        return;
    }
    const bool verified = queue->has_cookie_secret && under_load(datapath) &&
                          wgfp_mac2_valid(&queue->cookie_secret, data, length, source->address, source->size,
                                          (uint16_t)source->port);

    message_push(datapath, verified ? &queue->verified : &queue->others, source, data, length);
}

void handshake_receive(struct wgfp_datapath *datapath, const struct wgfp_endpoint *source, const uint8_t *data,
                       size_t length)
{
    static const size_t sizes[] = {
        [TYPE_INITIATION] = INITIATION_SIZE,
        [TYPE_RESPONSE] = RESPONSE_SIZE,
        [TYPE_COOKIE_REPLY] = COOKIE_REPLY_SIZE,
    };
    const enum message_type type = message_type(data, length);

    assert(type >= TYPE_INITIATION && type <= TYPE_COOKIE_REPLY);
    if (length != sizes[type])
        drop_count(datapath, WGFP_DROP_MALFORMED, 1);
    else if (type == TYPE_COOKIE_REPLY)
        message_push(datapath, &datapath->handshakes.cookies, source, data, length);
    else
        initiation_or_response_receive(datapath, source, data, length);
}

/* -- What the control takes ------------------------------------------------------------------------- */

size_t wgfp_handshakes_waiting(const struct wgfp_datapath *datapath)
{
    struct handshake_queue *queue = (struct handshake_queue *)&datapath->handshakes; /* only its lock changes */

    pthread_mutex_lock(&queue->lock);
    const size_t waiting = (size_t)queue->verified.count + queue->others.count + queue->cookies.count;

    pthread_mutex_unlock(&queue->lock);
    return waiting;
}

int wgfp_handshake_take(struct wgfp_datapath *datapath, struct wgfp_datagram *message)
{
    struct handshake_queue *queue = &datapath->handshakes;

    pthread_mutex_lock(&queue->lock);
    bool taken = datagram_queue_pop(&queue->verified, message);

    if (!taken) {
        struct datagram_queue *turn = queue->cookies_next ? &queue->cookies : &queue->others;

        taken = datagram_queue_pop(turn, message) ||
                datagram_queue_pop(queue->cookies_next ? &queue->others : &queue->cookies, message);
        queue->cookies_next = !queue->cookies_next;
    }
    pthread_mutex_unlock(&queue->lock);
    return taken;
}
