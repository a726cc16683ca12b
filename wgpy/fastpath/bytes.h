/* Words in memory, of any alignment and on a processor of any byte order. */
#ifndef WGFP_BYTES_H
#define WGFP_BYTES_H

#include <stdint.h>

static inline uint32_t wgfp_load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline void wgfp_store32(uint8_t *p, uint32_t word)
{
    p[0] = (uint8_t)word;
    p[1] = (uint8_t)(word >> 8);
    p[2] = (uint8_t)(word >> 16);
    p[3] = (uint8_t)(word >> 24);
}

static inline uint64_t wgfp_load64(const uint8_t *p)
{
    return wgfp_load32(p) | (uint64_t)wgfp_load32(p + 4) << 32;
}

static inline void wgfp_store64(uint8_t *p, uint64_t word)
{
    wgfp_store32(p, (uint32_t)word);
    wgfp_store32(p + 4, (uint32_t)(word >> 32));
}

/* Big-endian, as on the network. */
static inline uint16_t wgfp_load16_be(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline void wgfp_store16_be(uint8_t *p, uint32_t word)
{
    p[0] = (uint8_t)(word >> 8);
    p[1] = (uint8_t)word;
}

static inline uint32_t wgfp_load32_be(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

static inline void wgfp_store32_be(uint8_t *p, uint32_t word)
{
    wgfp_store16_be(p, word >> 16);
    wgfp_store16_be(p + 2, word);
}

#endif
