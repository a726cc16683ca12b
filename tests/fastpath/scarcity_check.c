/* A data path and a peer are made while the nth of all requests for memory, locks and descriptors is refused, for every
 * n: whoever made them hears of it, and nothing is left behind (the sanitizers and the count of descriptors look).
 *
 *     -Wl,--wrap=malloc … (test_scarcity_natively.py)
 */
#include "system.h" /* first: it asks for what only Linux has */

#include "wgfp.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

static unsigned left; /* requests until one is refused; 0: none is any more */
static bool refused;

static bool refuse(void)
{
    if (left == 0 || --left != 0)
        return false;
    refused = true;
    return true;
}

#define REFUSED(type, name, parameters, arguments, refusal)             \
    type __real_##name parameters; /* the linker's names */             \
    type __wrap_##name parameters;                                      \
    type __wrap_##name parameters                                       \
    {                                                                   \
        return refuse() ? (refusal) : __real_##name arguments;          \
    }

REFUSED(void *, malloc, (size_t size), (size), NULL)
REFUSED(void *, calloc, (size_t n, size_t size), (n, size), NULL)
REFUSED(void *, realloc, (void *former, size_t size), (former, size), NULL)
REFUSED(void *, aligned_alloc, (size_t alignment, size_t size), (alignment, size), NULL)
REFUSED(int, pthread_mutex_init, (pthread_mutex_t *lock, const pthread_mutexattr_t *how), (lock, how), 12)
REFUSED(int, eventfd, (unsigned count, int flags), (count, flags), -1)
REFUSED(int, timerfd_create, (int clock, int flags), (clock, flags), -1)
REFUSED(int, epoll_create1, (int flags), (flags), -1)

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "not so: %s\n", what);
    exit(1);
}

static bool relay_make(struct wgfp_datapath *datapath, uint32_t peer)
{
    static const uint8_t key[32];
    const int rate_error = wgfp_relay_set_rate(datapath, 1000);

    require(rate_error == 0 || rate_error == WGFP_ERR_MEMORY, "the error is that of too little memory");
    const int peer_error = wgfp_relay_add_peer(datapath, peer, key);

    require(peer_error == 0 || peer_error == WGFP_ERR_MEMORY, "the error is that of too little memory");
    return rate_error == 0 && peer_error == 0;
}

/* Is everything made? */
static bool make(void)
{
    static const struct wgfp_queue queues[2] = {{-1, -1, -1}, {-1, -1, -1}};
    const struct wgfp_settings settings = {
        .queues = queues, .queue_count = 2, .staged_bytes = 4096, .accept_foreign = 1};
    static const struct wgfp_translation translation = {
        .mapped = {100, 96}, .real = {10, 1}, .size = 4, .length = 16};
    struct wgfp_datapath *datapath = NULL;
    uint32_t peer;
    const int error = wgfp_datapath_new(&datapath, &settings);

    require(error == 0 || error == WGFP_ERR_MEMORY, "the error is that of too little memory");
    if (error != 0)
        return false;
    const int peer_error = wgfp_peer_add(datapath, &peer);

    require(peer_error == 0 || peer_error == WGFP_ERR_MEMORY, "the error is that of too little memory");
    const int translations_error = wgfp_translations_set(datapath, &translation, 1, NULL, 0);

    require(translations_error == 0 || translations_error == WGFP_ERR_MEMORY, "the error is that of too little memory");
    const bool relays = peer_error == 0 && relay_make(datapath, peer);

    wgfp_datapath_free(datapath);
    return relays && translations_error == 0;
}

int main(void)
{
    const int before = eventfd(0, 0);
    unsigned n = 0;

    do {
        refused = false;
        left = ++n;
        const bool made = make();

        require(made == !refused, "a refusal is reported, and nothing else is");
    } while (refused);
    left = 0;
    require(n > 20, "many requests were refused");
    require(eventfd(0, 0) == before + 1, "all descriptors are closed");
    printf("%u refusals\n", n - 1);
    return 0;
}
