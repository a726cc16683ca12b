/* The TUN's descriptor: packets and superpackets, with or without a virtio header. */
#ifndef WGFP_TUN_H
#define WGFP_TUN_H

#include "datapath.h"
#include "offload.h"
#include "packet.h"

/* A packet as it is read. */
struct tun_buffer {
    _Alignas(64) struct wgfp_vnet vnet;
    uint32_t length, flow; /* of read_ahead.h */
    bool is_fragment;
    _Alignas(64) uint8_t bytes[MAX_PACKET + 1];
};

/* Read one. *packet: where it lies. Returns its length, 0 if there is none now, or -errno. */
ssize_t tun_read(const struct wgfp_datapath *datapath, int tun, struct tun_buffer *buffer, uint8_t **packet);

/* Write one plain packet; if it cannot be written, that is counted. */
void tun_write_one(struct wgfp_datapath *datapath, int tun, uint8_t *packet, size_t length);

/* Packets on their way to the TUN. */
struct tun_batch {
    struct wgfp_packet *packets;
    struct wgfp_group *groups; /* room for as many as there are packets */
    size_t count;
    uint8_t *scratch; /* MAX_PACKET bytes */
};

/* Join what may be joined. Returns the number of groups. */
size_t tun_join(const struct wgfp_datapath *datapath, const struct tun_batch *batch);

/* Write one of the groups; if it cannot be written, that is counted. */
void tun_write(struct wgfp_datapath *datapath, int tun, const struct tun_batch *batch, const struct wgfp_group *group);

#endif
