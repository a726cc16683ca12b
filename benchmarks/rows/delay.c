/* A wire that takes its time and loses: datagrams between two hosts, each held for a while, some of them dropped.
 *
 *     LEFT ---- LEFT_HERE  this program  RIGHT_HERE ---- RIGHT        all on one port
 *
 * Which datagrams are lost is decided by their number and by a seed, so it is the same in every run. What comes
 * faster than it can be passed on waits in the kernel's buffer, and is lost where that is full.
 *
 * Invariant: it sleeps until a datagram comes or is due. SIGTERM ends it; at the end it prints what it dropped.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/sock_diag.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "parts.h"

enum {
    SLOTS = 8192,             /* datagrams that are held in one direction, at most; a power of two */
    MOST = 2048,              /* bytes of a datagram; more than an MTU */
    BATCH = 64,               /* datagrams by one system call */
    SOCKET_BUFFER = 8 << 20,
    MILLISECOND = SECOND / 1000,
    MOST_DELAY = 10000,
};

static const char usage[] =
    "usage: delay LEFT LEFT_HERE RIGHT_HERE RIGHT PORT DELAY LOSS SEED\n"
    "\n"
    "Pass UDP datagrams on between two hosts that take this one for each other, all by the same port. Hold each of\n"
    "them for DELAY milliseconds and lose LOSS percent, in each direction.\n";

struct slot {
    uint64_t due; /* ns; when it is to be passed on */
    size_t length;
    int lost;
    uint8_t datagram[MOST];
};

/* One direction: a ring of what is held, in the order in which it came. */
struct way {
    const char *name;
    int from, to;
    struct sockaddr_in target;
    uint64_t delay;     /* ns */
    uint64_t threshold; /* a random number below it is a loss */
    uint64_t random;    /* state */
    uint64_t came, lost, unsent;
    size_t first, end; /* of what is held: slots at these numbers modulo SLOTS */
    struct slot slots[SLOTS];
};

static volatile sig_atomic_t stopping;

static struct slot *slot_at(struct way *way, size_t number)
{
    return &way->slots[number % SLOTS];
}

static size_t way_room(const struct way *way)
{
    return SLOTS - (way->end - way->first);
}

/* Take what has come, up to a batch. */
static void way_receive(struct way *way)
{
    struct iovec slices[BATCH];
    struct mmsghdr headers[BATCH] = {0};
    const size_t room = way_room(way) < BATCH ? way_room(way) : BATCH;

    for (size_t i = 0; i < room; i++) {
        slices[i] = (struct iovec){.iov_base = slot_at(way, way->end + i)->datagram, .iov_len = MOST};
        headers[i].msg_hdr = (struct msghdr){.msg_iov = &slices[i], .msg_iovlen = 1};
    }
    const int count = recvmmsg(way->from, headers, (unsigned int)room, MSG_DONTWAIT, NULL);
    const uint64_t due = clock_now() + way->delay;

    for (int i = 0; i < count; i++) {
        struct slot *slot = slot_at(way, way->end++);

        slot->due = due;
        slot->length = headers[i].msg_len;
        slot->lost = random_next(&way->random) < way->threshold;
        way->came++;
        way->lost += (uint64_t)slot->lost;
    }
}

static void batch_send(struct way *way, struct mmsghdr *headers, unsigned int count)
{
    for (unsigned int sent = 0; sent < count;) {
        const int now = sendmmsg(way->to, headers + sent, count - sent, MSG_DONTWAIT);

        if (now > 0) {
            sent += (unsigned int)now;
        } else if (errno != EINTR) { /* the first of them cannot be sent */
            sent++;
            way->unsent++;
        }
    }
}

/* Pass on what is due. */
static void way_release(struct way *way, uint64_t now)
{
    while (way->first != way->end && slot_at(way, way->first)->due <= now) {
        struct iovec slices[BATCH];
        struct mmsghdr headers[BATCH] = {0};
        unsigned int count = 0;

        for (; count < BATCH && way->first != way->end; way->first++) {
            struct slot *slot = slot_at(way, way->first);

            if (slot->due > now)
                break;
            if (slot->lost)
                continue;
            slices[count] = (struct iovec){.iov_base = slot->datagram, .iov_len = slot->length};
            headers[count].msg_hdr = (struct msghdr){
                .msg_name = &way->target, .msg_namelen = sizeof way->target,
                .msg_iov = &slices[count], .msg_iovlen = 1,
            };
            count++;
        }
        batch_send(way, headers, count);
    }
}

/* Sleep until a datagram comes that there is room for, or one is due, or a signal comes. */
static void wait_for(struct way *ways, const sigset_t *awake)
{
    struct pollfd files[2];
    const uint64_t now = clock_now();
    uint64_t due = UINT64_MAX;

    for (int i = 0; i < 2; i++) {
        files[i] = (struct pollfd){.fd = way_room(&ways[i]) > 0 ? ways[i].from : -1, .events = POLLIN};
        if (ways[i].first != ways[i].end && slot_at(&ways[i], ways[i].first)->due < due)
            due = slot_at(&ways[i], ways[i].first)->due;
    }
    const uint64_t left = due > now ? due - now : 0;
    const struct timespec time = {.tv_sec = (time_t)(left / SECOND), .tv_nsec = (long)(left % SECOND)};

    if (ppoll(files, 2, due == UINT64_MAX ? NULL : &time, awake) <= 0)
        return;
    for (int i = 0; i < 2; i++)
        if (files[i].revents != 0)
            way_receive(&ways[i]);
}

static void way_report(const struct way *way)
{
    uint32_t info[SK_MEMINFO_VARS] = {0};
    socklen_t length = sizeof info;

    getsockopt(way->from, SOL_SOCKET, SO_MEMINFO, info, &length);
    printf("%s: %llu came, %llu lost, %llu overflowed\n", way->name, (unsigned long long)way->came,
           (unsigned long long)way->lost, (unsigned long long)way->unsent + info[SK_MEMINFO_DROPS]);
}

/* -- Arguments -------------------------------------------------------------------------------------- */

static struct sockaddr_in address(const char *text, uint16_t port)
{
    struct sockaddr_in found = {.sin_family = AF_INET, .sin_port = htons(port)};

    if (inet_pton(AF_INET, text, &found.sin_addr) != 1)
        fail("%s is no IPv4 address", text);
    return found;
}

static int open_udp(const char *here, uint16_t port)
{
    const struct sockaddr_in local = address(here, port);
    const int size = SOCKET_BUFFER;
    const int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (udp < 0 || bind(udp, (const struct sockaddr *)&local, sizeof local) < 0)
        fail("cannot listen on %s, UDP port %u: %s", here, (unsigned)port, strerror(errno));
    if (setsockopt(udp, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0
        || setsockopt(udp, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0)
        fail("cannot have large buffers: %s", strerror(errno));
    return udp;
}

static void way_init(struct way *way, const char *name, char **argv, const char *target)
{
    const uint64_t loss = number(argv[7], "loss", 0, 100);

    way->name = name;
    way->target = address(target, (uint16_t)number(argv[5], "port", 1, UINT16_MAX));
    way->delay = number(argv[6], "delay", 0, MOST_DELAY) * MILLISECOND;
    way->threshold = loss == 100 ? UINT64_MAX : UINT64_MAX / 100 * loss;
    way->random = number(argv[8], "seed", 1, UINT32_MAX) * UINT64_C(0x9e3779b97f4a7c15); /* odd: never 0 */
}

static void read_arguments(char **argv, struct way *right, struct way *left)
{
    way_init(right, "to the right", argv, argv[4]);
    way_init(left, "to the left", argv, argv[1]);
    right->from = left->to = open_udp(argv[2], ntohs(right->target.sin_port));
    right->to = left->from = open_udp(argv[3], ntohs(right->target.sin_port));
}

static void stop(int signal)
{
    (void)signal;
    stopping = 1;
}

int main(int argc, char **argv)
{
    static struct way ways[2];
    const struct sigaction on_stop = {.sa_handler = stop};
    sigset_t held, awake;

    if (argc != 9) {
        fputs(usage, stderr);
        return 2;
    }
    sigemptyset(&held);
    sigaddset(&held, SIGTERM);
    sigprocmask(SIG_BLOCK, &held, &awake);
    sigaction(SIGTERM, &on_stop, NULL);
    read_arguments(argv, &ways[0], &ways[1]);
    while (!stopping) {
        wait_for(ways, &awake);
        for (int i = 0; i < 2; i++)
            way_release(&ways[i], clock_now());
    }
    for (int i = 0; i < 2; i++)
        way_report(&ways[i]);
    return 0;
}
