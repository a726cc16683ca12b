/* ChaCha20-Poly1305 in plain C11: any byte order, 32 or 64 bit, one block at a time. */
#include "aead_words.h"

#include <string.h>

/* ChaCha20, RFC 8439, section 2.3. */

static uint32_t rotate(uint32_t word, int bits)
{
    return word << bits | word >> (32 - bits);
}

static void quarter_round(uint32_t x[16], int a, int b, int c, int d)
{
    x[a] += x[b];
    x[d] = rotate(x[d] ^ x[a], 16);
    x[c] += x[d];
    x[b] = rotate(x[b] ^ x[c], 12);
    x[a] += x[b];
    x[d] = rotate(x[d] ^ x[a], 8);
    x[c] += x[d];
    x[b] = rotate(x[b] ^ x[c], 7);
}

static void chacha20_block(const uint32_t state[16], uint8_t block[WGFP_BLOCK_SIZE])
{
    uint32_t x[16];

    memcpy(x, state, sizeof x);
    for (int round = 0; round < 20; round += 2) {
        for (int column = 0; column < 4; column++)
            quarter_round(x, column, 4 + column, 8 + column, 12 + column);
        for (int column = 0; column < 4; column++)
            quarter_round(x, column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4);
    }
    for (int i = 0; i < 16; i++)
        wgfp_store32(block + 4 * i, x[i] + state[i]);
    wgfp_clear(x, sizeof x);
}

static void stream(const uint8_t key[WGFP_KEY_SIZE], const struct wgfp_aead_run *runs, size_t n, uint8_t *blocks,
                   struct wgfp_aead_tags *tags)
{
    uint32_t state[16];

    (void)tags;
    memcpy(state, wgfp_sigma, sizeof wgfp_sigma);
    for (int i = 0; i < 8; i++)
        state[4 + i] = wgfp_load32(key + 4 * i);
    state[13] = 0;
    for (size_t i = 0; i < n; i++) {
        state[14] = (uint32_t)runs[i].counter;
        state[15] = (uint32_t)(runs[i].counter >> 32);
        for (uint32_t j = 0; j < runs[i].blocks; j++, blocks += WGFP_BLOCK_SIZE) {
            state[12] = runs[i].first + j;
            chacha20_block(state, blocks);
        }
    }
    wgfp_clear(state, sizeof state);
}

static void xor(uint8_t *dst, const uint8_t *src, const uint8_t *blocks, size_t length)
{
    for (size_t i = 0; i < length; i++)
        dst[i] = src[i] ^ blocks[i];
}

/* Poly1305, RFC 8439, section 2.5. */

enum { LIMBS = 5, LIMB_BITS = 26, LIMB_MASK = (1 << LIMB_BITS) - 1, BLOCK = 16 };

void wgfp_poly1305_finish(uint32_t h[LIMBS], const uint8_t s[BLOCK], uint8_t tag[BLOCK])
{
    uint32_t less[LIMBS]; /* h - (2^130 - 5), that is h + 5 - 2^130 */
    uint32_t carry = 0;

    for (int pass = 0; pass < 2; pass++) { /* after one, limb 0 may be over again */
        for (int i = 0; i < LIMBS; i++) {
            h[i] += carry;
            carry = h[i] >> LIMB_BITS;
            h[i] &= LIMB_MASK;
        }
        carry *= 5;
    }
    h[0] += carry;
    carry = 5;
    for (int i = 0; i < LIMBS; i++) {
        less[i] = h[i] + carry;
        carry = less[i] >> LIMB_BITS;
        less[i] &= LIMB_MASK;
    }
    const uint32_t take_less = 0 - carry; /* all ones if there was a carry out of 2^130 */
    for (int i = 0; i < LIMBS; i++)
        h[i] = (h[i] & ~take_less) | (less[i] & take_less);

    const uint32_t words[4] = {
        h[0] | h[1] << 26,
        h[1] >> 6 | h[2] << 20,
        h[2] >> 12 | h[3] << 14,
        h[3] >> 18 | h[4] << 8,
    };
    uint64_t sum = 0;
    for (int i = 0; i < 4; i++) {
        sum += (uint64_t)words[i] + wgfp_load32(s + 4 * i);
        wgfp_store32(tag + 4 * i, (uint32_t)sum);
        sum >>= 32;
    }
}

#if defined(__SIZEOF_INT128__)

static void message_mac(struct wgfp_aead_message *message)
{
    struct wgfp_poly1305_words state;

    wgfp_words_start(&state, message->key);
    wgfp_words_end(state, message, 0);
    wgfp_clear(&state, sizeof state);
}

#else

/* In five limbs of 26 bits: products of two fit into 64, and so do sums of five. */

struct poly1305 {
    uint32_t r[LIMBS]; /* clamped */
    uint32_t h[LIMBS]; /* the sum so far, each limb a little over 26 bits at most */
};

static void limbs_load(uint32_t limbs[LIMBS], const uint8_t bytes[BLOCK], uint32_t bit_128)
{
    const uint32_t w0 = wgfp_load32(bytes), w1 = wgfp_load32(bytes + 4);
    const uint32_t w2 = wgfp_load32(bytes + 8), w3 = wgfp_load32(bytes + 12);

    limbs[0] = w0 & LIMB_MASK;
    limbs[1] = (w0 >> 26 | w1 << 6) & LIMB_MASK;
    limbs[2] = (w1 >> 20 | w2 << 12) & LIMB_MASK;
    limbs[3] = (w2 >> 14 | w3 << 18) & LIMB_MASK;
    limbs[4] = w3 >> 8 | bit_128 << 24;
}

static void poly1305_start(struct poly1305 *state, const uint8_t key[BLOCK])
{
    uint8_t clamped[BLOCK];

    memcpy(clamped, key, BLOCK);
    for (int i = 0; i < BLOCK; i += 4) {
        clamped[i + 3] &= 0x0f;
        if (i > 0)
            clamped[i] &= 0xfc;
    }
    limbs_load(state->r, clamped, 0);
    memset(state->h, 0, sizeof state->h);
    wgfp_clear(clamped, sizeof clamped);
}

/* h = (h + block) * r, modulo 2^130 - 5. */
static void poly1305_block(struct poly1305 *state, const uint8_t block[BLOCK])
{
    const uint32_t *r = state->r;
    uint32_t m[LIMBS];
    uint64_t sum[LIMBS];
    uint64_t carry = 0;

    limbs_load(m, block, 1);
    for (int i = 0; i < LIMBS; i++)
        m[i] += state->h[i];
    for (int i = 0; i < LIMBS; i++) {
        sum[i] = 0;
        for (int j = 0; j < LIMBS; j++) /* what passes 2^130 comes back times 5 */
            sum[i] += (uint64_t)m[j] * (j <= i ? r[i - j] : 5 * r[LIMBS + i - j]);
    }
    for (int i = 0; i < LIMBS; i++) {
        sum[i] += carry;
        carry = sum[i] >> LIMB_BITS;
        state->h[i] = (uint32_t)sum[i] & LIMB_MASK;
    }
    carry = carry * 5 + state->h[0];
    state->h[0] = (uint32_t)carry & LIMB_MASK;
    state->h[1] += (uint32_t)(carry >> LIMB_BITS);
}

static void message_mac(struct wgfp_aead_message *message)
{
    const uint32_t rest = message->length % BLOCK;
    const uint32_t whole = message->length - rest;
    struct poly1305 state;
    uint8_t last[BLOCK];

    poly1305_start(&state, message->key);
    for (uint32_t offset = 0; offset < whole; offset += BLOCK)
        poly1305_block(&state, message->data + offset);
    if (rest > 0) {
        memset(last, 0, BLOCK);
        memcpy(last, message->data + whole, rest);
        poly1305_block(&state, last);
    }
    memset(last, 0, BLOCK); /* no associated data: its length is 0 */
    wgfp_store32(last + 8, message->length);
    poly1305_block(&state, last);
    wgfp_poly1305_finish(state.h, message->key + BLOCK, message->tag);
    wgfp_clear(&state, sizeof state);
}

#endif

void wgfp_poly1305_scalar(struct wgfp_aead_message *messages, size_t n)
{
    for (size_t i = 0; i < n; i++)
        message_mac(&messages[i]);
}

static bool supported(void)
{
    return true;
}

const struct wgfp_aead_kernel wgfp_aead_portable = {
    .name = "portable",
    .messages = 1,
    .blocks = WGFP_STREAM_BLOCKS,
    .supported = supported,
    .stream = stream,
    .xor = xor,
    .mac = wgfp_poly1305_scalar,
};
