/* The C data path, as Python sees it.
 *
 * The part between the two markers is also read by build.py, which hands it to cffi: plain
 * declarations only, no preprocessor lines.
 */
#ifndef WGFP_H
#define WGFP_H

#include <stddef.h>
#include <stdint.h>

/* cffi: begin */

/* The version of this interface. native.py refuses a library that says another one. */
int wgfp_abi_version(void);

/* ChaCha20-Poly1305 (RFC 8439) for WireGuard's data: no associated data, and the nonce is four zero bytes and the
 * counter, little-endian. A kernel is its implementation for one instruction set. */
struct wgfp_aead_kernel;

const struct wgfp_aead_kernel *wgfp_aead_kernel_best(void);

/* "avx512", "avx2", "neon" or "portable"; NULL if it is not in this build, or not for this processor. */
const struct wgfp_aead_kernel *wgfp_aead_kernel_find(const char *name);
const char *wgfp_aead_kernel_name(const struct wgfp_aead_kernel *kernel);

/* dst may be src, or else must not overlap it. Any alignment will do; 64 bytes is best. */
struct wgfp_aead_packet {
    const uint8_t *src; /* seal: the plaintext. open: the ciphertext and its tag */
    uint8_t *dst;       /* seal: room for the ciphertext and its tag, 16 bytes. open: room for the plaintext */
    uint64_t counter;
    uint32_t length;    /* bytes of plaintext */
    int ok;             /* written: 1, or 0 if the packet is not authentic; then nothing was written to dst */
};

/* Any number of packets under one key: the more, the faster each; from 8 on it changes little. */
void wgfp_aead_seal(const struct wgfp_aead_kernel *kernel, const uint8_t key[32],
                    struct wgfp_aead_packet *packets, size_t n);
void wgfp_aead_open(const struct wgfp_aead_kernel *kernel, const uint8_t key[32],
                    struct wgfp_aead_packet *packets, size_t n);

/* cffi: end */

#endif
