/* The permits of a peer, by what they are of: wgpy/datapath/permits.py.
 *
 * A look-up is by addresses, masked, and protocol; then a search by port among cells that do not overlap. There is one
 * look-up for each combination of prefix lengths and of protocol or none that the permits have, so what a packet costs
 * does not grow with the number of permits. They are made once and never change.
 */
#ifndef WGFP_PERMITS_H
#define WGFP_PERMITS_H

#include "wgfp.h"

#include <stdbool.h>

enum {
    MAX_RULES = 16384,
    MAX_PERMITS = 16384, /* of one peer */
    MAX_PORT = 65535,
    NO_PORT = MAX_PORT + 1, /* stands for that of a protocol without */
    NO_RULE = MAX_RULES,
};

/* What a permit is asked about. */
struct subject {
    const uint8_t *source, *destination;
    uint32_t size; /* of an address: 4 or 16 */
    int protocol;  /* -1: not known */
    uint32_t port; /* NO_PORT: there is none */
};

struct permits;

/* WGFP_ERR_INVALID: too many permits, or no permits; WGFP_ERR_MEMORY. */
int permits_new(struct permits **permits, const struct wgfp_permit *from, size_t count);
void permits_free(struct permits *permits);
bool permits_equal(const struct permits *a, const struct permits *b);

/* The number of the rule of the first one that allows it; NO_RULE: none does. */
uint32_t permits_find(const struct permits *permits, const struct subject *subject);

#endif
