/* Handshake messages wait for the engine, in two lanes: `verified` and `others`. Their depth tells the load.
 *
 * Cookie replies have no mac1, so anybody can make them: they have a short queue of their own, which takes turns with
 * `others`.
 */
#ifndef WGFP_HANDSHAKE_QUEUE_H
#define WGFP_HANDSHAKE_QUEUE_H

#include "cookie.h"
#include "datagram_queue.h"

#include <pthread.h>

enum {
    HANDSHAKE_QUEUE_SIZE = 512, /* messages in each of the two lanes */
    UNDER_LOAD_DEPTH = HANDSHAKE_QUEUE_SIZE / 8,
    COOKIE_QUEUE_SIZE = UNDER_LOAD_DEPTH / 2, /* so these alone, which anybody can make, are no load */
};

#define UNDER_LOAD_HOLD UINT64_C(1000000000)

struct handshake_queue {
    pthread_mutex_t lock; /* of all down to the next comment */
    struct datagram_queue verified, others, cookies;
    bool cookies_next;
    uint64_t loaded_until; /* 0: there was no load, or it was seen to be over */
    /* All workers' locks */
    bool has_mac1_key, has_cookie_secret;
    struct wgfp_mac1 mac1_key;
    struct wgfp_cookie_secret cookie_secret;
};

/* WGFP_ERR_MEMORY: what there is then, handshake_queue_free frees. */
int handshake_queue_init(struct handshake_queue *queue);
void handshake_queue_free(struct handshake_queue *queue);

/* NULL: none from now on. Control. */
void handshake_queue_set_mac1_key(struct handshake_queue *queue, const uint8_t *public_key);
void handshake_queue_set_cookie_secret(struct handshake_queue *queue, const uint8_t *secret);

/* Has an initiation or response, of the right size, a valid mac1, or is no mac1 known that it needs? */
bool handshake_is_own(const struct handshake_queue *queue, const uint8_t *data, size_t length);

/* Keep a message of types 1 to 3, or count why not. */
void handshake_receive(struct wgfp_datapath *datapath, const struct wgfp_endpoint *source, const uint8_t *data,
                       size_t length);

#endif
