/* RFC 7693, with its names: h is the state, v the working vector, m the block's words, t the count of bytes. */
#include "blake2s.h"
#include "blake2s_tables.h"

#include "bytes.h"
#include "clear.h"

#include <stdbool.h>
#include <string.h>

enum { BLOCK = 64, KEY = 32, OUT = 32, MAC = 16 };

const uint32_t wgfp_blake2s_iv[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

const uint8_t wgfp_blake2s_sigma[BLAKE2S_ROUNDS][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static inline uint32_t rotate_right(uint32_t word, int bits)
{
    return word >> bits | word << (32 - bits);
}

static inline void mix(uint32_t v[16], int a, int b, int c, int d, uint32_t x, uint32_t y)
{
    v[a] += v[b] + x;
    v[d] = rotate_right(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = rotate_right(v[b] ^ v[c], 12);
    v[a] += v[b] + y;
    v[d] = rotate_right(v[d] ^ v[a], 8);
    v[c] += v[d];
    v[b] = rotate_right(v[b] ^ v[c], 7);
}

/* One computation. Everything in it depends on the key, so it is cleared at the end. */
struct work {
    uint32_t h[8];
    uint64_t t;
    uint8_t block[BLOCK];
};

static void work_begin(struct work *work, size_t out_length, size_t key_length)
{
    memset(work, 0, sizeof *work);
    memcpy(work->h, wgfp_blake2s_iv, sizeof wgfp_blake2s_iv);
    work->h[0] ^= 0x01010000 ^ (uint32_t)key_length << 8 ^ (uint32_t)out_length;
}

/* `bytes` of the block are the message's, the rest are zeros. */
static void compress(struct work *work, const uint8_t block[BLOCK], size_t bytes, bool last)
{
    uint32_t v[16], m[16]; /* of this function alone, so that they are in registers */

    work->t += bytes;
    for (int i = 0; i < 16; i++)
        m[i] = wgfp_load32(block + 4 * i);
    memcpy(v, work->h, sizeof work->h);
    memcpy(v + 8, wgfp_blake2s_iv, sizeof wgfp_blake2s_iv);
    v[12] ^= (uint32_t)work->t;
    v[13] ^= (uint32_t)(work->t >> 32);
    v[14] ^= last ? UINT32_MAX : 0;
    for (int round = 0; round < BLAKE2S_ROUNDS; round++) {
        const uint8_t *s = wgfp_blake2s_sigma[round];

        mix(v, 0, 4, 8, 12, m[s[0]], m[s[1]]);
        mix(v, 1, 5, 9, 13, m[s[2]], m[s[3]]);
        mix(v, 2, 6, 10, 14, m[s[4]], m[s[5]]);
        mix(v, 3, 7, 11, 15, m[s[6]], m[s[7]]);
        mix(v, 0, 5, 10, 15, m[s[8]], m[s[9]]);
        mix(v, 1, 6, 11, 12, m[s[10]], m[s[11]]);
        mix(v, 2, 7, 8, 13, m[s[12]], m[s[13]]);
        mix(v, 3, 4, 9, 14, m[s[14]], m[s[15]]);
    }
    for (int i = 0; i < 8; i++)
        work->h[i] ^= v[i] ^ v[i + 8];
    wgfp_clear(v, sizeof v);
    wgfp_clear(m, sizeof m);
}

/* Take in all data, of which the last block is compressed as such, and write the hash. */
static void work_end(struct work *work, uint8_t *out, size_t out_length, const uint8_t *data, size_t length)
{
    uint8_t hash[OUT];

    for (; length > BLOCK; data += BLOCK, length -= BLOCK)
        compress(work, data, BLOCK, false);
    memset(work->block, 0, BLOCK);
    if (length > 0)
        memcpy(work->block, data, length);
    compress(work, work->block, length, true);
    for (int i = 0; i < 8; i++)
        wgfp_store32(hash + 4 * i, work->h[i]);
    memcpy(out, hash, out_length);
    wgfp_clear(hash, sizeof hash);
    wgfp_clear(work, sizeof *work);
}

void wgfp_blake2s(uint8_t *out, size_t out_length, const uint8_t *key, size_t key_length, const uint8_t *data,
                  size_t length)
{
    uint8_t padded[BLOCK] = {0};
    struct work work;

    work_begin(&work, out_length, key_length);
    if (key_length > 0) {
        memcpy(padded, key, key_length);
        if (length > 0) {
            compress(&work, padded, BLOCK, false);
        } else { /* the key's block is the last one */
            data = padded;
            length = BLOCK;
        }
    }
    work_end(&work, out, out_length, data, length);
    wgfp_clear(padded, sizeof padded);
}

void wgfp_blake2s_key_init(struct wgfp_blake2s_key *prepared, const uint8_t key[KEY])
{
    struct work work;

    work_begin(&work, MAC, KEY);
    memcpy(work.block, key, KEY);
    compress(&work, work.block, BLOCK, false);
    memcpy(prepared->h, work.h, sizeof work.h);
    wgfp_clear(&work, sizeof work);
}

void wgfp_blake2s_mac(uint8_t out[MAC], const struct wgfp_blake2s_key *prepared, const uint8_t *data, size_t length)
{
    struct work work;

    memcpy(work.h, prepared->h, sizeof work.h);
    work.t = BLOCK; /* the key's */
    work_end(&work, out, MAC, data, length);
}
