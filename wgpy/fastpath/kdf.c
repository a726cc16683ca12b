/* WireGuard's KDF: HKDF (RFC 5869) without info, by HMAC (RFC 2104) with BLAKE2s; whitepaper 5.4. */
#include "blake2s.h"
#include "clear.h"
#include "wgfp.h"

#include <assert.h>
#include <string.h>

enum { BLOCK = 64, SIZE = 32 };

/* Of a key of 32 bytes, and of at most 33 bytes of data. out may be the key. */
static void hmac(uint8_t out[SIZE], const uint8_t key[SIZE], const uint8_t *data, size_t length)
{
    uint8_t inner[BLOCK + SIZE + 1], outer[BLOCK + SIZE];

    memset(inner, 0x36, BLOCK);
    memset(outer, 0x5c, BLOCK);
    for (size_t i = 0; i < SIZE; i++) {
        inner[i] ^= key[i];
        outer[i] ^= key[i];
    }
    if (length > 0)
        memcpy(inner + BLOCK, data, length);
    wgfp_blake2s(outer + BLOCK, SIZE, NULL, 0, inner, BLOCK + length);
    wgfp_blake2s(out, SIZE, NULL, 0, outer, sizeof outer);
    wgfp_clear(inner, sizeof inner);
    wgfp_clear(outer, sizeof outer);
}

void wgfp_kdf(uint8_t *out, size_t n, const uint8_t key[32], const uint8_t *data, size_t length)
{
    uint8_t secret[SIZE], expanded[SIZE + 1];

    assert(length <= SIZE);
    hmac(secret, key, data, length);
    for (size_t i = 0; i < n; i++) {
        const size_t before = i > 0 ? SIZE : 0; /* of the output before */

        expanded[before] = (uint8_t)(i + 1);
        hmac(expanded, secret, expanded, before + 1);
        memcpy(out + SIZE * i, expanded, SIZE);
    }
    wgfp_clear(secret, sizeof secret);
    wgfp_clear(expanded, sizeof expanded);
}
