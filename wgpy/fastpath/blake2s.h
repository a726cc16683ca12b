/* BLAKE2s (RFC 7693), for the MACs of handshake messages: whole messages only, no streaming. */
#ifndef WGFP_BLAKE2S_H
#define WGFP_BLAKE2S_H

#include <stddef.h>
#include <stdint.h>

/* cffi: begin */

/* A key of 32 bytes, taken in: of a message it saves one of three blocks. As secret as the key. */
struct wgfp_blake2s_key {
    uint32_t h[8];
};

/* out_length: 1 to 32; key_length: 0, for no key, to 32. out must not overlap data. */
void wgfp_blake2s(uint8_t *out, size_t out_length, const uint8_t *key, size_t key_length, const uint8_t *data,
                  size_t length);

/* The same in two steps, with a MAC of 16 bytes; the data must be at least one byte. */
void wgfp_blake2s_key_init(struct wgfp_blake2s_key *prepared, const uint8_t key[32]);
void wgfp_blake2s_mac(uint8_t out[16], const struct wgfp_blake2s_key *prepared, const uint8_t *data, size_t length);

/* cffi: end */

#endif
