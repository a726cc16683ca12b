/* What should be sent, for the fuzzer of the outbound side. */
#ifndef OUTBOUND_MODEL_H
#define OUTBOUND_MODEL_H

#include "fuzz.h"

#include "bytes.h"
#include "offload_headers.h"
#include "packet.h"

enum {
    FLOW, /* a packet of flows.h, perhaps changed */
    ANY,
    KEY,
    ENDPOINT,
    CONTROL,
    FAULT,
    STEPS,

    VNET = sizeof(struct wgfp_vnet),
    STAGED_BYTES = 1 << 16,
    MOST_SENT = 1 << 15, /* messages of one input */
    MOST_SEGMENTS = 1 << 12, /* of one superpacket */
    ENOUGH = MOST_SENT - 2 * MOST_SEGMENTS,
    REJECT_TIME = 20000,
};

/* A packet that was given, or a keepalive, and what should become of it. */
struct packet {
    struct packet *next;
    uint32_t length, mtu;
    uint8_t data[];
};

struct waiting {
    struct packet *first, **end;
    uint32_t count;
};

struct session {
    bool installed;
    uint32_t sent, taken; /* counters: of the next to be sent, and of the next to be taken from the kernel */
    uint32_t freed;       /* packets before this are looked at no more */
    struct packet *packets[MOST_SENT];
};

struct peer_model {
    uint32_t number;
    bool routed;
    uint32_t endpoint; /* a number; MOST_ENDPOINTS: none */
    uint32_t policy;   /* of fuzz.h */
    uint32_t session;  /* that it sends by, 1 or 2; 0: none */
    struct session sessions[2];
    struct waiting waiting;
};

static struct world *world;
static struct wgfp_datapath *datapath;
static bool has_vnet;
static uint64_t now, dropped;
static uint32_t mtu, cells, made; /* made: packets */
static struct peer_model peers[FLOW_PEERS];
static struct flow flows[FLOWS];

/* -- What should be sent ---------------------------------------------------------------------------- */

static uint32_t cells_of(uint32_t length)
{
    return length == 0 ? 1 : (length + STAGED_CELL - 1) / STAGED_CELL;
}

static struct packet *waiting_pop(struct waiting *waiting)
{
    struct packet *packet = waiting->first;

    waiting->first = packet->next;
    if (waiting->first == NULL)
        waiting->end = &waiting->first;
    waiting->count--;
    cells += cells_of(packet->length);
    return packet;
}

static void stage(struct peer_model *peer, struct packet *packet)
{
    struct waiting *waiting = &peer->waiting;

    while (waiting->count > 0 && (waiting->count == MAX_STAGED_PACKETS || cells < cells_of(packet->length))) {
        free(waiting_pop(waiting));
        dropped++;
    }
    if (cells < cells_of(packet->length)) {
        free(packet);
        dropped++;
        return;
    }
    cells -= cells_of(packet->length);
    waiting->count++;
    *waiting->end = packet;
    waiting->end = &packet->next;
}

static bool may_send(const struct peer_model *peer)
{
    return peer->session != 0 && (peer->session == 2 || now < REJECT_TIME);
}

/* By the peer's session, if it has an endpoint. */
static void send_packet(struct peer_model *peer, struct packet *packet)
{
    struct session *session = &peer->sessions[peer->session - 1];

    packet->mtu = mtu;
    if (peer->endpoint == MOST_ENDPOINTS) {
        free(packet);
        dropped++;
        return;
    }
    require(session->sent < MOST_SENT, "there is room for the packets of an input");
    session->packets[session->sent++] = packet;
}

static void waiting_send(struct peer_model *peer)
{
    while (may_send(peer) && peer->waiting.count > 0)
        send_packet(peer, waiting_pop(&peer->waiting));
}

static struct peer_model *owner_of(const uint8_t *packet, uint32_t length)
{
    const bool six = packet[0] >> 4 == 6;
    uint8_t prefix[16];

    for (uint32_t i = 0; i < FLOW_PEERS; i++) {
        flow_prefix(1, i, six, prefix);
        if (length >= (six ? 40 : 20) && peers[i].routed && memcmp(packet + (six ? 24 : 16), prefix, six ? 8 : 3) == 0)
            return &peers[i];
    }
    return NULL;
}

/* Is it a whole IP packet? */
static bool packet_is_whole(const uint8_t *packet, uint32_t length)
{
    if (length >= 20 && packet[0] >> 4 == 4)
        return wgfp_load16_be(packet + 2) == length;
    return length >= 40 && packet[0] >> 4 == 6 && wgfp_load16_be(packet + 4) + 40u == length;
}

static struct packet *packet_new(uint32_t length)
{
    struct packet *packet = malloc(sizeof *packet + length);

    require(packet != NULL, "there is memory");
    packet->next = NULL;
    packet->length = length;
    made++;
    return packet;
}

/* Returns whether packets were staged. */
static bool read_expect(const struct wgfp_vnet *vnet, uint8_t *data, uint32_t length)
{
    struct wgfp_gso gso;
    bool staged = false;

    if (wgfp_gso_parse(&gso, vnet, data, length) != WGFP_GSO_ACCEPTED || !packet_is_whole(data, length)) {
        dropped++;
        return false;
    }
    struct peer_model *peer = owner_of(data, length);

    if (peer == NULL) {
        dropped += gso.count;
        return false;
    }
    for (uint32_t i = 0; i < gso.count; i++) {
        const uint32_t left = gso.payload - i * gso.segment_size;
        struct packet *packet = packet_new(gso.header_length + (gso.segment_size != 0 && gso.segment_size < left ?
                                                                gso.segment_size : left));

        require(wgfp_gso_copy(&gso, i, packet->data) == packet->length, "a segment is as long as it should be");
        if (peer->endpoint == MOST_ENDPOINTS) {
            dropped++;
            free(packet);
        } else if (may_send(peer)) {
            send_packet(peer, packet);
        } else {
            stage(peer, packet);
            staged = true;
        }
    }
    return staged;
}

#endif
