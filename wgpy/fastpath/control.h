/* The control: whoever calls the functions of wgfp.h, one thread.
 *
 * It takes the locks of all workers before it changes peers, keypairs or routes as such; so a worker that holds its
 * lock finds them unchanged. What changes as packets pass is guarded by the lock of its peer. The others are taken
 * last, and one at a time:
 *
 *     worker.lock  >  peer.lock  >  staging.lock, events.lock, handshake_queue.lock, foreign.lock, relay.lock
 */
#ifndef WGFP_CONTROL_H
#define WGFP_CONTROL_H

#include "wgfp.h"

/* Around every change of peers, keypairs and routes. */
void control_lock(struct wgfp_datapath *datapath);
void control_unlock(struct wgfp_datapath *datapath);

/* For a worker that is about to take its own lock: wait while the control has or wants it. A busy worker would
 * otherwise take it again before the control is awake. */
void control_first(struct wgfp_datapath *datapath);

#endif
