/* The TUN's descriptor; what the functions mean is said in tun.h. */
#include "tun.h"

#include <errno.h>
#include <string.h>

ssize_t tun_read(const struct wgfp_datapath *datapath, int tun, struct tun_buffer *buffer, uint8_t **packet)
{
    struct iovec slices[] = {
        {&buffer->vnet, datapath->vnet_header},
        {buffer->bytes, MAX_PACKET + 1},
    };
    const int skip = datapath->vnet_header > 0 ? 0 : 1;
    ssize_t length;

    buffer->vnet = (struct wgfp_vnet){0}; /* for what the kernel's header does not have */
    do {
        length = datapath->system->readv(tun, slices + skip, 2 - skip);
    } while (length < 0 && errno == EINTR);
    if (length < 0)
        return errno == EAGAIN ? 0 : -errno;
    if (length == 0)
        return -EPIPE; /* the other end of a socket was closed */
    *packet = buffer->bytes;
    length -= (ssize_t)datapath->vnet_header;
    return length > 0 ? length : -EIO;
}

static int write_slices(const struct wgfp_datapath *datapath, int tun, const struct iovec *slices, int n)
{
    ssize_t written;

    do {
        written = datapath->system->writev(tun, slices, n);
    } while (written < 0 && errno == EINTR);
    return written < 0 ? errno : 0;
}

static int write_packet(const struct wgfp_datapath *datapath, int tun, struct iovec packet[2], int n)
{
    struct wgfp_vnet vnet = {0};
    const struct iovec slices[] = {{&vnet, datapath->vnet_header}, packet[0], packet[1]};
    const int skip = datapath->vnet_header > 0 ? 0 : 1;

    return write_slices(datapath, tun, slices + skip, 1 + n - skip);
}

void tun_write_one(struct wgfp_datapath *datapath, int tun, uint8_t *packet, size_t length)
{
    if (write_packet(datapath, tun, (struct iovec[2]){{packet, length}}, 1))
        drop_count(datapath, WGFP_DROP_TUN_WRITE_FAILED, 1);
}

/* Write a group's packets one by one: the kernel did not want them joined. */
static void write_singly(struct wgfp_datapath *datapath, int tun, const struct tun_batch *batch,
                         const struct wgfp_group *group, const struct wgfp_slice *slices)
{
    struct wgfp_gso gso;
    uint8_t header[sizeof gso.template];
    size_t length = 0;

    for (uint32_t i = 0; i < group->count; i++) {
        memcpy(batch->scratch + length, slices[i].data, slices[i].length);
        length += slices[i].length;
    }
    if (wgfp_gso_parse(&gso, &group->vnet, batch->scratch, length) != WGFP_GSO_ACCEPTED)
        return; /* cannot be: it was joined here */
    for (uint32_t i = 0; i < gso.count; i++) {
        struct wgfp_slice payload;

        wgfp_gso_segment(&gso, i, header, &payload);
        if (write_packet(datapath, tun, (struct iovec[]){{header, gso.header_length}, {payload.data, payload.length}}, 2))
            drop_count(datapath, WGFP_DROP_TUN_WRITE_FAILED, 1);
    }
}

/* Some vendor kernels take no superpacket of a kind, though they said they would. */
static void kind_refused(struct wgfp_datapath *datapath, const struct wgfp_group *group)
{
    const unsigned kind = group->vnet.gso_type == WGFP_VNET_UDP ? OFFLOAD_USO : OFFLOAD_TSO;

    atomic_fetch_and_explicit(&datapath->offloads, ~kind, memory_order_relaxed);
}

size_t tun_join(const struct wgfp_datapath *datapath, const struct tun_batch *batch)
{
    const unsigned offloads = atomic_load_explicit(&datapath->offloads, memory_order_relaxed);
    const unsigned kinds = datapath->vnet_header > 0 ? offloads & (OFFLOAD_TSO | OFFLOAD_USO) : 0;

    _Static_assert((int)OFFLOAD_TSO == WGFP_COALESCE_TCP && (int)OFFLOAD_USO == WGFP_COALESCE_UDP, "");
    return wgfp_coalesce(batch->packets, batch->count, kinds, batch->groups);
}

void tun_write(struct wgfp_datapath *datapath, int tun, const struct tun_batch *batch, const struct wgfp_group *group)
{
    struct wgfp_slice slices[1 + WGFP_GROUP_PACKETS];
    struct wgfp_vnet vnet = group->vnet;
    int error;

    _Static_assert(sizeof(struct wgfp_slice) == sizeof(struct iovec), "a slice is laid out as a struct iovec");
    wgfp_group_slices(group, batch->packets, slices + 1);
    if (group->count == 1) {
        error = write_packet(datapath, tun, (struct iovec[2]){{slices[1].data, slices[1].length}}, 1);
    } else {
        slices[0] = (struct wgfp_slice){&vnet, datapath->vnet_header};
        error = write_slices(datapath, tun, (const struct iovec *)slices, 1 + (int)group->count);
        if (error == EINVAL) {
            kind_refused(datapath, group);
            write_singly(datapath, tun, batch, group, slices + 1);
            return;
        }
    }
    if (error != 0)
        drop_count(datapath, WGFP_DROP_TUN_WRITE_FAILED, group->count);
}
