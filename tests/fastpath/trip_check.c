/* Packets from one data path's TUN to another's, in kernels in memory and in one thread: for other processors.
 *
 * Checks that what arrives is what was sent, before and after a change of keys, from TCP and UDP, IPv4 and IPv6, alone
 * and in superpackets; that packets wait for keys; that nothing arrives twice; and what is handed up meanwhile. Exits
 * with 0, or says what is not so and exits with 1.
 */
#include "datapath.h" /* first: it asks for what only Linux has */

#include "flows.h"
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_MESSAGES = 512, ROOM = 1 << 17, VNET = sizeof(struct wgfp_vnet), MTU = 1420, PORT = 51820 };

#define SECOND UINT64_C(1000000000)

struct side {
    struct world *world;
    struct wgfp_datapath *datapath;
    uint32_t peers[FLOW_PEERS];
};

/* What one side sent and the other has not got yet. */
struct message {
    struct world_label label;
    size_t length;
    uint8_t *data;
};

static struct side sides[2];
static struct flow flows[FLOWS];
static uint32_t arrived[FLOWS]; /* number of the next record */
static struct message messages[MOST_MESSAGES];
static size_t message_count;
static uint64_t now = SECOND;
static uint32_t sessions;

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    printf("not so: %s\n", what);
    exit(1);
}

/* -- Moving ----------------------------------------------------------------------------------------- */

static void enter(uint32_t side)
{
    world_enter(sides[side].world, now);
}

static struct wgfp_endpoint endpoint_of(uint32_t side, uint32_t peer)
{
    struct wgfp_endpoint endpoint = {.size = 4, .port = PORT + side, .address = {192, 0, 2, (uint8_t)peer}};

    if (peer % 2 != 0)
        endpoint = (struct wgfp_endpoint){.size = 16, .port = PORT + side, .address = {0x20, 1, [15] = (uint8_t)peer}};
    return endpoint;
}

/* Each flow of this side sends so many records as one packet. */
static void flows_send(uint32_t side, uint32_t count, uint32_t size)
{
    static uint8_t data[VNET + FLOW_PACKET];

    for (uint32_t i = side; i < FLOWS; i += 2) {
        struct wgfp_vnet vnet;
        const size_t length = flow_write(&flows[i], count, size, &vnet, data + VNET);

        memcpy(data, &vnet, VNET);
        world_tun_give(sides[side].world, data, VNET + length);
    }
    enter(side);
    wgfp_datapath_step(sides[side].datapath);
}

/* Take what this side sent; from where the other side sees it come. */
static void messages_take(uint32_t side)
{
    static uint8_t data[ROOM];
    struct world_label label;
    long length;

    while ((length = world_udp_take(sides[side].world, &label, data, sizeof data)) >= 0) {
        struct message *message = &messages[message_count++];
        struct wgfp_endpoint endpoint;

        require(message_count <= MOST_MESSAGES, "messages are joined");
        memcpy(&endpoint, label.endpoint, sizeof endpoint);
        require(endpoint.port == PORT + 1 - side, "messages go to the right port");
        endpoint.port = PORT + side;
        memcpy(label.endpoint, &endpoint, sizeof endpoint);
        message->label = label;
        message->length = (size_t)length;
        message->data = malloc((size_t)length);
        memcpy(message->data, data, (size_t)length);
    }
}

static void messages_give(uint32_t side)
{
    for (size_t i = 0; i < message_count; i++)
        world_udp_give(sides[side].world, &messages[i].label, messages[i].data, messages[i].length);
    enter(side);
    wgfp_datapath_step(sides[side].datapath);
}

static void messages_forget(void)
{
    while (message_count > 0)
        free(messages[--message_count].data);
}

/* Returns how many records came out of a side's TUN. */
static uint32_t records_take(uint32_t side)
{
    static uint8_t data[ROOM], segment[FLOW_PACKET];
    uint32_t count = 0;
    long length;

    while ((length = world_tun_take(sides[side].world, data, sizeof data)) >= 0) {
        struct wgfp_vnet vnet;
        struct wgfp_gso gso;
        uint32_t flow, record;

        memcpy(&vnet, data, VNET);
        require(wgfp_gso_parse(&gso, &vnet, data + VNET, (size_t)length - VNET) == 0, "superpackets are right");
        for (uint32_t i = 0; i < gso.count; i++) {
            const size_t size = wgfp_gso_copy(&gso, i, segment);

            require(flow_read(1 - side, segment, size, &flow, &record), "what arrives was sent");
            require(record == arrived[flow]++, "all arrive, once and in order");
            count++;
        }
    }
    return count;
}

/* What one side sent moves to the other. Returns how many records arrive there. */
static uint32_t move(uint32_t from)
{
    messages_take(from);
    messages_give(1 - from);
    messages_forget();
    return records_take(1 - from);
}

/* -- Peers, keys, events ---------------------------------------------------------------------------- */

static uint32_t index_of(uint32_t session, uint32_t side)
{
    return UINT32_C(0x01020304) * (2 * session + side);
}

static void session_install(uint32_t side, uint32_t peer, uint32_t session)
{
    struct wgfp_session made = {.reject_after_time = NEVER, .rekey_after_sent_time = now + 120 * SECOND,
                                .rekey_after_received_time = NEVER, .local_index = index_of(session, side),
                                .remote_index = index_of(session, 1 - side)};

    memset(made.sending_key, (int)(2 * session + side), sizeof made.sending_key);
    memset(made.receiving_key, (int)(2 * session + 1 - side), sizeof made.receiving_key);
    require(wgfp_keypair_install(sides[side].datapath, sides[side].peers[peer], &made) == 0, "it can be installed");
}

/* Side 0 sends by it from now on. */
static void session_use(uint32_t peer, uint32_t session, int confirm)
{
    enter(0);
    require(wgfp_keypair_use(sides[0].datapath, sides[0].peers[peer], index_of(session, 0), confirm, now) == 0,
            "it is there");
}

/* Side 0 begins, as the initiator of a handshake; returns how many of its records waited for this. */
static uint32_t rekey(void)
{
    for (uint32_t peer = 0; peer < FLOW_PEERS; peer++) {
        const uint32_t session = ++sessions;

        session_install(0, peer, session);
        session_install(1, peer, session);
        session_use(peer, session, 1);
    }
    return move(0);
}

/* Take all events; how many were of this kind? A keypair that was confirmed is used. */
static uint32_t events_take(uint32_t side, uint32_t kind)
{
    struct wgfp_event events[64];
    uint32_t count = 0;
    size_t n;

    enter(side);
    wgfp_datapath_acknowledge(sides[side].datapath);
    while ((n = wgfp_events_take(sides[side].datapath, events, 64)) > 0) {
        for (size_t i = 0; i < n; i++) {
            count += events[i].kind == kind;
            if (events[i].kind == WGFP_EVENT_KEY_CONFIRMED)
                require(wgfp_keypair_use(sides[side].datapath, events[i].peer, events[i].local_index, 0, now) == 0,
                        "what was confirmed is there");
        }
    }
    return count;
}

static uint64_t dropped(uint32_t side, enum wgfp_drop reason)
{
    uint64_t drops[WGFP_DROPS];

    wgfp_drops(sides[side].datapath, drops);
    return drops[reason];
}

static void side_open(uint32_t side)
{
    static const struct wgfp_queue queue = {WORLD_TUN, WORLD_UDP4, WORLD_UDP6};
    const struct wgfp_settings settings = {.queues = &queue, .queue_count = 1, .vnet_header = sizeof(struct wgfp_vnet), .offloads = 7,
                                           .staged_bytes = 1 << 20, .small = side, .system = world_system()};
    struct side *self = &sides[side];

    self->world = world_new();
    require(wgfp_datapath_new(&self->datapath, &settings) == 0, "there is memory");
    wgfp_datapath_set_mtu(self->datapath, MTU);
    for (uint32_t peer = 0; peer < FLOW_PEERS; peer++) {
        const struct wgfp_endpoint endpoint = endpoint_of(1 - side, peer);

        require(wgfp_peer_add(self->datapath, &self->peers[peer]) == 0, "a peer can be added");
        wgfp_peer_set_endpoint(self->datapath, self->peers[peer], &endpoint, 0);
        for (uint32_t six = 0; six < 2; six++) {
            uint8_t prefix[16];

            flow_prefix(1 - side, peer, six, prefix);
            require(wgfp_route_set(self->datapath, self->peers[peer], prefix, six ? 16 : 4, six ? 64 : 24) == 0,
                    "it can be set");
        }
    }
}

/* -- Checks ----------------------------------------------------------------------------------------- */

static void packets_wait_for_keys(void)
{
    flows_send(0, 1, 1000);
    flows_send(0, 3, 500);
    require(move(0) == 0, "nothing is sent without a key");
    require(events_take(0, WGFP_EVENT_KEY_NEEDED) == FLOW_PEERS, "keys are asked for");
    require(rekey() == FLOWS / 2 * 4, "what waited is sent");
    require(events_take(1, WGFP_EVENT_KEY_CONFIRMED) == FLOW_PEERS, "keys are confirmed");
}

static void packets_pass_both_ways(void)
{
    for (uint32_t count = 1; count <= 30; count += count) {
        for (uint32_t side = 0; side < 2; side++) {
            flows_send(side, count, FLOW_LONGEST - count);
            flows_send(side, 1, FLOW_RECORD + count);
            require(move(side) == FLOWS / 2 * (count + 1), "all arrive");
        }
    }
    for (uint32_t peer = 0; peer < FLOW_PEERS; peer++) {
        struct wgfp_activity sent, received;

        wgfp_peer_activity(sides[0].datapath, sides[0].peers[peer], &sent);
        wgfp_peer_activity(sides[1].datapath, sides[1].peers[peer], &received);
        require(sent.tx_bytes == received.rx_bytes && sent.tx_bytes > 0, "bytes are counted");
        require(sent.last_sent == now && received.last_received == now, "times are noted");
    }
}

static void nothing_passes_twice(void)
{
    flows_send(0, 8, 600);
    messages_take(0);
    messages_give(1);
    require(records_take(1) == FLOWS / 2 * 8, "all arrive");
    messages_give(1);
    require(records_take(1) == 0, "nothing arrives twice");
    require(dropped(1, WGFP_DROP_REPLAYED_COUNTER) == FLOWS / 2 * 8, "what was replayed is counted");
    for (size_t i = 0; i < message_count; i++)
        messages[i].data[messages[i].length - 1] ^= 1;
    messages_give(1);
    require(records_take(1) == 0, "what was changed is not believed");
    require(dropped(1, WGFP_DROP_DECRYPTION_FAILED) == message_count, "and is counted");
    messages_forget();
}

static void keys_change_under_way(void)
{
    now += 121 * SECOND;
    flows_send(0, 2, 700);
    messages_take(0);
    require(events_take(0, WGFP_EVENT_KEY_AGED) == FLOW_PEERS, "keys age");
    for (uint32_t peer = 0; peer < FLOW_PEERS; peer++) {
        session_install(0, peer, ++sessions);
        session_install(1, peer, sessions);
        session_use(peer, sessions, 0);
    }
    flows_send(0, 2, 700);
    require(move(0) == FLOWS / 2 * 4, "what was sent by both keys arrives");
    require(events_take(1, WGFP_EVENT_KEY_CONFIRMED) == FLOW_PEERS, "keys are confirmed");
    flows_send(1, 2, 700);
    require(move(1) == FLOWS / 2 * 2, "all arrive");
    flows_send(0, 1, 700);
    for (uint32_t peer = FLOW_PEERS, session = sessions; peer-- > 0; session--)
        require(wgfp_keypair_remove(sides[1].datapath, sides[1].peers[peer], index_of(session, 1)) == 0,
                "it is there");
    require(move(0) == 0 && dropped(1, WGFP_DROP_UNKNOWN_INDEX) == FLOWS / 2, "without a key nothing arrives");
}

/* A turn of side 1's inbound worker, of which one socket may be read or none. Returns whether its thread yields then. */
static bool inbound_yields(bool ready)
{
    struct worker *in = &sides[1].datapath->workers[1];

    enter(1);
    in->ready4 = ready;
    in->ready6 = false;
    (void)worker_turn(in);
    return in->yields;
}

static void threads_yield_behind_bursts_alone(void)
{
    static uint8_t data[VNET + FLOW_PACKET];
    struct flow *flow = &flows[2]; /* of UDP, by IPv4 inside and outside */

    for (uint32_t count = 1; count <= 20; count += 19) {
        struct wgfp_vnet vnet;
        const size_t length = flow_write(flow, count, 600, &vnet, data + VNET);

        memcpy(data, &vnet, VNET);
        world_tun_give(sides[0].world, data, VNET + length);
        enter(0);
        wgfp_datapath_step(sides[0].datapath);
        messages_take(0);
        require(message_count == 1, "a superpacket is one message");
        world_udp_give(sides[1].world, &messages[0].label, messages[0].data, messages[0].length);
        messages_forget();
        require(inbound_yields(true) == (count == 20), "a thread yields behind a burst");
        require(records_take(1) == count, "all arrive");
        require(!inbound_yields(false), "it yields once");
    }
}

static void handshake_messages_are_handed_up(void)
{
    struct world_label label = {.tos = 0};
    static struct wgfp_datagram message;
    const struct wgfp_endpoint source = endpoint_of(0, 1);
    const uint8_t initiation[148] = {1, 0, 0, 0, 77};

    memcpy(label.endpoint, &source, sizeof source);
    world_udp_give(sides[1].world, &label, initiation, sizeof initiation);
    enter(1);
    wgfp_datapath_step(sides[1].datapath);
    require(wgfp_handshake_take(sides[1].datapath, &message) == 1, "a handshake message is handed up");
    require(message.length == 148 && memcmp(message.data, initiation, 148) == 0, "as it came");
    require(memcmp(&message.source, &source, sizeof source) == 0, "with where it came from");
}

int main(void)
{
    for (uint32_t i = 0; i < FLOWS; i++)
        flows[i] = flow_of_number(i);
    for (uint32_t side = 0; side < 2; side++)
        side_open(side);
    packets_wait_for_keys();
    packets_pass_both_ways();
    nothing_passes_twice();
    threads_yield_behind_bursts_alone();
    keys_change_under_way();
    handshake_messages_are_handed_up();
    for (uint32_t side = 0; side < 2; side++) {
        wgfp_datapath_free(sides[side].datapath);
        world_free(sides[side].world);
    }
    printf("checked\n");
    return 0;
}
