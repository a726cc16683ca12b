/* Checks which groups of addresses the filter at the sockets looks up, with a clock of its own: that is in no datagram's
 * fate, only in what a flood costs.
 *
 *     cc -std=c11 -O2 -I wgpy/fastpath -Wl,--wrap=clock_gettime -o filter_check tests/fastpath/filter_check.c \
 *         wgpy/fastpath/{filter,filter_program,filter_blake2s,ebpf,blake2s}.c
 *     ./filter_check
 *
 * Prints "checked", or "no filter" where the kernel takes none from here, and exits with 0; else says what failed.
 */
#include "system.h" /* first: it asks for what only Linux has */

#include "bytes.h"
#include "filter.h"
#include "filter_program.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ENDS = 3000, INDEX = 0x12345678, INITIATION_SIZE = 148, DATA_SIZE = 32, EPOCH = 20 /* seconds */ };

int __real_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time);

static time_t passed; /* seconds, of the data path's clock alone */

int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
    const int result = __real_clock_gettime(clock, time);

    time->tv_sec += passed;
    return result;
}

static void expect(bool it_is_so, const char *what)
{
    if (it_is_so)
        return;
    printf("failed: %s\n", what);
    exit(1);
}

static struct wgfp_endpoint end_at(uint32_t number)
{
    struct wgfp_endpoint end = {.size = 4, .port = 51820};

    wgfp_store32(end.address, number);
    return end;
}

static unsigned groups_in_use(const struct filter *filter)
{
    unsigned count = 0;

    for (int i = 0; i < SOURCE_GROUPS; i++) {
        const struct filter_group *group = &filter->table->groups[i];

        count += group->ends != 0 || group->epoch != 0;
    }
    return count;
}

/* So many seconds later an end goes. */
static void end_goes_after(const struct filter *filter, time_t seconds)
{
    const struct wgfp_endpoint end = end_at(1);

    passed += seconds;
    filter_add_end(filter, &end);
    filter_remove_end(filter, &end);
}

static int udp_at(const char *address)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    const int udp = socket(AF_INET, SOCK_DGRAM, 0);

    expect(inet_pton(AF_INET, address, &at.sin_addr) == 1 && bind(udp, (struct sockaddr *)&at, sizeof at) == 0, "bind");
    return udp;
}

static void send_from(int udp, int to, uint32_t type, size_t size)
{
    uint8_t message[INITIATION_SIZE] = {0};
    struct sockaddr_in at;
    socklen_t length = sizeof at;

    wgfp_store32(message, type);
    wgfp_store32(message + 4, INDEX);
    expect(getsockname(to, (struct sockaddr *)&at, &length) == 0, "getsockname");
    expect(sendto(udp, message, size, 0, (struct sockaddr *)&at, length) == (ssize_t)size, "sendto");
}

/* Does an initiation for nobody pass from there? */
static bool initiation_passes(int from, int to)
{
    uint8_t message[INITIATION_SIZE];

    send_from(from, to, 1, INITIATION_SIZE);
    return recv(to, message, sizeof message, MSG_DONTWAIT) == INITIATION_SIZE;
}

static void check_ends(const struct filter *filter)
{
    expect(groups_in_use(filter) == 0, "nothing is in use at the beginning");
    for (uint32_t i = 0; i < ENDS; i++) {
        const struct wgfp_endpoint end = end_at(i);

        filter_add_end(filter, &end);
    }
    expect(groups_in_use(filter) > SOURCE_GROUPS / 4, "groups of ends are in use");
    for (uint32_t i = 0; i < ENDS; i++) {
        const struct wgfp_endpoint end = end_at(i);

        filter_remove_end(filter, &end);
    }
    expect(groups_in_use(filter) == 0, "no group is in use once its ends are gone");
}

static void check_recent(const struct filter *filter)
{
    const int own = udp_at("127.0.0.1"), moved = udp_at("127.0.0.9");
    uint8_t message[DATA_SIZE];

    filter_attach(filter, own);
    filter_add_index(filter, INDEX);
    for (int i = 0; i < 5; i++) {
        expect(!initiation_passes(moved, own), "nothing of a stranger passes");
        send_from(moved, own, 4, DATA_SIZE);
        expect(recv(own, message, sizeof message, MSG_DONTWAIT) == DATA_SIZE, "data passes");
        expect(groups_in_use(filter) == 1, "the group of its source is in use");
        end_goes_after(filter, EPOCH);
        end_goes_after(filter, RECENT_TIME / 2);
        expect(groups_in_use(filter) == 1, "it still is, in the next epoch");
        expect(initiation_passes(moved, own), "what follows it passes");
        end_goes_after(filter, EPOCH);
        expect(groups_in_use(filter) == 0, "it is no more in the one after");
    }
    close(own);
    close(moved);
}

int main(void)
{
    static const struct wgfp_mac1 key;
    struct filter filter;

    if (!filter_open(&filter)) {
        puts("no filter");
        return 0;
    }
    filter_set_mac1(&filter, &key);
    filter_set_relay(&filter, true);
    check_ends(&filter);
    check_recent(&filter);
    filter_free(&filter);
    puts("checked");
    return 0;
}
