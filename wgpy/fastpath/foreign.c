/* Foreign datagrams; what the functions mean is said in foreign.h. */
#include "datapath.h"

#include "control.h"
#include "foreign.h"

#include <stdlib.h>
#include <string.h>

int foreign_init(struct foreign *foreign, bool accept)
{
    if (pthread_mutex_init(&foreign->lock, NULL) != 0)
        return WGFP_ERR_MEMORY;
    return accept ? datagram_queue_init(&foreign->queue, MAX_FOREIGN, MAX_FOREIGN_SIZE) : 0;
}

void foreign_free(struct foreign *foreign)
{
    datagram_queue_free(&foreign->queue);
    free(foreign->expected);
    (void)pthread_mutex_destroy(&foreign->lock);
}

/* Is it one source, which has one budget? */
static bool same_source(const struct wgfp_endpoint *a, const struct wgfp_endpoint *b)
{
    return a->size == b->size && memcmp(a->address, b->address, a->size == 4 ? 4 : 8) == 0;
}

static uint32_t count_of(const struct datagram_queue *queue, const struct wgfp_endpoint *source)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < queue->count; i++)
        count += same_source(&datagram_queue_at(queue, i)->source, source);
    return count;
}

/* false: it is not kept, for this reason. Under the lock. */
static bool foreign_keep(struct foreign *foreign, const struct wgfp_endpoint *source, const uint8_t *data,
                         size_t length, enum wgfp_drop *reason)
{
    *reason = WGFP_DROP_FOREIGN_SOURCE_LIMIT;
    if (count_of(&foreign->queue, source) >= MAX_FOREIGN_PER_SOURCE)
        return false;
    *reason = WGFP_DROP_FOREIGN_QUEUE_FULL;
    return datagram_queue_push(&foreign->queue, source, data, (uint32_t)length);
}

static void foreign_push(struct wgfp_datapath *datapath, const struct wgfp_endpoint *source, const uint8_t *data,
                         size_t length)
{
    struct foreign *foreign = &datapath->foreign;
    enum wgfp_drop reason;

    pthread_mutex_lock(&foreign->lock);
    const bool kept = foreign_keep(foreign, source, data, length, &reason);
    const bool only = kept && foreign->queue.count == 1;

    pthread_mutex_unlock(&foreign->lock);
    if (!kept)
        drop_count(datapath, reason, 1);
    if (only)
        events_wake(&datapath->events);
}

void foreign_receive(struct wgfp_datapath *datapath, const struct wgfp_endpoint *source, const uint8_t *data,
                     size_t length)
{
    if (datapath->foreign.queue.size == 0)
        drop_count(datapath, WGFP_DROP_UNKNOWN_TYPE, 1);
    else if (length > MAX_FOREIGN_SIZE)
        drop_count(datapath, WGFP_DROP_FOREIGN_TOO_LONG, 1);
    else
        foreign_push(datapath, source, data, length);
}

/* The filter knows the new words before the old ones are forgotten. Takes `words` over. */
static void expect(struct wgfp_datapath *datapath, uint32_t *words, size_t n)
{
    struct foreign *foreign = &datapath->foreign;

    for (size_t i = 0; i < n; i++)
        filter_add_index(&datapath->filter, words[i]);
    for (size_t i = 0; i < foreign->expected_count; i++)
        filter_remove_index(&datapath->filter, foreign->expected[i]);
    free(foreign->expected);
    foreign->expected = words;
    foreign->expected_count = n;
}

int wgfp_foreign_expect(struct wgfp_datapath *datapath, const uint8_t *magic, const uint32_t *words, size_t n)
{
    uint32_t *kept = calloc(n + 1, sizeof *kept);

    if (kept == NULL)
        return WGFP_ERR_MEMORY;
    memcpy(kept, words, n * sizeof *kept);
    expect(datapath, kept, n);
    filter_expect_foreign(&datapath->filter, wgfp_load32_be(magic));
    return 0;
}

int wgfp_foreign_accept(struct wgfp_datapath *datapath)
{
    struct datagram_queue *queue = &datapath->foreign.queue;

    control_lock(datapath); /* no worker looks at the queue's size meanwhile */
    const int result = queue->size != 0 ? 0 : datagram_queue_init(queue, MAX_FOREIGN, MAX_FOREIGN_SIZE);

    control_unlock(datapath);
    filter_expect_foreign(&datapath->filter, 0);
    expect(datapath, NULL, 0);
    filter_set_foreign(&datapath->filter, queue->size != 0);
    return result;
}

int wgfp_foreign_take(struct wgfp_datapath *datapath, struct wgfp_datagram *datagram)
{
    struct foreign *foreign = &datapath->foreign;

    pthread_mutex_lock(&foreign->lock);
    const bool taken = datagram_queue_pop(&foreign->queue, datagram);

    pthread_mutex_unlock(&foreign->lock);
    return taken;
}
