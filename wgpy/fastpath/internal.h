/* What the parts of the data path share.
 *
 * Threads: two workers a queue, one outbound (TUN to UDP), one inbound (UDP to TUN), and the control, which is whoever
 * calls the functions of wgfp.h. A worker holds its own `lock` but while it waits. The control takes the locks of all
 * workers before it changes peers, keypairs or routes as such; so a worker that holds its lock finds them unchanged.
 * What changes as packets pass is guarded by the lock of its peer. The others are taken last, and one at a time:
 *
 *     worker.lock  >  peer.lock  >  staging.lock, events.lock, letters.lock
 */
#ifndef WGFP_INTERNAL_H
#define WGFP_INTERNAL_H

#include "system.h" /* first: it asks for what only Linux has */

#include "allowedips.h"
#include "cookie.h"
#include "drops.h"
#include "offload.h"
#include "replay.h"
#include "wgfp.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum {
    MESSAGE_HEADER = 16,
    MESSAGE_OVERHEAD = MESSAGE_HEADER + 16,
    PADDING_MULTIPLE = 16,
    MAX_PACKET = 65535,

    MAX_QUEUES = 16,
    BATCH_MESSAGES = 64, /* as many as one UDP_SEGMENT takes on every kernel */
    BATCH_BYTES = 65507, /* of messages: the most that IPv4's UDP takes */

    MAX_STAGED_PACKETS = 128, /* of one peer */
    STAGED_CELL = 512,

    MAX_PEER_NUMBERS = 1 << 21, /* twice the peers of an engine */

    HANDSHAKE_QUEUE_SIZE = 512, /* messages in each of the two lanes */
    UNDER_LOAD_DEPTH = HANDSHAKE_QUEUE_SIZE / 8,
    COOKIE_QUEUE_SIZE = UNDER_LOAD_DEPTH / 2, /* so these alone, which anybody can make, are no load */
    STRANGER_QUEUE_SIZE = 64,
};

#define REKEY_AFTER_MESSAGES (UINT64_C(1) << 60)
#define REJECT_AFTER_MESSAGES (UINT64_MAX - (UINT64_C(1) << 13))
#define NEVER UINT64_MAX

enum offloads { OFFLOAD_TUN_TCP = 1, OFFLOAD_TUN_UDP = 2, OFFLOAD_UDP_SEGMENT = 4 };

/* -- Peers and keypairs: peer.c, keypair.c ---------------------------------------------------------- */

struct peer;
struct wgfp_datapath;

struct keypair {
    struct keypair *next; /* of its peer. Control */
    struct keypair *next_in_bucket;
    struct peer *peer;
    struct wgfp_session session; /* the keys, the indices and reject_after_time never change */
    uint64_t counter;            /* of the next message to send. Peer's lock, as all below */
    bool confirmed;              /* it sends, or KEY_CONFIRMED was raised */
    unsigned events;             /* 1 << wgfp_event_kind */
    struct wgfp_replay window;
};

/* Packets that wait for a keypair: the first and the last cell, numbers in the pool. */
struct staged {
    uint32_t first, last;
    uint32_t count; /* of packets */
};

struct peer {
    pthread_mutex_t lock;
    uint32_t number;
    struct keypair *keypairs; /* the newest first. Control */
    struct keypair *sending;  /* peer's lock, as all below; or control */
    struct wgfp_endpoint endpoint;
    struct wgfp_endpoint plain;    /* this endpoint takes no UDP_SEGMENT */
    struct staged staged;
    struct wgfp_activity activity;
    unsigned events;
    bool dirty;              /* it is in the list of peers with events. events.lock */
    struct peer *next_dirty; /* events.lock */
};

struct keypair_table {
    struct keypair **buckets; /* a power of two of them */
    uint32_t mask;
    uint32_t count;
};

static inline struct keypair *keypair_find(const struct keypair_table *table, uint32_t local_index)
{
    struct keypair *keypair = table->buckets[local_index & table->mask];

    while (keypair != NULL && keypair->session.local_index != local_index)
        keypair = keypair->next_in_bucket;
    return keypair;
}

int keypair_table_init(struct keypair_table *table);
void keypair_table_free(struct keypair_table *table);

/* Remove all of a peer's. Control. */
void keypairs_remove(struct wgfp_datapath *datapath, struct peer *peer);

/* All of them, with their keypairs. */
void peers_free(struct wgfp_datapath *datapath);

/* Send what is staged or, if nothing is, an empty packet. Control. */
void peer_send_keepalive(struct wgfp_datapath *datapath, struct peer *peer, uint64_t now);

static inline bool keypair_may_seal(const struct keypair *keypair, uint64_t now)
{
    return now < keypair->session.reject_after_time && keypair->counter < REJECT_AFTER_MESSAGES;
}

/* -- Staging: staging.c ----------------------------------------------------------------------------- */

/* One pool of cells for the packets of all peers. */
struct staging {
    pthread_mutex_t lock;
    struct staged_cell *cells; /* cell 0 is not used: 0 is the end of a list */
    uint32_t free;             /* the first of the list of cells that were given back */
    uint32_t fresh;            /* from here on none was ever used, so its memory is not there yet */
    uint32_t free_count;       /* of both kinds */
};

int staging_init(struct staging *staging, uint32_t bytes);
void staging_free(struct staging *staging);

/* These three: under the peer's lock. push makes room by dropping the peer's oldest packets, and drops this one if
 * that is not enough; length 0 is a keepalive. Returns how many were dropped. */
uint32_t staged_push(struct staging *staging, struct staged *staged, const uint8_t *packet, uint32_t length);

/* Length of the first packet, or -1 if there is none. */
int staged_first_length(const struct staging *staging, const struct staged *staged);

/* Copy the first packet to `packet` (NULL: to nowhere) and let it go. */
void staged_pop(struct staging *staging, struct staged *staged, uint8_t *packet);

/* -- Events, counters: events.c --------------------------------------------------------------------- */

struct events {
    pthread_mutex_t lock;
    struct peer *first_dirty, *last_dirty;
    int fd;             /* a timerfd: readable now, or soon */
    bool now, soon;     /* which it is set to, since it was acknowledged last */
};

int events_init(struct events *events);
void events_free(struct events *events);
void events_wake(struct events *events);
void events_acknowledge(struct events *events);

/* Under the peer's lock. keypair: NULL but for KEY_CONFIRMED and KEY_AGED. */
void event_raise(struct events *events, struct peer *peer, struct keypair *keypair, enum wgfp_event_kind kind);

/* The peer's events are no more. Control. */
void events_forget(struct events *events, struct peer *peer);

/* -- Handshake messages and strangers: letters.c ---------------------------------------------------- */

struct letter_queue {
    uint8_t *slots; /* a ring of struct wgfp_letter, each with as much of its data as these letters may have */
    uint32_t slot_size;
    uint32_t size, first, count;
};

/* Handshake messages wait in two lanes, `verified` and `others`. Cookie replies have no mac1, so anybody can make them:
 * they have a short queue of their own, which takes turns with `others`. */
struct letters {
    pthread_mutex_t lock; /* of all down to the next comment */
    struct letter_queue verified, others, cookies, strangers;
    bool cookies_next;
    uint64_t loaded_until; /* 0: there was no load, or it was seen to be over */
    /* All workers' locks */
    bool has_guard, has_secret;
    struct wgfp_mac1 guard;
    struct wgfp_cookie_secret secret;
};

int letters_init(struct letters *letters, bool keep_strangers);
void letters_free(struct letters *letters);

/* Take any datagram that is not of type 4: keep it, or count why not. */
void letter_receive(struct wgfp_datapath *datapath, const struct wgfp_endpoint *source, const uint8_t *data,
                    size_t length);

/* -- Outbound: encap.c ------------------------------------------------------------------------------ */

struct outbound; /* packets that become messages together; one thread's */

int outbound_new(struct outbound **out, struct wgfp_datapath *datapath);
void outbound_free(struct outbound *out);

/* Use these sockets, -1 for none. */
void outbound_set_sockets(struct outbound *out, int udp4, int udp6);

/* Take a packet that was read from the TUN, which may be a superpacket; it is changed. vnet: zeros for a plain one. */
void outbound_packet(struct outbound *out, const struct wgfp_vnet *vnet, uint8_t *packet, size_t length, uint64_t now);

/* Seal and send what was taken. */
void outbound_flush(struct outbound *out, uint64_t now);

/* Send what is staged for a peer, as far as its keypair goes; what is left raises KEY_NEEDED. Control; not under the
 * peer's lock. */
void outbound_staged(struct outbound *out, struct peer *peer, uint64_t now);

/* -- Inbound: decap.c ------------------------------------------------------------------------------- */

struct inbound; /* decap.c */

int inbound_new(struct inbound **in, struct wgfp_datapath *datapath);
void inbound_free(struct inbound *in);

/* Receive from a socket once, and hand on what came. Returns whether there may be more. */
bool inbound_receive(struct inbound *in, int udp, int tun, uint64_t now);

/* -- The whole: _fastpath.c ------------------------------------------------------------------------- */

struct tun_buffer; /* tun.h */

struct worker {
    struct wgfp_datapath *datapath;
    struct wgfp_queue *queue;
    pthread_mutex_t lock;
    pthread_t thread;
    bool runs; /* has it a thread? Control */
    struct outbound *out; /* outbound: with where packets are read to */
    struct tun_buffer *buffer;
    struct inbound *in;  /* inbound */
    bool ready4, ready6; /* may its sockets be read? The worker itself */
    int wake; /* an eventfd: look at `stopping`, and at the sockets again */
};

struct wgfp_datapath {
    const struct wgfp_system *system;
    const struct wgfp_aead_kernel *aead;
    struct wgfp_queue queues[MAX_QUEUES];
    uint32_t queue_count;
    bool vnet_header, small;
    struct worker workers[2 * MAX_QUEUES];
    struct outbound *control; /* the control's */
    pthread_mutex_t gate;   /* workers wait here while the control wants their locks */
    atomic_uint waiting;    /* is it held? */
    atomic_bool stopping;
    atomic_int failure;     /* errno of a TUN */
    atomic_uint offloads;
    atomic_uint mtu;
    _Atomic uint64_t drops[WGFP_DROPS];
    /* All workers' locks */
    struct wgfp_allowedips *routes;
    struct keypair_table keypairs;
    struct peer **peers; /* by number; 0 is none */
    uint32_t peer_room, free_peer_count;
    uint32_t *free_peer_numbers; /* a stack */
    struct staging staging;
    struct events events;
    struct letters letters;
};

/* Around every change of peers, keypairs and routes. */
void control_lock(struct wgfp_datapath *datapath);
void control_unlock(struct wgfp_datapath *datapath);

static inline void drop_count(struct wgfp_datapath *datapath, enum wgfp_drop reason, uint64_t count)
{
    atomic_fetch_add_explicit(&datapath->drops[reason], count, memory_order_relaxed);
}

#endif
