/* The limit of a userspace tunnel: all the input and output of WireGuard, and no cryptography.
 *
 * Two threads, one for each direction. Outbound: read a superpacket from the TUN, cut it into packets, wrap
 * each as a transport message, send many messages by one system call (UDP_SEGMENT). Inbound: receive many
 * messages by one system call (UDP_GRO), join their packets to superpackets again, write those to the TUN.
 *
 * Invariant: this is a ruler, not a tunnel. It encrypts nothing, trusts every sender, and nothing can switch a
 * daemon to it. A datagram or packet that the kernel refuses is lost, as on any network.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "packets.h"
#include "setup.h"

/* What the kernel knows and older headers do not. */
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

enum {
    MESSAGE_HEADER = 16,     /* type, receiver, counter */
    MESSAGE_TAG = 16,        /* all zero here */
    MESSAGE_PADDING = 16,    /* a packet is padded to a multiple of this */
    MESSAGE_DATA = 4,        /* the type of a transport message */
    BATCH_BYTES = 65000,     /* below what IPv4 allows a UDP datagram, and a superpacket */
    BATCH_MESSAGES = 64,     /* the kernel's UDP_MAX_SEGMENTS, where it is least */
    BUFFER_BYTES = 1 << 16,  /* holds any IP packet and any datagram */
};

typedef struct virtio_net_hdr vnet_header;

static const char USAGE[] =
    "usage: limit INTERFACE PORT REMOTE REMOTE_PORT\n"
    "\n"
    "Makes the TUN device INTERFACE and carries its packets, not encrypted, to another limit that listens\n"
    "on UDP port REMOTE_PORT of the IPv4 address REMOTE; this one listens on PORT. Measures how fast a\n"
    "userspace tunnel could be on this host if its cipher cost nothing. Needs root; ends when killed.\n";

/* -- Outbound: TUN to UDP --------------------------------------------------------------------------- */

/* Messages that leave by one system call: all of one size, only the last may be shorter. */
struct batch {
    int udp;
    struct sockaddr_in remote;
    uint64_t counter;    /* of the next message */
    size_t message_size; /* of all messages but the last */
    size_t count;
    size_t length; /* of all messages together */
    bool closed;   /* the last message is shorter */
    uint8_t bytes[BUFFER_BYTES];
};

static void batch_send(struct batch *batch)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(uint16_t))];
    } control = {0};
    struct iovec data = {.iov_base = batch->bytes, .iov_len = batch->length};
    struct msghdr message = {
        .msg_name = &batch->remote,
        .msg_namelen = sizeof batch->remote,
        .msg_iov = &data,
        .msg_iovlen = 1,
    };

    if (batch->count > 1) {
        uint16_t size = (uint16_t)batch->message_size;
        struct cmsghdr *segment;

        message.msg_control = &control;
        message.msg_controllen = sizeof control;
        segment = CMSG_FIRSTHDR(&message);
        segment->cmsg_level = IPPROTO_UDP;
        segment->cmsg_type = UDP_SEGMENT;
        segment->cmsg_len = CMSG_LEN(sizeof size);
        memcpy(CMSG_DATA(segment), &size, sizeof size);
    }
    if (batch->count > 0)
        (void)sendmsg(batch->udp, &message, 0); /* what cannot be sent is lost */
    batch->count = batch->length = 0;
    batch->closed = false;
}

/* Add a message for a packet of this length, and return where the packet goes. Sends what it does not fit. */
static uint8_t *batch_add(struct batch *batch, size_t packet_size)
{
    size_t padded = (packet_size + MESSAGE_PADDING - 1) & ~(size_t)(MESSAGE_PADDING - 1);
    size_t size = MESSAGE_HEADER + padded + MESSAGE_TAG;
    uint8_t *message;

    if (batch->count > 0 && (batch->closed || size > batch->message_size || batch->count == BATCH_MESSAGES ||
                             batch->length + size > BATCH_BYTES))
        batch_send(batch);
    if (batch->count == 0)
        batch->message_size = size;
    batch->closed = size < batch->message_size;
    message = batch->bytes + batch->length;
    batch->length += size;
    batch->count++;

    memset(message, 0, MESSAGE_HEADER);
    message[0] = MESSAGE_DATA;
    memcpy(message + 8, &batch->counter, sizeof batch->counter);
    batch->counter++;
    memset(message + MESSAGE_HEADER + packet_size, 0, padded - packet_size + MESSAGE_TAG);
    return message + MESSAGE_HEADER;
}

/* Cut a superpacket: each packet gets its headers, a piece of the payload, and its own sums. */
static void segment(struct batch *batch, const uint8_t *packet, size_t length, size_t piece_size)
{
    struct shape shape;
    uint32_t first_sequence;
    size_t number = 0;

    if (piece_size == 0 || !shape_read(&shape, packet, length))
        return; /* the kernel makes no such superpacket */
    first_sequence = load32(packet + shape.transport + TCP_SEQUENCE);
    for (size_t offset = shape.payload; offset < length; offset += piece_size, number++) {
        size_t piece = length - offset < piece_size ? length - offset : piece_size;
        size_t size = shape.payload + piece;
        uint8_t *made = batch_add(batch, size);
        uint8_t *transport = made + shape.transport;

        memcpy(made, packet, shape.payload);
        memcpy(made + shape.payload, packet + offset, piece);
        if (!shape.ipv6)
            store16(made + 4, load16(packet + 4) + number);
        packet_resize(&shape, made, size);
        if (shape.tcp) {
            store32(transport + TCP_SEQUENCE, first_sequence + (uint32_t)(offset - shape.payload));
            if (offset + piece < length)
                transport[TCP_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
        }
        store16(checksum_of(&shape, made), 0);
        sum_store(
            checksum_of(&shape, made),
            sum_add(sum_pseudo_header(&shape, made, size), transport, size - shape.transport),
            true
        );
    }
}

/* Pass a packet on as it is. The kernel may have left its sum to us, begun with the pseudo header's. */
static void pass(struct batch *batch, const uint8_t *packet, size_t length, const vnet_header *header)
{
    uint8_t *copy = batch_add(batch, length);
    size_t start = header->csum_start;
    size_t field = start + header->csum_offset;

    memcpy(copy, packet, length);
    if (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM && field + 2 <= length)
        sum_store(copy + field, sum_add(0, copy + start, length - start), true);
}

struct tunnel {
    int tun;
    int udp;
    struct sockaddr_in remote;
    bool joins_udp; /* the kernel takes UDP superpackets from us */
};

/* Read from the TUN; send and wait when it is empty. */
static size_t read_superpacket(const struct tunnel *tunnel, struct batch *batch, uint8_t *buffer)
{
    for (;;) {
        ssize_t length = read(tunnel->tun, buffer, BUFFER_BYTES);

        if (length >= 0)
            return (size_t)length;
        if (errno == EAGAIN) {
            struct pollfd readable = {.fd = tunnel->tun, .events = POLLIN};

            batch_send(batch);
            (void)poll(&readable, 1, -1);
        } else if (errno != EINTR) {
            fail("cannot read from the TUN device: %s", strerror(errno));
        }
    }
}

_Noreturn static void *carry_out(void *argument)
{
    const struct tunnel *tunnel = argument;
    static struct batch batch;
    static uint8_t buffer[BUFFER_BYTES + sizeof(vnet_header)];

    batch.udp = tunnel->udp;
    batch.remote = tunnel->remote;
    for (;;) {
        size_t length = read_superpacket(tunnel, &batch, buffer);
        const uint8_t *packet = buffer + sizeof(vnet_header);
        vnet_header header;

        if (length <= sizeof header)
            continue;
        length -= sizeof header;
        memcpy(&header, buffer, sizeof header);
        if (header.gso_type == VIRTIO_NET_HDR_GSO_NONE)
            pass(&batch, packet, length, &header);
        else
            segment(&batch, packet, length, header.gso_size);
    }
}

/* -- Inbound: UDP to TUN ---------------------------------------------------------------------------- */

/* Packets of one flow, in order, that are written as one: the first whole, of the others the payload. */
struct run {
    int tun;
    bool joins_udp;
    int count;           /* packets */
    struct shape shape;  /* of the first */
    size_t first_length; /* of the first packet */
    size_t piece_size;   /* payload of each packet but the last */
    size_t length;       /* of the superpacket */
    struct iovec parts[1 + BATCH_MESSAGES];
};

static void run_write(struct run *run)
{
    vnet_header header = {0};
    uint8_t *packet = run->parts[1].iov_base;

    if (run->count == 0)
        return;
    if (run->count > 1) {
        uint8_t kind = run->shape.ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;

        header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        header.gso_type = run->shape.tcp ? kind : VIRTIO_NET_HDR_GSO_UDP_L4;
        header.gso_size = (uint16_t)run->piece_size;
        header.hdr_len = (uint16_t)run->shape.payload;
        header.csum_start = (uint16_t)run->shape.transport;
        header.csum_offset = run->shape.tcp ? TCP_CHECKSUM : UDP_CHECKSUM;
        packet_resize(&run->shape, packet, run->length);
        sum_store(
            checksum_of(&run->shape, packet), sum_pseudo_header(&run->shape, packet, run->length), false
        );
    }
    run->parts[0] = (struct iovec){.iov_base = &header, .iov_len = sizeof header};
    (void)writev(run->tun, run->parts, 1 + run->count); /* what the kernel refuses is lost */
    run->count = 0;
}

/* Say whether two IP headers differ in nothing but lengths, identification and sum. */
static bool same_network(const struct shape *shape, const uint8_t *one, const uint8_t *other)
{
    if (shape->ipv6)
        return memcmp(one, other, 4) == 0 && memcmp(one + 6, other + 6, 34) == 0;
    return memcmp(one, other, 2) == 0 && memcmp(one + 6, other + 6, 4) == 0 &&
           memcmp(one + 12, other + 12, shape->transport - 12) == 0;
}

/* Say whether a TCP packet goes on where the run ends, with the same acknowledgement, window and options. */
static bool same_tcp(const struct run *run, const uint8_t *one, const uint8_t *other)
{
    uint32_t next = load32(one + TCP_SEQUENCE) + (uint32_t)(run->length - run->shape.payload);
    size_t options = run->shape.payload - run->shape.transport - TCP_LEAST;

    return load32(other + TCP_SEQUENCE) == next && (other[TCP_FLAGS] & ~TCP_PSH) == TCP_ACK &&
           memcmp(one + TCP_ACKNOWLEDGEMENT, other + TCP_ACKNOWLEDGEMENT, 5) == 0 && /* and the data offset */
           memcmp(one + TCP_WINDOW, other + TCP_WINDOW, 2) == 0 &&
           memcmp(one + TCP_LEAST, other + TCP_LEAST, options) == 0;
}

static bool same_shape(const struct shape *one, const struct shape *other)
{
    return one->ipv6 == other->ipv6 && one->tcp == other->tcp && one->transport == other->transport &&
           one->payload == other->payload;
}

/* Say whether a packet with a payload can be written together with the run. */
static bool run_goes_on_with(
    const struct run *run, const struct shape *shape, const uint8_t *packet, size_t length
)
{
    const uint8_t *first = run->parts[1].iov_base;
    size_t at = shape->transport;

    return run->count > 0 && run->count < BATCH_MESSAGES && same_shape(shape, &run->shape) &&
           length <= run->first_length && run->length + length - shape->payload <= BATCH_BYTES &&
           same_network(shape, first, packet) && memcmp(first + at, packet + at, 4) == 0 && /* ports */
           (!shape->tcp || same_tcp(run, first + at, packet + at));
}

/* Write a packet to the TUN, or keep it until it is known whether others go on with it. */
static void run_add(struct run *run, uint8_t *packet, size_t length)
{
    struct shape shape = {0};
    bool plain = shape_read(&shape, packet, length) && length > shape.payload;
    uint8_t flags = plain && shape.tcp ? packet[shape.transport + TCP_FLAGS] : TCP_ACK;
    bool more = plain && (shape.tcp ? flags == TCP_ACK : run->joins_udp); /* others may follow it */

    if (plain && run_goes_on_with(run, &shape, packet, length)) {
        uint8_t *first = run->parts[1].iov_base;

        run->count++;
        run->parts[run->count] =
            (struct iovec){.iov_base = packet + shape.payload, .iov_len = length - shape.payload};
        run->length += length - shape.payload;
        if (shape.tcp)
            first[shape.transport + TCP_FLAGS] |= flags & TCP_PSH;
        more = more && length == run->first_length;
    } else {
        run_write(run);
        run->shape = shape;
        run->parts[1] = (struct iovec){.iov_base = packet, .iov_len = length};
        run->first_length = run->length = length;
        run->piece_size = plain ? length - shape.payload : 0;
        run->count = 1;
    }
    if (!more)
        run_write(run);
}

/* Receive messages that the kernel joined; returns their bytes, and the size of each but the last. */
static size_t receive_messages(int udp, uint8_t *buffer, size_t *message_size)
{
    union {
        struct cmsghdr align;
        char bytes[256];
    } control;
    struct iovec data = {.iov_base = buffer, .iov_len = BUFFER_BYTES};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
    };
    ssize_t length = recvmsg(udp, &message, 0);

    if (length <= 0)
        return 0; /* an error of an earlier datagram, reported by the remote's host */
    *message_size = (size_t)length;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part != NULL; part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level == IPPROTO_UDP && part->cmsg_type == UDP_GRO) {
            int size;

            memcpy(&size, CMSG_DATA(part), sizeof size);
            *message_size = (size_t)size;
        }
    }
    return (size_t)length;
}

_Noreturn static void *carry_in(void *argument)
{
    const struct tunnel *tunnel = argument;
    static struct run run;
    static uint8_t buffer[BUFFER_BYTES];

    run.tun = tunnel->tun;
    run.joins_udp = tunnel->joins_udp;
    for (;;) {
        size_t message_size = 1;
        size_t received = receive_messages(tunnel->udp, buffer, &message_size);

        for (size_t offset = 0; offset < received; offset += message_size) {
            size_t size = received - offset < message_size ? received - offset : message_size;
            uint8_t *packet = buffer + offset + MESSAGE_HEADER;
            size_t room, length;

            if (size < MESSAGE_HEADER + MESSAGE_TAG || buffer[offset] != MESSAGE_DATA)
                continue;
            room = size - MESSAGE_HEADER - MESSAGE_TAG;
            length = packet_length(packet, room);
            if (length <= room)
                run_add(&run, packet, length);
        }
        run_write(&run);
    }
}

/* -- Setting up ------------------------------------------------------------------------------------- */

int main(int count, char **arguments)
{
    static struct tunnel tunnel;
    pthread_t outbound;
    int error;

    if (count == 2 && (strcmp(arguments[1], "--help") == 0 || strcmp(arguments[1], "-h") == 0)) {
        fputs(USAGE, stdout);
        return 0;
    }
    if (count != 5) {
        fputs(USAGE, stderr);
        return 2;
    }
    tunnel.remote.sin_family = AF_INET;
    tunnel.remote.sin_port = htons(read_port(arguments[4]));
    tunnel.remote.sin_addr = read_address(arguments[3]);
    tunnel.udp = open_udp(read_port(arguments[2]), 0);
    tunnel.tun = open_tun(arguments[1], &tunnel.joins_udp);

    error = pthread_create(&outbound, NULL, carry_out, &tunnel);
    if (error != 0)
        fail("cannot start a thread: %s", strerror(error));
    carry_in(&tunnel);
}
