/* SipHash-2-4: a short keyed hash, for tables that the network fills. Aumasson and Bernstein, 2012. */
#ifndef WGFP_SIPHASH_H
#define WGFP_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

/* cffi: begin */

uint64_t wgfp_siphash(const uint8_t key[16], const uint8_t *data, size_t length);

/* cffi: end */

#endif
