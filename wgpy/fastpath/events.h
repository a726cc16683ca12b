/* What happened, as flags of peers and keypairs, and the list of peers that have any. */
#ifndef WGFP_EVENTS_H
#define WGFP_EVENTS_H

#include "keypair.h"
#include "peer.h"

#include <stdatomic.h>

struct events {
    pthread_mutex_t lock;
    struct peer *first_dirty, *last_dirty;
    int fd;             /* an epoll of the two below: readable when one is; -1 once it is closed, as they are */
    int urgent;         /* an eventfd, as a timerfd that is due at once costs an interrupt: of a virtual machine, 30 us */
    int late;           /* a timerfd */
    bool now, soon;     /* which of them is set, since they were acknowledged last */
    atomic_bool owed;   /* `urgent` is to be written, by events_notify */
};

/* WGFP_ERR_MEMORY: or there is no descriptor. */
int events_init(struct events *events);
void events_free(struct events *events);

/* Nobody can wait for them any more; without the lock. Harmless when repeated. */
void events_close(struct events *events);

/* Have who waits woken, by the next events_notify. */
void events_wake(struct events *events);

/* Wake who waits, if that is owed: without a lock, as who is woken would wait for it, on this processor, too. */
void events_notify(struct events *events);
void events_acknowledge(struct events *events);

/* Under the peer's lock. keypair: NULL but for KEY_CONFIRMED and KEY_AGED. */
void event_raise(struct events *events, struct peer *peer, struct keypair *keypair, enum wgfp_event_kind kind);

/* The peer's events are no more. Control. */
void events_forget(struct events *events, struct peer *peer);

#endif
