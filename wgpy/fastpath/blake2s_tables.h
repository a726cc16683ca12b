/* The constants of BLAKE2s, with the names of RFC 7693. */
#ifndef WGFP_BLAKE2S_TABLES_H
#define WGFP_BLAKE2S_TABLES_H

#include <stdint.h>

enum { BLAKE2S_ROUNDS = 10 };

extern const uint32_t wgfp_blake2s_iv[8];
extern const uint8_t wgfp_blake2s_sigma[BLAKE2S_ROUNDS][16];

#endif
