/* ChaCha20-Poly1305 (RFC 8439) over batches of packets; what it means for the caller is said in wgfp.h.
 *
 * The key streams of all packets of a batch, each with the block that holds its Poly1305 key in front, are one
 * sequence of blocks. It is made in windows, whatever packets they belong to, so no SIMD lane idles at the end of a
 * packet; messages are authenticated side by side, as many at once as the kernel likes, or beside the next blocks.
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
/* Best first, where they suit. */
#if defined(WGFP_AEAD_X86)
    &wgfp_aead_avx512_beside,
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

    while (!kernels[i]->supported() || (kernels[i]->suits != NULL && !kernels[i]->suits()))
        i++; /* the last one always is and does */
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
    struct wgfp_aead_message messages[BATCH_PACKETS]; /* likewise */
    struct wgfp_aead_tags tags;                       /* of the messages */
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
    uint32_t room = batch->kernel->blocks;
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

static void keys_keep(struct batch *batch, const struct wgfp_aead_run *runs, size_t n, const uint8_t *blocks)
{
    for (size_t i = 0; i < n; blocks += runs[i++].blocks * WGFP_BLOCK_SIZE) {
        if (runs[i].first == 0)
            memcpy(batch->keys[runs[i].packet], blocks, WGFP_KEY_SIZE);
    }
}

/* Encrypt or decrypt with the blocks of the runs that are no keys. */
static void runs_apply(struct batch *batch, const struct wgfp_aead_run *runs, size_t n, const uint8_t *blocks)
{
    for (size_t i = 0; i < n; blocks += runs[i++].blocks * WGFP_BLOCK_SIZE) {
        const struct wgfp_aead_packet *packet = packet_at(batch, runs[i].packet);
        const uint32_t key = runs[i].first == 0;
        const uint32_t offset = (runs[i].first + key - 1) * WGFP_BLOCK_SIZE;
        const uint32_t size = (runs[i].blocks - key) * WGFP_BLOCK_SIZE;
        const uint32_t left = packet->length - offset;

        if (size > 0)
            batch->kernel->xor(packet->dst + offset, packet->src + offset, blocks + key * WGFP_BLOCK_SIZE,
                               left < size ? left : size);
    }
}

/* Make one window and use it. Returns how many packets are done with. */
static size_t walk_window(struct batch *batch, struct cursor *cursor, uint8_t *window)
{
    struct wgfp_aead_run runs[WGFP_STREAM_BLOCKS];
    const size_t n = cursor_take(cursor, batch, runs);

    if (n > 0) {
        batch->kernel->stream(batch->key, runs, n, window, &batch->tags);
        keys_keep(batch, runs, n, window);
        runs_apply(batch, runs, n, window);
    }
    return cursor->next;
}

/* Make the next n tags. */
static void tags_make(struct batch *batch, size_t n)
{
    batch->kernel->mac(batch->messages + batch->tags.made, n);
    batch->tags.made += n;
    batch->tags.begun = 0; /* what `stream` has begun is made anew */
}

/* Make tags by whole groups of messages, until fewer than a group are ready beyond those that may wait. */
static void tags_make_groups(struct batch *batch, size_t waiting)
{
    const size_t group = batch->kernel->messages;

    while (batch->tags.ready - batch->tags.made >= group + waiting)
        tags_make(batch, group);
}

static void tags_make_all(struct batch *batch)
{
    batch->tags.ready = batch->n;
    tags_make_groups(batch, 0);
    if (batch->tags.made < batch->n)
        tags_make(batch, batch->n - batch->tags.made);
}

/* Write the tags that are made, from `first` on. Returns how many are made. */
static size_t tags_write(struct batch *batch, size_t first)
{
    for (size_t i = first; i < batch->tags.made; i++) {
        const struct wgfp_aead_packet *packet = packet_at(batch, i);

        memcpy(packet->dst + packet->length, batch->messages[i].tag, WGFP_TAG_SIZE);
    }
    return batch->tags.made;
}

/* Likewise, compare them. The tag that a packet should have is a secret until it has been seen to be the one that it
 * has. */
static size_t tags_check(struct batch *batch, size_t first)
{
    for (size_t i = first; i < batch->tags.made; i++) {
        struct wgfp_aead_packet *packet = packet_at(batch, i);
        uint64_t should[2], is[2];

        memcpy(should, batch->messages[i].tag, WGFP_TAG_SIZE);
        memcpy(is, packet->src + packet->length, WGFP_TAG_SIZE);
        packet->ok = ((should[0] ^ is[0]) | (should[1] ^ is[1])) == 0;
        wgfp_publish(&packet->ok, sizeof packet->ok);
    }
    return batch->tags.made;
}

static void batch_seal(struct batch *batch)
{
    alignas(64) uint8_t window[WGFP_STREAM_BLOCKS * WGFP_BLOCK_SIZE];
    struct cursor cursor = cursor_start(KEYS | DATA, batch->n);
    size_t tagged = 0;

    while (cursor.next < batch->n) {
        batch->tags.ready = walk_window(batch, &cursor, window);
        tags_make_groups(batch, batch->kernel->waiting);
        tagged = tags_write(batch, tagged);
    }
    tags_make_all(batch);
    tags_write(batch, tagged);
    wgfp_clear(window, sizeof window);
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

        batch->kernel->stream(batch->key, runs, n, at, &batch->tags);
        keys_keep(batch, runs, n, at);
        batch->tags.ready = cursor.next + (cursor.block > 0);
        at += batch->kernel->blocks * WGFP_BLOCK_SIZE;
    }
    const uint8_t *end = at;

    tags_make_all(batch);
    tags_check(batch, 0);
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

/* Many blocks: the keys of all, then a group of packets after the other, checked and decrypted while in the cache.
 * Beside what is decrypted later ones may be checked. */
static void open_long(struct batch *batch)
{
    alignas(64) uint8_t window[WGFP_STREAM_BLOCKS * WGFP_BLOCK_SIZE];
    const size_t group = batch->kernel->messages;
    struct cursor keys = cursor_start(KEYS, batch->n);
    struct cursor data = cursor_start(DATA, 0);

    while (keys.next < batch->n)
        walk_window(batch, &keys, window);
    batch->tags.ready = batch->n;
    while (data.end < batch->n) {
        const size_t left = batch->n - data.end;

        if (batch->tags.made == data.end)
            tags_make(batch, left < group ? left : group);
        data.end = tags_check(batch, data.end);
        /* A window that reaches into the last packet may not be full: it waits for the next group. */
        while (data.next + 1 < data.end || (data.end == batch->n && data.next < data.end))
            walk_window(batch, &data, window);
    }
    wgfp_clear(window, sizeof window);
}

static void batch_open(struct batch *batch)
{
    size_t total = 0;

    for (size_t i = 0; i < batch->n; i++)
        total += 1 + data_blocks(batch->packets[i].length);
    if (total <= OPEN_BLOCKS)
        open_short(batch);
    else
        open_long(batch);
}

static void batch_set_up(struct batch *batch, struct wgfp_aead_packet *packets, size_t n, bool open)
{
    batch->packets = packets;
    batch->n = n;
    batch->tags.messages = batch->messages;
    batch->tags.ready = batch->tags.made = 0;
    batch->tags.begun = 0;
    batch_order(batch);
    for (size_t i = 0; i < n; i++) {
        struct wgfp_aead_packet *packet = packet_at(batch, i);

        packet->ok = 1; /* so that the cursor walks over it */
        batch->messages[i].data = open ? packet->src : packet->dst;
        batch->messages[i].length = packet->length;
        batch->messages[i].key = batch->keys[i];
    }
}

static void batch_clear(struct batch *batch)
{
    wgfp_clear(batch->keys, batch->n * sizeof batch->keys[0]);
    wgfp_clear(batch->messages, batch->n * sizeof batch->messages[0]);
    wgfp_clear(batch->tags.words, sizeof batch->tags.words);
}

static void each_batch(const struct wgfp_aead_kernel *kernel, const uint8_t *key, struct wgfp_aead_packet *packets,
                       size_t n, bool open)
{
    struct batch batch;

    batch.kernel = kernel;
    batch.key = key;
    for (; n > 0; packets += batch.n, n -= batch.n) {
        batch_set_up(&batch, packets, n < BATCH_PACKETS ? n : BATCH_PACKETS, open);
        if (open)
            batch_open(&batch);
        else
            batch_seal(&batch);
        batch_clear(&batch);
    }
}

void wgfp_aead_seal(const struct wgfp_aead_kernel *kernel, const uint8_t key[32], struct wgfp_aead_packet *packets,
                    size_t n)
{
    each_batch(kernel, key, packets, n, false);
}

void wgfp_aead_open(const struct wgfp_aead_kernel *kernel, const uint8_t key[32], struct wgfp_aead_packet *packets,
                    size_t n)
{
    each_batch(kernel, key, packets, n, true);
}
