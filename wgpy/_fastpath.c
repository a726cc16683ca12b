/* The C data path: its life, its workers, and what else concerns all of it. What the functions mean is said in wgfp.h. */
#include "internal.h"
#include "tun.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    WGFP_ABI_VERSION = 2,
    READS_PER_TURN = 32, /* superpackets, until the control may have a word */
};

int wgfp_abi_version(void)
{
    return WGFP_ABI_VERSION;
}

/* -- Control and workers ---------------------------------------------------------------------------- */

void control_lock(struct wgfp_datapath *datapath)
{
    pthread_mutex_lock(&datapath->gate);
    atomic_store_explicit(&datapath->waiting, 1, memory_order_relaxed);
    for (uint32_t i = 0; i < 2 * datapath->queue_count; i++)
        pthread_mutex_lock(&datapath->workers[i].lock);
}

void control_unlock(struct wgfp_datapath *datapath)
{
    for (uint32_t i = 0; i < 2 * datapath->queue_count; i++)
        pthread_mutex_unlock(&datapath->workers[i].lock);
    atomic_store_explicit(&datapath->waiting, 0, memory_order_relaxed);
    pthread_mutex_unlock(&datapath->gate);
}

/* Let the control go first: a busy worker would take its own lock again before the control is awake. */
static void worker_lock(struct worker *worker)
{
    struct wgfp_datapath *datapath = worker->datapath;

    if (atomic_load_explicit(&datapath->waiting, memory_order_relaxed)) {
        pthread_mutex_lock(&datapath->gate);
        pthread_mutex_unlock(&datapath->gate);
    }
    pthread_mutex_lock(&worker->lock);
}

static void worker_wake(struct worker *worker)
{
    const uint64_t one = 1;

    if (write(worker->wake, &one, sizeof one) < 0) {
        /* It is awake already. */
    }
}

/* -- A turn: what is there, without waiting. The worker's lock is held. Returns whether more may be there. -- */

static void tun_failed(struct wgfp_datapath *datapath, int error)
{
    atomic_store(&datapath->failure, error);
    events_wake(&datapath->events);
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

static bool worker_turn(struct worker *worker)
{
    if (worker->in != NULL)
        return turn_inbound(worker);
    return atomic_load(&worker->datapath->failure) == 0 && turn_outbound(worker, worker->buffer);
}

/* -- Threads ---------------------------------------------------------------------------------------- */

/* What the worker waits for; fds below 0 are not waited for. The worker's lock is held. */
static void worker_interests(const struct worker *worker, struct pollfd fds[3])
{
    const struct wgfp_queue *queue = worker->queue;

    fds[0] = (struct pollfd){.fd = worker->wake, .events = POLLIN};
    if (worker->in != NULL) {
        fds[1] = (struct pollfd){.fd = queue->udp4, .events = POLLIN};
        fds[2] = (struct pollfd){.fd = queue->udp6, .events = POLLIN};
    } else {
        const bool failed = atomic_load(&worker->datapath->failure) != 0;

        fds[1] = (struct pollfd){.fd = failed ? -1 : queue->tun, .events = POLLIN};
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

int wgfp_datapath_start(struct wgfp_datapath *datapath)
{
    sigset_t all, before;
    int error = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the control's: a worker inherits this */
    atomic_store(&datapath->stopping, false);
    for (uint32_t i = 0; i < 2 * datapath->queue_count && error == 0; i++) {
        struct worker *worker = &datapath->workers[i];

        error = pthread_create(&worker->thread, NULL, worker_run, worker);
        worker->runs = error == 0;
        if (worker->runs)
            pthread_setname_np(worker->thread, worker->in != NULL ? "wgpy-inbound" : "wgpy-outbound");
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0)
        return 0;
    wgfp_datapath_stop(datapath);
    return WGFP_ERR_MEMORY;
}

void wgfp_datapath_stop(struct wgfp_datapath *datapath)
{
    atomic_store(&datapath->stopping, true);
    for (uint32_t i = 0; i < 2 * datapath->queue_count; i++) {
        struct worker *worker = &datapath->workers[i];

        if (!worker->runs)
            continue;
        worker_wake(worker);
        pthread_join(worker->thread, NULL);
        worker->runs = false;
    }
}

void wgfp_datapath_step(struct wgfp_datapath *datapath)
{
    bool more = true;

    for (uint32_t i = 0; i < 2 * datapath->queue_count; i++)
        datapath->workers[i].ready4 = datapath->workers[i].ready6 = true;
    while (more) {
        more = false;
        for (uint32_t i = 0; i < 2 * datapath->queue_count; i++)
            more |= worker_turn(&datapath->workers[i]);
    }
}

/* -- Beginning and end ------------------------------------------------------------------------------ */

/* Even numbers go outbound, odd ones inbound. */
static int worker_init(struct wgfp_datapath *datapath, uint32_t number)
{
    struct worker *worker = &datapath->workers[number];

    worker->datapath = datapath;
    worker->queue = &datapath->queues[number / 2];
    worker->ready4 = worker->ready6 = true;
    pthread_mutex_init(&worker->lock, NULL);
    worker->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (worker->wake < 0)
        return WGFP_ERR_MEMORY;
    if (number % 2 != 0)
        return inbound_new(&worker->in, datapath);
    worker->buffer = aligned_alloc(_Alignof(struct tun_buffer), sizeof *worker->buffer);
    return worker->buffer == NULL ? WGFP_ERR_MEMORY : outbound_new(&worker->out, datapath);
}

static void worker_free(struct worker *worker)
{
    if (worker->datapath == NULL)
        return;
    outbound_free(worker->out);
    inbound_free(worker->in);
    free(worker->buffer);
    if (worker->wake >= 0)
        (void)close(worker->wake);
    pthread_mutex_destroy(&worker->lock);
}

static int datapath_init(struct wgfp_datapath *datapath, const struct wgfp_settings *settings)
{
    int error = outbound_new(&datapath->control, datapath);

    pthread_mutex_init(&datapath->gate, NULL);
    for (uint32_t i = 0; i < 2 * datapath->queue_count && error == 0; i++)
        error = worker_init(datapath, i);
    if (error == 0)
        error = keypair_table_init(&datapath->keypairs);
    if (error == 0)
        error = staging_init(&datapath->staging, settings->staged_bytes);
    if (error == 0)
        error = events_init(&datapath->events);
    if (error == 0)
        error = letters_init(&datapath->letters, settings->keep_strangers != 0);
    datapath->routes = wgfp_allowedips_new();
    if (datapath->routes == NULL)
        error = WGFP_ERR_MEMORY;
    return error;
}

int wgfp_datapath_new(struct wgfp_datapath **datapath, const struct wgfp_settings *settings)
{
    struct wgfp_datapath *made;

    if (settings->queue_count < 1 || settings->queue_count > MAX_QUEUES)
        return WGFP_ERR_INVALID;
    made = calloc(1, sizeof *made);
    if (made == NULL)
        return WGFP_ERR_MEMORY;
    made->system = settings->system != NULL ? settings->system : &wgfp_kernel;
    made->aead = wgfp_aead_kernel_best();
    made->queue_count = settings->queue_count;
    memcpy(made->queues, settings->queues, settings->queue_count * sizeof *settings->queues);
    made->vnet_header = settings->vnet_header != 0;
    made->small = settings->small != 0;
    made->events.fd = -1;
    atomic_init(&made->offloads, settings->offloads);
    atomic_init(&made->mtu, MAX_PACKET);
    const int error = datapath_init(made, settings);

    if (error != 0) {
        wgfp_datapath_free(made);
        return error;
    }
    wgfp_datapath_set_sockets(made, settings->queues);
    *datapath = made;
    return 0;
}

void wgfp_datapath_free(struct wgfp_datapath *datapath)
{
    if (datapath == NULL)
        return;
    wgfp_datapath_stop(datapath);
    peers_free(datapath);
    keypair_table_free(&datapath->keypairs);
    wgfp_allowedips_free(datapath->routes);
    staging_free(&datapath->staging);
    events_free(&datapath->events);
    letters_free(&datapath->letters);
    for (uint32_t i = 0; i < 2 * datapath->queue_count; i++)
        worker_free(&datapath->workers[i]);
    outbound_free(datapath->control);
    pthread_mutex_destroy(&datapath->gate);
    free(datapath);
}

/* -- Settings and readings -------------------------------------------------------------------------- */

int wgfp_datapath_fileno(const struct wgfp_datapath *datapath)
{
    return datapath->events.fd;
}

void wgfp_datapath_acknowledge(struct wgfp_datapath *datapath)
{
    events_acknowledge(&datapath->events);
}

int wgfp_datapath_failure(const struct wgfp_datapath *datapath)
{
    return atomic_load(&datapath->failure);
}

void wgfp_datapath_set_mtu(struct wgfp_datapath *datapath, uint32_t mtu)
{
    atomic_store_explicit(&datapath->mtu, mtu, memory_order_relaxed);
}

void wgfp_datapath_set_sockets(struct wgfp_datapath *datapath, const struct wgfp_queue *queues)
{
    control_lock(datapath);
    outbound_set_sockets(datapath->control, queues[0].udp4, queues[0].udp6);
    for (uint32_t i = 0; i < datapath->queue_count; i++) {
        datapath->queues[i].udp4 = queues[i].udp4;
        datapath->queues[i].udp6 = queues[i].udp6;
        outbound_set_sockets(datapath->workers[2 * i].out, queues[i].udp4, queues[i].udp6);
    }
    control_unlock(datapath);
    for (uint32_t i = 0; i < datapath->queue_count; i++)
        worker_wake(&datapath->workers[2 * i + 1]); /* it waits for the former ones */
}

uint32_t wgfp_datapath_offloads(const struct wgfp_datapath *datapath)
{
    return atomic_load_explicit(&datapath->offloads, memory_order_relaxed);
}

void wgfp_drops(const struct wgfp_datapath *datapath, uint64_t *counts)
{
    for (uint32_t i = 0; i < WGFP_DROPS; i++)
        counts[i] = atomic_load_explicit(&datapath->drops[i], memory_order_relaxed);
}

const char *wgfp_drop_name(uint32_t i)
{
    static const char *const names[] = {
#define WGFP_DROP_NAME(name, counter) counter,
        WGFP_DROP_REASONS(WGFP_DROP_NAME)
#undef WGFP_DROP_NAME
    };

    return i < WGFP_DROPS ? names[i] : NULL;
}
