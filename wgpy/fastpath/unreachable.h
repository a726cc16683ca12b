/* ICMP errors for who sends a packet that leads nowhere: the part of wgpy/datapath/unreachable.py. */
#ifndef WGFP_UNREACHABLE_H
#define WGFP_UNREACHABLE_H

#include "packet.h"

enum {
    ICMP_ERROR_INTERVAL = 1000000, /* ns: Linux' icmp_msgs_per_sec */
    ICMP_ERROR_BURST = 50,         /* Linux' icmp_msgs_burst */
    ICMP_ERROR_SIZE = 1280,        /* at most, RFC 4443 3.1 */
};

/* How many errors there were. One thread's; zeros at the beginning. */
struct unreachable {
    uint64_t free_at; /* when as many are left as at the beginning */
};

/* Make the error for a packet, if there may be one now. error: room for ICMP_ERROR_SIZE bytes. Returns its length; 0:
 * there may be none. */
size_t unreachable_error(struct unreachable *limit, const struct wgfp_view *view, const uint8_t *packet, uint8_t *error,
                         uint64_t now);

#endif
