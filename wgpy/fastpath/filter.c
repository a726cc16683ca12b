/* What the functions mean is said in filter.h. bpf(2) */
#include "system.h" /* first: it asks for what only Linux has */

#include "ebpf.h"
#include "filter.h"
#include "filter_program.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef SO_ATTACH_BPF
#define SO_ATTACH_BPF 50
#endif

/* Of linux/bpf.h, which is not on every host. */
enum { MAP_CREATE = 0, PROG_LOAD = 5, MAP_TYPE_ARRAY = 2, MAP_SHARED_WITH_US = 1 << 10, PROG_TYPE_SOCKET_FILTER = 1 };

struct map_attributes {
    uint32_t type, key_size, value_size, max_entries, flags;
};

struct program_attributes {
    uint32_t type, count;
    uint64_t instructions, license;
};

static int make_map(void)
{
    const struct map_attributes attributes = {
        MAP_TYPE_ARRAY, sizeof(uint32_t), sizeof(struct filter_table), 1, MAP_SHARED_WITH_US};

    return (int)syscall(SYS_bpf, MAP_CREATE, &attributes, sizeof attributes);
}

static int load_program(int map)
{
    struct ebpf *program = calloc(1, sizeof *program);

    if (program == NULL)
        return -1;
    filter_program(program, map);
    const struct program_attributes attributes = {
        PROG_TYPE_SOCKET_FILTER, program->count, (uintptr_t)program->instructions, (uintptr_t) "MIT"};
    const int loaded = (int)syscall(SYS_bpf, PROG_LOAD, &attributes, sizeof attributes);

    free(program);
    return loaded;
}

static bool is_little_endian(void)
{
    const uint16_t one = 1;

    return *(const uint8_t *)&one == 1;
}

/* Have both; the map's memory and the program keep the map, whose descriptor the caller closes. */
static bool open_with(struct filter *filter, int map)
{
    const int program = load_program(map);

    if (program < 0)
        return false;
    void *memory = mmap(NULL, sizeof *filter->table, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);

    if (memory == MAP_FAILED) {
        close(program);
        return false;
    }
    *filter = (struct filter){memory, program};
    atomic_store(&filter->table->epoch, 1);
    return true;
}

/* All zeros if there is none. */
static struct filter filter_make(void)
{
    const int map = is_little_endian() ? make_map() : -1;
    struct filter filter = {0};

    if (map < 0)
        return filter;
    (void)open_with(&filter, map);
    close(map);
    return filter;
}

/* One that is made in a thread. */
struct ahead {
    pthread_t thread;
    struct filter filter;
};

static struct ahead *_Atomic made_ahead; /* NULL: none is */

static void *run_ahead(void *ahead)
{
    ((struct ahead *)ahead)->filter = filter_make();
    return NULL;
}

void wgfp_filter_make_ahead(void)
{
    struct ahead *ahead = calloc(1, sizeof *ahead), *none = NULL;

    if (ahead == NULL)
        return;
    if (pthread_create(&ahead->thread, NULL, run_ahead, ahead) != 0) {
        free(ahead);
        return;
    }
    if (!atomic_compare_exchange_strong(&made_ahead, &none, ahead)) { /* nobody has taken the last one */
        (void)pthread_join(ahead->thread, NULL);
        filter_free(&ahead->filter);
        free(ahead);
    }
}

bool filter_open(struct filter *filter)
{
    struct ahead *ahead = atomic_exchange(&made_ahead, NULL);

    if (ahead == NULL) {
        *filter = filter_make();
    } else {
        (void)pthread_join(ahead->thread, NULL);
        *filter = ahead->filter;
        free(ahead);
    }
    return filter->table != NULL;
}

void filter_close(struct filter *filter)
{
    if (filter->table == NULL || filter->program < 0)
        return;
    close(filter->program);
    filter->program = -1;
}

void filter_free(struct filter *filter)
{
    filter_close(filter);
    if (filter->table != NULL)
        munmap(filter->table, sizeof *filter->table);
    filter->table = NULL;
}

void filter_attach(const struct filter *filter, int udp)
{
    if (filter->table != NULL && filter->program >= 0 && udp >= 0)
        (void)setsockopt(udp, SOL_SOCKET, SO_ATTACH_BPF, &filter->program, sizeof filter->program);
}

void filter_detach(const struct filter *filter, int udp)
{
    const int unused = 0; /* it must be there */

    if (filter->table != NULL && udp >= 0)
        (void)setsockopt(udp, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused);
}

/* While the words change no mac1 is compared. */
void filter_set_mac1(const struct filter *filter, const struct wgfp_mac1 *mac1)
{
    if (filter->table == NULL)
        return;
    atomic_store(&filter->table->has_mac1_key, 0);
    if (mac1 == NULL) {
        memset(filter->table->mac1_key, 0, sizeof filter->table->mac1_key);
    } else {
        memcpy(filter->table->mac1_key, mac1->key.h, sizeof filter->table->mac1_key);
        atomic_store(&filter->table->has_mac1_key, 1);
    }
}

void filter_set_foreign(const struct filter *filter, bool takes)
{
    if (filter->table != NULL)
        atomic_store(&filter->table->takes_foreign, takes);
}

void filter_expect_foreign(const struct filter *filter, uint32_t magic)
{
    if (filter->table != NULL)
        atomic_store(&filter->table->foreign_magic, magic);
}

void filter_set_relay(const struct filter *filter, bool relays)
{
    if (filter->table != NULL)
        atomic_store(&filter->table->relays, relays);
}

/* -- Buckets ---------------------------------------------------------------------------------------- */

/* A bucket that was full once stays so: what is in it is not known any more. */
static void bucket_change(_Atomic uint8_t *bucket, int by)
{
    uint8_t count = atomic_load(bucket);

    while (count != UINT8_MAX && !atomic_compare_exchange_weak(bucket, &count, (uint8_t)(count + by))) {
    }
}

static void index_change(const struct filter *filter, uint32_t index, int by)
{
    if (filter->table == NULL)
        return;
    bucket_change(&filter->table->known[index % KNOWN_BUCKETS], by);
    bucket_change(&filter->table->upper[index / KNOWN_BUCKETS], by);
}

void filter_add_index(const struct filter *filter, uint32_t index)
{
    index_change(filter, index, 1);
}

void filter_remove_index(const struct filter *filter, uint32_t index)
{
    index_change(filter, index, -1);
}

/* As the program reads the clock. */
static uint32_t time_now(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)(((uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec) >> RECENT_SHIFT);
}

static void end_change(const struct filter *filter, const struct wgfp_endpoint *endpoint, int by)
{
    const uint32_t hash = filter_address_hash(endpoint->address, endpoint->size);

    bucket_change(&filter->table->known[hash >> KNOWN_HASH_SHIFT], by);
    bucket_change(&filter->table->groups[hash >> GROUP_HASH_SHIFT].ends, by);
}

void filter_add_end(const struct filter *filter, const struct wgfp_endpoint *endpoint)
{
    if (filter->table != NULL && endpoint->size != 0)
        end_change(filter, endpoint, 1);
}

/* An epoch lasts for longer than what was put into `recent` counts. So where that was in the one before the epoch that
 * ends now, it is over, unless the program puts something there meanwhile. */
static void begin_epoch(struct filter_table *table, uint32_t now)
{
    const uint8_t ending = (uint8_t)atomic_load(&table->epoch), next = 3 - ending;

    if (now - table->epoch_began <= RECENT_TIME + 1)
        return;
    table->epoch_began = now;
    for (size_t i = 0; i < SOURCE_GROUPS; i++) {
        uint8_t over = next;

        atomic_compare_exchange_strong(&table->groups[i].epoch, &over, 0);
    }
    atomic_store(&table->epoch, next);
}

void filter_remove_end(const struct filter *filter, const struct wgfp_endpoint *endpoint)
{
    if (filter->table == NULL || endpoint->size == 0)
        return;
    end_change(filter, endpoint, -1);
    begin_epoch(filter->table, time_now());
}

void filter_expect_cookie(const struct filter *filter, uint32_t index)
{
    if (filter->table != NULL)
        atomic_store(&filter->table->recent[index % RECENT_BUCKETS], time_now());
}

/* -- Counters --------------------------------------------------------------------------------------- */

void filter_add_drops(const struct filter *filter, uint64_t counts[WGFP_DROPS])
{
    static const enum wgfp_drop reasons[FILTER_REASONS] = {
        [FILTER_MALFORMED] = WGFP_DROP_MALFORMED, [FILTER_UNKNOWN_TYPE] = WGFP_DROP_UNKNOWN_TYPE,
        [FILTER_INVALID_MAC1] = WGFP_DROP_INVALID_MAC1, [FILTER_UNKNOWN_INDEX] = WGFP_DROP_UNKNOWN_INDEX,
        [FILTER_UNKNOWN_PEER] = WGFP_DROP_UNKNOWN_PEER};

    for (int i = 0; filter->table != NULL && i < FILTER_REASONS; i++)
        counts[reasons[i]] += atomic_load(&filter->table->drops[i]);
}
