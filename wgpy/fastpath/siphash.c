/* SipHash-2-4; what the function means is said in siphash.h. */
#include "siphash.h"

#include "bytes.h"

struct state {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t word, int bits)
{
    return word << bits | word >> (64 - bits);
}

static inline void rounds(struct state *s, int n)
{
    while (n-- > 0) {
        s->v0 += s->v1;
        s->v2 += s->v3;
        s->v1 = rotate(s->v1, 13) ^ s->v0;
        s->v3 = rotate(s->v3, 16) ^ s->v2;
        s->v0 = rotate(s->v0, 32);
        s->v2 += s->v1;
        s->v0 += s->v3;
        s->v1 = rotate(s->v1, 17) ^ s->v2;
        s->v3 = rotate(s->v3, 21) ^ s->v0;
        s->v2 = rotate(s->v2, 32);
    }
}

static inline void word_take(struct state *s, uint64_t word)
{
    s->v3 ^= word;
    rounds(s, 2);
    s->v0 ^= word;
}

/* The bytes that fill no word, and the length modulo 256 in front of them. */
static uint64_t last_word(const uint8_t *data, size_t length)
{
    uint64_t word = (uint64_t)length << 56;

    for (size_t i = length & ~(size_t)7; i < length; i++)
        word |= (uint64_t)data[i] << 8 * (i & 7);
    return word;
}

uint64_t wgfp_siphash(const uint8_t key[16], const uint8_t *data, size_t length)
{
    const uint64_t k0 = wgfp_load64(key), k1 = wgfp_load64(key + 8);
    struct state s = {k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
                      k1 ^ 0x7465646279746573};

    for (size_t i = 0; i + 8 <= length; i += 8)
        word_take(&s, wgfp_load64(data + i));
    word_take(&s, last_word(data, length));
    s.v2 ^= 0xff;
    rounds(&s, 4);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
