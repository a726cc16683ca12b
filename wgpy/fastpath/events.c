/* Events; what the functions mean is said in events.h and wgfp.h. */
#include "datapath.h"

#include "events.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* Data that is sent or received starts timers of 10 seconds and more, which run from when it was, not from when that
 * was heard of. So these events may be late; otherwise a busy tunnel would raise them all the time. */
enum { DATA_EVENT_DELAY = 1 }; /* seconds */

static bool watch(int epoll, int fd)
{
    struct epoll_event readable = {.events = EPOLLIN};

    return epoll >= 0 && fd >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &readable) == 0;
}

int events_init(struct events *events)
{
    if (pthread_mutex_init(&events->lock, NULL) != 0)
        return WGFP_ERR_MEMORY;
    events->first_dirty = events->last_dirty = NULL;
    events->now = events->soon = false;
    atomic_init(&events->owed, false);
    events->fd = epoll_create1(EPOLL_CLOEXEC);
    events->urgent = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    events->late = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    return watch(events->fd, events->urgent) && watch(events->fd, events->late) ? 0 : WGFP_ERR_MEMORY;
}

static void close_one(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

void events_close(struct events *events)
{
    close_one(&events->fd);
    close_one(&events->urgent);
    close_one(&events->late);
}

void events_free(struct events *events)
{
    events_close(events);
    (void)pthread_mutex_destroy(&events->lock);
}

/* seconds: 0 for never. */
static void late_set(struct events *events, time_t seconds)
{
    const struct itimerspec at = {.it_value = {seconds, 0}};

    (void)timerfd_settime(events->late, 0, &at, NULL); /* it cannot fail, unless it is closed */
}

/* Under the lock. */
static void wake(struct events *events, bool urgent)
{
    if (events->now || (events->soon && !urgent))
        return;
    if (urgent) {
        events->now = true;
        atomic_store(&events->owed, true);
    } else {
        events->soon = true;
        late_set(events, DATA_EVENT_DELAY);
    }
}

void events_wake(struct events *events)
{
    pthread_mutex_lock(&events->lock);
    wake(events, true);
    pthread_mutex_unlock(&events->lock);
}

void events_notify(struct events *events)
{
    const uint64_t one = 1;

    if (atomic_load_explicit(&events->owed, memory_order_relaxed) && atomic_exchange(&events->owed, false) &&
        write(events->urgent, &one, sizeof one) < 0) {
        /* It is closed. */
    }
}

void events_acknowledge(struct events *events)
{
    uint64_t count;

    pthread_mutex_lock(&events->lock);
    if (read(events->urgent, &count, sizeof count) < 0) {
        /* It was not readable. */
    }
    if (events->soon)
        late_set(events, 0); /* whether it was due or not */
    events->now = events->soon = false;
    pthread_mutex_unlock(&events->lock);
}

/* Into the list, if the peer is not in it. */
static void list_append(struct events *events, struct peer *peer, bool urgent)
{
    pthread_mutex_lock(&events->lock);
    if (!peer->dirty) {
        if (events->first_dirty == NULL)
            events->first_dirty = peer;
        else
            events->last_dirty->next_dirty = peer;
        events->last_dirty = peer;
        peer->next_dirty = NULL;
        peer->dirty = true;
    }
    wake(events, urgent);
    pthread_mutex_unlock(&events->lock);
}

static struct peer *list_pop(struct events *events)
{
    pthread_mutex_lock(&events->lock);
    struct peer *peer = events->first_dirty;

    if (peer != NULL) {
        events->first_dirty = peer->next_dirty;
        peer->dirty = false;
    }
    pthread_mutex_unlock(&events->lock);
    return peer;
}

/* A flag that is set has its peer in the list, or is about to be taken by who has just taken the peer from there and
 * waits for the peer's lock. So no flag is overlooked, and setting one again costs nothing. */
void event_raise(struct events *events, struct peer *peer, struct keypair *keypair, enum wgfp_event_kind kind)
{
    unsigned *flags = keypair != NULL ? &keypair->events : &peer->events;

    if (*flags & 1u << kind)
        return;
    *flags |= 1u << kind;
    list_append(events, peer, kind != WGFP_EVENT_DATA_SENT && kind != WGFP_EVENT_DATA_RECEIVED);
}

void events_forget(struct events *events, struct peer *peer)
{
    struct peer *previous = NULL;

    pthread_mutex_lock(&events->lock);
    if (peer->dirty) {
        for (struct peer *other = events->first_dirty; other != peer; other = other->next_dirty)
            previous = other;
        if (previous == NULL)
            events->first_dirty = peer->next_dirty;
        else
            previous->next_dirty = peer->next_dirty;
        if (events->last_dirty == peer)
            events->last_dirty = previous;
        peer->dirty = false;
    }
    pthread_mutex_unlock(&events->lock);
}

struct writer {
    struct wgfp_event *events;
    size_t count, room;
};

/* Write the event if its flag is set, and clear it; false: there is no room. */
static bool event_move(struct writer *writer, unsigned *flags, enum wgfp_event_kind kind, const struct peer *peer,
                       uint32_t local_index)
{
    if (!(*flags & 1u << kind))
        return true;
    if (writer->count == writer->room)
        return false;
    struct wgfp_event *event = &writer->events[writer->count++];

    *event = (struct wgfp_event){.kind = kind, .peer = peer->number, .local_index = local_index};
    if (kind == WGFP_EVENT_ENDPOINT_CHANGED)
        event->endpoint = peer->endpoint;
    if (kind == WGFP_EVENT_ROUTING_LOOP)
        event->endpoint = peer->faults->looped;
    *flags &= ~(1u << kind);
    return true;
}

/* All of a peer's, under its lock, its new endpoint first for the rest to use; false: there was no room for all. */
static bool peer_events_move(struct writer *writer, struct peer *peer)
{
    bool all = event_move(writer, &peer->events, WGFP_EVENT_ENDPOINT_CHANGED, peer, 0) &&
               event_move(writer, &peer->events, WGFP_EVENT_INITIATION_SENT, peer, peer->initiated) &&
               event_move(writer, &peer->events, WGFP_EVENT_KEY_NEEDED, peer, 0) &&
               event_move(writer, &peer->events, WGFP_EVENT_SESSION_NEEDED, peer, 0) &&
               event_move(writer, &peer->events, WGFP_EVENT_ROUTING_LOOP, peer, 0);

    for (struct keypair *keypair = peer->keypairs; all && keypair != NULL; keypair = keypair->next) {
        const uint32_t index = keypair->session.local_index;

        all = event_move(writer, &keypair->events, WGFP_EVENT_KEY_CONFIRMED, peer, index) &&
              event_move(writer, &keypair->events, WGFP_EVENT_KEY_AGED, peer, index);
    }
    return all && event_move(writer, &peer->events, WGFP_EVENT_DATA_SENT, peer, 0) &&
           event_move(writer, &peer->events, WGFP_EVENT_DATA_RECEIVED, peer, 0);
}

size_t wgfp_events_take(struct wgfp_datapath *datapath, struct wgfp_event *events, size_t n)
{
    struct writer writer = {events, 0, n};
    struct peer *peer;

    while (writer.count < n && (peer = list_pop(&datapath->events)) != NULL) {
        pthread_mutex_lock(&peer->lock);
        if (!peer_events_move(&writer, peer))
            list_append(&datapath->events, peer, true);
        pthread_mutex_unlock(&peer->lock);
    }
    return writer.count;
}
