/* Workers; what the functions mean is said in worker.h. */
#include "datapath.h"

#include "control.h"
#include "inbound.h"
#include "outbound.h"
#include "read_ahead.h"
#include "tun.h"
#include "worker.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    PACKETS_PER_TURN = 32, /* read or taken, until they are sent and the control may have a word */
    BUSY_BYTES = 1 << 15, /* a turn that reads so many is busy */
    MANY_PACKETS = 8,    /* that a turn sends as they are read */
    QUIET_AFTER = 100,   /* milliseconds without a busy turn */
    SLICE = 100000,      /* nanoseconds: the shortest that there is */
};

/* -- A turn ----------------------------------------------------------------------------------------- */

static void tun_failed(struct wgfp_datapath *datapath, int error)
{
    atomic_store(&datapath->failure, error);
    events_wake(&datapath->events);
}

static bool reads_packets(const struct wgfp_datapath *datapath)
{
    return atomic_load(&datapath->failure) == 0 && !atomic_load(&datapath->leaves_packets);
}

/* Read what is there: what goes first is taken, the rest waits. left: packets to take in this turn. Returns whether more
 * may be there. */
static bool packets_read(struct worker *worker, uint64_t now, int *left)
{
    struct wgfp_datapath *datapath = worker->datapath;

    for (int reads = 0; reads < PACKETS_PER_TURN && *left > 0 && reads_packets(datapath); reads++) {
        struct tun_buffer *buffer = read_ahead_room(worker->ahead, now);
        uint8_t *packet;

        if (buffer == NULL)
            return true;
        const ssize_t length = tun_read(datapath, worker->queue->tun, buffer, &packet);

        if (length < 0)
            tun_failed(datapath, (int)-length);
        if (length <= 0)
            return false;
        worker->bytes += (size_t)length;
        if (!read_ahead_keep(worker->ahead, buffer, packet, (size_t)length, now)) {
            outbound_packet(worker->out, &buffer->vnet, packet, (size_t)length, now);
            --*left;
        }
    }
    return reads_packets(datapath);
}

/* The packet that has waited for longest. Returns whether more wait. */
static bool packet_take(struct worker *worker, uint64_t now)
{
    uint8_t *packet;
    size_t length;
    const struct tun_buffer *buffer = read_ahead_take(worker->ahead, &packet, &length);

    if (buffer != NULL)
        outbound_packet(worker->out, &buffer->vnet, packet, length, now);
    return worker->ahead->count > 0;
}

static bool turn_outbound(struct worker *worker)
{
    const uint64_t now = worker->datapath->system->now();
    int at_once = 0; /* packets, sent as they were read */
    bool more = true;

    worker->bytes = 0;
    for (int left = PACKETS_PER_TURN; more && left > 0; left--) {
        const int before = left;

        more = packets_read(worker, now, &left);
        at_once += before - left;
        more |= packet_take(worker, now);
    }
    outbound_flush(worker->out, now);
    worker->yields = at_once >= MANY_PACKETS;
    return more;
}

/* Receive from one of its sockets, if that may be read. Returns whether there may be more. */
static bool datagrams_receive(struct worker *worker, bool ready, int udp, uint64_t now)
{
    if (!ready || udp < 0)
        return false;
    const bool more = inbound_receive(worker->in, udp, worker->queue->tun, now);

    worker->yields |= inbound_wrote_burst(worker->in);
    return more;
}

static bool turn_inbound(struct worker *worker)
{
    const struct wgfp_queue *queue = worker->queue;
    const uint64_t now = worker->datapath->system->now();

    worker->yields = false;
    worker->ready4 = datagrams_receive(worker, worker->ready4, queue->udp4, now);
    worker->ready6 = datagrams_receive(worker, worker->ready6, queue->udp6, now);
    return worker->ready4 || worker->ready6;
}

bool worker_turn(struct worker *worker)
{
    return worker->in != NULL ? turn_inbound(worker) : turn_outbound(worker);
}

void worker_finish(struct worker *worker)
{
    const uint64_t now = worker->datapath->system->now();

    while (packet_take(worker, now)) {
    }
    outbound_flush(worker->out, now);
}

/* -- The threads ------------------------------------------------------------------------------------ */

static void worker_lock(struct worker *worker)
{
    control_first(worker->datapath);
    pthread_mutex_lock(&worker->lock);
}

void worker_wake(struct worker *worker)
{
    const uint64_t one = 1;

    if (write(worker->wake, &one, sizeof one) < 0) {
        /* It is awake already, or closed. */
    }
}

/* What a thread waits for, by number; a descriptor below 0 is not waited for. */
enum { WAKE, TUN, UDP4, UDP6, DESCRIPTORS };

/* A turn, and what to wait for after it. Returns whether more may be there. */
static bool thread_turn(struct worker *worker, struct pollfd fds[DESCRIPTORS])
{
    const struct wgfp_datapath *datapath = worker->datapath;
    const struct wgfp_queue *queue = worker->queue;

    worker_lock(worker);
    const bool more = worker_turn(worker);

    if (worker->in != NULL) {
        fds[UDP4].fd = queue->udp4;
        fds[UDP6].fd = queue->udp6;
    } else {
        fds[TUN].fd = reads_packets(datapath) ? queue->tun : -1;
        if (more || worker->bytes >= BUSY_BYTES)
            worker->busy = datapath->system->now();
    }
    const bool yields = worker->yields;

    pthread_mutex_unlock(&worker->lock);
    if (yields)
        (void)sched_yield();
    return more;
}

/* timeout: milliseconds, or -1. */
static void thread_wait(struct worker *worker, struct pollfd fds[DESCRIPTORS], int timeout)
{
    uint64_t count;

    fds[WAKE].fd = worker->wake;
    const int ready = worker->datapath->system->poll(fds, DESCRIPTORS, timeout);
    const bool woken = ready < 0 || (ready > 0 && fds[WAKE].revents != 0);

    if (woken && read(worker->wake, &count, sizeof count) < 0) {
        /* It was not, or was interrupted. */
    }
    worker->ready4 = woken || (ready > 0 && fds[UDP4].revents != 0); /* after a call, the sockets may be others */
    worker->ready6 = woken || (ready > 0 && fds[UDP6].revents != 0);
}

/* Had outbound no busy turn for a while? */
static bool outbound_is_quiet(const struct worker *out)
{
    return out->datapath->system->now() > out->busy + QUIET_AFTER * UINT64_C(1000000);
}

/* Which of the threads has outbound turns is a matter of time alone, for both may. At least one waits for the TUN. */
static void outbound_hand_over(struct worker *out, bool apart)
{
    atomic_store(&out->apart, apart);
    worker_wake(apart ? out : out->other);
}

static void outbound_rest(struct worker *out)
{
    worker_lock(out);
    read_ahead_release(out->ahead);
    pthread_mutex_unlock(&out->lock);
    outbound_hand_over(out, false);
}

/* Ask for short slices of processor time, as an EEVDF scheduler takes sooner what has an earlier deadline: so packets wait
 * less for a thread beside programs that keep the processors busy. Before Linux 6.12 it changes nothing. sched(7) */
static void slice_request(void)
{
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } attributes = {.size = 48}; /* the first struct sched_attr */

    if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0 || attributes.policy != SCHED_OTHER)
        return;
    attributes.runtime = SLICE;
    (void)syscall(SYS_sched_setattr, 0, &attributes, 0);
}

/* Inbound's. While there is little to send it has the outbound turns, too. */
static void *inbound_run(void *argument)
{
    struct worker *in = argument, *out = in->other;
    struct pollfd fds[DESCRIPTORS] = {{.events = POLLIN}, {.events = POLLIN}, {.events = POLLIN}, {.events = POLLIN}};

    slice_request();
    while (!atomic_load(&in->datapath->stopping)) {
        bool more = thread_turn(in, fds);

        fds[TUN].fd = -1;
        if (!atomic_load(&out->apart)) {
            more |= thread_turn(out, fds);
            if (!outbound_is_quiet(out))
                outbound_hand_over(out, true);
        }
        events_notify(&in->datapath->events);
        if (!more)
            thread_wait(in, fds, -1);
    }
    return NULL;
}

/* Outbound's. It has its turns while they are busy. */
static void *outbound_run(void *argument)
{
    struct worker *out = argument;
    struct pollfd fds[DESCRIPTORS] = {{.events = POLLIN}, {.fd = -1, .events = POLLIN}, {.fd = -1}, {.fd = -1}};

    slice_request();
    while (!atomic_load(&out->datapath->stopping)) {
        if (!atomic_load(&out->apart)) {
            fds[TUN].fd = -1;
            thread_wait(out, fds, -1);
            continue;
        }
        const bool more = thread_turn(out, fds);

        events_notify(&out->datapath->events);
        if (!more && outbound_is_quiet(out))
            outbound_rest(out);
        else if (!more)
            thread_wait(out, fds, QUIET_AFTER);
    }
    return NULL;
}

int worker_start(struct worker *worker)
{
    const bool inbound = worker->in != NULL;

    if (pthread_create(&worker->thread, NULL, inbound ? inbound_run : outbound_run, worker) != 0)
        return WGFP_ERR_MEMORY;
    worker->runs = true;
    pthread_setname_np(worker->thread, inbound ? "wgpy-inbound" : "wgpy-outbound");
    return 0;
}

void worker_stop(struct worker *worker)
{
    if (!worker->runs)
        return;
    worker_wake(worker);
    pthread_join(worker->thread, NULL);
    worker->runs = false;
}

/* -- Beginning and end ------------------------------------------------------------------------------ */

static int outbound_init(struct worker *worker)
{
    const int error = read_ahead_new(&worker->ahead, worker->datapath->small);

    return error != 0 ? error : outbound_new(&worker->out, worker->datapath, worker->queue->tun);
}

int worker_init(struct wgfp_datapath *datapath, uint32_t number)
{
    struct worker *worker = &datapath->workers[number];

    if (pthread_mutex_init(&worker->lock, NULL) != 0)
        return WGFP_ERR_MEMORY;
    worker->datapath = datapath;
    worker->queue = &datapath->queues[number / 2];
    worker->other = &datapath->workers[number ^ 1];
    worker->ready4 = worker->ready6 = true;
    worker->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (worker->wake < 0)
        return WGFP_ERR_MEMORY;
    return number % 2 != 0 ? inbound_new(&worker->in, datapath) : outbound_init(worker);
}

void worker_close(struct worker *worker)
{
    if (worker->datapath == NULL)
        return;
    if (worker->wake >= 0)
        (void)close(worker->wake);
    worker->wake = -1;
}

void worker_free(struct worker *worker)
{
    if (worker->datapath == NULL)
        return;
    worker_close(worker);
    outbound_free(worker->out);
    inbound_free(worker->in);
    read_ahead_free(worker->ahead);
    (void)pthread_mutex_destroy(&worker->lock);
}
