/* Two data paths with all their threads and real sockets, packets both ways, and a control that changes everything: for
 * sanitizers to watch.
 *
 * Invariant: what comes out of a TUN was sent, comes once, and comes in the order of its flow. While everything changes
 * packets may be lost; when it rests all arrive, and nothing is allocated. In the end nothing is left.
 *
 *     cc ... -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc,--wrap=mmap
 *     ./threads_check RECORDS [FAULT]
 *
 * RECORDS: that each flow sends in each of the two halves. With a FAULT (allocate, race, disorder, leak) the harness
 * does what should be seen.
 */
#include "pair.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum {
    MOST_RECORDS = 1 << 16,
    WINDOW = 16,         /* records of a flow on their way */
    LOSS_DELAY = 20,       /* milliseconds until they count as lost while everything changes */
    CALM_LOSS_DELAY = 30000,
    QUIET = 50,          /* milliseconds without a packet: none is on its way */
    TICK = 1000000,      /* nanoseconds */
    KEY_LIFE = 30000000, /* nanoseconds */
    VNET = sizeof(struct wgfp_vnet),
};

/* -- Allocations ------------------------------------------------------------------------------------ */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__real_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__wrap_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);

static atomic_uint allocations; /* by the data path and by this program */

void *__wrap_malloc(size_t size)
{
    allocations++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    allocations++;
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    allocations++;
    return __real_realloc(memory, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    allocations++;
    return __real_aligned_alloc(alignment, size);
}

void *__wrap_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    allocations++;
    return __real_mmap(address, length, protection, flags, fd, offset);
}

/* -- Faults: what should be seen -------------------------------------------------------------------- */

static struct wgfp_system calls;
static void *volatile kept;
static unsigned writes; /* of the threads; a race by intent */
static _Thread_local size_t held_length;
static _Thread_local uint8_t held[FLOW_PACKET + VNET];

static ssize_t write_and_allocate(int fd, const struct iovec *slices, int n)
{
    void *memory = malloc(1);

    kept = memory;
    free(memory);
    return writev(fd, slices, n);
}

static ssize_t write_and_race(int fd, const struct iovec *slices, int n)
{
    writes++;
    return writev(fd, slices, n);
}

/* Each second packet before the first. */
static ssize_t write_in_disorder(int fd, const struct iovec *slices, int n)
{
    ssize_t written;

    if (held_length == 0) {
        for (int i = 0; i < n; i++) {
            memcpy(held + held_length, slices[i].iov_base, slices[i].iov_len);
            held_length += slices[i].iov_len;
        }
        return (ssize_t)held_length;
    }
    written = writev(fd, slices, n);
    (void)!write(fd, held, held_length);
    held_length = 0;
    return written;
}

static void fault_cause(const char *fault)
{
    calls = wgfp_kernel;
    if (strcmp(fault, "allocate") == 0)
        calls.writev = write_and_allocate;
    else if (strcmp(fault, "race") == 0)
        calls.writev = write_and_race;
    else if (strcmp(fault, "disorder") == 0)
        calls.writev = write_in_disorder;
    else if (strcmp(fault, "leak") == 0)
        kept = malloc(1);
    kept = NULL;
}

/* -- Receiving: a thread a side --------------------------------------------------------------------- */

static struct pair pair;
static atomic_bool calm;        /* all must arrive */
static atomic_uint received;    /* records of all flows */
static atomic_uint joined;      /* superpackets */
static atomic_uint seen[FLOWS]; /* the number after the latest record */
static atomic_bool stopping;

struct reader {
    uint32_t side;
    uint32_t next[FLOWS][FLOW_QUEUES]; /* the least number that may come now */
    uint8_t came[FLOWS][MOST_RECORDS / 8];
};

static struct reader readers[2] = {{.side = 0}, {.side = 1}};

/* Of the data path itself, for what it could send to nobody while peers and routes changed. No flow is of ICMP. */
static bool is_icmp_error(const uint8_t *packet)
{
    return packet[0] >> 4 == 4 ? packet[9] == 1 : packet[6] == 58;
}

static void record_receive(struct reader *reader, uint32_t queue, const uint8_t *packet, size_t length)
{
    uint32_t flow, number;

    if (is_icmp_error(packet))
        return;
    require(flow_read(1 - reader->side, packet, length, &flow, &number), "what arrives was sent");
    require(number < MOST_RECORDS, "what arrives was sent");
    require(number >= reader->next[flow][queue], "the order of a flow is kept");
    require((reader->came[flow][number / 8] >> number % 8 & 1) == 0, "nothing comes twice");
    reader->came[flow][number / 8] |= (uint8_t)(1 << number % 8);
    reader->next[flow][queue] = number + 1;
    if (number + 1 > seen[flow])
        seen[flow] = number + 1;
    received++;
}

static void superpacket_receive(struct reader *reader, uint32_t queue, uint8_t *data, size_t length)
{
    static _Thread_local uint8_t segment[FLOW_PACKET];
    struct wgfp_vnet vnet;
    struct wgfp_gso gso;

    require(length > VNET && length <= VNET + FLOW_PACKET, "a packet has a length");
    memcpy(&vnet, data, VNET);
    require(wgfp_gso_parse(&gso, &vnet, data + VNET, length - VNET) == WGFP_GSO_ACCEPTED, "superpackets are right");
    joined += gso.count > 1;
    for (uint32_t i = 0; i < gso.count; i++)
        record_receive(reader, queue, segment, wgfp_gso_copy(&gso, i, segment));
}

static void *reader_run(void *argument)
{
    static _Thread_local uint8_t data[VNET + FLOW_PACKET + 1];
    struct reader *reader = argument;
    const int *tuns = pair.sides[reader->side].tuns;
    struct pollfd fds[FLOW_QUEUES] = {{tuns[0], POLLIN, 0}, {tuns[1], POLLIN, 0}};

    while (!stopping) {
        require(poll(fds, FLOW_QUEUES, QUIET) >= 0 || errno == EINTR, "the TUNs can be waited for");
        for (uint32_t queue = 0; queue < FLOW_QUEUES; queue++) {
            ssize_t length;

            while ((length = recv(tuns[queue], data, sizeof data, MSG_DONTWAIT)) > 0)
                superpacket_receive(reader, queue, data, (size_t)length);
        }
    }
    return NULL;
}

/* -- Sending: a thread a TUN ------------------------------------------------------------------------ */

struct feeder {
    uint32_t side, queue, end; /* the number after the last record of each flow */
    pthread_t thread;
    struct flow flows[FLOW_PEERS];
    uint32_t lost[FLOW_PEERS]; /* records before this are not waited for */
};

static struct feeder feeders[2 * FLOW_QUEUES];
static atomic_uint feeding;

static void pause_for(long nanoseconds)
{
    nanosleep(&(struct timespec){.tv_nsec = nanoseconds}, NULL);
}

/* Until the flow's window has room for `count` records. */
static void window_await(struct feeder *feeder, const struct flow *flow, uint32_t count)
{
    uint32_t *lost = &feeder->lost[flow->peer];

    for (int i = 0;; i++) {
        const uint32_t last = seen[flow_number(flow)], base = last > *lost ? last : *lost;

        if (flow->next + count <= base + WINDOW)
            return;
        require(i < (calm ? CALM_LOSS_DELAY : LOSS_DELAY) || !calm, "at rest all arrive");
        if (i >= LOSS_DELAY && !calm)
            *lost = flow->next;
        pause_for(TICK);
    }
}

static void *feeder_run(void *argument)
{
    static _Thread_local uint8_t data[VNET + FLOW_PACKET];
    struct feeder *feeder = argument;
    const int tun = pair.sides[feeder->side].tuns[feeder->queue];

    for (uint32_t round = 0; feeder->flows[FLOW_PEERS - 1].next < feeder->end; round++) {
        for (uint32_t peer = 0; peer < FLOW_PEERS; peer++) {
            struct flow *flow = &feeder->flows[peer];
            const uint32_t left = feeder->end - flow->next, wanted = round % 3 == 0 ? 1 : 2 + round % 11;
            const uint32_t count = wanted < left ? wanted : left;
            const uint32_t size = FLOW_RECORD + (round * 37 + peer) % (FLOW_LONGEST - FLOW_RECORD + 1);
            struct wgfp_vnet vnet;

            window_await(feeder, flow, count);
            const size_t length = flow_write(flow, count, size, &vnet, data + VNET);

            memcpy(data, &vnet, VNET);
            require(send(tun, data, VNET + length, 0) == (ssize_t)(VNET + length), "the TUN takes packets");
        }
    }
    feeding--;
    return NULL;
}

static void feeders_start(uint32_t records)
{
    for (uint32_t i = 0; i < 2 * FLOW_QUEUES; i++) {
        struct feeder *feeder = &feeders[i];

        feeder->side = i % 2;
        feeder->queue = i / 2;
        feeder->end += records;
        for (uint32_t peer = 0; peer < FLOW_PEERS; peer++) {
            feeder->flows[peer].side = feeder->side;
            feeder->flows[peer].queue = feeder->queue;
            feeder->flows[peer].peer = peer;
            feeder->lost[peer] = feeder->flows[peer].next;
        }
        feeding++;
        require(pthread_create(&feeder->thread, NULL, feeder_run, feeder) == 0, "there are threads");
    }
}

static void feeders_join(void)
{
    for (uint32_t i = 0; i < 2 * FLOW_QUEUES; i++)
        pthread_join(feeders[i].thread, NULL);
}

/* -- The whole -------------------------------------------------------------------------------------- */

/* Go on as long as anything is handed up or arrives. */
static void settle(void)
{
    uint32_t before;
    int ready;

    do {
        struct pollfd fds[2] = {{wgfp_datapath_fileno(pair.sides[0].datapath), POLLIN, 0},
                                {wgfp_datapath_fileno(pair.sides[1].datapath), POLLIN, 0}};

        before = received;
        ready = poll(fds, 2, QUIET);
        pair_answer(&pair);
    } while (ready > 0 || received != before);
}

/* Nobody sends packets in a circle here, or is a relay. */
static bool can_happen(uint32_t kind)
{
    return kind != WGFP_EVENT_ROUTING_LOOP && kind != WGFP_EVENT_SESSION_NEEDED;
}

static void everything_changes(uint32_t records)
{
    pair.key_life = KEY_LIFE;
    for (uint32_t peer = 0; peer < FLOW_PEERS; peer++)
        pair_lend(&pair, peer);
    feeders_start(records);
    for (uint32_t number = 0; feeding > 0 || number < PAIR_CHANGES; number++) {
        pair_change(&pair, number);
        pause_for(TICK);
        pair_answer(&pair);
    }
    feeders_join();
    settle();
    printf("%u records arrived, with %u sessions and %llu control messages\n", received, pair.sessions,
           (unsigned long long)pair.control_messages);
    require(received >= records * FLOWS / 4, "most packets arrive while everything changes");
    for (uint32_t kind = 0; kind <= WGFP_EVENT_DATA_RECEIVED; kind++)
        require(pair.events[kind] > 0 || !can_happen(kind), "every event happens that can");
    require(pair.control_messages > 0, "control messages arrive");
}

static void everything_rests(uint32_t records)
{
    pair.key_life = 0;
    pair_introduce(&pair);
    for (uint32_t peer = 0; peer < FLOW_PEERS; peer++)
        pair_rekey(&pair, peer);
    settle();
    calm = true;

    const uint32_t before = received, allocated = allocations;

    feeders_start(records);
    feeders_join();
    settle();
    require(received - before == records * FLOWS, "at rest all arrive");
    printf("%u records arrived, %u superpackets, %u allocations\n", received - before, joined, allocations - allocated);
    require(joined > 0, "packets are joined");
    require(allocations == allocated, "nothing is allocated for a packet");
}

static int descriptors_count(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;

    require(directory != NULL, "there is /proc");
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

int main(int argc, char **argv)
{
    const uint32_t records = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;
    const int descriptors = descriptors_count();
    pthread_t threads[2];

    require(records > 0 && 2 * records <= MOST_RECORDS, "usage: threads_check RECORDS [FAULT]");
    fault_cause(argc > 2 ? argv[2] : "none");
    pair_open(&pair, &calls);
    for (int i = 0; i < 2; i++)
        require(pthread_create(&threads[i], NULL, reader_run, &readers[i]) == 0, "there are threads");
    everything_changes(records);
    everything_rests(records);
    stopping = true;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    pair_close(&pair);
    require(descriptors_count() == descriptors, "all descriptors are closed");
    return 0;
}
