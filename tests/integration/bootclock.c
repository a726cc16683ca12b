/* Preloaded into a daemon, moves its CLOCK_BOOTTIME forward as a suspend does, while CLOCK_MONOTONIC runs on; and
 * its CLOCK_REALTIME, as somebody does who sets it.
 *
 * The file named by BOOTCLOCK_FILE holds both offsets, 64-bit counts of nanoseconds. clock_gettime adds them, and
 * timers on the boot clock are set to the real time at which the moved clock will say what was asked; a thread
 * sets them again when the offset changes, so a timer that became due in the suspend fires at once. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define MAX_TIMERS 64
#define SECOND INT64_C(1000000000)

static volatile int64_t *offset; /* the second one is the wall clock's */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    int fd;
    int64_t due; /* by the moved clock; 0 when not set */
} timers[MAX_TIMERS];

static int64_t to_ns(struct timespec t) { return t.tv_sec * SECOND + t.tv_nsec; }

static struct timespec from_ns(int64_t ns) { return (struct timespec){ns / SECOND, ns % SECOND}; }

static int set(int fd, int64_t due)
{
    int64_t real = due == 0 ? 0 : due > *offset ? due - *offset : 1;
    struct itimerspec value = {.it_value = from_ns(real)};
    return (int)syscall(SYS_timerfd_settime, fd, TFD_TIMER_ABSTIME, &value, NULL);
}

static void *watch(void *unused)
{
    int64_t seen = *offset;
    (void)unused;
    for (;;) {
        usleep(10000);
        if (*offset == seen)
            continue;
        seen = *offset;
        pthread_mutex_lock(&lock);
        for (int i = 0; i < MAX_TIMERS; i++)
            if (timers[i].due != 0)
                set(timers[i].fd, timers[i].due);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

__attribute__((constructor)) static void start(void)
{
    int fd = open(getenv("BOOTCLOCK_FILE"), O_RDONLY | O_CLOEXEC);
    offset = mmap(NULL, 2 * sizeof *offset, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (offset == MAP_FAILED)
        abort();
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && clock == CLOCK_BOOTTIME)
        *now = from_ns(to_ns(*now) + *offset);
    if (result == 0 && clock == CLOCK_REALTIME)
        *now = from_ns(to_ns(*now) + offset[1]);
    return result;
}

int timerfd_create(clockid_t clock, int flags)
{
    static int watching;
    int fd = (int)syscall(SYS_timerfd_create, clock, flags);
    if (fd < 0 || clock != CLOCK_BOOTTIME)
        return fd;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MAX_TIMERS; i++)
        if (timers[i].fd == 0) {
            timers[i].fd = fd;
            break;
        }
    if (!watching) {
        pthread_t thread;
        watching = pthread_create(&thread, NULL, watch, NULL) == 0;
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

int timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old)
{
    int result = -1;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MAX_TIMERS; i++)
        if (timers[i].fd == fd) {
            int64_t due = to_ns(new->it_value);
            struct timespec now;
            if (due != 0 && !(flags & TFD_TIMER_ABSTIME)) {
                clock_gettime(CLOCK_BOOTTIME, &now);
                due += to_ns(now);
            }
            timers[i].due = due;
            result = set(fd, due);
            goto out;
        }
    result = (int)syscall(SYS_timerfd_settime, fd, flags, new, old);
out:
    pthread_mutex_unlock(&lock);
    return result;
}
