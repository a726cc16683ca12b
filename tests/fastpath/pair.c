/* What the functions mean is said in pair.h. */
#include "datapath.h" /* first: it asks for what only Linux has */

#include "pair.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum { STAGED_BYTES = 1 << 20, BUFFER_BYTES = 1 << 22, MTU = 1420, EXTRA_PEERS = 40 };

void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "not so: %s\n", what);
    _exit(1);
}

/* -- Sockets ---------------------------------------------------------------------------------------- */

static void option_set(int fd, int level, int name, int value)
{
    require(setsockopt(fd, level, name, &value, sizeof value) == 0, "the socket takes the option");
}

/* Bound to *port; 0: to any, which is written there. */
static int udp_open(int family, uint16_t *port)
{
    const int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(*port)};
    socklen_t size = sizeof address;
    const bool first = *port == 0;

    require(fd >= 0, "there are sockets");
    if (family == AF_INET) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(*port)};

        memcpy(&address, &in, size = sizeof in);
    }
    if (!first)
        option_set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    option_set(fd, SOL_SOCKET, SO_RCVBUF, BUFFER_BYTES);
    option_set(fd, IPPROTO_UDP, UDP_GRO, 1);
    if (family == AF_INET) {
        option_set(fd, IPPROTO_IP, IP_PKTINFO, 1);
        option_set(fd, IPPROTO_IP, IP_RECVTOS, 1);
    } else {
        option_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
        option_set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
        option_set(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
    }
    require(bind(fd, (struct sockaddr *)&address, size) == 0, "the port is free");
    require(getsockname(fd, (struct sockaddr *)&address, &size) == 0, "the port is known");
    *port = ntohs(address.sin6_port); /* at the same place as sin_port */
    if (first) /* from now on: or else the port that was chosen might be another program's */
        option_set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    return fd;
}

static void sockets_open(struct side *side)
{
    side->port4 = side->port6 = 0;
    for (int i = 0; i < FLOW_QUEUES; i++) {
        side->queues[i].udp4 = udp_open(AF_INET, &side->port4);
        side->queues[i].udp6 = udp_open(AF_INET6, &side->port6);
    }
}

static void sockets_close(const struct wgfp_queue queues[FLOW_QUEUES])
{
    for (int i = 0; i < FLOW_QUEUES; i++) {
        close(queues[i].udp4);
        close(queues[i].udp6);
    }
}

static void tuns_open(struct side *side)
{
    for (int i = 0; i < FLOW_QUEUES; i++) {
        int ends[2];

        require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0, "there are sockets");
        option_set(ends[0], SOL_SOCKET, SO_SNDBUF, BUFFER_BYTES);
        require(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0, "it does not block");
        side->queues[i].tun = ends[0];
        side->tuns[i] = ends[1];
    }
}

static struct wgfp_endpoint endpoint_of(const struct side *side, uint32_t peer)
{
    struct wgfp_endpoint endpoint = {.size = 4, .address = {127, 0, 0, (uint8_t)(1 + peer)}, .port = side->port4};

    if (peer % 2 != 0)
        endpoint = (struct wgfp_endpoint){.size = 16, .address = {[15] = 1}, .port = side->port6};
    return endpoint;
}

void pair_introduce(struct pair *pair)
{
    for (uint32_t i = 0; i < 2 * FLOW_PEERS; i++) {
        const struct wgfp_endpoint endpoint = endpoint_of(&pair->sides[1 - i % 2], i / 2);

        wgfp_peer_set_endpoint(pair->sides[i % 2].datapath, pair->sides[i % 2].peers[i / 2], &endpoint, 0);
    }
}

/* Go over to sockets on other ports. */
static void side_move(struct pair *pair, struct side *side)
{
    struct wgfp_queue former[FLOW_QUEUES];

    memcpy(former, side->queues, sizeof former);
    sockets_open(side);
    wgfp_datapath_set_sockets(side->datapath, side->queues);
    sockets_close(former);
    pair_introduce(pair);
}

/* -- Peers and keys --------------------------------------------------------------------------------- */

static void routes_set(struct pair *pair, uint32_t number, uint32_t peer)
{
    struct side *side = &pair->sides[number];
    uint8_t address[16];

    flow_prefix(1 - number, peer, false, address);
    require(wgfp_route_set(side->datapath, side->peers[peer], address, 4, 24) == 0, "a route can be set");
    flow_prefix(1 - number, peer, true, address);
    require(wgfp_route_set(side->datapath, side->peers[peer], address, 16, 64) == 0, "a route can be set");
}

static void routes_remove(struct pair *pair, uint32_t number, uint32_t peer)
{
    struct side *side = &pair->sides[number];
    uint8_t address[16];

    flow_prefix(1 - number, peer, false, address);
    wgfp_route_remove(side->datapath, side->peers[peer], address, 4, 24);
}

static void side_add_peer(struct pair *pair, uint32_t number, uint32_t peer)
{
    struct side *side = &pair->sides[number];
    const struct wgfp_endpoint endpoint = endpoint_of(&pair->sides[1 - number], peer);

    require(wgfp_peer_add(side->datapath, &side->peers[peer]) == 0, "a peer can be added");
    wgfp_peer_set_endpoint(side->datapath, side->peers[peer], &endpoint, 0);
    routes_set(pair, number, peer);
    side->newest[peer] = side->previous[peer] = 0;
}

static void side_remove_peer(struct side *side, uint32_t peer)
{
    wgfp_peer_remove(side->datapath, side->peers[peer]);
    side->peers[peer] = side->newest[peer] = side->previous[peer] = 0;
}

/* Indices are spread as if by chance. */
static uint32_t index_of(uint32_t session, uint32_t side)
{
    return (2 * session + side) * UINT32_C(2654435761);
}

static struct wgfp_session session_of(const struct pair *pair, uint32_t session, uint32_t side)
{
    const uint64_t aged = pair->key_life == 0 ? NEVER : wgfp_kernel.now() + pair->key_life;
    struct wgfp_session made = {.reject_after_time = NEVER, .rekey_after_sent_time = aged,
                                .rekey_after_received_time = aged, .local_index = index_of(session, side),
                                .remote_index = index_of(session, 1 - side)};

    memset(made.sending_key, (int)(2 * session + side), sizeof made.sending_key);
    memset(made.receiving_key, (int)(2 * session + 1 - side), sizeof made.receiving_key);
    return made;
}

void pair_rekey(struct pair *pair, uint32_t peer)
{
    const uint32_t session = ++pair->sessions;

    for (uint32_t i = 0; i < 2; i++) {
        struct side *side = &pair->sides[i];
        const struct wgfp_session made = session_of(pair, session, i);

        require(wgfp_keypair_install(side->datapath, side->peers[peer], &made) == 0, "a keypair can be installed");
        if (side->previous[peer] != 0)
            require(wgfp_keypair_remove(side->datapath, side->peers[peer], side->previous[peer]) == 0, "it is there");
        side->previous[peer] = side->newest[peer];
        side->newest[peer] = made.local_index;
    }
    struct side *initiator = &pair->sides[session % 2];

    require(wgfp_keypair_use(initiator->datapath, initiator->peers[peer], initiator->newest[peer], 1,
                             wgfp_kernel.now()) == 0, "it is there");
}

/* -- Events and datagrams ---------------------------------------------------------------------------- */

static void event_answer(struct pair *pair, struct side *side, const struct wgfp_event *event)
{
    uint32_t peer = 0;

    require(event->kind <= WGFP_EVENT_DATA_RECEIVED, "the event is of a kind");
    pair->events[event->kind]++;
    while (peer < FLOW_PEERS && side->peers[peer] != event->peer)
        peer++;
    if (peer == FLOW_PEERS)
        return;
    if (event->kind == WGFP_EVENT_KEY_CONFIRMED &&
        (event->local_index == side->newest[peer] || event->local_index == side->previous[peer]))
        require(wgfp_keypair_use(side->datapath, event->peer, event->local_index, 0, wgfp_kernel.now()) == 0,
                "what was confirmed is there");
    if (event->kind == WGFP_EVENT_KEY_NEEDED || event->kind == WGFP_EVENT_INITIATION_SENT ||
        (event->kind == WGFP_EVENT_KEY_AGED && event->local_index == side->newest[peer]))
        pair_rekey(pair, peer);
}

void pair_answer(struct pair *pair)
{
    static struct wgfp_datagram taken;
    struct wgfp_event events[64];
    size_t n;

    for (uint32_t i = 0; i < 2; i++) {
        struct side *side = &pair->sides[i];

        wgfp_datapath_acknowledge(side->datapath);
        while ((n = wgfp_events_take(side->datapath, events, 64)) != 0)
            for (size_t k = 0; k < n; k++)
                event_answer(pair, side, &events[k]);
        while (wgfp_handshake_take(side->datapath, &taken) || wgfp_foreign_take(side->datapath, &taken))
            pair->control_messages++;
    }
}

/* Handshake messages and foreign datagrams, with macs that are wrong if anybody looks. */
static void control_messages_send(const struct side *side)
{
    static const uint32_t sizes[] = {148, 92, 64, 500};
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(side->port4), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    uint8_t data[500] = {0};

    for (uint32_t i = 0; i < 200; i++) {
        data[0] = i % 4 < 3 ? (uint8_t)(1 + i % 4) : 77;
        (void)sendto(fd, data, sizes[i % 4], 0, (const struct sockaddr *)&to, sizeof to);
    }
    close(fd);
}

static void keys_change(struct side *side, uint32_t number)
{
    uint8_t bytes[32] = {(uint8_t)number};

    wgfp_handshakes_set_mac1_key(side->datapath, number % 3 == 0 ? bytes : NULL);
    wgfp_handshakes_set_cookie_secret(side->datapath, number % 2 == 0 ? bytes : NULL);
    (void)wgfp_handshakes_waiting(side->datapath);
}

/* -- Changes ---------------------------------------------------------------------------------------- */

/* Peers that nobody talks to, enough for all tables to grow; but a keypair of theirs sends. */
static void extra_peers(struct pair *pair, struct side *side)
{
    uint32_t peers[EXTRA_PEERS];

    for (uint32_t i = 0; i < EXTRA_PEERS; i++) {
        const uint8_t address[4] = {11, (uint8_t)i, 0, 0};
        const struct wgfp_session session = session_of(pair, ++pair->sessions, 0);

        require(wgfp_peer_add(side->datapath, &peers[i]) == 0, "a peer can be added");
        require(wgfp_route_set(side->datapath, peers[i], address, 4, 16) == 0, "a route can be set");
        require(wgfp_keypair_install(side->datapath, peers[i], &session) == 0, "a keypair can be installed");
    }
    for (uint32_t i = 0; i < EXTRA_PEERS; i++)
        wgfp_peer_remove(side->datapath, peers[i]);
}

static void readings_take(struct side *side, uint32_t peer, uint32_t number)
{
    struct wgfp_activity activity;
    uint64_t drops[WGFP_DROPS];

    wgfp_peer_activity(side->datapath, side->peers[peer], &activity);
    wgfp_drops(side->datapath, drops);
    require(wgfp_datapath_failure(side->datapath) == 0, "the TUN is there");
    require(wgfp_datapath_offloads(side->datapath) == 7, "this kernel takes superpackets");
    wgfp_datapath_set_mtu(side->datapath, MTU + number % 2);
}

void pair_lend(struct pair *pair, uint32_t peer)
{
    static const uint8_t message[INITIATION_SIZE] = {TYPE_INITIATION};

    for (uint32_t i = 0; i < 2; i++) {
        struct side *side = &pair->sides[i];

        wgfp_initiation_lend(side->datapath, side->peers[peer], NULL, 0);
        wgfp_initiation_lend(side->datapath, side->peers[peer], message, NEVER);
        wgfp_keypair_use_none(side->datapath, side->peers[peer]);
    }
}

/* Nothing may be begun; then anything, counted, or without a policy. */
static void policy_change(struct side *side, uint32_t peer, uint32_t number)
{
    static const struct wgfp_permit anything = {.last_port = 65535, .rule = 7};
    uint64_t counts[MAX_RULES];

    require(wgfp_peer_set_policy(side->datapath, side->peers[peer], NULL, 0, 1) == 0, "a policy can be set");
    require(wgfp_peer_set_policy(side->datapath, side->peers[peer], &anything, 1, number % 2) == 0, "so can another");
    wgfp_rule_counts(side->datapath, counts);
}

void pair_change(struct pair *pair, uint32_t number)
{
    const uint32_t which = number / 12 % 2, peer = number / 24 % FLOW_PEERS;
    struct side *side = &pair->sides[which];

    switch (number % 12) {
    case 0:
        side_move(pair, side);
        break;
    case 1:
        side_remove_peer(side, peer);
        side_add_peer(pair, which, peer);
        pair_rekey(pair, peer);
        break;
    case 2:
        if (which == 0)
            pair_lend(pair, peer);
        else
            wgfp_keypair_use_none(side->datapath, side->peers[peer]);
        break;
    case 3:
        routes_remove(pair, which, peer);
        routes_set(pair, which, peer);
        break;
    case 4:
        extra_peers(pair, side);
        break;
    case 5:
        control_messages_send(side);
        break;
    case 6:
        keys_change(side, number / 12);
        break;
    case 7:
        wgfp_peer_send_keepalive(side->datapath, side->peers[peer], wgfp_kernel.now());
        break;
    case 8:
        wgfp_peer_clear_source(side->datapath, side->peers[peer]);
        wgfp_peer_purge_staged(side->datapath, side->peers[peer]);
        break;
    case 9:
        wgfp_datapath_stop(side->datapath);
        require(wgfp_datapath_start(side->datapath) == 0, "the workers start");
        break;
    case 11:
        policy_change(side, peer, number / 24);
        break;
    default:
        readings_take(side, peer, number);
    }
}

/* -- Beginning and end ------------------------------------------------------------------------------ */

void pair_open(struct pair *pair, const struct wgfp_system *system)
{
    memset(pair, 0, sizeof *pair);
    for (uint32_t i = 0; i < 2; i++) {
        struct side *side = &pair->sides[i];

        sockets_open(side);
        tuns_open(side);
        const struct wgfp_settings settings = {.queues = side->queues, .queue_count = FLOW_QUEUES, .vnet_header = sizeof(struct wgfp_vnet),
                                               .offloads = 7, .staged_bytes = STAGED_BYTES, .small = i,
                                               .accept_foreign = 1, .flows = 64, .system = system};

        require(wgfp_datapath_new(&side->datapath, &settings) == 0, "there is memory");
        wgfp_datapath_set_mtu(side->datapath, MTU);
    }
    for (uint32_t i = 0; i < 2 * FLOW_PEERS; i++)
        side_add_peer(pair, i % 2, i / 2);
    for (uint32_t i = 0; i < 2; i++)
        require(wgfp_datapath_start(pair->sides[i].datapath) == 0, "the workers start");
}

void pair_close(struct pair *pair)
{
    for (uint32_t i = 0; i < 2; i++) {
        struct side *side = &pair->sides[i];

        wgfp_datapath_stop(side->datapath);
        for (uint32_t peer = 0; peer < FLOW_PEERS; peer++)
            side_remove_peer(side, peer);
        require(side->datapath->keypairs.count == 0, "no keypair is left");
        require(side->datapath->staging.free_count == STAGED_BYTES / STAGED_CELL, "no packet is left in the pool");
        require(wgfp_allowedips_count(side->datapath->routes) == 0, "no route is left");
        wgfp_datapath_free(side->datapath);
        sockets_close(side->queues);
        for (uint32_t k = 0; k < FLOW_QUEUES; k++) {
            close(side->queues[k].tun);
            close(side->tuns[k]);
        }
    }
}
