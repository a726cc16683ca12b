/* Datagrams that are no data: what is worth it waits for the engine. A flood of them must cost little, so the macs are
 * checked before a lock is taken, and a queue that is full takes no more. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    TYPE_INITIATION = 1,
    TYPE_RESPONSE = 2,
    TYPE_COOKIE_REPLY = 3,
    TYPE_TRANSPORT = 4,
    TYPE_SIZE = 4, /* the type and three zeros */
    INITIATION_SIZE = 148,
    RESPONSE_SIZE = 92,
    COOKIE_REPLY_SIZE = 64,
    STRANGER_SIZE = sizeof((struct wgfp_letter *)0)->data,
};

#define UNDER_LOAD_HOLD UINT64_C(1000000000)

/* Queues. */

static int queue_init(struct letter_queue *queue, uint32_t size, uint32_t longest)
{
    const size_t alignment = _Alignof(struct wgfp_letter);
    const size_t slot_size = (offsetof(struct wgfp_letter, data) + longest + alignment - 1) / alignment * alignment;

    *queue = (struct letter_queue){.slots = calloc(size, slot_size), .slot_size = (uint32_t)slot_size, .size = size};
    return queue->slots != NULL ? 0 : WGFP_ERR_MEMORY;
}

static struct wgfp_letter *queue_slot(const struct letter_queue *queue, uint32_t i)
{
    return (void *)(queue->slots + (size_t)((queue->first + i) % queue->size) * queue->slot_size);
}

/* false: the queue is full. */
static bool queue_push(struct letter_queue *queue, const struct wgfp_endpoint *source, const uint8_t *data,
                       uint32_t length)
{
    if (queue->count == queue->size)
        return false;
    struct wgfp_letter *slot = queue_slot(queue, queue->count++);

    slot->source = *source;
    slot->length = length;
    if (length != 0)
        memcpy(slot->data, data, length);
    return true;
}

static bool queue_pop(struct letter_queue *queue, struct wgfp_letter *letter)
{
    if (queue->count == 0)
        return false;
    const struct wgfp_letter *slot = queue_slot(queue, 0);

    letter->source = slot->source;
    letter->length = slot->length;
    memcpy(letter->data, slot->data, slot->length);
    queue->first = (queue->first + 1) % queue->size;
    queue->count--;
    return true;
}

int letters_init(struct letters *letters, bool keep_strangers)
{
    if (pthread_mutex_init(&letters->lock, NULL) != 0)
        return WGFP_ERR_MEMORY;
    if (queue_init(&letters->verified, HANDSHAKE_QUEUE_SIZE, INITIATION_SIZE) != 0 ||
        queue_init(&letters->others, HANDSHAKE_QUEUE_SIZE, INITIATION_SIZE) != 0 ||
        queue_init(&letters->cookies, COOKIE_QUEUE_SIZE, COOKIE_REPLY_SIZE) != 0 ||
        (keep_strangers && queue_init(&letters->strangers, STRANGER_QUEUE_SIZE, STRANGER_SIZE) != 0))
        return WGFP_ERR_MEMORY; /* what there is, letters_free frees */
    return 0;
}

void letters_free(struct letters *letters)
{
    free(letters->verified.slots);
    free(letters->others.slots);
    free(letters->cookies.slots);
    free(letters->strangers.slots);
    wgfp_mac1_clear(&letters->guard);
    wgfp_cookie_secret_clear(&letters->secret);
    (void)pthread_mutex_destroy(&letters->lock);
}

/* What comes in. */

static void letter_push(struct wgfp_datapath *datapath, struct letter_queue *queue, enum wgfp_drop full,
                        const struct wgfp_endpoint *source, const uint8_t *data, size_t length)
{
    pthread_mutex_lock(&datapath->letters.lock);
    const bool kept = queue_push(queue, source, data, (uint32_t)length);
    const bool only = kept && queue->count == 1;

    pthread_mutex_unlock(&datapath->letters.lock);
    if (!kept)
        drop_count(datapath, full, 1);
    if (only)
        events_wake(&datapath->events);
}

/* Many messages wait, or did less than a second ago. The clock is read only then. */
static bool under_load(struct wgfp_datapath *datapath)
{
    struct letters *letters = &datapath->letters;
    bool loaded = true;

    pthread_mutex_lock(&letters->lock);
    if (letters->verified.count + letters->others.count >= UNDER_LOAD_DEPTH)
        letters->loaded_until = datapath->system->now() + UNDER_LOAD_HOLD;
    else if (letters->loaded_until == 0 || datapath->system->now() >= letters->loaded_until) {
        letters->loaded_until = 0;
        loaded = false;
    }
    pthread_mutex_unlock(&letters->lock);
    return loaded;
}

/* An initiation or response of the right size. */
static void handshake_receive(struct wgfp_datapath *datapath, const struct wgfp_endpoint *source, const uint8_t *data,
                              size_t length)
{
    struct letters *letters = &datapath->letters;

    if (letters->has_guard && !wgfp_mac1_valid(&letters->guard, data, length)) {
        drop_count(datapath, WGFP_DROP_INVALID_MAC1, 1);
        return;
    }
    const bool verified = letters->has_secret && under_load(datapath) &&
                          wgfp_mac2_valid(&letters->secret, data, length, source->address, source->size,
                                          (uint16_t)source->port);

    letter_push(datapath, verified ? &letters->verified : &letters->others, WGFP_DROP_HANDSHAKE_QUEUE_FULL, source,
                data, length);
}

static void stranger_receive(struct wgfp_datapath *datapath, const struct wgfp_endpoint *source, const uint8_t *data,
                             size_t length)
{
    struct letter_queue *strangers = &datapath->letters.strangers;

    if (strangers->size == 0)
        drop_count(datapath, WGFP_DROP_UNKNOWN_TYPE, 1);
    else if (length > STRANGER_SIZE)
        drop_count(datapath, WGFP_DROP_STRANGER_TOO_LONG, 1);
    else
        letter_push(datapath, strangers, WGFP_DROP_STRANGER_QUEUE_FULL, source, data, length);
}

void letter_receive(struct wgfp_datapath *datapath, const struct wgfp_endpoint *source, const uint8_t *data,
                    size_t length)
{
    static const size_t sizes[] = {
        [TYPE_INITIATION] = INITIATION_SIZE,
        [TYPE_RESPONSE] = RESPONSE_SIZE,
        [TYPE_COOKIE_REPLY] = COOKIE_REPLY_SIZE,
    };

    if (length < TYPE_SIZE || (data[1] | data[2] | data[3]) != 0 || data[0] < TYPE_INITIATION ||
        data[0] >= TYPE_TRANSPORT)
        stranger_receive(datapath, source, data, length);
    else if (length != sizes[data[0]])
        drop_count(datapath, WGFP_DROP_MALFORMED, 1);
    else if (data[0] == TYPE_COOKIE_REPLY)
        letter_push(datapath, &datapath->letters.cookies, WGFP_DROP_HANDSHAKE_QUEUE_FULL, source, data, length);
    else
        handshake_receive(datapath, source, data, length);
}

/* What the control takes and says. */

size_t wgfp_handshakes_waiting(const struct wgfp_datapath *datapath)
{
    struct letters *letters = (struct letters *)&datapath->letters; /* only its lock changes */

    pthread_mutex_lock(&letters->lock);
    const size_t waiting = (size_t)letters->verified.count + letters->others.count + letters->cookies.count;

    pthread_mutex_unlock(&letters->lock);
    return waiting;
}

int wgfp_handshake_take(struct wgfp_datapath *datapath, struct wgfp_letter *letter)
{
    struct letters *letters = &datapath->letters;

    pthread_mutex_lock(&letters->lock);
    bool taken = queue_pop(&letters->verified, letter);

    if (!taken) {
        struct letter_queue *turn = letters->cookies_next ? &letters->cookies : &letters->others;

        taken = queue_pop(turn, letter) ||
                queue_pop(letters->cookies_next ? &letters->others : &letters->cookies, letter);
        letters->cookies_next = !letters->cookies_next;
    }
    pthread_mutex_unlock(&letters->lock);
    return taken;
}

int wgfp_stranger_take(struct wgfp_datapath *datapath, struct wgfp_letter *letter)
{
    pthread_mutex_lock(&datapath->letters.lock);
    const bool taken = queue_pop(&datapath->letters.strangers, letter);

    pthread_mutex_unlock(&datapath->letters.lock);
    return taken;
}

void wgfp_handshakes_guard(struct wgfp_datapath *datapath, const uint8_t *public_key)
{
    struct letters *letters = &datapath->letters;

    control_lock(datapath);
    letters->has_guard = public_key != NULL;
    if (public_key != NULL)
        wgfp_mac1_init(&letters->guard, public_key);
    else
        wgfp_mac1_clear(&letters->guard);
    control_unlock(datapath);
}

void wgfp_handshakes_set_cookie_secret(struct wgfp_datapath *datapath, const uint8_t *secret)
{
    struct letters *letters = &datapath->letters;

    control_lock(datapath);
    letters->has_secret = secret != NULL;
    if (secret != NULL)
        wgfp_cookie_secret_init(&letters->secret, secret);
    else
        wgfp_cookie_secret_clear(&letters->secret);
    control_unlock(datapath);
}
