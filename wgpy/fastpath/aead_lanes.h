/* How messages are laid out over the SIMD lanes of Poly1305, for kernels of any width.
 *
 * A message's blocks of 16 bytes (its data, padded, and the block of the two lengths) are taken four at a time, a
 * chunk, in every lane at once. So that all end at the same step, zero blocks that do not count are put in front.
 * Where there are fewer messages than lanes, each is cut into 2, 4 or 8 segments, one a lane.
 */
#ifndef WGFP_AEAD_LANES_H
#define WGFP_AEAD_LANES_H

#include "aead_kernel.h"

#include <string.h>

/* What one lane reads. */
struct lane {
    const uint8_t *message;
    uint32_t length;
    int chunks; /* of the whole message, the lengths' block included */
    int pad;    /* blocks in front of chunk 0's, 0 to 3 */
    int first;  /* the chunk that is read at step 0; before chunk 0 the lane idles */
};

static inline struct lane lane_of(const struct wgfp_aead_message *message)
{
    const int blocks = (int)(message->length / 16) + (message->length % 16 != 0) + 1;
    const int chunks = (blocks + 3) / 4;

    return (struct lane){message->data, message->length, chunks, 4 * chunks - blocks, 0};
}

/* Give every lane a segment, and its message's key, 1 << shift lanes a message; lanes too many repeat the last message.
 * Returns the number of steps. From step `inside` on, and before the last, every lane is inside its message: there is
 * no such step if `inside` is the number of steps. */
static inline int lanes_set_up(struct lane *lanes, const uint8_t **keys, int count,
                               const struct wgfp_aead_message *messages, size_t n, int shift, int *inside)
{
    const int segments = 1 << shift;
    int steps = 0, least = 0;

    for (int i = 0; i < count; i++) {
        const size_t message = (size_t)i >> shift;
        const struct wgfp_aead_message *its = &messages[message < n ? message : n - 1];

        lanes[i] = lane_of(its);
        keys[i] = its->key;
        const int share = (lanes[i].chunks + segments - 1) >> shift;
        if (share > steps)
            steps = share;
    }
    for (int i = 0; i < count; i++) {
        lanes[i].first = lanes[i].chunks - (segments - (i & (segments - 1))) * steps;
        if (lanes[i].first < least)
            least = lanes[i].first;
    }
    *inside = 1 - least < steps - 1 ? 1 - least : steps;
    return steps;
}

/* Are the messages together so short that vectors do not pay? `limit` counts bytes, and 96 for every message. */
static inline bool messages_are_short(const struct wgfp_aead_message *messages, size_t n, size_t limit)
{
    size_t total = 0;

    for (size_t i = 0; i < n; i++)
        total += messages[i].length + 96;
    return total <= limit;
}

static inline const uint8_t *lane_at(const struct lane *lane, int step)
{
    return lane->message + 64 * (ptrdiff_t)(lane->first + step) - 16 * lane->pad;
}

/* Any chunk: inside the message itself, otherwise in `edge`. The bits of `counts` say which of its blocks count. */
static inline const uint8_t *lane_chunk(const struct lane *lane, int step, uint8_t edge[64], unsigned *counts)
{
    static const uint8_t zeros[64];
    const int chunk = lane->first + step;
    const int last_block = 4 * lane->chunks - lane->pad - 1;

    if (chunk < 0) {
        *counts = 0;
        return zeros;
    }
    if (chunk > 0 && chunk + 1 < lane->chunks) {
        *counts = 0xf;
        return lane_at(lane, step);
    }
    *counts = 0;
    memset(edge, 0, 64);
    for (int k = 0; k < 4; k++) {
        const int block = 4 * chunk - lane->pad + k;
        const uint32_t at = 16 * (uint32_t)block;

        if (block < 0)
            continue;
        *counts |= 1u << k;
        if (block == last_block)
            wgfp_store32(edge + 16 * k + 8, lane->length);
        else if (lane->length - at >= 16)
            memcpy(edge + 16 * k, lane->message + at, 16);
        else
            memcpy(edge + 16 * k, lane->message + at, lane->length - at);
    }
    return edge;
}

#endif
