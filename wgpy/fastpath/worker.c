/* Workers; what the functions mean is said in worker.h. */
#include "datapath.h"

#include "control.h"
#include "inbound.h"
#include "outbound.h"
#include "tun.h"
#include "worker.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { READS_PER_TURN = 32 }; /* superpackets, until the control may have a word */

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

static bool turn_outbound(struct worker *worker, struct tun_buffer *buffer)
{
    struct wgfp_datapath *datapath = worker->datapath;
    const uint64_t now = datapath->system->now();
    ssize_t length = 1;
    uint8_t *packet;

    for (int reads = 0; reads < READS_PER_TURN && length > 0; reads++) {
        length = tun_read(datapath, worker->queue->tun, buffer, &packet);
        if (length > 0)
            outbound_packet(worker->out, &buffer->vnet, packet, (size_t)length, now);
        else if (length < 0)
            tun_failed(datapath, (int)-length);
    }
    outbound_flush(worker->out, now);
    return length > 0;
}

static bool turn_inbound(struct worker *worker)
{
    const struct wgfp_queue *queue = worker->queue;
    const uint64_t now = worker->datapath->system->now();

    worker->ready4 = worker->ready4 && queue->udp4 >= 0 && inbound_receive(worker->in, queue->udp4, queue->tun, now);
    worker->ready6 = worker->ready6 && queue->udp6 >= 0 && inbound_receive(worker->in, queue->udp6, queue->tun, now);
    return worker->ready4 || worker->ready6;
}

bool worker_turn(struct worker *worker)
{
    if (worker->in != NULL)
        return turn_inbound(worker);
    return reads_packets(worker->datapath) && turn_outbound(worker, worker->buffer);
}

/* -- A thread --------------------------------------------------------------------------------------- */

static void worker_lock(struct worker *worker)
{
    control_first(worker->datapath);
    pthread_mutex_lock(&worker->lock);
}

void worker_wake(struct worker *worker)
{
    const uint64_t one = 1;

    if (write(worker->wake, &one, sizeof one) < 0) {
        /* It is awake already. */
    }
}

/* What the worker waits for; fds below 0 are not waited for. The worker's lock is held. */
static void worker_interests(const struct worker *worker, struct pollfd fds[3])
{
    const struct wgfp_queue *queue = worker->queue;

    fds[0] = (struct pollfd){.fd = worker->wake, .events = POLLIN};
    if (worker->in != NULL) {
        fds[1] = (struct pollfd){.fd = queue->udp4, .events = POLLIN};
        fds[2] = (struct pollfd){.fd = queue->udp6, .events = POLLIN};
    } else {
        fds[1] = (struct pollfd){.fd = reads_packets(worker->datapath) ? queue->tun : -1, .events = POLLIN};
        fds[2] = (struct pollfd){.fd = -1};
    }
}

static void worker_wait(struct worker *worker, struct pollfd fds[3])
{
    uint64_t count;
    const bool woken = worker->datapath->system->poll(fds, 3, -1) < 0 || fds[0].revents != 0;

    if (woken && read(worker->wake, &count, sizeof count) < 0) {
        /* It was not, or was interrupted. */
    }
    worker->ready4 = woken || fds[1].revents != 0; /* after a call, the sockets may be others */
    worker->ready6 = woken || fds[2].revents != 0;
}

static void *worker_run(void *argument)
{
    struct worker *worker = argument;
    struct pollfd fds[3];

    while (!atomic_load(&worker->datapath->stopping)) {
        worker_lock(worker);
        const bool more = worker_turn(worker);

        worker_interests(worker, fds);
        pthread_mutex_unlock(&worker->lock);
        if (!more)
            worker_wait(worker, fds);
    }
    return NULL;
}

int worker_start(struct worker *worker)
{
    if (pthread_create(&worker->thread, NULL, worker_run, worker) != 0)
        return WGFP_ERR_MEMORY;
    worker->runs = true;
    pthread_setname_np(worker->thread, worker->in != NULL ? "wgpy-inbound" : "wgpy-outbound");
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
    worker->buffer = aligned_alloc(_Alignof(struct tun_buffer), sizeof *worker->buffer);
    return worker->buffer == NULL ? WGFP_ERR_MEMORY : outbound_new(&worker->out, worker->datapath, worker->queue->tun);
}

int worker_init(struct wgfp_datapath *datapath, uint32_t number)
{
    struct worker *worker = &datapath->workers[number];

    if (pthread_mutex_init(&worker->lock, NULL) != 0)
        return WGFP_ERR_MEMORY;
    worker->datapath = datapath;
    worker->queue = &datapath->queues[number / 2];
    worker->ready4 = worker->ready6 = true;
    worker->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (worker->wake < 0)
        return WGFP_ERR_MEMORY;
    return number % 2 != 0 ? inbound_new(&worker->in, datapath) : outbound_init(worker);
}

void worker_free(struct worker *worker)
{
    if (worker->datapath == NULL)
        return;
    outbound_free(worker->out);
    inbound_free(worker->in);
    free(worker->buffer);
    if (worker->wake >= 0)
        (void)close(worker->wake);
    (void)pthread_mutex_destroy(&worker->lock);
}
