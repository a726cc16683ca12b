/* Workers: the threads that move packets, two a queue, one outbound (TUN to UDP) and one inbound (UDP to TUN).
 *
 * A wake-up is most of what a single packet costs, so while there is little to send inbound's thread has the turns of
 * both: an answer, or what acknowledges a stream that comes in, leaves without another's wake-up. When an outbound turn
 * is busy, outbound's thread takes them over, until none was busy for a while.
 *
 * A worker holds its own lock but while it waits; the control holds all of them while it changes what they use.
 */
#ifndef WGFP_WORKER_H
#define WGFP_WORKER_H

#include "wgfp.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct read_ahead; /* read_ahead.h */

struct worker {
    struct wgfp_datapath *datapath; /* NULL: it was never made */
    struct wgfp_queue *queue;
    struct worker *other; /* of the queue */
    pthread_mutex_t lock;
    pthread_t thread;
    bool runs; /* has it a thread? Control */
    int wake;  /* an eventfd: look at `stopping`, and at the sockets again */
    bool yields; /* others may have the processor after the last turn: whoever takes what it moved has little room for
                  * more. Under the lock */
    struct inbound *in;   /* inbound's */
    bool ready4, ready6;  /* may its sockets be read? The worker itself */
    struct outbound *out; /* outbound's, and what follows */
    struct read_ahead *ahead;
    size_t bytes;      /* that the last turn read. Under the lock */
    uint64_t busy;     /* when a turn was busy last. Whose turn it is */
    atomic_bool apart; /* has its thread its turns? Or else inbound's has them */
};

/* Number `number` of the data path's: even numbers go outbound, odd ones inbound.
 * WGFP_ERR_MEMORY: or there is no descriptor; what there is then, worker_free frees. */
int worker_init(struct wgfp_datapath *datapath, uint32_t number);
void worker_free(struct worker *worker);

/* Of one that has no thread any more, or was never made. Harmless when repeated. */
void worker_close(struct worker *worker);

/* WGFP_ERR_MEMORY: no thread can be had. */
int worker_start(struct worker *worker);

/* `stopping` is set. */
void worker_stop(struct worker *worker);

/* Let it look at what changed. */
void worker_wake(struct worker *worker);

/* Move what is there, without waiting. The worker's lock is held, or it has no thread. Returns whether more may be
 * there. */
bool worker_turn(struct worker *worker);

/* Outbound: send what was read ahead. The worker's lock is held. */
void worker_finish(struct worker *worker);

#endif
