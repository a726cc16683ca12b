/* Poly1305 (RFC 8439, section 2.5) in words of 64 bits: one block of one message at a time. */
#ifndef WGFP_AEAD_WORDS_H
#define WGFP_AEAD_WORDS_H

#include "aead_kernel.h"
#include "clear.h"

#include <string.h>

enum { WGFP_POLY1305_BLOCK = 16 };

#if defined(__SIZEOF_INT128__)

__extension__ typedef unsigned __int128 wgfp_wide;

static inline void wgfp_words_start(struct wgfp_poly1305_words *state, const uint8_t key[WGFP_POLY1305_BLOCK])
{
    const uint64_t r1 = wgfp_load64(key + 8) & 0x0ffffffc0ffffffc;

    *state = (struct wgfp_poly1305_words){
        .r0 = wgfp_load64(key) & 0x0ffffffc0fffffff, .r1 = r1, .r1_5 = r1 + (r1 >> 2)};
}

static inline wgfp_wide wgfp_words_load(const uint8_t bytes[WGFP_POLY1305_BLOCK])
{
    return (wgfp_wide)wgfp_load64(bytes + 8) << 64 | wgfp_load64(bytes);
}

/* h = (h + block) * r, modulo 2^130 - 5. Carries are comparisons, for gcc keeps sums of 128 bits in memory. */
static inline void wgfp_words_block(struct wgfp_poly1305_words *state, wgfp_wide block)
{
    const uint64_t r0 = state->r0, r1 = state->r1, r1_5 = state->r1_5;
    const uint64_t m0 = state->h0 + (uint64_t)block;
    const uint64_t h1 = state->h1 + (m0 < (uint64_t)block);
    const uint64_t m1 = h1 + (uint64_t)(block >> 64);
    const uint64_t m2 = state->h2 + (h1 < state->h1) + (m1 < h1) + 1; /* 1: the bit 2^128 */
    const wgfp_wide p0 = (wgfp_wide)m0 * r0 + (wgfp_wide)m1 * r1_5;
    const wgfp_wide p1 = (wgfp_wide)m0 * r1 + (wgfp_wide)m1 * r0 + m2 * r1_5 + (uint64_t)(p0 >> 64);
    const uint64_t p2 = m2 * r0 + (uint64_t)(p1 >> 64);
    const uint64_t more = (p2 & ~(uint64_t)3) + (p2 >> 2); /* 5 (p2 / 4) */

    state->h0 = (uint64_t)p0 + more;
    state->h1 = (uint64_t)p1 + (state->h0 < more);
    state->h2 = (p2 & 3) + (state->h1 < (uint64_t)p1);
}

#if defined(WGFP_AEAD_X86)

/* The same as assembly text, to stand between the instructions of vectors: the block at data + offset, by the words at
 * words + at. All are strings, the last nine names of registers. h0 and h1 go to to0 and to1, and h2 stays. Changes t0
 * to t3, rdx, and the registers of h0 and h1.
 */
#define WGFP_WORDS_BLOCK(offset, data, at, words, h0, h1, h2, to0, to1, t0, t1, t2, t3) \
    "add " offset "(" data "), " h0 "\n\t" \
    "adc 8+" offset "(" data "), " h1 "\n\t" \
    "adc $1, " h2 "\n\t" \
    "mov " h0 ", %%rdx\n\t" \
    "mulx " at "(" words "), " to0 ", " t0 "\n\t" \
    "mulx 8+" at "(" words "), " to1 ", " t1 "\n\t" \
    "mov " h1 ", %%rdx\n\t" \
    "mulx 16+" at "(" words "), " t2 ", " h0 "\n\t" \
    "mulx " at "(" words "), " h1 ", " t3 "\n\t" \
    "add " t2 ", " to0 "\n\t" /* t0 to0 = h0 r0 + h1 r1_5 */ \
    "adc " h0 ", " t0 "\n\t" \
    "mov " h2 ", " t2 "\n\t" \
    "imul 16+" at "(" words "), " h2 "\n\t" \
    "imul " at "(" words "), " t2 "\n\t" \
    "add " h1 ", " to1 "\n\t" /* t1 to1 = t0 + h0 r1 + h1 r0 + h2 r1_5 + 2^64 h2 r0 */ \
    "adc " t3 ", " t1 "\n\t" \
    "add " h2 ", " to1 "\n\t" \
    "adc " t2 ", " t1 "\n\t" \
    "add " t0 ", " to1 "\n\t" \
    "adc $0, " t1 "\n\t" \
    "mov " t1 ", " t0 "\n\t" /* t1 to1 to0: the product */ \
    "mov " t1 ", " h2 "\n\t" \
    "and $-4, " t0 "\n\t" /* 5 (t1 / 4) */ \
    "shr $2, " t1 "\n\t" \
    "and $3, " h2 "\n\t" \
    "add " t1 ", " t0 "\n\t" \
    "add " t0 ", " to0 "\n\t" \
    "adc $0, " to1 "\n\t" \
    "adc $0, " h2 "\n\t"

_Static_assert(offsetof(struct wgfp_poly1305_words, r0) == 0 && offsetof(struct wgfp_poly1305_words, r1) == 8 &&
                   offsetof(struct wgfp_poly1305_words, r1_5) == 16,
               "WGFP_WORDS_BLOCK has these");

#endif

/* tag = h + s, modulo 2^128, of the one h below 2^130 - 5 */
static inline void wgfp_words_finish(const struct wgfp_poly1305_words *state, const uint8_t s[WGFP_POLY1305_BLOCK],
                                     uint8_t tag[WGFP_TAG_SIZE])
{
    const uint64_t less0 = state->h0 + 5; /* h - (2^130 - 5), but for the bits above */
    const uint64_t less1 = state->h1 + (less0 < 5);
    const uint64_t less2 = state->h2 + (less1 < state->h1);
    const uint64_t take_less = 0 - (less2 >> 2); /* all ones if that is not negative */
    const uint64_t h0 = state->h0 ^ ((state->h0 ^ less0) & take_less);
    const uint64_t h1 = state->h1 ^ ((state->h1 ^ less1) & take_less);
    const uint64_t low = h0 + wgfp_load64(s);

    wgfp_store64(tag, low);
    wgfp_store64(tag + 8, h1 + wgfp_load64(s + 8) + (low < h0));
}

/* The last bytes of a message, up to 15, and zeros. */
static inline wgfp_wide wgfp_words_rest(const struct wgfp_aead_message *message, uint32_t rest)
{
    uint8_t bytes[WGFP_POLY1305_BLOCK] = {0};

    if (message->length >= sizeof bytes) /* a copy of so few would be waited for */
        return wgfp_words_load(message->data + message->length - sizeof bytes) >> 8 * (sizeof bytes - rest);
    memcpy(bytes, message->data, rest);
    return wgfp_words_load(bytes);
}

/* The blocks of a message from byte `at` on, and its tag. */
static inline void wgfp_words_end(struct wgfp_poly1305_words state, struct wgfp_aead_message *message, uint32_t at)
{
    for (; message->length - at >= WGFP_POLY1305_BLOCK; at += WGFP_POLY1305_BLOCK)
        wgfp_words_block(&state, wgfp_words_load(message->data + at));
    if (at < message->length)
        wgfp_words_block(&state, wgfp_words_rest(message, message->length - at));
    wgfp_words_block(&state, (wgfp_wide)message->length << 64); /* no associated data: its length is 0 */
    wgfp_words_finish(&state, message->key + WGFP_POLY1305_BLOCK, message->tag);
}

#endif
#endif
