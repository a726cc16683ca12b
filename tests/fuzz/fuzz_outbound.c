/* Any packets from the TUN, with any virtio headers, while peers, policies, keys and the kernel change.
 *
 * Invariant: what is sent opens at the other end, and is, once and in order, the packets that the TUN gave for this
 * peer (superpackets cut), under counters from 0 on, padded with zeros to 16 bytes but not past the MTU, marked with
 * their ECN bits, and addressed to the peer's endpoint; all that can be sent is; and whatever is not is counted.
 */
#include "outbound_model.h"

#include <errno.h>

static bool superpackets_wait; /* in the TUN, for the next step */

/* -- What was sent ---------------------------------------------------------------------------------- */

static uint8_t ecn_of(const struct packet *packet)
{
    if (packet->length == 0)
        return 0;
    return (packet->data[0] >> 4 == 4 ? packet->data[1] : packet->data[1] >> 4) & 3;
}

static void padding_check(const struct packet *packet, const uint8_t *plain, uint32_t length)
{
    const uint32_t last = packet->length > packet->mtu ? packet->length % packet->mtu : packet->length;
    const uint32_t wanted = (last + 15) / 16 * 16, most = wanted < packet->mtu ? wanted : packet->mtu;

    require(length == packet->length - last + most, "a packet is padded to 16 bytes, but not past the MTU");
    for (uint32_t i = packet->length; i < length; i++)
        require(plain[i] == 0, "padding is zeros");
}

/* Open a message. Its receiver index says whose it is. */
static void message_check(const uint8_t *data, size_t length, const struct world_label *label)
{
    static uint8_t plain[MAX_PACKET + 16];
    struct wgfp_aead_packet opening = {.src = data + TRANSPORT_HEADER_SIZE, .dst = plain,
                                       .length = (uint32_t)length - TRANSPORT_OVERHEAD};
    struct wgfp_endpoint to, expected;
    uint8_t key[32];

    require(length >= TRANSPORT_OVERHEAD && wgfp_load32(data) == 4, "what is sent is a data message");
    const uint32_t index = wgfp_load32(data + 4);

    require(index < 2 * FLOW_PEERS, "it is to somebody who is there");
    struct peer_model *peer = &peers[index / 2];
    struct session *session = &peer->sessions[index % 2];

    opening.counter = wgfp_load64(data + 8);
    key_of(index, key);
    wgfp_aead_open(wgfp_aead_kernel_best(), key, &opening, 1);
    require(opening.ok, "what is sent opens");
    require(opening.counter >= session->taken && opening.counter < session->sent, "counters rise, and none is unknown");
    dropped += opening.counter - session->taken; /* these could not be sent */
    session->taken = (uint32_t)opening.counter + 1;

    const struct packet *packet = session->packets[opening.counter];

    require(opening.length >= packet->length, "it is what was given");
    require(memcmp(plain, packet->data, packet->length) == 0, "it is what was given");
    padding_check(packet, plain, opening.length);
    require(label->tos == ecn_of(packet), "it is marked as the packet in it");
    memcpy(&to, label->endpoint, sizeof to);
    expected = endpoint_of(peer->endpoint);
    require(to.size == expected.size && to.port == expected.port && memcmp(to.address, expected.address, 16) == 0,
            "it goes to the peer's endpoint");
}

static void sent_check(void)
{
    static uint8_t data[MAX_PACKET + 64];
    struct world_label label;
    long length;

    while ((length = world_udp_take(world, &label, data, sizeof data)) >= 0) {
        const size_t size = label.segment_size != 0 ? label.segment_size : (size_t)length;

        for (size_t at = 0; at < (size_t)length; at += size)
            message_check(data + at, (size_t)length - at < size ? (size_t)length - at : size, &label);
    }
}

/* Let it move what was given, and look. */
static void settle(void)
{
    superpackets_wait = false;
    wgfp_datapath_step(datapath);
    sent_check();
    for (uint32_t i = 0; i < 2 * FLOW_PEERS; i++) {
        struct session *session = &peers[i / 2].sessions[i % 2];

        dropped += session->sent - session->taken;
        session->taken = session->sent;
        while (session->freed < session->sent)
            free(session->packets[session->freed++]);
    }
    require(drops_of(datapath) == dropped, "what is not sent is counted, and nothing else");
    require(wgfp_datapath_failure(datapath) == 0, "the TUN is still read");
}

/* -- Steps ------------------------------------------------------------------------------------------ */

static void tun_give(const struct wgfp_vnet *vnet, uint8_t *data, uint32_t length)
{
    static uint8_t read[VNET + MAX_PACKET + 2];
    const size_t skip = has_vnet ? VNET : 0;
    const struct wgfp_vnet none = {0};
    const bool is_superpacket = has_vnet && vnet->gso_type != 0;

    if (superpackets_wait && !is_superpacket)
        settle(); /* or the packet might overtake them: tests/fastpath/test_read_ahead.py */
    superpackets_wait |= is_superpacket;
    memcpy(read, vnet, VNET);
    memcpy(read + skip, data, length);
    world_tun_give(world, read, skip + length);
    if (read_expect(has_vnet ? vnet : &none, data, length))
        settle(); /* peers share the pool, and a batch is staged peer by peer */
}

static void flow_give(struct input *input)
{
    const uint8_t which = input_byte(input);
    struct flow *flow = &flows[(which % FLOWS) & ~1u]; /* of this side */
    const uint32_t size = FLOW_RECORD + input_number(input, 2) % FLOW_LONGEST, most = 65000 / size;
    const uint32_t wanted = 1 + input_byte(input), count = wanted < most ? wanted : most;
    static uint8_t packet[FLOW_PACKET + 1];
    struct wgfp_vnet vnet;
    const uint32_t length = (uint32_t)flow_write(flow, has_vnet ? count : 1, size, &vnet, packet);
    uint8_t header[VNET];

    memcpy(header, &vnet, VNET);
    for (uint8_t changes = which / FLOWS % 4; changes > 0; changes--) {
        const uint32_t at = input_byte(input) % (VNET + 60);
        const uint8_t by = input_byte(input);

        if (at < VNET)
            header[at] ^= by;
        else if (at - VNET < length)
            packet[at - VNET] ^= by;
    }
    memcpy(&vnet, header, VNET);
    if (vnet.gso_size == 0 || length / vnet.gso_size < MOST_SEGMENTS)
        tun_give(&vnet, packet, length);
}

static void any_give(struct input *input)
{
    static uint8_t packet[MAX_PACKET + 1];
    const uint32_t which = input_byte(input), said = input_number(input, 2);
    const uint32_t length = 1 + (which & 1 ? said : said % 600);
    uint8_t header[VNET], prefix[16];
    struct wgfp_vnet vnet;

    input_bytes(input, header, which & 2 ? VNET : 0);
    memset(header + (which & 2 ? VNET : 0), 0, which & 2 ? 0 : VNET);
    memcpy(&vnet, header, VNET);
    memset(packet, 0, length);
    input_bytes(input, packet, length < input->size ? length : input->size);
    if ((which & 4) && length >= 40) {
        const bool six = which & 8;

        packet[0] = six ? 0x60 : 0x45;
        wgfp_store16_be(packet + (six ? 4 : 2), length - (six ? 40 : 0));
        flow_prefix(1, which / 16 % FLOW_PEERS, six, prefix);
        memcpy(packet + (six ? 24 : 16), prefix, six ? 16 : 4);
    }
    if (vnet.gso_size == 0 || length / vnet.gso_size < MOST_SEGMENTS)
        tun_give(&vnet, packet, length);
}

static void session_install(uint32_t number)
{
    struct wgfp_session session = {
        .reject_after_time = number % 2 == 0 ? REJECT_TIME : NEVER, .rekey_after_sent_time = NEVER,
        .rekey_after_received_time = NEVER, .local_index = 1 + number, .remote_index = number};

    key_of(number, session.sending_key);
    require(wgfp_keypair_install(datapath, peers[number / 2].number, &session) == 0, "it can be installed");
    peers[number / 2].sessions[number % 2].installed = true;
    peers[number / 2].sessions[number % 2].sent = 0;
    peers[number / 2].sessions[number % 2].taken = peers[number / 2].sessions[number % 2].freed = 0;
}

static void keepalive_expect(struct peer_model *peer)
{
    if (peer->waiting.count == 0)
        stage(peer, packet_new(0));
    waiting_send(peer);
}

static void key_change(struct input *input)
{
    const uint8_t which = input_byte(input), number = which % (2 * FLOW_PEERS);
    struct peer_model *peer = &peers[number / 2];
    struct session *session = &peer->sessions[number % 2];

    if (which / 8 % 4 == 0) {
        wgfp_keypair_use_none(datapath, peer->number);
        peer->session = 0;
    } else if (which / 8 % 4 == 1 && session->installed) {
        require(wgfp_keypair_remove(datapath, peer->number, 1u + number) == 0, "it was there");
        session->installed = false;
        if (peer->session == number % 2 + 1u)
            peer->session = 0;
    } else if (which / 8 % 4 == 1) {
        session_install(number);
    } else {
        const int confirm = which >= 128;
        const int error = wgfp_keypair_use(datapath, peer->number, 1u + number, confirm, now);

        require(error == (session->installed ? 0 : WGFP_ERR_ABSENT), "only what is there is used");
        if (!session->installed)
            return;
        peer->session = number % 2 + 1u;
        if (confirm)
            keepalive_expect(peer);
        waiting_send(peer);
    }
}

static void endpoint_change(struct input *input)
{
    const uint8_t which = input_byte(input);
    struct peer_model *peer = &peers[which % FLOW_PEERS];
    const struct wgfp_endpoint none = {0};
    const uint32_t number = which / FLOW_PEERS % (MOST_ENDPOINTS + 1);
    const struct wgfp_endpoint endpoint = number < MOST_ENDPOINTS ? endpoint_of(number) : none;

    wgfp_peer_set_endpoint(datapath, peer->number, &endpoint, 0);
    peer->endpoint = number;
}

static void route_toggle(uint32_t i)
{
    uint8_t prefix[16];

    for (uint32_t six = 0; six < 2; six++) {
        flow_prefix(1, i, six, prefix);
        if (peers[i].routed)
            wgfp_route_remove(datapath, peers[i].number, prefix, six ? 16 : 4, six ? 64 : 24);
        else
            require(wgfp_route_set(datapath, peers[i].number, prefix, six ? 16 : 4, six ? 64 : 24) == 0,
                    "it can be set");
    }
    peers[i].routed = !peers[i].routed;
}

static void waiting_purge(struct peer_model *peer)
{
    while (peer->waiting.count > 0) {
        free(waiting_pop(&peer->waiting));
        dropped++;
    }
}

static void control(struct input *input)
{
    static const uint16_t mtus[] = {1, 16, 576, 1280, 1420, 9000, 65535};
    const uint8_t which = input_byte(input);
    struct peer_model *peer = &peers[which / 8 % FLOW_PEERS];

    switch (which % 8) {
    case 0:
        route_toggle(which / 8 % FLOW_PEERS);
        break;
    case 1:
        world_enter(world, now += which * 32u);
        break;
    case 2:
        wgfp_datapath_set_mtu(datapath, mtu = mtus[which / 8 % (sizeof mtus / sizeof mtus[0])]);
        break;
    case 3:
        wgfp_peer_purge_staged(datapath, peer->number);
        waiting_purge(peer);
        break;
    case 4:
        wgfp_peer_clear_source(datapath, peer->number);
        break;
    case 7:
        policy_set(datapath, peer->number, which / 64);
        if (peer->policy != which / 64u)
            waiting_purge(peer);
        peer->policy = which / 64;
        break;
    default:
        wgfp_peer_send_keepalive(datapath, peer->number, now);
        keepalive_expect(peer);
        break;
    }
}

static void fault(struct input *input)
{
    static const int errors[] = {EMSGSIZE, EINVAL, EIO, ENETUNREACH, ENOBUFS, EAGAIN, EPERM, EINTR};
    const uint8_t which = input_byte(input);

    world_fail(world, WORLD_SENDMMSG, errors[which % 8], which / 16 % 4, 1 + which / 64, which & 8);
}

static void step(struct input *input)
{
    const uint8_t what = input_byte(input);

    if (what % STEPS > ANY || what & 128)
        settle();
    switch (what % STEPS) {
    case FLOW:
        flow_give(input);
        break;
    case ANY:
        any_give(input);
        break;
    case KEY:
        key_change(input);
        break;
    case ENDPOINT:
        endpoint_change(input);
        break;
    case CONTROL:
        control(input);
        break;
    case FAULT:
        fault(input);
        break;
    }
}

static void begin(uint8_t options)
{
    has_vnet = options & 1;
    dropped = made = 0;
    mtu = 1420;
    cells = STAGED_BYTES / STAGED_CELL;
    world = world_new();
    world_enter(world, now = 10000);
    datapath = datapath_new(&(struct wgfp_settings){
        .vnet_header = has_vnet ? VNET : 0, .offloads = options >> 1 & 7, .staged_bytes = STAGED_BYTES, .small = 1});
    wgfp_datapath_set_mtu(datapath, mtu);
    for (uint32_t i = 0; i < FLOWS; i++)
        flows[i] = flow_of_number(i);
    for (uint32_t i = 0; i < FLOW_PEERS; i++) {
        peers[i].endpoint = i;
        peers[i].routed = false;
        peers[i].policy = NO_POLICY;
        peers[i].waiting = (struct waiting){.end = &peers[i].waiting.first};
        require(wgfp_peer_add(datapath, &peers[i].number) == 0, "it can be added");
        const struct wgfp_endpoint endpoint = endpoint_of(i);

        wgfp_peer_set_endpoint(datapath, peers[i].number, &endpoint, 0);
        route_toggle(i);
        session_install(2 * i);
        session_install(2 * i + 1);
        if (i % 2 == 0) /* the others' packets wait */
            require(wgfp_keypair_use(datapath, peers[i].number, 2 + 2 * i, 0, now) == 0, "it is there");
        peers[i].session = i % 2 == 0 ? 2 : 0;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};

    begin(input_byte(&input));
    for (int i = 0; i < MOST_STEPS && input.size > 0 && made < ENOUGH; i++)
        step(&input);
    settle();
    wgfp_datapath_free(datapath);
    for (uint32_t i = 0; i < FLOW_PEERS; i++)
        waiting_purge(&peers[i]);
    world_free(world);
    return 0;
}
