/* What an instruction set brings to ChaCha20-Poly1305: three functions that know nothing of packets.
 *
 * aead.c cuts batches into calls of them, so that their SIMD lanes run across the borders of packets.
 */
#ifndef WGFP_AEAD_KERNEL_H
#define WGFP_AEAD_KERNEL_H

#include "bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WGFP_KEY_SIZE = 32,
    WGFP_TAG_SIZE = 16,
    WGFP_BLOCK_SIZE = 64,   /* of ChaCha20's key stream */
    WGFP_STREAM_BLOCKS = 32, /* at most so many blocks in one call of `stream` */
    WGFP_MAC_MESSAGES = 8,  /* at most so many messages in one call of `mac` */
};

/* Consecutive blocks of one key stream. The nonce is four zero bytes and `counter`, little-endian. */
struct wgfp_aead_run {
    uint64_t counter;
    uint32_t first; /* number of the first block */
    uint32_t blocks;
    size_t packet;  /* whose they are: aead.c's own note */
};

/* One message for Poly1305, as the AEAD composes it: data, zeros up to 16 bytes, then the two lengths. */
struct wgfp_aead_message {
    const uint8_t *data;
    const uint8_t *key; /* WGFP_KEY_SIZE bytes: the first half of the packet's block 0 */
    uint32_t length;
    uint8_t tag[WGFP_TAG_SIZE]; /* written by mac */
};

/* Poly1305 of one message, in words of 64 bits. */
struct wgfp_poly1305_words {
    uint64_t r0, r1, r1_5; /* clamped; 5 r1 / 4: r1 is a multiple of 4, and 2^128 is 5 / 4 */
    uint64_t h0, h1, h2;   /* the sum so far; h2 is a few bits */
};

/* Messages whose tags are made one after the other. */
struct wgfp_aead_tags {
    struct wgfp_aead_message *messages;
    size_t ready; /* so many messages have their data and key */
    size_t made;  /* so many have their tag */
    struct wgfp_poly1305_words words[2]; /* of the next ones, if `stream` has begun with them */
    uint32_t begun;                      /* so much of those is done with: the kernel's own note */
};

struct wgfp_aead_kernel {
    const char *name;
    size_t messages; /* as many as `mac` likes to have in a call, at most WGFP_MAC_MESSAGES */
    uint32_t blocks; /* as many as `stream` likes to make in a call, at most WGFP_STREAM_BLOCKS */
    size_t waiting;  /* so many messages may wait for `stream` to make their tags */

    /* Is it made for the processor that runs this? */
    bool (*supported)(void);

    /* Is it better there than a later one? NULL: wherever it is supported. */
    bool (*suits)(void);

    /* Write the blocks of all runs, one after the other, to `blocks`, which is aligned to 64 bytes.
     * May write, up to WGFP_STREAM_BLOCKS, more blocks than were asked for. May make tags beside. */
    void (*stream)(const uint8_t key[WGFP_KEY_SIZE], const struct wgfp_aead_run *runs, size_t n, uint8_t *blocks,
                   struct wgfp_aead_tags *tags);

    /* dst = src ^ blocks. dst may be src; nothing beyond `length` is read from src or written to dst. */
    void (*xor)(uint8_t *dst, const uint8_t *src, const uint8_t *blocks, size_t length);

    /* Write the tags of n messages, 1 <= n <= messages. Nothing beyond `length` is read. */
    void (*mac)(struct wgfp_aead_message *messages, size_t n);
};

extern const struct wgfp_aead_kernel wgfp_aead_portable;
extern const struct wgfp_aead_kernel wgfp_aead_avx2;
extern const struct wgfp_aead_kernel wgfp_aead_avx512;
extern const struct wgfp_aead_kernel wgfp_aead_avx512_beside;
extern const struct wgfp_aead_kernel wgfp_aead_neon;

/* Functions between these two are for an instruction set that the rest of the program is not compiled for. */
#define WGFP_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define WGFP_TARGET_BEGIN(features) \
    WGFP_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define WGFP_TARGET_END WGFP_PRAGMA(clang attribute pop)
#else
#define WGFP_TARGET_BEGIN(features) WGFP_PRAGMA(GCC push_options) WGFP_PRAGMA(GCC target(features))
#define WGFP_TARGET_END WGFP_PRAGMA(GCC pop_options)
#endif

/* Where the kernels' code is compiled at all. */
#if defined(__x86_64__) && defined(__LP64__)
#define WGFP_AEAD_X86 1
#elif defined(__aarch64__) && defined(__ARM_NEON) && !defined(__AARCH64EB__)
#define WGFP_AEAD_ARM 1
#endif

/* tag = h + s, modulo 2^128, of the one h below 2^130 - 5. `h` is five limbs of 26 bits or, in any of them, up to 31;
 * it is changed. For kernels that have no better way. */
void wgfp_poly1305_finish(uint32_t h[5], const uint8_t s[16], uint8_t tag[16]);

/* The portable kernel's mac, of any number of messages. Others use it where vectors do not pay. */
void wgfp_poly1305_scalar(struct wgfp_aead_message *messages, size_t n);

/* ChaCha20's first four words, "expand 32-byte k". */
static const uint32_t wgfp_sigma[4] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};

#endif
