/* Packets that were read ahead; what the functions mean is said in read_ahead.h. */
#include "read_ahead.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int read_ahead_new(struct read_ahead **ahead, bool small)
{
    *ahead = calloc(1, sizeof **ahead);
    if (*ahead == NULL)
        return WGFP_ERR_MEMORY;
    (*ahead)->size = small ? READ_AHEAD_BYTES_SMALL : READ_AHEAD_BYTES;
    (*ahead)->bytes = aligned_alloc((size_t)sysconf(_SC_PAGESIZE), (*ahead)->size);
    return (*ahead)->bytes != NULL ? 0 : WGFP_ERR_MEMORY;
}

void read_ahead_free(struct read_ahead *ahead)
{
    if (ahead != NULL)
        free(ahead->bytes);
    free(ahead);
}

/* -- Flows ------------------------------------------------------------------------------------------ */

/* Nobody gains by two flows with one number, so it need not be hard to find them. */
static uint32_t hash(uint32_t sum, const uint8_t *bytes, uint32_t size)
{
    for (uint32_t i = 0; i < size; i += 4) {
        uint32_t word;

        memcpy(&word, bytes + i, sizeof word);
        sum = (sum ^ word) * UINT32_C(0x9e3779b1);
        sum ^= sum >> 15;
    }
    return sum;
}

static uint32_t flow_number(const struct wgfp_view *view, const uint8_t *packet)
{
    const uint8_t *transport = packet_has_ports(view) ? packet_transport(view, packet) : NULL;
    uint32_t sum = hash(view->protocol, packet_source(view, packet), 2 * packet_address_size(view));

    if (transport != NULL)
        sum = hash(sum, transport, 4);
    return sum % READ_AHEAD_FLOWS;
}

/* Does nothing wait that it may not overtake? */
static bool goes_first(const struct read_ahead *ahead, const struct tun_buffer *buffer)
{
    if (buffer->is_fragment)
        return ahead->count == 0;
    return buffer->vnet.gso_type == 0 && ahead->waiting[buffer->flow] == 0 && ahead->fragments == 0;
}

/* -- The ring --------------------------------------------------------------------------------------- */

/* The bytes of a buffer with a packet in it. */
static uint32_t buffer_bytes(size_t length)
{
    const size_t align = _Alignof(struct tun_buffer);

    return (uint32_t)((offsetof(struct tun_buffer, bytes) + length + align - 1) / align * align);
}

static struct tun_buffer *buffer_at(const struct read_ahead *ahead, uint32_t at)
{
    return (struct tun_buffer *)(void *)(ahead->bytes + at);
}

static bool begins_again(const struct read_ahead *ahead)
{
    return ahead->count > 0 && ahead->tail <= ahead->head;
}

struct tun_buffer *read_ahead_room(struct read_ahead *ahead, uint64_t now)
{
    const uint32_t most = sizeof(struct tun_buffer);

    if (ahead->count == 0)
        ahead->head = ahead->tail = 0;
    else if (now >= ahead->sparse_until)
        return NULL;
    if (!begins_again(ahead) && ahead->size - ahead->tail < most) {
        ahead->end = ahead->tail;
        ahead->tail = 0;
    }
    if (begins_again(ahead) && ahead->head - ahead->tail < most)
        return NULL;
    return buffer_at(ahead, ahead->tail);
}

bool read_ahead_keep(struct read_ahead *ahead, struct tun_buffer *buffer, const uint8_t *packet, size_t length,
                     uint64_t now)
{
    struct wgfp_view view;
    const bool is_packet = wgfp_packet_parse(&view, packet, length);

    buffer->length = (uint32_t)length;
    buffer->flow = is_packet ? flow_number(&view, packet) : 0;
    buffer->is_fragment = is_packet && view.fragment != 0;
    if (buffer->vnet.gso_type != 0)
        ahead->bulk_until[buffer->flow] = now + BULK_LASTS;
    else if (now >= ahead->bulk_until[buffer->flow])
        ahead->sparse_until = now + SPARSE_LASTS;
    if (goes_first(ahead, buffer))
        return false;
    ahead->waiting[buffer->flow]++;
    ahead->fragments += buffer->is_fragment;
    ahead->count++;
    ahead->tail += buffer_bytes(length);
    ahead->used = ahead->used < ahead->tail ? ahead->tail : ahead->used;
    return true;
}

struct tun_buffer *read_ahead_take(struct read_ahead *ahead, uint8_t **packet, size_t *length)
{
    if (ahead->count == 0)
        return NULL;
    if (begins_again(ahead) && ahead->head == ahead->end)
        ahead->head = 0;
    struct tun_buffer *buffer = buffer_at(ahead, ahead->head);

    *packet = buffer->bytes;
    *length = buffer->length;
    ahead->head += buffer_bytes(buffer->length);
    ahead->waiting[buffer->flow]--;
    ahead->fragments -= buffer->is_fragment;
    ahead->count--;
    return buffer;
}

void read_ahead_release(struct read_ahead *ahead)
{
    if (ahead->count > 0 || ahead->used <= 2 * sizeof(struct tun_buffer))
        return;
    (void)madvise(ahead->bytes, ahead->size, MADV_DONTNEED); /* it fails where memory is locked, and may */
    ahead->used = 0;
}
