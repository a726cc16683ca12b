/* The window of message counters of one receiving key. Whitepaper 5.4.6, RFC 6479.
 *
 * Invariant: a counter is accepted at most once, and never when it is more than 8128 behind the greatest accepted.
 */
#ifndef WGFP_REPLAY_H
#define WGFP_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

/* cffi: begin */

/* All zeros is a new window. Whoever calls accept is alone with it. */
struct wgfp_replay {
    uint64_t greatest;    /* accepted so far */
    uint64_t bitmap[128]; /* bit n of a ring of 8192: a counter that is n modulo 8192 was accepted */
};

/* Take note of an authentic message's counter; false for one seen before or too old. */
bool wgfp_replay_accept(struct wgfp_replay *window, uint64_t counter);

/* cffi: end */

enum {
    REPLAY_WINDOW_BITS = 8192,
    REPLAY_WINDOW = REPLAY_WINDOW_BITS - 64, /* usable: one word is always being cleared */
};

#endif
