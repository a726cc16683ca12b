/* Queues of what passes through the kernel in memory, and the slices that it reads and writes. */
#ifndef WORLD_QUEUE_H
#define WORLD_QUEUE_H

#include "world.h"

#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

struct item {
    struct item *next;
    struct world_label label;
    size_t length;
    uint8_t data[];
};

struct queue {
    struct item *first, **end;
};

/* -- Queues ----------------------------------------------------------------------------------------- */

static void *checked(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

static struct item *queue_push(struct queue *queue, const struct world_label *label, size_t length)
{
    struct item *item = checked(malloc(sizeof *item + length));

    item->next = NULL;
    item->length = length;
    if (label != NULL)
        item->label = *label;
    *queue->end = item;
    queue->end = &item->next;
    return item;
}

static struct item *queue_pop(struct queue *queue)
{
    struct item *item = queue->first;

    if (item == NULL)
        return NULL;
    queue->first = item->next;
    if (queue->first == NULL)
        queue->end = &queue->first;
    return item;
}

static void queue_clear(struct queue *queue)
{
    struct item *item;

    while ((item = queue_pop(queue)) != NULL)
        free(item);
}

static void queue_give(struct queue *queue, const struct world_label *label, const uint8_t *data, size_t length)
{
    struct item *item = queue_push(queue, label, length);

    if (length != 0)
        memcpy(item->data, data, length);
}

static long queue_take(struct queue *queue, struct world_label *label, uint8_t *data, size_t room)
{
    struct item *item = queue_pop(queue);

    if (item == NULL)
        return -1;
    const size_t length = item->length;

    if (length > room)
        abort();
    if (length != 0)
        memcpy(data, item->data, length);
    if (label != NULL)
        *label = item->label;
    free(item);
    return (long)length;
}

/* -- Slices ----------------------------------------------------------------------------------------- */

static size_t slices_length(const struct iovec *slices, size_t n)
{
    size_t length = 0;

    for (size_t i = 0; i < n; i++)
        length += slices[i].iov_len;
    return length;
}

static void slices_gather(const struct iovec *slices, size_t n, uint8_t *to)
{
    for (size_t i = 0; i < n; i++) {
        if (slices[i].iov_len != 0)
            memcpy(to, slices[i].iov_base, slices[i].iov_len);
        to += slices[i].iov_len;
    }
}

/* As much as there is room for. */
static size_t slices_scatter(const struct iovec *slices, size_t n, const struct item *item)
{
    size_t done = 0;

    for (size_t i = 0; i < n && done < item->length; i++) {
        const size_t left = item->length - done;
        const size_t part = left < slices[i].iov_len ? left : slices[i].iov_len;

        memcpy(slices[i].iov_base, item->data + done, part);
        done += part;
    }
    return done;
}

#endif
