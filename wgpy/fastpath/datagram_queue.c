/* A bounded queue of datagrams; what the functions mean is said in datagram_queue.h. */
#include "datagram_queue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int datagram_queue_init(struct datagram_queue *queue, uint32_t size, uint32_t longest)
{
    const size_t alignment = _Alignof(struct wgfp_datagram);
    const size_t slot_size = (offsetof(struct wgfp_datagram, data) + longest + alignment - 1) / alignment * alignment;

    assert(longest <= sizeof((struct wgfp_datagram *)0)->data);
    uint8_t *slots = calloc(size, slot_size);

    if (slots == NULL)
        return WGFP_ERR_MEMORY;
    *queue = (struct datagram_queue){.slots = slots, .slot_size = (uint32_t)slot_size, .size = size};
    return 0;
}

void datagram_queue_free(struct datagram_queue *queue)
{
    free(queue->slots);
}

struct wgfp_datagram *datagram_queue_at(const struct datagram_queue *queue, uint32_t i)
{
    return (void *)(queue->slots + (size_t)((queue->first + i) % queue->size) * queue->slot_size);
}

bool datagram_queue_push(struct datagram_queue *queue, const struct wgfp_endpoint *source, const uint8_t *data,
                         uint32_t length)
{
    assert(queue->size == 0 || offsetof(struct wgfp_datagram, data) + length <= queue->slot_size);
    if (queue->count == queue->size)
        return false;
    struct wgfp_datagram *slot = datagram_queue_at(queue, queue->count++);

    slot->source = *source;
    slot->length = length;
    if (length != 0)
        memcpy(slot->data, data, length);
    return true;
}

bool datagram_queue_pop(struct datagram_queue *queue, struct wgfp_datagram *datagram)
{
    if (queue->count == 0)
        return false;
    const struct wgfp_datagram *slot = datagram_queue_at(queue, 0);

    datagram->source = slot->source;
    datagram->length = slot->length;
    memcpy(datagram->data, slot->data, slot->length);
    queue->first = (queue->first + 1) % queue->size;
    queue->count--;
    return true;
}
