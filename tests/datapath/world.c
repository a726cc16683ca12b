/* A kernel in memory; what the functions mean is said in world.h. */
#include "system.h"

#include "offload.h"
#include "wgfp.h"
#include "world.h"
#include "world_queue.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* What the kernel knows and older headers do not. */
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum { MAX_UDP = 65507, MAX_SEGMENTS = 64 };

_Static_assert(sizeof(struct wgfp_endpoint) == sizeof((struct world_label *)0)->endpoint, "a label holds an endpoint");

struct fault {
    int error;
    uint32_t skip, count;
    bool joined;
};

struct world {
    uint64_t now;
    struct queue tun_in, tun_out, udp4_in, udp6_in, udp_out;
    struct fault faults[WORLD_CALLS];
    uint64_t calls[WORLD_CALLS];
};

static struct world *current;

/* -- Faults ----------------------------------------------------------------------------------------- */

/* Is this call to fail? Then errno says how. */
static bool fails(enum world_call call, bool joined)
{
    struct fault *fault = &current->faults[call];

    if (fault->count == 0 || (fault->joined && !joined))
        return false;
    if (fault->skip != 0) {
        fault->skip--;
        return false;
    }
    fault->count--;
    errno = fault->error;
    return true;
}

static int fail(int error)
{
    errno = error;
    return -1;
}

/* -- The TUN ---------------------------------------------------------------------------------------- */

static ssize_t tun_readv(int fd, const struct iovec *slices, int n)
{
    current->calls[WORLD_READV]++;
    if (fd != WORLD_TUN)
        return fail(EBADF);
    if (fails(WORLD_READV, false))
        return -1;
    struct item *item = queue_pop(&current->tun_in);

    if (item == NULL)
        return fail(EAGAIN);
    const size_t length = slices_scatter(slices, (size_t)n, item);

    free(item);
    return (ssize_t)length;
}

/* Its virtio header has a slice of its own. */
static bool is_superpacket(const struct iovec *slices)
{
    struct wgfp_vnet vnet;

    if (slices[0].iov_len != sizeof vnet)
        return false;
    memcpy(&vnet, slices[0].iov_base, sizeof vnet);
    return vnet.gso_type != 0;
}

static ssize_t tun_writev(int fd, const struct iovec *slices, int n)
{
    const size_t length = slices_length(slices, (size_t)n);

    current->calls[WORLD_WRITEV]++;
    if (fd != WORLD_TUN)
        return fail(EBADF);
    if (fails(WORLD_WRITEV, is_superpacket(slices)))
        return -1;
    slices_gather(slices, (size_t)n, queue_push(&current->tun_out, NULL, length)->data);
    return (ssize_t)length;
}

/* -- UDP, inbound ----------------------------------------------------------------------------------- */

static void name_write(struct msghdr *message, const struct wgfp_endpoint *from)
{
    if (from->size == 4) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)from->port)};

        memcpy(&in.sin_addr, from->address, 4);
        memcpy(message->msg_name, &in, sizeof in);
        message->msg_namelen = sizeof in;
    } else {
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
                                   .sin6_port = htons((uint16_t)from->port),
                                   .sin6_scope_id = from->scope_id};

        memcpy(&in6.sin6_addr, from->address, 16);
        memcpy(message->msg_name, &in6, sizeof in6);
        message->msg_namelen = sizeof in6;
    }
}

static void control_add(struct msghdr *message, size_t *used, int level, int type, const void *value, size_t size)
{
    struct cmsghdr header = {.cmsg_len = CMSG_LEN(size), .cmsg_level = level, .cmsg_type = type};
    uint8_t *at = (uint8_t *)message->msg_control + *used;

    *used += CMSG_SPACE(size);
    if (*used > message->msg_controllen) {
        message->msg_flags |= MSG_CTRUNC;
        *used = message->msg_controllen;
        return;
    }
    memcpy(at, &header, sizeof header);
    memcpy(CMSG_DATA((struct cmsghdr *)at), value, size);
}

/* As the kernel does, and with its sizes: IPv4's TOS is one byte. */
static void control_write(struct msghdr *message, const struct wgfp_endpoint *from, const struct world_label *label)
{
    size_t used = 0;

    if (from->size == 4) {
        struct in_pktinfo info = {.ipi_ifindex = (int)from->local_interface};
        const uint8_t tos = (uint8_t)label->tos;

        memcpy(&info.ipi_spec_dst, from->local_address, 4);
        memcpy(&info.ipi_addr, from->local_address, 4);
        control_add(message, &used, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
        control_add(message, &used, IPPROTO_IP, IP_TOS, &tos, sizeof tos);
    } else {
        struct in6_pktinfo info = {.ipi6_ifindex = from->local_interface};
        const int traffic_class = (int)label->tos;

        memcpy(&info.ipi6_addr, from->local_address, 16);
        control_add(message, &used, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
        control_add(message, &used, IPPROTO_IPV6, IPV6_TCLASS, &traffic_class, sizeof traffic_class);
    }
    if (label->segment_size != 0) {
        const int size = (int)label->segment_size;

        control_add(message, &used, IPPROTO_UDP, UDP_GRO, &size, sizeof size);
    }
    message->msg_controllen = used;
}

static void message_write(struct mmsghdr *message, const struct item *item)
{
    struct msghdr *header = &message->msg_hdr;
    struct wgfp_endpoint from;

    memcpy(&from, item->label.endpoint, sizeof from);
    header->msg_flags = 0;
    message->msg_len = (unsigned)slices_scatter(header->msg_iov, header->msg_iovlen, item);
    if (message->msg_len < item->length)
        header->msg_flags |= MSG_TRUNC;
    name_write(header, &from);
    control_write(header, &from, &item->label);
}

static int udp_recvmmsg(int fd, struct mmsghdr *messages, unsigned n, int flags, struct timespec *timeout)
{
    struct queue *queue = fd == WORLD_UDP4 ? &current->udp4_in : &current->udp6_in;
    unsigned received = 0;
    struct item *item;

    (void)flags;
    (void)timeout;
    current->calls[WORLD_RECVMMSG]++;
    if (fd != WORLD_UDP4 && fd != WORLD_UDP6)
        return fail(EBADF);
    if (fails(WORLD_RECVMMSG, false))
        return -1;
    while (received < n && (item = queue_pop(queue)) != NULL) {
        message_write(&messages[received++], item);
        free(item);
    }
    return received != 0 ? (int)received : fail(EAGAIN);
}

/* -- UDP, outbound ---------------------------------------------------------------------------------- */

static void name_read(const struct msghdr *message, struct wgfp_endpoint *to)
{
    const struct sockaddr_in6 *in6 = message->msg_name;

    if (in6->sin6_family == AF_INET) {
        const struct sockaddr_in *in = message->msg_name;

        to->size = 4;
        to->port = ntohs(in->sin_port);
        memcpy(to->address, &in->sin_addr, 4);
    } else {
        to->size = 16;
        to->port = ntohs(in6->sin6_port);
        to->scope_id = in6->sin6_scope_id;
        memcpy(to->address, &in6->sin6_addr, 16);
    }
}

static void control_read(const struct cmsghdr *header, struct wgfp_endpoint *to, struct world_label *label)
{
    const uint8_t *data = CMSG_DATA(header);

    if (header->cmsg_level == IPPROTO_UDP && header->cmsg_type == UDP_SEGMENT) {
        uint16_t size;

        memcpy(&size, data, sizeof size);
        label->segment_size = size;
    } else if (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_PKTINFO) {
        struct in_pktinfo info;

        memcpy(&info, data, sizeof info);
        memcpy(to->local_address, &info.ipi_spec_dst, 4);
        to->local_interface = (uint32_t)info.ipi_ifindex;
    } else if (header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_PKTINFO) {
        struct in6_pktinfo info;

        memcpy(&info, data, sizeof info);
        memcpy(to->local_address, &info.ipi6_addr, 16);
        to->local_interface = info.ipi6_ifindex;
    } else {
        int tos;

        memcpy(&tos, data, sizeof tos);
        label->tos = (uint32_t)tos;
    }
}

static void message_read(const struct msghdr *message, struct world_label *label)
{
    struct msghdr header = *message;
    struct wgfp_endpoint to = {.size = 0};

    *label = (struct world_label){.tos = 0};
    name_read(message, &to);
    for (struct cmsghdr *control = CMSG_FIRSTHDR(&header); control != NULL; control = CMSG_NXTHDR(&header, control))
        control_read(control, &to, label);
    memcpy(label->endpoint, &to, sizeof to);
}

/* What a kernel refuses. */
static int refusal(int fd, const struct msghdr *message, const struct world_label *label, size_t length)
{
    const struct sockaddr_in6 *in6 = message->msg_name;

    if (in6->sin6_family != (fd == WORLD_UDP4 ? AF_INET : AF_INET6))
        return EAFNOSUPPORT;
    if (length > MAX_UDP)
        return EMSGSIZE;
    if (label->segment_size != 0 && length > (size_t)label->segment_size * MAX_SEGMENTS)
        return EINVAL;
    return 0;
}

static int udp_sendmmsg(int fd, struct mmsghdr *messages, unsigned n, int flags)
{
    (void)flags;
    current->calls[WORLD_SENDMMSG]++;
    if (fd != WORLD_UDP4 && fd != WORLD_UDP6)
        return fail(EBADF);
    for (unsigned i = 0; i < n; i++) {
        const struct msghdr *header = &messages[i].msg_hdr;
        const size_t length = slices_length(header->msg_iov, header->msg_iovlen);
        struct world_label label;

        message_read(header, &label);
        const int error = refusal(fd, header, &label, length);

        if (error != 0)
            errno = error;
        if (error != 0 || fails(WORLD_SENDMMSG, label.segment_size != 0))
            return i != 0 ? (int)i : -1;
        slices_gather(header->msg_iov, header->msg_iovlen, queue_push(&current->udp_out, &label, length)->data);
        messages[i].msg_len = (unsigned)length;
    }
    return (int)n;
}

/* -- The rest --------------------------------------------------------------------------------------- */

/* Everything is ready at once; only who waits for room to send asks. */
static int poll_ready(struct pollfd *fds, nfds_t n, int timeout)
{
    current->calls[WORLD_POLL]++;
    if (timeout >= 0 && fails(WORLD_POLL, false))
        return 0;
    for (nfds_t i = 0; i < n; i++)
        fds[i].revents = fds[i].events;
    return (int)n;
}

static uint64_t now(void)
{
    return current->now;
}

static const struct wgfp_system kernel = {
    .readv = tun_readv,
    .writev = tun_writev,
    .recvmmsg = udp_recvmmsg,
    .sendmmsg = udp_sendmmsg,
    .poll = poll_ready,
    .now = now,
};

const void *world_system(void)
{
    return &kernel;
}

struct world *world_new(void)
{
    struct world *world = checked(calloc(1, sizeof *world));
    struct queue *queues[] = {&world->tun_in, &world->tun_out, &world->udp4_in, &world->udp6_in, &world->udp_out};

    for (size_t i = 0; i < sizeof queues / sizeof *queues; i++)
        queues[i]->end = &queues[i]->first;
    return world;
}

void world_free(struct world *world)
{
    if (current == world)
        current = NULL;
    queue_clear(&world->tun_in);
    queue_clear(&world->tun_out);
    queue_clear(&world->udp4_in);
    queue_clear(&world->udp6_in);
    queue_clear(&world->udp_out);
    free(world);
}

void world_enter(struct world *world, uint64_t time)
{
    current = world;
    world->now = time;
}

void world_tun_give(struct world *world, const uint8_t *data, size_t length)
{
    queue_give(&world->tun_in, NULL, data, length);
}

long world_tun_take(struct world *world, uint8_t *data, size_t room)
{
    return queue_take(&world->tun_out, NULL, data, room);
}

void world_udp_give(struct world *world, const struct world_label *label, const uint8_t *data, size_t length)
{
    struct wgfp_endpoint from;

    memcpy(&from, label->endpoint, sizeof from);
    queue_give(from.size == 4 ? &world->udp4_in : &world->udp6_in, label, data, length);
}

long world_udp_take(struct world *world, struct world_label *label, uint8_t *data, size_t room)
{
    return queue_take(&world->udp_out, label, data, room);
}

void world_fail(struct world *world, enum world_call call, int error, uint32_t skip, uint32_t count, int joined)
{
    world->faults[call] = (struct fault){error, skip, count, joined != 0};
}

uint64_t world_calls(const struct world *world, enum world_call call)
{
    return world->calls[call];
}
