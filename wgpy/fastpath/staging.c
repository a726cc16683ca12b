/* Packets that wait for a keypair. All peers share one pool, so that none needs memory for the worst case; a packet is
 * a chain of cells, and the packets of a peer are one chain. */
#include "staging.h"

#include "errors.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { END = 0 };

struct staged_cell {
    uint32_t next;
    uint32_t length; /* of the packet, in its first cell */
    uint8_t data[STAGED_CELL];
};

int staging_init(struct staging *staging, uint32_t bytes)
{
    const uint32_t count = bytes / STAGED_CELL;
    /* Of calloc's pages of zeros none takes memory before it is written to. */
    struct staged_cell *cells = calloc((size_t)count + 1, sizeof *cells);

    if (cells == NULL)
        return WGFP_ERR_MEMORY;
    if (pthread_mutex_init(&staging->lock, NULL) != 0) {
        free(cells);
        return WGFP_ERR_MEMORY;
    }
    staging->cells = cells;
    staging->free = END;
    staging->fresh = 1;
    staging->free_count = count;
    return 0;
}

void staging_free(struct staging *staging)
{
    (void)pthread_mutex_destroy(&staging->lock);
    free(staging->cells);
}

/* A keepalive has no byte, but is in a cell. */
static uint32_t cells_of(uint32_t length)
{
    return length != 0 ? (length + STAGED_CELL - 1) / STAGED_CELL : 1;
}

/* A chain of cells, or END if so many are not free. */
static uint32_t cells_take(struct staging *staging, uint32_t count)
{
    struct staged_cell *cells = staging->cells;
    uint32_t chain = END;

    pthread_mutex_lock(&staging->lock);
    if (count <= staging->free_count) {
        staging->free_count -= count;
        while (count-- != 0) {
            uint32_t cell = staging->free;

            if (cell != END)
                staging->free = cells[cell].next;
            else
                cell = staging->fresh++;
            cells[cell].next = chain;
            chain = cell;
        }
    }
    pthread_mutex_unlock(&staging->lock);
    return chain;
}

/* last: of the chain. */
static void cells_give(struct staging *staging, uint32_t first, uint32_t last, uint32_t count)
{
    pthread_mutex_lock(&staging->lock);
    staging->cells[last].next = staging->free;
    staging->free = first;
    staging->free_count += count;
    pthread_mutex_unlock(&staging->lock);
}

uint32_t staged_push(struct staging *staging, struct staged *staged, const uint8_t *packet, uint32_t length)
{
    struct staged_cell *cells = staging->cells;
    uint32_t dropped = 0, chain = END;

    while (staged->count >= MAX_STAGED_PACKETS || (chain = cells_take(staging, cells_of(length))) == END) {
        dropped++;
        if (staged->count == 0) /* the others' packets fill the pool */
            return dropped;
        staged_pop(staging, staged, NULL);
    }
    if (staged->count++ == 0)
        staged->first = chain;
    else
        cells[staged->last].next = chain;
    cells[chain].length = length;
    while (length > STAGED_CELL) {
        memcpy(cells[chain].data, packet, STAGED_CELL);
        packet += STAGED_CELL;
        length -= STAGED_CELL;
        chain = cells[chain].next;
    }
    if (length != 0)
        memcpy(cells[chain].data, packet, length);
    staged->last = chain;
    return dropped;
}

int staged_first_length(const struct staging *staging, const struct staged *staged)
{
    return staged->count != 0 ? (int)staging->cells[staged->first].length : -1;
}

void staged_pop(struct staging *staging, struct staged *staged, uint8_t *packet)
{
    assert(staged->count > 0);
    const struct staged_cell *cells = staging->cells;
    const uint32_t first = staged->first, length = cells[first].length, count = cells_of(length);
    uint32_t last = first;

    for (uint32_t i = 0; i < count; i++) {
        const uint32_t offset = i * STAGED_CELL, left = length - offset;

        if (i != 0)
            last = cells[last].next;
        if (packet != NULL && left != 0)
            memcpy(packet + offset, cells[last].data, left < STAGED_CELL ? left : STAGED_CELL);
    }
    staged->first = cells[last].next;
    staged->count--;
    cells_give(staging, first, last, count);
}
