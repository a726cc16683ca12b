/* The Internet checksum; what the functions mean is said in checksum.h. */
#include "checksum.h"

#include <string.h>

#define INLINE static inline __attribute__((always_inline))

/* 16 bytes are what every processor's vectors hold; wider ones are hardly faster on packets. */
typedef uint64_t lanes __attribute__((vector_size(16)));

/* Sums of whole words, modulo 2^64, and of their high halves; of the first, the low halves are the rest. */
struct halves {
    lanes all, high;
};

/* Of what is less than a vector. Where words begin does not matter, as long as it is at even offsets.
 * copy, here and below: NULL if there is to be none. */
INLINE uint64_t rest_sum(uint8_t *restrict copy, const uint8_t *restrict bytes, size_t length)
{
    uint64_t sum = 0;

    if (copy)
        memcpy(copy, bytes, length);
    if (length & 8) {
        uint64_t word;

        memcpy(&word, bytes, 8);
        sum += (word >> 32) + (uint32_t)word;
        bytes += 8;
    }
    if (length & 4) {
        uint32_t word;

        memcpy(&word, bytes, 4);
        sum += word;
        bytes += 4;
    }
    if (length & 3) {
        uint16_t word = 0, last = 0;

        if (length & 2)
            memcpy(&word, bytes, 2);
        if (length & 1)
            memcpy(&last, bytes + (length & 2), 1);
        sum += (uint64_t)word + last;
    }
    return sum;
}

INLINE void lanes_add(struct halves *sum, uint8_t *restrict copy, const uint8_t *restrict bytes, size_t at)
{
    lanes words;

    memcpy(&words, bytes + at, sizeof words);
    if (copy)
        memcpy(copy + at, &words, sizeof words);
    sum->all += words;
    sum->high += words >> 32;
}

INLINE uint64_t bytes_sum(uint8_t *restrict copy, const uint8_t *restrict bytes, size_t length)
{
    enum { WIDTH = sizeof(lanes) };
    /* Four at once hide the latency of each, which compilers do not find by themselves. */
    struct halves a = {{0, 0}, {0, 0}}, b = a, c = a, d = a;
    size_t at = 0;

    for (; at + 4 * WIDTH <= length; at += 4 * WIDTH) {
        lanes_add(&a, copy, bytes, at);
        lanes_add(&b, copy, bytes, at + WIDTH);
        lanes_add(&c, copy, bytes, at + 2 * WIDTH);
        lanes_add(&d, copy, bytes, at + 3 * WIDTH);
    }
    for (; at + WIDTH <= length; at += WIDTH)
        lanes_add(&a, copy, bytes, at);

    const lanes all = (a.all + b.all) + (c.all + d.all), high = (a.high + b.high) + (c.high + d.high);
    const uint64_t highs = high[0] + high[1];

    return all[0] + all[1] - (highs << 32) + highs + rest_sum(copy ? copy + at : NULL, bytes + at, length - at);
}

uint64_t wgfp_sum(const void *data, size_t length)
{
    return bytes_sum(NULL, data, length);
}

uint64_t wgfp_sum_copy(void *restrict dst, const void *restrict src, size_t length)
{
    return bytes_sum(dst, src, length);
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
