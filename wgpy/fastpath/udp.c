/* UDP sockets; what the functions mean is said in udp.h. */
#include "udp.h"

#include <assert.h>
#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

/* What the kernel knows and older headers do not. */
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum {
    SEND_TIMEOUT = 20, /* milliseconds to wait for room in the socket's buffer before datagrams are dropped */
};

/* -- Sending ---------------------------------------------------------------------------------------- */

static uint32_t address_write(struct sockaddr_in6 *address, const struct wgfp_endpoint *to)
{
    if (to->size == 4) {
        struct sockaddr_in *in = (struct sockaddr_in *)address;

        *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)to->port)};
        memcpy(&in->sin_addr, to->address, 4);
        return sizeof *in;
    }
    *address = (struct sockaddr_in6){
        .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)to->port), .sin6_scope_id = to->scope_id};
    memcpy(&address->sin6_addr, to->address, 16);
    return sizeof *address;
}

void udp_batch_init(struct udp_batch *batch, struct wgfp_datapath *datapath)
{
    batch->datapath = datapath;
    batch->stalled_at = 0;
}

void udp_batch_begin(struct udp_batch *batch, int fd, const struct wgfp_endpoint *to, bool segment, uint64_t now)
{
    batch->now = now;
    batch->fd = fd;
    batch->to = *to;
    batch->segment = segment;
    batch->runs_count = batch->slices_count = 0;
}

static bool run_takes(const struct udp_run *run, uint32_t length, uint32_t tos)
{
    return !run->closed && run->count < BATCH_MESSAGES && run->tos == tos && length <= run->size && run->length + length <= BATCH_BYTES;
}

void udp_batch_add(struct udp_batch *batch, uint8_t *data, uint32_t length, uint32_t tos)
{
    assert(batch->slices_count < BATCH_MESSAGES);
    const bool empty = batch->runs_count == 0;
    struct udp_run *run = empty ? NULL : &batch->runs[batch->runs_count - 1];
    struct iovec *slice = empty ? NULL : &batch->slices[batch->slices_count - 1];

    if (empty || !batch->segment || !run_takes(run, length, tos)) {
        run = &batch->runs[batch->runs_count++];
        *run = (struct udp_run){.first_slice = batch->slices_count, .size = length, .tos = tos};
    }
    if (run->count > 0 && data == (uint8_t *)slice->iov_base + slice->iov_len) {
        slice->iov_len += length;
    } else {
        batch->slices[batch->slices_count++] = (struct iovec){data, length};
        run->slices++;
    }
    run->closed = length < run->size;
    run->length += length;
    run->count++;
}

static void control_add(struct msghdr *message, int level, int type, const void *value, size_t size)
{
    struct cmsghdr *header = (struct cmsghdr *)((uint8_t *)message->msg_control + message->msg_controllen);

    header->cmsg_level = level;
    header->cmsg_type = type;
    header->cmsg_len = CMSG_LEN(size);
    memset(CMSG_DATA(header), 0, CMSG_SPACE(size) - CMSG_LEN(0)); /* what follows the value, too, is read */
    memcpy(CMSG_DATA(header), value, size);
    message->msg_controllen += CMSG_SPACE(size);
}

static bool has_source(const struct wgfp_endpoint *to)
{
    static const uint8_t none[16];

    return memcmp(to->local_address, none, sizeof none) != 0;
}

/* The interface stays open: the route decides it, as in the kernel; only the address is ours to keep. */
static void control_add_source(struct msghdr *message, const struct wgfp_endpoint *to)
{
    if (to->size == 4) {
        struct in_pktinfo info = {0};

        memcpy(&info.ipi_spec_dst, to->local_address, 4);
        control_add(message, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
    } else {
        struct in6_pktinfo info = {0};

        memcpy(&info.ipi6_addr, to->local_address, 16);
        control_add(message, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
    }
}

/* segment_size: 0 for one datagram. */
static void message_prepare(struct udp_batch *batch, struct msghdr *message, union udp_send_control *control,
                            uint32_t segment_size, uint32_t tos)
{
    *message = (struct msghdr){
        .msg_name = &batch->address,
        .msg_namelen = address_write(&batch->address, &batch->to),
        .msg_control = control,
    };
    if (segment_size > 0) {
        const uint16_t size = (uint16_t)segment_size;

        control_add(message, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof size);
    }
    if (has_source(&batch->to))
        control_add_source(message, &batch->to);
    if (tos != 0) {
        const int value = (int)tos;

        if (batch->to.size == 4)
            control_add(message, IPPROTO_IP, IP_TOS, &value, sizeof value);
        else
            control_add(message, IPPROTO_IPV6, IPV6_TCLASS, &value, sizeof value);
    }
    if (message->msg_controllen == 0)
        message->msg_control = NULL;
}

/* sendmmsg that waits a moment for room in the socket's buffer, unless that was in vain in this turn. Returns how many
 * were sent, or -errno. */
static int send_messages(struct udp_batch *batch, struct mmsghdr *messages, uint32_t n)
{
    const struct wgfp_system *system = batch->datapath->system;

    for (bool waited = false;;) {
        const int sent = system->sendmmsg(batch->fd, messages, n, 0);

        if (sent > 0)
            return sent;
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN || batch->stalled_at == batch->now)
            return -errno;
        struct pollfd writable = {.fd = batch->fd, .events = POLLOUT};

        if (waited || system->poll(&writable, 1, SEND_TIMEOUT) == 0)
            batch->stalled_at = batch->now; /* one datagram more may have found room */
        waited = true;
    }
}

/* Errors that a source address of ours may be the cause of: it is gone, or the route left its interface. */
static bool is_source_error(int error)
{
    return error == EINVAL || error == ENETUNREACH || error == EHOSTUNREACH || error == EADDRNOTAVAIL ||
           error == ENODEV;
}

static void send_one(struct udp_batch *batch, struct iovec *datagram, uint32_t tos, struct udp_outcome *outcome)
{
    struct mmsghdr message;
    union udp_send_control control = {0};

    for (;;) {
        message_prepare(batch, &message.msg_hdr, &control, 0, tos);
        message.msg_hdr.msg_iov = datagram;
        message.msg_hdr.msg_iovlen = 1;

        const int sent = send_messages(batch, &message, 1);

        if (sent > 0)
            return;
        if (!is_source_error(-sent) || !has_source(&batch->to))
            break;
        memset(batch->to.local_address, 0, sizeof batch->to.local_address);
        batch->to.local_interface = 0;
        outcome->source_is_bad = true;
    }
    drop_count(batch->datapath, WGFP_DROP_SEND_FAILED, 1);
}

static void send_singly(struct udp_batch *batch, const struct udp_run *run, struct udp_outcome *outcome)
{
    for (uint32_t i = 0; i < run->slices; i++) {
        const struct iovec *slice = &batch->slices[run->first_slice + i];

        for (size_t at = 0; at < slice->iov_len; at += run->size) {
            const size_t rest = slice->iov_len - at;
            struct iovec datagram = {(uint8_t *)slice->iov_base + at, rest < run->size ? rest : run->size};

            send_one(batch, &datagram, run->tos, outcome);
        }
    }
}

/* Is it worth to send a run again, as single datagrams? EMSGSIZE, and EINVAL before Linux 6.14: a datagram is longer
 * than the route's MTU. EIO: the network device cannot sum. */
static bool is_segment_error(int error)
{
    return error == EMSGSIZE || error == EINVAL || error == EIO;
}

/* The first run of those that are left could not be sent. */
static void recover(struct udp_batch *batch, const struct udp_run *run, int error, struct udp_outcome *outcome)
{
    const bool joined = run->count > 1 && is_segment_error(error);

    if (!joined && !(is_source_error(error) && has_source(&batch->to))) {
        drop_count(batch->datapath, WGFP_DROP_SEND_FAILED, run->count);
        return;
    }
    send_singly(batch, run, outcome);
    if (joined && !outcome->source_is_bad) {
        outcome->segment_is_bad = true;
        if (error == EIO)
            atomic_fetch_and_explicit(&batch->datapath->offloads, ~(unsigned)OFFLOAD_GSO, memory_order_relaxed);
    }
}

struct udp_outcome udp_batch_send(struct udp_batch *batch)
{
    struct udp_outcome outcome = {0};
    uint32_t done = 0;

    if (batch->fd < 0) {
        for (uint32_t i = 0; i < batch->runs_count; i++)
            drop_count(batch->datapath, WGFP_DROP_SEND_FAILED, batch->runs[i].count);
        return outcome;
    }
    for (uint32_t i = 0; i < batch->runs_count; i++) {
        const struct udp_run *run = &batch->runs[i];
        struct msghdr *message = &batch->messages[i].msg_hdr;

        message_prepare(batch, message, &batch->controls[i], run->count > 1 ? run->size : 0, run->tos);
        message->msg_iov = &batch->slices[run->first_slice];
        message->msg_iovlen = run->slices;
    }
    while (done < batch->runs_count) {
        const int sent = send_messages(batch, &batch->messages[done], batch->runs_count - done);

        if (sent > 0) {
            done += (uint32_t)sent;
        } else {
            recover(batch, &batch->runs[done], -sent, &outcome);
            done++;
        }
    }
    return outcome;
}

/* -- Receiving -------------------------------------------------------------------------------------- */

void udp_message_prepare(struct msghdr *message, struct sockaddr_in6 *address, union udp_receive_control *control,
                         struct iovec *slice)
{
    *message = (struct msghdr){
        .msg_name = address,
        .msg_namelen = sizeof *address,
        .msg_iov = slice,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof *control,
    };
}

static int control_int(const struct cmsghdr *header)
{
    int value;

    memcpy(&value, CMSG_DATA(header), sizeof value);
    return value;
}

static void control_read(const struct cmsghdr *header, struct udp_origin *origin)
{
    if (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_TOS) {
        origin->tos = *CMSG_DATA(header);
    } else if (header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_TCLASS) {
        origin->tos = (uint32_t)control_int(header) & 0xff;
    } else if (header->cmsg_level == IPPROTO_UDP && header->cmsg_type == UDP_GRO) {
        origin->segment_size = (uint32_t)control_int(header);
    } else if (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_PKTINFO) {
        struct in_pktinfo info;

        memcpy(&info, CMSG_DATA(header), sizeof info);
        memcpy(origin->source.local_address, &info.ipi_spec_dst, 4);
        origin->source.local_interface = (uint32_t)info.ipi_ifindex;
    } else if (header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_PKTINFO) {
        struct in6_pktinfo info;

        memcpy(&info, CMSG_DATA(header), sizeof info);
        memcpy(origin->source.local_address, &info.ipi6_addr, 16);
        origin->source.local_interface = (uint32_t)info.ipi6_ifindex;
    }
}

void udp_message_origin(struct msghdr *message, struct udp_origin *origin)
{
    const struct sockaddr_in6 *in6 = message->msg_name;

    *origin = (struct udp_origin){0};
    if (in6->sin6_family == AF_INET) {
        const struct sockaddr_in *in = message->msg_name;

        origin->source.size = 4;
        origin->source.port = ntohs(in->sin_port);
        memcpy(origin->source.address, &in->sin_addr, 4);
    } else {
        origin->source.size = 16;
        origin->source.port = ntohs(in6->sin6_port);
        origin->source.scope_id = in6->sin6_scope_id;
        memcpy(origin->source.address, &in6->sin6_addr, 16);
    }
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL; header = CMSG_NXTHDR(message, header))
        control_read(header, origin);
}
