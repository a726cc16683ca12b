/* ChaCha20-Poly1305 (RFC 8439) over batches of packets; what it means for the caller is said in wgfp.h.
 *
 * The key streams of all packets of a batch, each with the block that holds its Poly1305 key in front, are one
 * sequence of blocks. It is made in windows of WGFP_STREAM_BLOCKS, whatever packets they belong to, so no SIMD lane
 * idles at the end of a packet; messages are authenticated side by side, as many at once as the kernel likes.
 */
#include "aead_kernel.h"
#include "clear.h"
#include "wgfp.h"

#include <stdalign.h>
#include <string.h>

enum {
    BATCH_PACKETS = 64, /* longer batches are cut: bounds the stack and keeps a batch within the second cache */
    OPEN_BLOCKS = 256,  /* so many blocks may be made before a batch is known to be authentic */
};

static const struct wgfp_aead_kernel *const kernels[] = {
/* Best first. */
#if defined(WGFP_AEAD_X86)
    &wgfp_aead_avx512,
    &wgfp_aead_avx2,
#elif defined(WGFP_AEAD_ARM)
    &wgfp_aead_neon,
#endif
    &wgfp_aead_portable,
};

enum { KERNELS = sizeof kernels / sizeof kernels[0] };

const struct wgfp_aead_kernel *wgfp_aead_kernel_best(void)
{
    size_t i = 0;

    while (!kernels[i]->supported()) /* the last one always is */
        i++;
    return kernels[i];
}

const struct wgfp_aead_kernel *wgfp_aead_kernel_find(const char *name)
{
    for (size_t i = 0; i < KERNELS; i++) {
        if (strcmp(kernels[i]->name, name) == 0 && kernels[i]->supported())
            return kernels[i];
    }
    return NULL;
}

const char *wgfp_aead_kernel_name(const struct wgfp_aead_kernel *kernel)
{
    return kernel->name;
}

/* The packets of one call, and which are next. */
struct batch {
    const struct wgfp_aead_kernel *kernel;
    const uint8_t *key;
    struct wgfp_aead_packet *packets;
    size_t n;
    uint8_t order[BATCH_PACKETS];                /* indexes of packets, long ones first */
    uint8_t keys[BATCH_PACKETS][WGFP_KEY_SIZE];  /* for Poly1305, in that order */
};

enum parts { KEYS = 1, DATA = 2 }; /* of a packet's blocks: number 0, and the rest */

/* Walks over the blocks of a batch, a window at a time. */
struct cursor {
    enum parts parts;
    size_t end;     /* packets before it may be walked over */
    size_t next;    /* the first packet with blocks left */
    uint32_t block; /* its next one */
};

static uint32_t data_blocks(uint32_t length)
{
    return length / WGFP_BLOCK_SIZE + (length % WGFP_BLOCK_SIZE != 0);
}

static struct wgfp_aead_packet *packet_at(const struct batch *batch, size_t position)
{
    return &batch->packets[batch->order[position]];
}

/* Sort by length, so that packets of like length are authenticated side by side. */
static void batch_order(struct batch *batch)
{
    uint8_t *order = batch->order;

    for (size_t i = 0; i < batch->n; i++) {
        const uint32_t length = batch->packets[i].length;
        size_t at = i;

        for (; at > 0 && batch->packets[order[at - 1]].length < length; at--)
            order[at] = order[at - 1];
        order[at] = (uint8_t)i;
    }
}

static struct cursor cursor_start(enum parts parts, size_t end)
{
    return (struct cursor){.parts = parts, .end = end, .next = 0, .block = parts & KEYS ? 0 : 1};
}

/* The next window's blocks as runs, at most one a packet; 0 at the end. */
static size_t cursor_take(struct cursor *cursor, const struct batch *batch, struct wgfp_aead_run *runs)
{
    uint32_t room = WGFP_STREAM_BLOCKS;
    size_t n = 0;

    while (room > 0 && cursor->next < cursor->end) {
        const struct wgfp_aead_packet *packet = packet_at(batch, cursor->next);
        const bool data = (cursor->parts & DATA) && packet->ok;
        const uint32_t end = data ? 1 + data_blocks(packet->length) : 1;
        uint32_t blocks = end - cursor->block;

        if (blocks > room)
            blocks = room;
        if (blocks > 0)
            runs[n++] = (struct wgfp_aead_run){packet->counter, cursor->block, blocks, cursor->next};
        room -= blocks;
        cursor->block += blocks;
        if (cursor->block == end) {
            cursor->next++;
            cursor->block = cursor->parts & KEYS ? 0 : 1;
        }
    }
    return n;
}

/* Keep the Poly1305 keys of the runs, and encrypt or decrypt with the other blocks. */
static void runs_apply(struct batch *batch, const struct wgfp_aead_run *runs, size_t n, const uint8_t *blocks)
{
    for (size_t i = 0; i < n; i++) {
        const struct wgfp_aead_packet *packet = packet_at(batch, runs[i].packet);
        uint32_t first = runs[i].first, count = runs[i].blocks;

        if (first == 0) {
            memcpy(batch->keys[runs[i].packet], blocks, WGFP_KEY_SIZE);
            blocks += WGFP_BLOCK_SIZE;
            first++;
            count--;
        }
        if (count > 0) {
            const uint32_t offset = (first - 1) * WGFP_BLOCK_SIZE;
            const uint32_t left = packet->length - offset;
            const uint32_t size = count * WGFP_BLOCK_SIZE;

            batch->kernel->xor(packet->dst + offset, packet->src + offset, blocks, left < size ? left : size);
            blocks += size;
        }
    }
}

/* Make one window and use it. Returns how many packets are done with. */
static size_t walk_window(struct batch *batch, struct cursor *cursor, uint8_t *window)
{
    struct wgfp_aead_run runs[WGFP_STREAM_BLOCKS];
    const size_t n = cursor_take(cursor, batch, runs);

    if (n > 0) {
        batch->kernel->stream(batch->key, runs, n, window);
        runs_apply(batch, runs, n, window);
    }
    return cursor->next;
}

static void tags_make(const struct batch *batch, size_t first, size_t n, struct wgfp_aead_message *messages, bool open)
{
    for (size_t i = 0; i < n; i++) {
        const struct wgfp_aead_packet *packet = packet_at(batch, first + i);

        messages[i].data = open ? packet->src : packet->dst;
        messages[i].length = packet->length;
        messages[i].key = batch->keys[first + i];
    }
    batch->kernel->mac(messages, n);
}

static void tags_write(struct batch *batch, size_t first, size_t n)
{
    struct wgfp_aead_message messages[WGFP_MAC_MESSAGES];

    tags_make(batch, first, n, messages, false);
    for (size_t i = 0; i < n; i++) {
        const struct wgfp_aead_packet *packet = packet_at(batch, first + i);

        memcpy(packet->dst + packet->length, messages[i].tag, WGFP_TAG_SIZE);
    }
}

/* The tag that a packet should have is a secret until it has been seen to be the one that it has. */
static void tags_check(struct batch *batch, size_t first, size_t n)
{
    struct wgfp_aead_message messages[WGFP_MAC_MESSAGES];

    tags_make(batch, first, n, messages, true);
    for (size_t i = 0; i < n; i++) {
        struct wgfp_aead_packet *packet = packet_at(batch, first + i);
        uint64_t should[2], is[2];

        memcpy(should, messages[i].tag, WGFP_TAG_SIZE);
        memcpy(is, packet->src + packet->length, WGFP_TAG_SIZE);
        packet->ok = ((should[0] ^ is[0]) | (should[1] ^ is[1])) == 0;
        wgfp_publish(&packet->ok, sizeof packet->ok);
    }
    wgfp_clear(messages, sizeof messages);
}

static void batch_seal(struct batch *batch)
{
    alignas(64) uint8_t window[WGFP_STREAM_BLOCKS * WGFP_BLOCK_SIZE];
    const size_t group = batch->kernel->messages;
    struct cursor cursor = cursor_start(KEYS | DATA, batch->n);
    size_t tagged = 0;

    for (size_t i = 0; i < batch->n; i++)
        batch->packets[i].ok = 1;
    while (cursor.next < batch->n) {
        const size_t sealed = walk_window(batch, &cursor, window);

        for (; sealed - tagged >= group; tagged += group)
            tags_write(batch, tagged, group);
    }
    if (tagged < batch->n)
        tags_write(batch, tagged, batch->n - tagged);
    wgfp_clear(window, sizeof window);
}

static void tags_check_all(struct batch *batch)
{
    const size_t group = batch->kernel->messages;

    for (size_t first = 0; first < batch->n; first += group)
        tags_check(batch, first, batch->n - first < group ? batch->n - first : group);
}

/* Few blocks: make them all at once, keys and data, and use the data's when the packet is authentic. */
static void open_short(struct batch *batch)
{
    alignas(64) uint8_t blocks[(OPEN_BLOCKS + WGFP_STREAM_BLOCKS) * WGFP_BLOCK_SIZE];
    struct wgfp_aead_run runs[WGFP_STREAM_BLOCKS];
    struct cursor cursor = cursor_start(KEYS | DATA, batch->n);
    uint8_t *at = blocks;

    while (cursor.next < batch->n) {
        const size_t n = cursor_take(&cursor, batch, runs);

        batch->kernel->stream(batch->key, runs, n, at);
        at += WGFP_STREAM_BLOCKS * WGFP_BLOCK_SIZE;
    }
    const uint8_t *end = at;

    at = blocks;
    for (size_t i = 0; i < batch->n; i++) {
        memcpy(batch->keys[i], at, WGFP_KEY_SIZE);
        at += (1 + data_blocks(packet_at(batch, i)->length)) * WGFP_BLOCK_SIZE;
    }
    tags_check_all(batch);
    at = blocks;
    for (size_t i = 0; i < batch->n; i++) {
        const struct wgfp_aead_packet *packet = packet_at(batch, i);
        const size_t size = (1 + data_blocks(packet->length)) * WGFP_BLOCK_SIZE;

        if (packet->ok)
            batch->kernel->xor(packet->dst, packet->src, at + WGFP_BLOCK_SIZE, packet->length);
        wgfp_clear(at, size); /* one after the other, while it is near */
        at += size;
    }
    wgfp_clear(at, (size_t)(end - at)); /* what was made beyond, for the kernel's lanes */
}

/* Many blocks: the keys of all, then a group of packets after the other, checked and decrypted while in the cache. */
static void open_long(struct batch *batch)
{
    alignas(64) uint8_t window[WGFP_STREAM_BLOCKS * WGFP_BLOCK_SIZE];
    const size_t group = batch->kernel->messages;
    struct cursor keys = cursor_start(KEYS, batch->n);
    struct cursor data = cursor_start(DATA, 0);

    while (keys.next < batch->n)
        walk_window(batch, &keys, window);
    while (data.end < batch->n) {
        const size_t left = batch->n - data.end;
        const size_t n = left < group ? left : group;

        tags_check(batch, data.end, n);
        data.end += n;
        /* A window that reaches into the last packet may not be full: it waits for the next group. */
        while (data.next + 1 < data.end || (data.end == batch->n && data.next < data.end))
            walk_window(batch, &data, window);
    }
    wgfp_clear(window, sizeof window);
}

static void batch_open(struct batch *batch)
{
    size_t total = 0;

    for (size_t i = 0; i < batch->n; i++) {
        batch->packets[i].ok = 1; /* so that the cursor walks over it */
        total += 1 + data_blocks(batch->packets[i].length);
    }
    if (total <= OPEN_BLOCKS)
        open_short(batch);
    else
        open_long(batch);
}

static void each_batch(const struct wgfp_aead_kernel *kernel, const uint8_t *key, struct wgfp_aead_packet *packets,
                       size_t n, void (*work)(struct batch *))
{
    struct batch batch;

    batch.kernel = kernel;
    batch.key = key;
    for (; n > 0; packets += batch.n, n -= batch.n) {
        batch.packets = packets;
        batch.n = n < BATCH_PACKETS ? n : BATCH_PACKETS;
        batch_order(&batch);
        work(&batch);
        wgfp_clear(batch.keys, batch.n * WGFP_KEY_SIZE);
    }
}

void wgfp_aead_seal(const struct wgfp_aead_kernel *kernel, const uint8_t key[32], struct wgfp_aead_packet *packets,
                    size_t n)
{
    each_batch(kernel, key, packets, n, batch_seal);
}

void wgfp_aead_open(const struct wgfp_aead_kernel *kernel, const uint8_t key[32], struct wgfp_aead_packet *packets,
                    size_t n)
{
    each_batch(kernel, key, packets, n, batch_open);
}
