/* The Internet checksum; what the functions mean is said in checksum.h. */
#include "checksum.h"

#include <string.h>

/* Sums 32-bit halves of 64-bit words, in a shape that compilers turn into vectors: the low halves are not masked out
 * but found by subtraction, since the sum of whole words, modulo 2^64, is low + (high << 32). */
#define HALVES(all, high) ((all) - ((high) << 32) + (high))

uint64_t wgfp_sum(const void *data, size_t length)
{
    const uint8_t *bytes = data;
    const size_t words = length / 8;
    uint64_t all = 0, high = 0, last = 0;

    for (size_t i = 0; i < words; i++) {
        uint64_t word;

        memcpy(&word, bytes + 8 * i, 8);
        all += word;
        high += word >> 32;
    }
    memcpy(&last, bytes + 8 * words, length % 8);
    all += last;
    high += last >> 32;
    return HALVES(all, high);
}

uint64_t wgfp_sum_copy(void *restrict dst, const void *restrict src, size_t length)
{
    const uint8_t *bytes = src;
    uint8_t *copy = dst;
    const size_t words = length / 8;
    uint64_t all = 0, high = 0, last = 0;

    for (size_t i = 0; i < words; i++) {
        uint64_t word;

        memcpy(&word, bytes + 8 * i, 8);
        memcpy(copy + 8 * i, &word, 8);
        all += word;
        high += word >> 32;
    }
    memcpy(&last, bytes + 8 * words, length % 8);
    memcpy(copy + 8 * words, &last, length % 8);
    all += last;
    high += last >> 32;
    return HALVES(all, high);
}

uint64_t wgfp_sum_odd(uint64_t sum)
{
    return (uint64_t)wgfp_sum_fold(sum) << 8; /* modulo 0xffff this swaps the bytes */
}

uint64_t wgfp_sum_word(uint16_t word)
{
    const uint8_t bytes[2] = {(uint8_t)(word >> 8), (uint8_t)word};
    uint16_t stored;

    memcpy(&stored, bytes, 2);
    return stored;
}

uint64_t wgfp_sum_pseudo4(const void *addresses, uint8_t protocol, uint16_t length)
{
    return wgfp_sum(addresses, 8) + wgfp_sum_word(protocol) + wgfp_sum_word(length);
}

uint64_t wgfp_sum_pseudo6(const void *addresses, uint8_t protocol, uint32_t length)
{
    return wgfp_sum(addresses, 32) + wgfp_sum_word(protocol) + wgfp_sum_word((uint16_t)(length >> 16)) +
           wgfp_sum_word((uint16_t)length);
}

uint16_t wgfp_sum_fold(uint64_t sum)
{
    sum = (sum >> 32) + (sum & 0xffffffff);
    sum = (sum >> 32) + (sum & 0xffffffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    return (uint16_t)sum;
}

void wgfp_sum_store(void *at, uint64_t sum)
{
    const uint16_t folded = wgfp_sum_fold(sum);

    memcpy(at, &folded, 2);
}

void wgfp_checksum_store(void *at, uint64_t sum)
{
    const uint16_t checksum = (uint16_t)~wgfp_sum_fold(sum);

    memcpy(at, &checksum, 2);
}

void wgfp_checksum_update(void *at, uint64_t before, uint64_t after)
{
    uint16_t checksum;

    memcpy(&checksum, at, 2);
    /* Equation 3 of RFC 1624, ~(~HC + ~m + m'); equation 4 would turn some checksums into minus zero. */
    wgfp_checksum_store(at, (uint64_t)(uint16_t)~checksum + (uint16_t)~wgfp_sum_fold(before) + wgfp_sum_fold(after));
}
