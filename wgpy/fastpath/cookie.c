/* Macs that are right are compared and forgotten: who learnt one could send a message with it. */
#include "cookie.h"

#include "clear.h"
#include "message.h"

#include <string.h>

enum { LABEL = 8, ADDRESS = 16, PORT = 2 };

static const char label_mac1[LABEL + 1] = "mac1----";

/* In a time that does not depend on where they differ. */
static bool macs_equal(const uint8_t a[MAC_LENGTH], const uint8_t b[MAC_LENGTH])
{
    unsigned difference = 0;

    for (int i = 0; i < MAC_LENGTH; i++)
        difference |= a[i] ^ b[i];
    wgfp_publish(&difference, sizeof difference);
    return difference == 0;
}

void wgfp_mac1_init(struct wgfp_mac1 *mac1, const uint8_t public_key[KEY_LENGTH])
{
    uint8_t labelled[LABEL + KEY_LENGTH], key[KEY_LENGTH];

    memcpy(labelled, label_mac1, LABEL);
    memcpy(labelled + LABEL, public_key, KEY_LENGTH);
    wgfp_blake2s(key, sizeof key, NULL, 0, labelled, sizeof labelled);
    wgfp_blake2s_key_init(&mac1->key, key);
    wgfp_clear(labelled, sizeof labelled);
    wgfp_clear(key, sizeof key);
}

void wgfp_mac1_clear(struct wgfp_mac1 *mac1)
{
    wgfp_clear(mac1, sizeof *mac1);
}

void wgfp_cookie_secret_init(struct wgfp_cookie_secret *secret, const uint8_t bytes[KEY_LENGTH])
{
    wgfp_blake2s_key_init(&secret->key, bytes);
}

void wgfp_cookie_secret_clear(struct wgfp_cookie_secret *secret)
{
    wgfp_clear(secret, sizeof *secret);
}

bool wgfp_mac1_valid(const struct wgfp_mac1 *mac1, const uint8_t *message, size_t length)
{
    uint8_t mac[MAC_LENGTH];

    if (length <= 2 * MAC_LENGTH)
        return false;
    wgfp_blake2s_mac(mac, &mac1->key, message, length - 2 * MAC_LENGTH);
    const bool valid = macs_equal(mac, message + length - 2 * MAC_LENGTH);

    wgfp_clear(mac, sizeof mac);
    return valid;
}

bool wgfp_mac2_valid(const struct wgfp_cookie_secret *secret, const uint8_t *message, size_t length,
                     const uint8_t *address, size_t address_size, uint16_t port)
{
    uint8_t source[ADDRESS + PORT], cookie[COOKIE_LENGTH], mac[MAC_LENGTH];

    if (length <= 2 * MAC_LENGTH)
        return false;
    memcpy(source, address, address_size);
    source[address_size] = (uint8_t)(port >> 8);
    source[address_size + 1] = (uint8_t)port;
    wgfp_blake2s_mac(cookie, &secret->key, source, address_size + PORT);
    wgfp_blake2s(mac, sizeof mac, cookie, sizeof cookie, message, length - MAC_LENGTH);
    const bool valid = macs_equal(mac, message + length - MAC_LENGTH);

    wgfp_clear(cookie, sizeof cookie);
    wgfp_clear(mac, sizeof mac);
    return valid;
}
