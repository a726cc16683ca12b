/* Feeds superpackets and batches, hostile ones included, to the C data path, for sanitizers to watch.
 *
 * Invariant: whatever is cut comes out the same in both ways of cutting; whatever is joined is cut into the same
 * packets again; and nothing is read or written beside the memory that was given.
 *
 * An input is a byte of options (1: a batch, else a superpacket; 2: repair checksums first), then either a virtio
 * header and a packet, or packets with two bytes of length, little-endian, before each.
 *
 *     offload_check ROUNDS SEED FILE...    every file as it is, and so many times changed at random
 *
 * Compiled with -DFUZZER it is a target for libFuzzer.
 */
#include "checksum.h"
#include "offload.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 1, REPAIR = 2, MOST_PACKETS = 256, MOST_BYTES = 1 << 17, VNET = sizeof(struct wgfp_vnet) };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "not so: %s\n", what);
        abort();
    }
}

/* Memory of exactly this size, so that a sanitizer sees every step beyond it. */
static uint8_t *copy_of(const void *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);

    require(copy != NULL, "there is memory");
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

/* Make the checksums right wherever the packet's own lengths lead, as long as that is within it. */
static void repair(uint8_t *packet, size_t length)
{
    const bool ip4 = length >= 20 && packet[0] >> 4 == 4;
    const size_t transport = ip4 ? 4 * (packet[0] & 15u) : 40;
    const uint8_t protocol = ip4 ? packet[9] : length > 6 ? packet[6] : 0;
    const size_t at = transport + (protocol == 6 ? 16 : 6);

    if (length < at + 2 || transport < 20 || (protocol != 6 && protocol != 17))
        return;
    memset(packet + at, 0, 2);
    const uint64_t pseudo = ip4 ? wgfp_sum_pseudo4(packet + 12, protocol, (uint16_t)(length - transport))
                                : wgfp_sum_pseudo6(packet + 8, protocol, (uint32_t)(length - transport));

    wgfp_checksum_store(packet + at, pseudo + wgfp_sum(packet + transport, length - transport));
    if (ip4) {
        memset(packet + 10, 0, 2);
        wgfp_checksum_store(packet + 10, wgfp_sum(packet, transport));
    }
}

/* -- A superpacket ------------------------------------------------------------------------------- */

/* Cut it; hand every segment, at most MOST_PACKETS of them, to `take`, unless that is NULL. */
static size_t cut(const struct wgfp_vnet *vnet, const uint8_t *data, size_t size,
                  void (*take)(void *context, size_t i, const uint8_t *segment, size_t length), void *context)
{
    uint8_t *packet = copy_of(data, size);
    struct wgfp_gso *gso = malloc(sizeof *gso);
    const int refusal = wgfp_gso_parse(gso, vnet, packet, size);
    size_t payload = 0, count = 0;

    require((refusal == 0) == (wgfp_gso_refusal_name(refusal) == NULL), "every refusal has a name");
    for (uint32_t i = 0; refusal == 0 && i < gso->count && i < MOST_PACKETS; i++) {
        struct wgfp_slice slice;
        uint8_t *header = copy_of(gso->template, gso->header_length);

        wgfp_gso_segment(gso, i, header, &slice);
        const size_t length = gso->header_length + slice.length;
        uint8_t *segment = malloc(length ? length : 1);

        require(wgfp_gso_copy(gso, i, segment) == length, "both ways give the same length");
        require(memcmp(segment, header, gso->header_length) == 0, "the same headers");
        require(memcmp(segment + gso->header_length, slice.data, slice.length) == 0, "the same payload");
        payload += slice.length;
        count++;
        if (take)
            take(context, i, segment, length);
        free(segment);
        free(header);
    }
    if (refusal == 0 && gso->count == count)
        require(payload == gso->payload && gso->header_length + payload == size, "nothing is lost");
    free(gso);
    free(packet);
    return count;
}

/* -- A batch ------------------------------------------------------------------------------------- */

struct batch {
    size_t count;
    uint8_t *data[MOST_PACKETS];
    size_t length[MOST_PACKETS];
};

static void batch_add(void *context, size_t i, const uint8_t *data, size_t length)
{
    struct batch *batch = context;

    (void)i;
    batch->data[batch->count] = copy_of(data, length);
    batch->length[batch->count++] = length;
}

static void batch_free(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        free(batch->data[i]);
}

struct comparison {
    const struct batch *batch;
    const struct wgfp_packet *packets;
    uint32_t next;
};

static void compare(void *context, size_t i, const uint8_t *segment, size_t length)
{
    struct comparison *comparison = context;
    uint8_t *original = comparison->batch->data[comparison->next];

    (void)i;
    require(length == comparison->batch->length[comparison->next], "a packet comes out with its length");
    if (original[0] >> 4 == 4) {
        /* The one thing that may differ, and the checksum with it. */
        memcpy(original + 4, segment + 4, 2);
        memset(original + 10, 0, 2);
        wgfp_checksum_store(original + 10, wgfp_sum(original, 20));
    }
    require(memcmp(original, segment, length) == 0, "a packet comes out as it went in");
    comparison->next = comparison->packets[comparison->next].next;
}

static void check_group(const struct wgfp_group *group, const struct wgfp_packet *packets, const struct batch *batch)
{
    struct wgfp_slice *slices = malloc(group->count * sizeof *slices);
    struct comparison comparison = {.batch = batch, .packets = packets, .next = group->first};
    uint8_t *whole = malloc(group->length + 1);
    size_t length = 0;

    wgfp_group_slices(group, packets, slices);
    for (size_t i = 0; i < group->count; i++) {
        require(length + slices[i].length <= group->length, "the slices are as long as the group");
        memcpy(whole + length, slices[i].data, slices[i].length);
        length += slices[i].length;
    }
    require(length == group->length, "the slices are as long as the group");
    if (group->count > 1)
        require(cut(&group->vnet, whole, length, compare, &comparison) == group->count, "all come out");
    else
        require(memcmp(whole, batch->data[group->first], length) == 0, "a packet alone is as it was");
    free(whole);
    free(slices);
}

static void check_batch(const struct batch *batch)
{
    struct wgfp_packet *packets = calloc(batch->count + 1, sizeof *packets);
    struct wgfp_group *groups = calloc(batch->count + 1, sizeof *groups);
    size_t held = 0;

    for (size_t i = 0; i < batch->count; i++) {
        packets[i].data = copy_of(batch->data[i], batch->length[i]);
        packets[i].length = (uint32_t)batch->length[i];
        (void)wgfp_packet_parse(&packets[i].view, packets[i].data, packets[i].length);
    }
    const size_t n = wgfp_coalesce(packets, batch->count, 3, groups);

    for (size_t i = 0; i < n; i++) {
        held += groups[i].count;
        check_group(&groups[i], packets, batch);
    }
    require(held == batch->count, "every packet is in a group");
    for (size_t i = 0; i < batch->count; i++)
        free(packets[i].data);
    free(groups);
    free(packets);
}

static void batch_read(struct batch *batch, const uint8_t *data, size_t size)
{
    while (size >= 2 && batch->count < MOST_PACKETS) {
        size_t length = (size_t)data[0] | (size_t)data[1] << 8;

        data += 2;
        size -= 2;
        if (length > size)
            length = size;
        batch_add(batch, 0, data, length);
        data += length;
        size -= length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct batch batch = {.count = 0};
    struct wgfp_vnet vnet;

    if (size < 1 + VNET)
        return 0;
    if (data[0] & BATCH) {
        batch_read(&batch, data + 1, size - 1);
    } else {
        memcpy(&vnet, data + 1, VNET);
        cut(&vnet, data + 1 + VNET, size - 1 - VNET, batch_add, &batch);
    }
    for (size_t i = 0; (data[0] & REPAIR) && i < batch.count; i++)
        repair(batch.data[i], batch.length[i]);
    check_batch(&batch);
    batch_free(&batch);
    return 0;
}

#if !defined(FUZZER)

static uint64_t state;

static size_t random_below(size_t limit)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (size_t)(state >> 16) % limit;
}

/* Change a few bytes, most of them near the front, where headers are; sometimes the length. */
static size_t change(uint8_t *data, size_t size)
{
    static const uint8_t telling[] = {0, 1, 4, 5, 6, 15, 16, 17, 20, 40, 44, 0x45, 0x60, 0x7f, 0x80, 0xff};

    data[0] = (uint8_t)((data[0] & BATCH) | (random_below(4) ? REPAIR : 0));
    for (size_t n = 1 + random_below(4); n > 0; n--) {
        const size_t at = 1 + random_below(random_below(2) && size > 100 ? 100 : size - 1);

        if (random_below(2))
            data[at] = telling[random_below(sizeof telling)];
        else
            data[at] ^= (uint8_t)(1u << random_below(8));
    }
    return random_below(8) ? size : 1 + random_below(size);
}

static size_t file_read(const char *path, uint8_t *data)
{
    FILE *file = fopen(path, "rb");

    require(file != NULL, "the file can be read");
    const size_t size = fread(data, 1, MOST_BYTES, file);

    fclose(file);
    return size;
}

int main(int argc, char **argv)
{
    static uint8_t data[MOST_BYTES], changed[MOST_BYTES];

    require(argc > 3, "usage: offload_check ROUNDS SEED FILE...");
    const int rounds = atoi(argv[1]);

    state = strtoull(argv[2], NULL, 10) * 2654435769u + 1;
    for (int i = 3; i < argc; i++) {
        const size_t size = file_read(argv[i], data);

        require(size > 1, "the file holds an input");
        LLVMFuzzerTestOneInput(data, size);
        for (int round = 0; round < rounds; round++) {
            memcpy(changed, data, size);
            LLVMFuzzerTestOneInput(changed, change(changed, size));
        }
    }
    printf("%d inputs, %d rounds each\n", argc - 3, rounds);
    return 0;
}

#endif
