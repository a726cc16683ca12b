/* The system calls of the data path: one table, so that a test can be the kernel, or fail the nth call.
 *
 * Each is as in its manual page, but for `now`.
 */
#ifndef WGFP_SYSTEM_H
#define WGFP_SYSTEM_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

struct wgfp_system {
    ssize_t (*readv)(int fd, const struct iovec *slices, int n);
    ssize_t (*writev)(int fd, const struct iovec *slices, int n);
    int (*recvmmsg)(int fd, struct mmsghdr *messages, unsigned n, int flags, struct timespec *timeout);
    int (*sendmmsg)(int fd, struct mmsghdr *messages, unsigned n, int flags);
    int (*poll)(struct pollfd *fds, nfds_t n, int timeout);
    uint64_t (*now)(void); /* nanoseconds on the boot clock, never 0 */
};

extern const struct wgfp_system wgfp_kernel;

#endif
