/* What a datagram should become, for the fuzzer of the inbound side. */
#ifndef INBOUND_MODEL_H
#define INBOUND_MODEL_H

#include "fuzz.h"

#include "bytes.h"
#include "offload_headers.h"
#include "packet.h"

enum {
    SEAL_FLOW, /* a packet of flows.h, perhaps changed */
    SEAL_ANY,
    COPY, /* a datagram that was there before, perhaps changed */
    ANY,
    GIVE, /* what was collected, as one message */
    CONTROL,
    STEPS,

    SESSIONS = 2 * FLOW_PEERS,
    MOST_MESSAGE = 70000,
    MOST_PIECES = 4096,
    LONGEST = 1500,
    RECEIVED = 1 << 16, /* the data path's room for a message */
    REJECT_TIME = 20000,
};

/* A datagram that the other end sealed, and what is in it. */
struct sealed {
    uint32_t session, length, plain_length;
    uint64_t counter;
    uint8_t *data, *plain;
};

/* A packet that is to be written. */
struct expected {
    uint32_t session, length;
    uint32_t policy; /* of its peer, then */
    bool came;
    uint8_t data[LONGEST + 64];
};

struct session {
    bool installed;
    uint64_t next;     /* counter that the sender uses */
    uint64_t greatest; /* that was accepted, and all of them */
    uint32_t accepted_count;
    uint64_t accepted[MOST_PIECES];
};

static struct world *world;
static struct wgfp_datapath *datapath;
static bool has_vnet, writes_fail;
static uint64_t now;
static uint32_t peers[FLOW_PEERS];
static bool routed[FLOW_PEERS][2];
static uint32_t policies[FLOW_PEERS];
static uint64_t received[FLOW_PEERS]; /* bytes */
static struct session sessions[SESSIONS];
static struct flow flows[FLOWS];
static struct sealed sealed[MOST_STEPS];
static uint32_t sealed_count;
static struct expected expected[MOST_PIECES];
static uint32_t expected_count, pieces, keepalives;

/* What is collected for one message. */
static uint8_t message[MOST_MESSAGE];
static uint32_t message_length, first_length, given_size;

/* -- What should become of a datagram --------------------------------------------------------------- */

static bool window_accepts(struct session *session, uint64_t counter)
{
    for (uint32_t i = 0; i < session->accepted_count; i++)
        if (session->accepted[i] == counter)
            return false;
    if (session->greatest > counter && session->greatest - counter > 8128)
        return false;
    session->accepted[session->accepted_count++] = counter;
    if (counter > session->greatest)
        session->greatest = counter;
    return true;
}

/* Of the packet by its header; 0: it is none. */
static uint32_t inner_length(const struct sealed *from)
{
    const uint8_t *plain = from->plain;
    uint32_t length = 0;

    if (from->plain_length >= 20 && plain[0] >> 4 == 4 && wgfp_load16_be(plain + 2) >= 20)
        length = wgfp_load16_be(plain + 2);
    else if (from->plain_length >= 40 && plain[0] >> 4 == 6)
        length = 40u + wgfp_load16_be(plain + 4);
    return length <= from->plain_length ? length : 0;
}

static bool inner_allowed(const struct sealed *from)
{
    const uint32_t peer = from->session / 2;
    const bool six = from->plain[0] >> 4 == 6;
    uint8_t prefix[16];

    flow_prefix(1, peer, six, prefix);
    return routed[peer][six] && memcmp(from->plain + (six ? 8 : 12), prefix, six ? 8 : 3) == 0;
}

/* RFC 6040, as its text says it: false: drop. */
static bool inner_ecn(uint8_t *packet, uint32_t outer)
{
    const bool six = packet[0] >> 4 == 6;
    const uint32_t inner = (six ? packet[1] >> 4 : packet[1]) & 3u;
    uint32_t combined = inner;

    if (outer == 3 && inner == 0)
        return false;
    if (outer == 3 || (outer == 1 && inner == 2))
        combined = outer;
    if (combined != inner && six) {
        packet[1] = (uint8_t)((packet[1] & 0xcf) | combined << 4);
    } else if (combined != inner) {
        const uint64_t before = wgfp_sum(packet, 2);

        packet[1] = (uint8_t)((packet[1] & 0xfc) | combined);
        wgfp_checksum_update(packet + 10, before, wgfp_sum(packet, 2));
    }
    return true;
}

static void piece_expect(const uint8_t *data, uint32_t length, uint32_t tos)
{
    const struct sealed *from = NULL;

    pieces++;
    for (uint32_t i = 0; i < sealed_count && from == NULL; i++)
        if (sealed[i].length == length && memcmp(sealed[i].data, data, length) == 0)
            from = &sealed[i];
    if (from == NULL || !sessions[from->session].installed || from->counter >= REJECT_AFTER_MESSAGES ||
        (from->session == 0 && now >= REJECT_TIME) || !window_accepts(&sessions[from->session], from->counter))
        return;
    received[from->session / 2] += length;
    keepalives += from->plain_length == 0;

    struct expected *next = &expected[expected_count];

    next->length = inner_length(from);
    if (next->length == 0 || !inner_allowed(from))
        return;
    next->session = from->session;
    next->policy = policies[from->session / 2];
    next->came = false;
    memcpy(next->data, from->plain, next->length);
    expected_count += inner_ecn(next->data, tos & 3);
}

static void message_expect(uint32_t segment_size, uint32_t tos)
{
    uint32_t at = 0;

    if (message_length > RECEIVED) {
        pieces++;
        return;
    }
    do {
        const uint32_t left = message_length - at;
        const uint32_t length = segment_size != 0 && segment_size < left ? segment_size : left;

        piece_expect(message + at, length, tos);
        at += length;
    } while (at < message_length);
}

#endif
