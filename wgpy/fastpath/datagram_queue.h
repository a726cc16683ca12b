/* A bounded queue of datagrams, each with its source. Whoever uses it holds the lock of what it is part of. */
#ifndef WGFP_DATAGRAM_QUEUE_H
#define WGFP_DATAGRAM_QUEUE_H

#include "wgfp.h"

#include <stdbool.h>

struct datagram_queue {
    uint8_t *slots; /* a ring of struct wgfp_datagram, each with as much of its data as these datagrams may have */
    uint32_t slot_size;
    uint32_t size, first, count;
};

/* longest: bytes of a datagram.
 * WGFP_ERR_MEMORY: it is as it was. */
int datagram_queue_init(struct datagram_queue *queue, uint32_t size, uint32_t longest);

/* One of zeros is freed, too. */
void datagram_queue_free(struct datagram_queue *queue);

/* The ith of those that wait, below `count`. */
struct wgfp_datagram *datagram_queue_at(const struct datagram_queue *queue, uint32_t i);

/* false: the queue is full. */
bool datagram_queue_push(struct datagram_queue *queue, const struct wgfp_endpoint *source, const uint8_t *data,
                         uint32_t length);

/* false: the queue is empty. */
bool datagram_queue_pop(struct datagram_queue *queue, struct wgfp_datagram *datagram);

#endif
