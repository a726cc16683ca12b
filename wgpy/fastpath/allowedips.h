/* Cryptokey routing: which peer owns an address. Whitepaper 2.
 *
 * Invariant: an address belongs to the peer of the longest prefix that contains it, and a prefix to one peer at a time.
 *
 * Looking up changes nothing, so any number of threads may do it; the caller sees to it that nobody does while a
 * function without `const` runs. Only insert allocates memory, and new.
 */
#ifndef WGFP_ALLOWEDIPS_H
#define WGFP_ALLOWEDIPS_H

#include "errors.h"

#include <stddef.h>
#include <stdint.h>

/* cffi: begin */

/* Prefixes of IPv4 and IPv6. A peer is a number that the caller chose, from 1 to WGFP_MAX_OWNER, and low, as each number
 * up to the highest takes 4 to 8 bytes; a prefix is an address as on the network, its size, 4 or 16 bytes, and a length
 * in bits. */
struct wgfp_allowedips;

enum { WGFP_MAX_OWNER = (1 << 21) - 1 };

/* A prefix in bytes: its address and zeros up to 16, the size of the address, its length. */
enum { WGFP_PREFIX_SIZE = 18 };

/* NULL if there is no memory. */
struct wgfp_allowedips *wgfp_allowedips_new(void);

/* NULL is freed, too. */
void wgfp_allowedips_free(struct wgfp_allowedips *routes);

/* Give the prefix to this peer, whoever had it. WGFP_ERR_INVALID: no prefix, or one with host bits, or no such
 * number of a peer; WGFP_ERR_MEMORY. */
int wgfp_allowedips_insert(struct wgfp_allowedips *routes, const uint8_t *address, size_t size, unsigned length,
                           uint32_t peer);

/* Take the prefix from this peer; nothing happens if it is not this peer's. */
void wgfp_allowedips_remove(struct wgfp_allowedips *routes, const uint8_t *address, size_t size, unsigned length,
                            uint32_t peer);

/* How many prefixes this peer has; and, if there is room for as many, what they are, in the order in which it got them,
 * WGFP_PREFIX_SIZE bytes each. */
size_t wgfp_allowedips_of_peer(const struct wgfp_allowedips *routes, uint32_t peer, uint8_t *prefixes, size_t room);

/* Take all of this peer's prefixes. */
void wgfp_allowedips_remove_peer(struct wgfp_allowedips *routes, uint32_t peer);

/* The peer that owns an address, or 0. */
uint32_t wgfp_allowedips_lookup4(const struct wgfp_allowedips *routes, const uint8_t address[4]);
uint32_t wgfp_allowedips_lookup6(const struct wgfp_allowedips *routes, const uint8_t address[16]);

/* How many prefixes there are. */
size_t wgfp_allowedips_count(const struct wgfp_allowedips *routes);

/* cffi: end */

/* The same, of an address of 4 or 16 bytes. */
static inline uint32_t wgfp_allowedips_lookup(const struct wgfp_allowedips *routes, const uint8_t *address, size_t size)
{
    return size == 4 ? wgfp_allowedips_lookup4(routes, address) : wgfp_allowedips_lookup6(routes, address);
}

#endif
