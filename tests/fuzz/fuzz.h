/* What the fuzzers of the whole data path share: an input is read as a program of small steps, and the data path runs
 * in a kernel in memory (tests/datapath/world.c). An input that has ended reads as zeros. */
#ifndef FUZZ_H
#define FUZZ_H

#include "datapath.h" /* first: it asks for what only Linux has */

#include "flows.h"
#include "world.h"

#include <sanitizer/asan_interface.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_STEPS = 300, MOST_ENDPOINTS = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "not so: %s\n", what);
        abort();
    }
}

struct input {
    const uint8_t *data;
    size_t size;
};

static inline uint8_t input_byte(struct input *input)
{
    if (input->size == 0)
        return 0;
    input->size--;
    return *input->data++;
}

static inline uint32_t input_number(struct input *input, uint32_t bytes)
{
    uint32_t number = 0;

    for (uint32_t i = 0; i < bytes; i++)
        number |= (uint32_t)input_byte(input) << 8 * i;
    return number;
}

static inline void input_bytes(struct input *input, uint8_t *to, size_t length)
{
    for (size_t i = 0; i < length; i++)
        to[i] = input_byte(input);
}

/* A few that differ in all that matters; which: below MOST_ENDPOINTS. */
static inline struct wgfp_endpoint endpoint_of(uint32_t which)
{
    struct wgfp_endpoint endpoint = {.size = 4, .port = 1000 + which, .address = {192, 0, 2, (uint8_t)which},
                                     .local_address = {198, 51, 100, 1}, .local_interface = 2};

    if (which % 2 != 0) {
        endpoint.size = 16;
        endpoint.scope_id = which;
        endpoint.address[15] = 1;
    }
    return endpoint;
}

static inline void key_of(uint32_t number, uint8_t key[32])
{
    memset(key, (int)number, 32);
}

/* -- The kernel in memory; what it leaves of a buffer may not be touched ----------------------------- */

enum { BUFFER_ALIGN = 64 }; /* of a struct tun_buffer, and the bytes in front of its packet */

static struct iovec left_by_readv; /* which the next packet may lie in: of a ring it goes behind the last */

/* But what is in front of the next packet. */
static inline void rest_poison(uint8_t *bytes, size_t used, size_t size)
{
    const size_t next = (used + BUFFER_ALIGN - 1) / BUFFER_ALIGN * BUFFER_ALIGN, packet = next + BUFFER_ALIGN;

    ASAN_POISON_MEMORY_REGION(bytes + used, (next < size ? next : size) - used);
    if (packet < size)
        ASAN_POISON_MEMORY_REGION(bytes + packet, size - packet);
}

static inline ssize_t readv_watched(int fd, const struct iovec *slices, int n)
{
    const struct wgfp_system *system = world_system();
    const struct iovec *last = &slices[n - 1];
    ssize_t length, left;

    ASAN_UNPOISON_MEMORY_REGION(left_by_readv.iov_base, left_by_readv.iov_len);
    left_by_readv = *last;
    length = left = system->readv(fd, slices, n);
    for (int i = 0; i < n - 1; i++)
        left -= (ssize_t)slices[i].iov_len;
    if (left >= 0)
        rest_poison(last->iov_base, (size_t)left, last->iov_len);
    return length;
}

static inline int recvmmsg_watched(int fd, struct mmsghdr *messages, unsigned n, int flags, struct timespec *timeout)
{
    const struct wgfp_system *system = world_system();

    for (unsigned i = 0; i < n; i++)
        ASAN_UNPOISON_MEMORY_REGION(messages[i].msg_hdr.msg_iov->iov_base, messages[i].msg_hdr.msg_iov->iov_len);
    const int received = system->recvmmsg(fd, messages, n, flags, timeout);

    for (int i = 0; i < received; i++) {
        const struct iovec *slice = messages[i].msg_hdr.msg_iov;

        ASAN_POISON_MEMORY_REGION((uint8_t *)slice->iov_base + messages[i].msg_len,
                                  slice->iov_len - messages[i].msg_len);
    }
    return received;
}

static inline struct wgfp_datapath *datapath_new(const struct wgfp_settings *settings)
{
    static const struct wgfp_queue queue = {WORLD_TUN, WORLD_UDP4, WORLD_UDP6};
    static struct wgfp_system watched;
    struct wgfp_settings with = *settings;
    struct wgfp_datapath *datapath;

    left_by_readv = (struct iovec){0}; /* of another data path */
    with.queues = &queue;
    with.queue_count = 1;
    with.flows = 16; /* so that they give way */
    memcpy(&watched, world_system(), sizeof watched);
    watched.readv = readv_watched;
    watched.recvmmsg = recvmmsg_watched;
    with.system = &watched;
    require(wgfp_datapath_new(&datapath, &with) == 0, "there is memory");
    return datapath;
}

/* Policies of the fuzzers. */
enum { NO_POLICY, NOTHING, ANYTHING, SOMETHING, POLICIES };

static inline void policy_set(struct wgfp_datapath *datapath, uint32_t peer, uint32_t which)
{
    static const struct wgfp_permit anything = {.last_port = 65535, .rule = 1};
    static const struct wgfp_permit something[] = {
        {.last_port = 4000, .rule = 2},
        {.destination = {10}, .destination_size = 4, .destination_length = 8, .protocol = 17, .last_port = 65535},
        {.source = {10}, .source_size = 4, .source_length = 8, .protocol = 6, .last_port = 80, .rule = 3},
        {.destination = {0xfd}, .destination_size = 16, .destination_length = 8, .last_port = 65535, .rule = 16383},
    };
    const struct wgfp_permit *permits = which == SOMETHING ? something : &anything;
    const size_t count = which == SOMETHING ? sizeof something / sizeof *something : which == ANYTHING;

    require(wgfp_peer_set_policy(datapath, peer, permits, count, which != NO_POLICY) == 0, "it can be set");
}

static inline uint64_t drops_of(const struct wgfp_datapath *datapath)
{
    uint64_t drops[WGFP_DROPS], sum = 0;

    wgfp_drops(datapath, drops);
    for (uint32_t i = 0; i < WGFP_DROPS; i++)
        sum += drops[i];
    return sum;
}

#endif
