/* Any datagrams from the network: sealed by those who hold the keys, which may be hostile, forged, replayed, joined by
 * UDP_GRO to any sizes, from anywhere, with any ECN bits.
 *
 * Invariant: what is written to the TUN was sealed under a key of the peer that owns its source address, came there no
 * more than once, is as long as its own header says, has the ECN bits that RFC 6040 gives it, and keeps the order of
 * its flow; all that may be written is, of peers without a policy; of a peer that may begin nothing nothing is written
 * that begins something, of one that may begin anything all but fragments is; and whatever is not written is counted.
 */
#include "inbound_model.h"

#include <errno.h>

/* -- What became of it ------------------------------------------------------------------------------ */

static bool headers_parse(struct headers *headers, const uint8_t *packet, uint32_t length)
{
    struct wgfp_view view;

    (void)wgfp_packet_parse(&view, packet, length);
    return wgfp_headers_parse(headers, &view, packet, length) == 0;
}

static bool same_flow(const struct expected *a, const struct expected *b)
{
    struct headers left, right;
    const bool six = a->data[0] >> 4 == 6;

    return headers_parse(&left, a->data, a->length) && headers_parse(&right, b->data, b->length) &&
           left.version == right.version && left.protocol == right.protocol && a->session == b->session &&
           memcmp(a->data + (six ? 8 : 12), b->data + (six ? 8 : 12), six ? 32 : 8) == 0 &&
           memcmp(a->data + left.transport, b->data + right.transport, 4) == 0;
}

/* As it was sent, but for an IPv4 identification that a join made consecutive. */
static bool is_as_sent(const uint8_t *packet, const struct expected *sent)
{
    struct headers headers;
    uint8_t copy[sizeof sent->data];

    if (memcmp(packet, sent->data, sent->length) == 0)
        return true;
    if (packet[0] >> 4 != 4 || !headers_parse(&headers, packet, sent->length))
        return false;
    memcpy(copy, packet, sent->length);
    memcpy(copy + 4, sent->data + 4, 2);
    memcpy(copy + 10, sent->data + 10, 2);
    return memcmp(copy, sent->data, sent->length) == 0 &&
           wgfp_sum_fold(wgfp_sum(packet, headers.transport)) == 0xffff;
}

static bool is_fragment(const uint8_t *packet)
{
    static const uint8_t extensions[] = {0, 43, 44, 51, 60};

    if (packet[0] >> 4 == 4)
        return (wgfp_load16_be(packet + 6) & 0x3fff) != 0;
    return memchr(extensions, packet[6], sizeof extensions) != NULL; /* or may be one */
}

/* Nothing answers anything here, as nothing is sent: would it be let in though nothing may be begun? */
static bool begins(const uint8_t *packet, uint32_t length)
{
    const uint32_t header = packet[0] >> 4 == 4 ? 4 * (packet[0] & 15u) : 40;
    const uint8_t protocol = packet[0] >> 4 == 4 ? packet[9] : packet[6];

    if (is_fragment(packet) || protocol == ICMP || protocol == ICMPV6)
        return false; /* it may be let in */
    if (protocol != TCP || header < 20 || header + 14 > length)
        return true;
    return (packet[header + 13] & 0x12) == 2;
}

static void packet_check(const uint8_t *packet, size_t length)
{
    uint32_t i = 0;

    while (i < expected_count &&
           (expected[i].came || expected[i].length != length || !is_as_sent(packet, &expected[i])))
        i++;
    require(i < expected_count, "what is written may be");
    require(expected[i].policy != NOTHING || !begins(packet, (uint32_t)length), "what is begun is permitted");
    expected[i].came = true;
    for (uint32_t earlier = 0; earlier < i && !writes_fail; earlier++)
        require(expected[earlier].came || expected[earlier].policy != NO_POLICY || !same_flow(&expected[earlier], &expected[i]), "a flow keeps its order");
}

static uint32_t written_check(void)
{
    static uint8_t data[sizeof(struct wgfp_vnet) + MAX_PACKET], segment[MAX_PACKET];
    uint32_t count = 0;
    long length;

    while ((length = world_tun_take(world, data, sizeof data)) >= 0) {
        struct wgfp_vnet vnet = {0};
        struct wgfp_gso gso;
        const size_t skip = has_vnet ? sizeof vnet : 0;

        if (has_vnet)
            memcpy(&vnet, data, sizeof vnet);
        require(wgfp_gso_parse(&gso, &vnet, data + skip, (size_t)length - skip) == 0, "superpackets are right");
        for (uint32_t i = 0; i < gso.count; i++)
            packet_check(segment, wgfp_gso_copy(&gso, i, segment));
        count += gso.count;
    }
    return count;
}

static uint32_t control_messages_take(void)
{
    static struct wgfp_datagram taken;
    uint32_t count = 0;

    while (wgfp_handshake_take(datapath, &taken) || wgfp_foreign_take(datapath, &taken))
        count++;
    return count;
}

static bool must_come(const struct expected *sent)
{
    return sent->policy == NO_POLICY || (sent->policy == ANYTHING && !is_fragment(sent->data));
}

/* Move what was given, and look. */
static void settle(void)
{
    const uint64_t before = drops_of(datapath);

    for (int i = 0; i < 3; i++) /* receiving may fail twice */
        wgfp_datapath_step(datapath);
    const uint32_t written = written_check(), messages = control_messages_take();

    for (uint32_t i = 0; i < expected_count; i++)
        require(expected[i].came || writes_fail || !must_come(&expected[i]), "all that may be written is");
    require(pieces == written + messages + keepalives + (drops_of(datapath) - before), "what is not is counted");
    for (uint32_t i = 0; i < FLOW_PEERS; i++) {
        struct wgfp_activity activity;

        wgfp_peer_activity(datapath, peers[i], &activity);
        require(activity.rx_bytes == received[i], "authentic bytes are counted");
    }
    expected_count = pieces = keepalives = 0;
}

/* -- Steps ------------------------------------------------------------------------------------------ */

static void message_append(const uint8_t *data, uint32_t length)
{
    if (message_length + length > MOST_MESSAGE)
        return;
    if (message_length == 0)
        first_length = length;
    memcpy(message + message_length, data, length);
    message_length += length;
}

static void message_give(struct input *input)
{
    const struct wgfp_endpoint from = endpoint_of(input_byte(input) % MOST_ENDPOINTS);
    const uint32_t tos = input_byte(input), mode = input_byte(input) % 3;
    const uint32_t segment_size = mode == 0 ? 0 : mode == 1 ? first_length : input_number(input, 2);
    struct world_label label = {.tos = tos, .segment_size = segment_size};

    if (from.size != given_size)
        settle(); /* of two sockets one is read before the other */
    given_size = from.size;
    if (pieces + (segment_size != 0 ? message_length / segment_size : 0) + 1 > MOST_PIECES)
        settle();
    if (segment_size != 0 && message_length / segment_size + 1 > MOST_PIECES)
        message_length = segment_size * (MOST_PIECES - 1);
    memcpy(label.endpoint, &from, sizeof from);
    message_expect(segment_size, tos);
    world_udp_give(world, &label, message, message_length);
    message_length = first_length = 0;
}

static uint64_t counter_next(struct input *input, struct session *session)
{
    const uint8_t mode = input_byte(input);

    if (mode % 4 == 1)
        session->next += input_number(input, 2);
    else if (mode % 4 == 2)
        session->next -= input_number(input, 2);
    else if (mode == 255)
        session->next = (uint64_t)input_number(input, 4) << 32 | 0xfffffff0;
    return session->next++;
}

static void seal(struct input *input, uint32_t number, const uint8_t *plain, uint32_t length)
{
    struct sealed *made = &sealed[sealed_count++];
    uint8_t key[32];

    made->session = number;
    made->counter = counter_next(input, &sessions[number]);
    made->plain_length = length;
    made->length = length + TRANSPORT_OVERHEAD;
    made->plain = malloc(length + 1);
    made->data = malloc(made->length);
    memcpy(made->plain, plain, length);
    wgfp_store32(made->data, 4);
    wgfp_store32(made->data + 4, 1 + 16 * number);
    wgfp_store64(made->data + 8, made->counter);
    key_of(number, key);
    wgfp_aead_seal(wgfp_aead_kernel_best(), key, &(struct wgfp_aead_packet){
        .src = made->plain, .dst = made->data + TRANSPORT_HEADER_SIZE, .length = length, .counter = made->counter}, 1);
    message_append(made->data, made->length);
}

static void seal_flow(struct input *input)
{
    const uint8_t which = input_byte(input);
    struct flow *flow = &flows[which % FLOWS | 1]; /* of the other side */
    const uint32_t size = FLOW_RECORD + input_number(input, 2) % FLOW_LONGEST;
    uint8_t packet[LONGEST + 16] = {0};
    struct wgfp_vnet vnet;
    uint32_t length = (uint32_t)flow_write(flow, 1, size, &vnet, packet);

    for (uint8_t changes = which / FLOWS % 4; changes > 0; changes--) {
        const uint32_t at = input_number(input, 2) % (changes == 1 ? 48 : length);

        packet[at < length ? at : 0] ^= input_byte(input);
    }
    if (which & 128)
        length = (length + 15) / 16 * 16;
    seal(input, flow->peer * 2 + input_byte(input) % 2, packet, length);
}

static void seal_any(struct input *input)
{
    const uint8_t which = input_byte(input);
    const uint32_t number = which % SESSIONS, length = input_number(input, 2) % LONGEST;
    uint8_t packet[LONGEST], prefix[16];

    input_bytes(input, packet, length);
    if ((which & 16) && length >= 20) {
        flow_prefix(1, number / 2, false, prefix);
        memcpy(packet + 12, prefix, 3);
        packet[0] = 0x45;
        wgfp_store16_be(packet + 2, length - which / 64);
    } else if ((which & 32) && length >= 40) {
        flow_prefix(1, number / 2, true, prefix);
        memcpy(packet + 8, prefix, 8);
        packet[0] = 0x60;
        wgfp_store16_be(packet + 4, length - 40 - (which >= 128 && length > 40));
    }
    seal(input, number, packet, length);
}

static void copy(struct input *input)
{
    const struct sealed *from = &sealed[sealed_count == 0 ? 0 : input_byte(input) % sealed_count];
    uint8_t data[LONGEST + 16 + TRANSPORT_OVERHEAD];

    if (sealed_count == 0)
        return;
    memcpy(data, from->data, from->length);
    const uint32_t at = input_number(input, 2) % from->length;

    data[at] ^= input_byte(input);
    message_append(data, from->length - (from->length > 0 && input_byte(input) == 1));
}

static void any(struct input *input)
{
    uint8_t data[2 * LONGEST];
    const uint32_t length = input_number(input, 2) % sizeof data, times = 1 + input_byte(input) % 32;

    input_bytes(input, data, length);
    for (uint32_t i = 0; i < times; i++)
        message_append(data, length);
}

static void session_install(uint32_t number)
{
    struct wgfp_session session = {
        .reject_after_time = number == 0 ? REJECT_TIME : NEVER, .rekey_after_sent_time = NEVER,
        .rekey_after_received_time = NEVER, .local_index = 1 + 16 * number, .remote_index = number};

    key_of(number, session.receiving_key);
    require(wgfp_keypair_install(datapath, peers[number / 2], &session) == 0, "it can be installed");
    sessions[number].installed = true;
    sessions[number].greatest = 0;
    sessions[number].accepted_count = 0;
}

static void session_toggle(uint32_t number)
{
    if (!sessions[number].installed) {
        session_install(number);
        return;
    }
    require(wgfp_keypair_remove(datapath, peers[number / 2], 1 + 16 * number) == 0, "it was there");
    sessions[number].installed = false;
}

static void route_toggle(uint32_t peer, bool six)
{
    uint8_t prefix[16];

    flow_prefix(1, peer, six, prefix);
    if (routed[peer][six])
        wgfp_route_remove(datapath, peers[peer], prefix, six ? 16 : 4, six ? 64 : 24);
    else
        require(wgfp_route_set(datapath, peers[peer], prefix, six ? 16 : 4, six ? 64 : 24) == 0, "it can be set");
    routed[peer][six] = !routed[peer][six];
}

static void policy_change(uint32_t peer, uint32_t policy)
{
    policy_set(datapath, peers[peer], policy);
    policies[peer] = policy;
}

static void control(struct input *input)
{
    const uint8_t which = input_byte(input);

    settle();
    switch (which % 6) {
    case 0:
        session_toggle(which / 6 % SESSIONS);
        break;
    case 1:
        route_toggle(which / 6 % FLOW_PEERS, which & 128);
        break;
    case 2:
        if (which < 128)
            world_enter(world, now += which * 32u);
        else
            policy_change(which / 6 % FLOW_PEERS, which / 32 % POLICIES);
        break;
    case 3:
        world_fail(world, WORLD_WRITEV, EINVAL, which / 6 % 4, 1 + which / 32, 1);
        break;
    case 4:
        writes_fail = true;
        world_fail(world, WORLD_WRITEV, EIO, which / 6 % 4, 1 + which / 32, 0);
        break;
    default:
        world_fail(world, WORLD_RECVMMSG, ECONNREFUSED, which / 6 % 4, 1 + which / 128, 0);
        break;
    }
}

static void step(struct input *input)
{
    const uint8_t what = input_byte(input);

    switch (what % STEPS) {
    case SEAL_FLOW:
        seal_flow(input);
        break;
    case SEAL_ANY:
        seal_any(input);
        break;
    case COPY:
        copy(input);
        break;
    case ANY:
        any(input);
        break;
    case CONTROL:
        control(input);
        break;
    }
    if (what % STEPS == GIVE || what & 128)
        message_give(input);
}

static void begin(uint8_t options)
{
    has_vnet = options & 1;
    writes_fail = false;
    sealed_count = expected_count = pieces = keepalives = message_length = first_length = 0;
    world = world_new();
    world_enter(world, now = 10000);
    datapath = datapath_new(&(struct wgfp_settings){.vnet_header = has_vnet ? sizeof(struct wgfp_vnet) : 0, .offloads = options >> 1 & 7,
                                                    .small = (options & 0xd0) != 0xd0,
                                                    .accept_foreign = options >> 5 & 1});
    for (uint32_t i = 0; i < FLOWS; i++)
        flows[i] = flow_of_number(i);
    for (uint32_t i = 0; i < FLOW_PEERS; i++) {
        require(wgfp_peer_add(datapath, &peers[i]) == 0, "it can be added");
        received[i] = 0;
        policies[i] = NO_POLICY;
        routed[i][0] = routed[i][1] = false;
        route_toggle(i, false);
        route_toggle(i, true);
    }
    for (uint32_t i = 0; i < SESSIONS; i++) {
        sessions[i].next = 0;
        session_install(i);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};

    begin(input_byte(&input));
    for (int i = 0; i < MOST_STEPS && input.size > 0; i++)
        step(&input);
    settle();
    for (uint32_t i = 0; i < sealed_count; i++) {
        free(sealed[i].data);
        free(sealed[i].plain);
    }
    wgfp_datapath_free(datapath);
    world_free(world);
    return 0;
}
