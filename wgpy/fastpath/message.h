/* The layout of WireGuard's messages. Whitepaper 5.4. */
#ifndef WGFP_MESSAGE_H
#define WGFP_MESSAGE_H

#include "bytes.h"

#include <stddef.h>
#include <stdint.h>

enum message_type {
    NO_MESSAGE, /* a foreign datagram: not WireGuard's */
    TYPE_INITIATION,
    TYPE_RESPONSE,
    TYPE_COOKIE_REPLY,
    TYPE_TRANSPORT,
};

enum {
    KEY_LENGTH = 32,
    TAG_LENGTH = 16, /* of the cipher */
    MAC_LENGTH = 16, /* of mac1 and mac2 */
    COOKIE_LENGTH = 16,

    TYPE_SIZE = 4, /* the type and three zeros */
    INITIATION_SIZE = 148,
    RESPONSE_SIZE = 92,
    COOKIE_REPLY_SIZE = 64,
    TRANSPORT_HEADER_SIZE = 16,
    TRANSPORT_OVERHEAD = TRANSPORT_HEADER_SIZE + TAG_LENGTH,
    PADDING_MULTIPLE = 16,
    HANDSHAKE_TOS = 0x88, /* DSCP AF41, as the kernel gives handshake messages */
};

#define REKEY_AFTER_MESSAGES (UINT64_C(1) << 60)
#define REJECT_AFTER_MESSAGES (UINT64_MAX - (UINT64_C(1) << 13))

/* Of any datagram; its length is not looked at beyond that. */
static inline enum message_type message_type(const uint8_t *data, size_t length)
{
    const uint32_t type = length >= TYPE_SIZE ? wgfp_load32(data) : NO_MESSAGE;

    return type <= TYPE_TRANSPORT ? (enum message_type)type : NO_MESSAGE;
}

/* The sender's index of an initiation or a response. 5.4.2, 5.4.3 */
static inline uint32_t handshake_sender(const uint8_t *message)
{
    return wgfp_load32(message + 4);
}

/* -- Transport data. 5.4.6 --------------------------------------------------------------------------- */

static inline uint32_t transport_index(const uint8_t *message)
{
    return wgfp_load32(message + 4);
}

static inline uint64_t transport_counter(const uint8_t *message)
{
    return wgfp_load64(message + 8);
}

static inline void transport_header_write(uint8_t *message, uint32_t index, uint64_t counter)
{
    wgfp_store32(message, TYPE_TRANSPORT);
    wgfp_store32(message + 4, index);
    wgfp_store64(message + 8, counter);
}

#endif
