/* The kernel's system calls. */
#include "system.h"

#include <time.h>

static uint64_t boottime(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* musl's recvmmsg and sendmmsg have other types of flags. */
static int receive_many(int fd, struct mmsghdr *messages, unsigned n, int flags, struct timespec *timeout)
{
    return recvmmsg(fd, messages, n, flags, timeout);
}

static int send_many(int fd, struct mmsghdr *messages, unsigned n, int flags)
{
    return sendmmsg(fd, messages, n, flags);
}

const struct wgfp_system wgfp_kernel = {
    .readv = readv,
    .writev = writev,
    .recvmmsg = receive_many,
    .sendmmsg = send_many,
    .poll = poll,
    .now = boottime,
};
