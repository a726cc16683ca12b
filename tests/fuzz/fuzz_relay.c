/* Any datagrams at a relay: handshake messages and data of its peers and of others, right and wrong, joined by UDP_GRO to any
 * sizes, while peers move, lose their sessions, go and come, and sending fails.
 *
 * Invariant: what leaves came, as it is and with its TOS byte, from where a peer with a session was, and goes to where
 * another one is, no more than once; and whatever does not leave is counted, or waits for the engine.
 */
#include "fuzz.h"

#include "cookie.h"
#include "message.h"

#include <errno.h>

enum { PEERS = 4, MOST_GIVEN = 64, LONGEST = 2000, STEPS = 8 };

struct given {
    struct wgfp_endpoint source;
    uint32_t tos, length;
    uint8_t data[LONGEST];
    bool left;
};

static struct world *world;
static struct wgfp_datapath *datapath;
static uint64_t now;
static uint32_t peers[PEERS];
static struct wgfp_endpoint endpoints[PEERS];
static bool has_session[PEERS];
static struct given given[MOST_GIVEN];
static uint32_t given_count;
static bool sends_fail;

static void public_key_of(uint32_t peer, uint8_t key[32])
{
    memset(key, (int)(0x80 + peer), 32);
}

/* -- What became of it ------------------------------------------------------------------------------ */

static bool same_remote(const struct wgfp_endpoint *a, const struct wgfp_endpoint *b)
{
    return a->size == b->size && a->port == b->port && a->scope_id == b->scope_id &&
           memcmp(a->address, b->address, 16) == 0;
}

static bool is_end(const struct wgfp_endpoint *endpoint)
{
    for (uint32_t i = 0; i < PEERS; i++)
        if (peers[i] != 0 && has_session[i] && same_remote(&endpoints[i], endpoint))
            return true;
    return false;
}

static void forwarded_check(const struct wgfp_endpoint *to, uint32_t tos, const uint8_t *data, uint32_t length)
{
    uint32_t i = 0;

    while (i < given_count && (given[i].left || given[i].length != length || given[i].tos != tos ||
                               memcmp(given[i].data, data, length) != 0 || !is_end(&given[i].source)))
        i++;
    require(i < given_count, "what leaves came from an end");
    require(is_end(to), "it goes to an end");
    require(!same_remote(to, &given[i].source), "it does not go back");
    given[i].left = true;
}

static uint32_t forwarded_take(void)
{
    static uint8_t data[1 << 17];
    struct world_label label;
    uint32_t count = 0;
    long length;

    while ((length = world_udp_take(world, &label, data, sizeof data)) >= 0) {
        struct wgfp_endpoint to;
        const uint32_t size = label.segment_size != 0 ? label.segment_size : (uint32_t)length;

        memcpy(&to, label.endpoint, sizeof to);
        for (uint32_t at = 0; at < (uint32_t)length; at += size, count++)
            forwarded_check(&to, label.tos, data + at, (uint32_t)length - at < size ? (uint32_t)length - at : size);
    }
    return count;
}

/* Move what was given, and look. */
static void settle(void)
{
    static struct wgfp_datagram taken;
    const uint64_t before = drops_of(datapath);
    uint32_t handed_up = 0;

    wgfp_datapath_step(datapath);
    const uint32_t left = forwarded_take();

    while (wgfp_handshake_take(datapath, &taken) || wgfp_foreign_take(datapath, &taken))
        handed_up++;
    require(given_count == left + handed_up + (drops_of(datapath) - before) || sends_fail, "what does not leave is counted");
    given_count = 0;
}

/* -- Steps ------------------------------------------------------------------------------------------ */

static void mac1_write(uint8_t *message, uint32_t length, uint32_t peer)
{
    struct wgfp_mac1 mac1;
    uint8_t key[32];

    public_key_of(peer, key);
    wgfp_mac1_init(&mac1, key);
    wgfp_blake2s_mac(message + length - 2 * MAC_LENGTH, &mac1.key, message, length - 2 * MAC_LENGTH);
}

/* A message of a type, of few indices, so that they meet. */
static uint32_t message_write(struct input *input, uint8_t *message, uint32_t type)
{
    static const uint32_t sizes[] = {0, INITIATION_SIZE, RESPONSE_SIZE, COOKIE_REPLY_SIZE};
    const uint8_t indices = input_byte(input);
    const uint32_t length = type == TYPE_TRANSPORT ? TRANSPORT_OVERHEAD + input_number(input, 2) % 1500 : sizes[type];

    memset(message, indices, length);
    wgfp_store32(message, type);
    wgfp_store32(message + 4, indices % 8u);
    wgfp_store32(message + 8, indices / 8 % 8u);
    if (type <= TYPE_RESPONSE)
        mac1_write(message, length, input_byte(input) % (PEERS + 2));
    return length;
}

/* Datagrams of one size, joined if there are many; changes: bytes of the first one. */
static void messages_give(struct input *input, const uint8_t *message, uint32_t length)
{
    static uint8_t joined[1 << 16];
    const uint8_t how = input_byte(input);
    const uint32_t count = length > 0 ? 1 + how / 4 % 16u : 1, tos = input_byte(input);
    struct world_label label = {.tos = tos, .segment_size = count > 1 ? length : 0};
    const struct wgfp_endpoint source = endpoint_of(how % MOST_ENDPOINTS);

    if (given_count + count > MOST_GIVEN)
        settle();
    for (uint32_t i = 0; i < count; i++) {
        struct given *one = &given[given_count++];

        *one = (struct given){.source = source, .tos = tos, .length = length};
        memcpy(one->data, message, length);
        if (length > 16) { /* so that it is known again, and from whom it came */
            one->data[length - 1] = (uint8_t)i;
            one->data[length - 2] = how % MOST_ENDPOINTS;
        }
        if (how >= 128 && length > 5)
            one->data[4] ^= i & 1; /* the next index */
        memcpy(joined + (size_t)i * length, one->data, length);
    }
    memcpy(label.endpoint, &source, sizeof source);
    world_udp_give(world, &label, joined, (size_t)count * length);
}

static void any(struct input *input)
{
    uint8_t data[LONGEST];
    const uint32_t length = input_number(input, 2) % sizeof data;

    input_bytes(input, data, length);
    messages_give(input, data, length);
}

static void session_set(uint32_t number, bool begins)
{
    static uint32_t index;
    struct wgfp_session session = {.reject_after_time = NEVER, .rekey_after_sent_time = NEVER,
                                   .rekey_after_received_time = NEVER, .local_index = 1000 + ++index};

    if (begins) {
        require(wgfp_keypair_install(datapath, peers[number], &session) == 0, "it can be installed");
        require(wgfp_keypair_use(datapath, peers[number], session.local_index, 0, now) == 0, "it can be used");
    } else {
        wgfp_keypair_use_none(datapath, peers[number]);
    }
    has_session[number] = begins;
}

static void move(uint32_t number, uint32_t to)
{
    endpoints[number] = endpoint_of(to);
    wgfp_peer_set_endpoint(datapath, peers[number], &endpoints[number], 0);
}

static void peer_make(uint32_t number)
{
    uint8_t key[32];

    public_key_of(number, key);
    require(wgfp_peer_add(datapath, &peers[number]) == 0, "it can be added");
    require(wgfp_relay_add_peer(datapath, peers[number], key) == 0, "it can be relayed");
    move(number, number);
    session_set(number, true);
}

static void peer_toggle(uint32_t number)
{
    if (peers[number] == 0) {
        peer_make(number);
        return;
    }
    wgfp_peer_remove(datapath, peers[number]);
    peers[number] = 0;
}

static void relay_begin(uint64_t rate)
{
    uint8_t key[32];

    require(wgfp_relay_set_rate(datapath, 0) == 0 && wgfp_relay_set_rate(datapath, rate) == 0, "it can be had");
    for (uint32_t i = 0; i < PEERS; i++) {
        public_key_of(i, key);
        if (peers[i] != 0)
            require(wgfp_relay_add_peer(datapath, peers[i], key) == 0, "it can be relayed");
    }
}

static void control(struct input *input)
{
    const uint8_t which = input_byte(input);
    const uint32_t number = which / 8 % PEERS;

    settle();
    if (which % 8 == 0)
        peer_toggle(number);
    else if (which % 8 == 1 && peers[number] != 0)
        session_set(number, which & 128);
    else if (which % 8 == 2 && peers[number] != 0)
        move(number, which / 32 % MOST_ENDPOINTS);
    else if (which % 8 == 3)
        world_enter(world, now += UINT64_C(1000000) << which / 8);
    else if (which % 8 == 4)
        relay_begin(which & 128 ? 1000 : UINT64_C(1) << 40);
    else if (which % 8 == 5) {
        sends_fail = true;
        world_fail(world, WORLD_SENDMMSG, which & 128 ? EMSGSIZE : EAGAIN, which / 8 % 4, 1 + which / 64, which / 32 % 2);
    }
}

static void step(struct input *input)
{
    const uint8_t what = input_byte(input) % STEPS;
    uint8_t message[LONGEST];

    if (what < 5)
        messages_give(input, message, message_write(input, message, what == 0 ? TYPE_TRANSPORT : what));
    else if (what == 5)
        any(input);
    else
        control(input);
}

static void begin(uint8_t options)
{
    uint8_t key[32];

    public_key_of(PEERS, key);
    sends_fail = false;
    given_count = 0;
    world = world_new();
    world_enter(world, now = 10000);
    datapath = datapath_new(&(struct wgfp_settings){.offloads = options >> 1 & 7, .small = 1, .staged_bytes = 4096,
                                                    .accept_foreign = options & 1});
    wgfp_handshakes_set_mac1_key(datapath, key);
    require(wgfp_relay_set_rate(datapath, UINT64_C(1) << 40) == 0, "it can be had");
    for (uint32_t i = 0; i < PEERS; i++)
        peer_make(i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};

    begin(input_byte(&input));
    for (int i = 0; i < MOST_STEPS && input.size > 0; i++)
        step(&input);
    settle();
    wgfp_datapath_free(datapath);
    world_free(world);
    return 0;
}
