/* The Internet checksum (RFC 1071): sums of any bytes, their combination, and the incremental update (RFC 1624).
 *
 * A sum here is a uint64_t that equals, modulo 0xffff, the sum of the 16-bit words as they lie in memory. So it needs
 * no swapping of bytes on any processor, and sums are combined with +, thousands of them, before one of them is folded.
 */
#ifndef WGFP_CHECKSUM_H
#define WGFP_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* cffi: begin */

/* Of bytes at any address. An odd last byte counts as if a zero followed. length: below 2^30. */
uint64_t wgfp_sum(const void *data, size_t length);

/* The same, and copy them: one pass in place of two. The two must not overlap. */
uint64_t wgfp_sum_copy(void *restrict dst, const void *restrict src, size_t length);

/* What the sum of the same bytes is if they begin at an odd offset of what is summed up. */
uint64_t wgfp_sum_odd(uint64_t sum);

/* Of a 16-bit number that will lie in memory in network order. */
uint64_t wgfp_sum_word(uint16_t word);

/* Of a pseudo-header. addresses: source and destination, as they follow each other in the IP header, 8 or 32 bytes.
 * length: of the upper layer's header and payload. */
uint64_t wgfp_sum_pseudo4(const void *addresses, uint8_t protocol, uint16_t length);
uint64_t wgfp_sum_pseudo6(const void *addresses, uint8_t protocol, uint32_t length);

/* 16 bits, still in memory's order. It is 0xffff over what holds its own right checksum. */
uint16_t wgfp_sum_fold(uint64_t sum);

/* Write two bytes: the folded sum as it is (what a partial checksum begins with), or its complement, a checksum. */
void wgfp_sum_store(void *at, uint64_t sum);
void wgfp_checksum_store(void *at, uint64_t sum);

/* Change a checksum as the bytes change that it covers. before, after: sums of those bytes. */
void wgfp_checksum_update(void *at, uint64_t before, uint64_t after);

/* cffi: end */

#endif
