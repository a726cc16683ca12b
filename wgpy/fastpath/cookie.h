/* The macs at the end of handshake messages, checked before Python sees one. Whitepaper 5.4.4, 5.4.7.
 *
 * mac1 shows that the sender knows our public key; mac2, under load, that it receives where it says it is. Cookies
 * are given by the engine, under secrets that it makes; here is only seen that one came back.
 */
#ifndef WGFP_COOKIE_H
#define WGFP_COOKIE_H

#include "blake2s.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* cffi: begin */

/* Whoever holds one of these two clears it when its identity or its secret is no more. */
struct wgfp_mac1 {
    struct wgfp_blake2s_key key;
};
struct wgfp_cookie_secret {
    struct wgfp_blake2s_key key;
};

void wgfp_mac1_init(struct wgfp_mac1 *mac1, const uint8_t public_key[32]);
void wgfp_mac1_clear(struct wgfp_mac1 *mac1);
void wgfp_cookie_secret_init(struct wgfp_cookie_secret *secret, const uint8_t bytes[32]);
void wgfp_cookie_secret_clear(struct wgfp_cookie_secret *secret);

/* message: a whole initiation or response. What is too short to be one is not valid. */
bool wgfp_mac1_valid(const struct wgfp_mac1 *mac1, const uint8_t *message, size_t length);

/* Was mac2 made with the cookie that this secret gives the sender? address: of address_size bytes, 4 or 16, as on the
 * network; port: as a number. */
bool wgfp_mac2_valid(const struct wgfp_cookie_secret *secret, const uint8_t *message, size_t length,
                     const uint8_t *address, size_t address_size, uint16_t port);

/* cffi: end */

#endif
