/* The C data path: its beginning, its end, and what can be read of all of it. What the functions mean is said in wgfp.h. */
#include "datapath.h"

#include "outbound.h"
#include "packet.h"

#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* -- Beginning and end ------------------------------------------------------------------------------ */

static int workers_init(struct wgfp_datapath *datapath)
{
    int error = 0;

    for (uint32_t i = 0; i < 2 * datapath->queue_count && error == 0; i++)
        error = worker_init(datapath, i);
    return error;
}

static int routes_init(struct wgfp_datapath *datapath)
{
    datapath->routes = wgfp_allowedips_new();
    return datapath->routes != NULL ? 0 : WGFP_ERR_MEMORY;
}

/* What there is on failure, wgfp_datapath_free frees: memory of zeros is as good as what was freed. */
static int datapath_init(struct wgfp_datapath *datapath, const struct wgfp_settings *settings)
{
    if (pthread_mutex_init(&datapath->gate, NULL) != 0 ||
        outbound_new(&datapath->control, datapath, datapath->queues[0].tun) != 0 ||
        workers_init(datapath) != 0 ||
        keypair_table_init(&datapath->keypairs) != 0 ||
        staging_init(&datapath->staging, settings->staged_bytes) != 0 ||
        events_init(&datapath->events) != 0 ||
        handshake_queue_init(&datapath->handshakes) != 0 ||
        handshakes_sent_init(&datapath->sent) != 0 ||
        foreign_init(&datapath->foreign, settings->accept_foreign != 0) != 0 ||
        routes_init(datapath) != 0)
        return WGFP_ERR_MEMORY;
    return flow_table_init(&datapath->flows, settings->flows, settings->seed);
}

static struct wgfp_datapath *datapath_of(const struct wgfp_settings *settings)
{
    struct wgfp_datapath *made = calloc(1, sizeof *made);

    if (made == NULL)
        return NULL;
    made->system = settings->system != NULL ? settings->system : &wgfp_kernel;
    made->aead = wgfp_aead_kernel_best();
    made->queue_count = settings->queue_count;
    memcpy(made->queues, settings->queues, settings->queue_count * sizeof *settings->queues);
    made->vnet_header = settings->vnet_header;
    made->small = settings->small != 0;
    memcpy(made->seed, settings->seed, sizeof made->seed);
    made->events.fd = made->events.urgent = made->events.late = -1;
    atomic_init(&made->offloads, settings->offloads & ~(unsigned)OFFLOAD_FILTER);
    if (settings->offloads & OFFLOAD_FILTER && made->system == &wgfp_kernel && filter_open(&made->filter))
        atomic_fetch_or(&made->offloads, OFFLOAD_FILTER);
    filter_set_foreign(&made->filter, settings->accept_foreign != 0);
    atomic_init(&made->mtu, MAX_PACKET);
    atomic_init(&made->silent, false);
    atomic_init(&made->leaves_packets, false);
    return made;
}

int wgfp_datapath_new(struct wgfp_datapath **datapath, const struct wgfp_settings *settings)
{
    if (settings->queue_count < 1 || settings->queue_count > MAX_QUEUES ||
        (settings->vnet_header != 0 && settings->vnet_header != WGFP_VNET_SHORT &&
         settings->vnet_header != sizeof(struct wgfp_vnet)))
        return WGFP_ERR_INVALID;
    struct wgfp_datapath *made = datapath_of(settings);

    if (made == NULL)
        return WGFP_ERR_MEMORY;
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
    wgfp_datapath_close(datapath);
    relay_free(datapath->relay);
    peers_free(datapath);
    keypair_table_free(&datapath->keypairs);
    wgfp_allowedips_free(datapath->routes);
    translations_free(datapath->translations);
    staging_free(&datapath->staging);
    events_free(&datapath->events);
    handshake_queue_free(&datapath->handshakes);
    handshakes_sent_free(&datapath->sent);
    foreign_free(&datapath->foreign);
    flow_table_free(&datapath->flows);
    for (uint32_t i = 0; i < 2 * datapath->queue_count; i++)
        worker_free(&datapath->workers[i]);
    outbound_free(datapath->control);
    (void)pthread_mutex_destroy(&datapath->gate);
    filter_free(&datapath->filter);
    free(datapath);
}

/* -- Threads ---------------------------------------------------------------------------------------- */

int wgfp_datapath_start(struct wgfp_datapath *datapath)
{
    sigset_t all, before;
    int error = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the control's: a worker inherits this */
    atomic_store(&datapath->stopping, false);
    for (uint32_t i = 0; i < 2 * datapath->queue_count && error == 0; i++)
        error = worker_start(&datapath->workers[i]);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0)
        wgfp_datapath_stop(datapath);
    return error;
}

void wgfp_datapath_stop(struct wgfp_datapath *datapath)
{
    atomic_store(&datapath->stopping, true);
    for (uint32_t i = 0; i < 2 * datapath->queue_count; i++)
        worker_stop(&datapath->workers[i]);
}

void wgfp_datapath_close(struct wgfp_datapath *datapath)
{
    wgfp_datapath_stop(datapath);
    events_close(&datapath->events);
    filter_close(&datapath->filter);
    for (uint32_t i = 0; i < 2 * datapath->queue_count; i++)
        worker_close(&datapath->workers[i]);
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
    events_notify(&datapath->events);
}

/* -- Readings --------------------------------------------------------------------------------------- */

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

void wgfp_datapath_set_silent(struct wgfp_datapath *datapath, uint8_t silent)
{
    atomic_store_explicit(&datapath->silent, silent != 0, memory_order_relaxed);
}

uint32_t wgfp_datapath_offloads(const struct wgfp_datapath *datapath)
{
    return atomic_load_explicit(&datapath->offloads, memory_order_relaxed);
}

void wgfp_memory_trim(void)
{
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}
