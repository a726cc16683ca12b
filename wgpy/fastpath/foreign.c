/* Foreign datagrams; what the functions mean is said in foreign.h. */
#include "datapath.h"

#include "control.h"
#include "foreign.h"

int foreign_init(struct foreign *foreign, bool accept)
{
    if (pthread_mutex_init(&foreign->lock, NULL) != 0)
        return WGFP_ERR_MEMORY;
    return accept ? datagram_queue_init(&foreign->queue, MAX_FOREIGN, MAX_FOREIGN_SIZE) : 0;
}

void foreign_free(struct foreign *foreign)
{
    datagram_queue_free(&foreign->queue);
    (void)pthread_mutex_destroy(&foreign->lock);
}

static void foreign_push(struct wgfp_datapath *datapath, const struct wgfp_endpoint *source, const uint8_t *data,
                         size_t length)
{
    struct foreign *foreign = &datapath->foreign;

    pthread_mutex_lock(&foreign->lock);
    const bool kept = datagram_queue_push(&foreign->queue, source, data, (uint32_t)length);
    const bool only = kept && foreign->queue.count == 1;

    pthread_mutex_unlock(&foreign->lock);
    if (!kept)
        drop_count(datapath, WGFP_DROP_FOREIGN_QUEUE_FULL, 1);
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

int wgfp_foreign_accept(struct wgfp_datapath *datapath)
{
    struct datagram_queue *queue = &datapath->foreign.queue;

    control_lock(datapath); /* no worker looks at the queue's size meanwhile */
    const int result = queue->size != 0 ? 0 : datagram_queue_init(queue, MAX_FOREIGN, MAX_FOREIGN_SIZE);

    control_unlock(datapath);
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
