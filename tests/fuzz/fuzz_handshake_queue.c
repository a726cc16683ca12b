/* Any datagrams, with macs that are valid or not, under load or not.
 *
 * Invariant: what is handed up came, once, from the source it names and as it was; with a mac1 key only with a
 * valid mac1; in the order of its lane, those with a valid mac2 under load first; and what is not handed up is counted.
 */
#include "fuzz.h"

enum {
    DATAGRAM, /* any */
    MESSAGE,  /* of the right size, with macs */
    TAKE_HANDSHAKES,
    TAKE_FOREIGN,
    MAC1_KEY,
    SECRET,
    TIME,
    STEPS,

    LONGEST = 2100,
    FOREIGN_SOURCES = 16, /* whose budgets are more than the queue */
};

struct lane {
    struct wgfp_datagram datagrams[HANDSHAKE_QUEUE_SIZE];
    uint32_t first, count, most;
};

/* What should be. */
static struct lane verified, others, cookies, foreign;
static bool cookies_next;
static uint64_t loaded_until, dropped;
static uint8_t mac1_key, secret; /* a number of a key; 0: none */
static uint64_t now;

static struct world *world;
static struct wgfp_datapath *datapath;

static void lane_push(struct lane *lane, const struct wgfp_datagram *datagram)
{
    if (lane->count == lane->most) {
        dropped++;
        return;
    }
    struct wgfp_datagram *slot = &lane->datagrams[(lane->first + lane->count++) % HANDSHAKE_QUEUE_SIZE];

    slot->source = datagram->source;
    slot->length = datagram->length;
    memcpy(slot->data, datagram->data, datagram->length);
}

static const struct wgfp_datagram *lane_pop(struct lane *lane)
{
    if (lane->count == 0)
        return NULL;
    lane->count--;
    return &lane->datagrams[lane->first++ % HANDSHAKE_QUEUE_SIZE];
}

/* One source, an IPv4 address or an IPv6 /64, has a budget. */
static void foreign_push(const struct wgfp_datagram *datagram)
{
    uint32_t same = 0;

    for (uint32_t i = 0; i < foreign.count; i++) {
        const struct wgfp_endpoint *other = &foreign.datagrams[(foreign.first + i) % HANDSHAKE_QUEUE_SIZE].source;

        same += other->size == datagram->source.size &&
                memcmp(other->address, datagram->source.address, other->size == 4 ? 4 : 8) == 0;
    }
    if (same < MAX_FOREIGN_PER_SOURCE)
        lane_push(&foreign, datagram);
    else
        dropped++;
}

static bool under_load(void)
{
    if (verified.count + others.count >= UNDER_LOAD_DEPTH)
        loaded_until = now + UNDER_LOAD_HOLD;
    return now < loaded_until;
}

/* mac1, mac2: of which key they are; 0: of none. length: may be more than a wgfp_datagram holds. */
static void expect(const struct wgfp_datagram *datagram, uint32_t length, uint8_t mac1, uint8_t mac2)
{
    static const uint32_t sizes[] = {0, 148, 92, 64};
    const uint8_t *data = datagram->data;
    const bool known = length >= 4 && data[0] >= 1 && data[0] <= 3 && (data[1] | data[2] | data[3]) == 0;

    if (length >= 4 && data[0] == 4 && (data[1] | data[2] | data[3]) == 0)
        dropped++; /* there is no keypair */
    else if (!known && length <= sizeof datagram->data && foreign.most > 0)
        foreign_push(datagram);
    else if (!known || length != sizes[data[0]])
        dropped++;
    else if (data[0] == 3)
        lane_push(&cookies, datagram);
    else if (mac1_key != 0 && mac1 != mac1_key)
        dropped++;
    else
        lane_push(secret != 0 && under_load() && mac2 == secret ? &verified : &others, datagram);
}

static void datagram_check(const struct wgfp_datagram *taken, const struct wgfp_datagram *expected)
{
    require(expected != NULL, "what is handed up came");
    require(taken->length == expected->length, "its length is what it was");
    require(memcmp(taken->data, expected->data, taken->length) == 0, "its bytes are what they were");
    require(memcmp(&taken->source, &expected->source, sizeof taken->source) == 0, "its source is the true one");
}

static void handshakes_take(uint32_t n)
{
    static struct wgfp_datagram taken;

    require(wgfp_handshakes_waiting(datapath) == (size_t)verified.count + others.count + cookies.count,
            "as many wait as should");
    for (; n > 0 && wgfp_handshake_take(datapath, &taken); n--) {
        const struct wgfp_datagram *expected = lane_pop(&verified);

        if (expected == NULL) {
            expected = lane_pop(cookies_next ? &cookies : &others);
            if (expected == NULL)
                expected = lane_pop(cookies_next ? &others : &cookies);
            cookies_next = !cookies_next;
        }
        datagram_check(&taken, expected);
    }
    if (n > 0) {
        require(verified.count + others.count + cookies.count == 0, "nothing is kept back");
        cookies_next = !cookies_next;
    }
}

static void foreign_take(void)
{
    static struct wgfp_datagram taken;

    while (wgfp_foreign_take(datapath, &taken))
        datagram_check(&taken, lane_pop(&foreign));
    require(foreign.count == 0, "nothing is kept back");
}

static void mac1_write(uint8_t *message, size_t length, uint8_t number)
{
    uint8_t labelled[8 + 32] = "mac1----", key[32];

    key_of(number, labelled + 8);
    wgfp_blake2s(key, 32, NULL, 0, labelled, sizeof labelled);
    wgfp_blake2s(message + length - 32, 16, key, 32, message, length - 32);
}

static void mac2_write(uint8_t *message, size_t length, uint8_t number, const struct wgfp_endpoint *source)
{
    uint8_t key[32], from[18], cookie[16];

    key_of(number, key);
    memcpy(from, source->address, source->size);
    from[source->size] = (uint8_t)(source->port >> 8);
    from[source->size + 1] = (uint8_t)source->port;
    wgfp_blake2s(cookie, 16, key, 32, from, source->size + 2);
    wgfp_blake2s(message + length - 16, 16, cookie, 16, message, length - 16);
}

static void give(struct wgfp_datagram *datagram, const uint8_t *data, uint32_t length, uint32_t times, uint8_t mac1,
                        uint8_t mac2)
{
    struct world_label label = {.tos = 0};

    memcpy(label.endpoint, &datagram->source, sizeof datagram->source);
    datagram->length = length < sizeof datagram->data ? length : sizeof datagram->data;
    memcpy(datagram->data, data, datagram->length);
    for (; times > 0; times--) {
        expect(datagram, length, mac1, mac2);
        world_udp_give(world, &label, data, length);
    }
    wgfp_datapath_step(datapath);
}

static void message_give(struct input *input)
{
    static const uint8_t sizes[] = {148, 92, 64};
    struct wgfp_datagram datagram;
    const uint8_t kind = input_byte(input), mac1 = input_byte(input) % 3, mac2 = input_byte(input) % 3;
    const uint8_t size = sizes[kind % 3], flip = input_byte(input);
    uint8_t data[148] = {[0] = (uint8_t)(1 + kind % 3), [4] = kind};

    datagram.source = endpoint_of(kind / 3 % MOST_ENDPOINTS);
    if (mac1 != 0)
        mac1_write(data, size, mac1);
    if (mac2 != 0)
        mac2_write(data, size, mac2, &datagram.source);
    if (flip == 0 || kind % 3 == 2) {
        give(&datagram, data, size, 1 + input_byte(input), mac1, mac2);
        return;
    }
    const uint32_t at = 4 + flip % (size - 4u); /* of bytes that only the macs look at */

    data[at] ^= 1;
    give(&datagram, data, size, 1, at < size - 16u ? 0 : mac1, 0);
}

static void datagram_give(struct input *input)
{
    struct wgfp_datagram datagram = {.source = endpoint_of(input_byte(input) % FOREIGN_SOURCES)};
    const uint32_t length = input_number(input, 2) % LONGEST;
    uint8_t data[LONGEST];

    input_bytes(input, data, length);
    give(&datagram, data, length, 1, 0, 0);
}

static void step(struct input *input)
{
    uint8_t key[32];

    switch (input_byte(input) % STEPS) {
    case DATAGRAM:
        datagram_give(input);
        break;
    case MESSAGE:
        message_give(input);
        break;
    case TAKE_HANDSHAKES:
        handshakes_take(1 + input_byte(input) * 8u);
        break;
    case TAKE_FOREIGN:
        foreign_take();
        break;
    case MAC1_KEY:
        key_of(mac1_key = input_byte(input) % 3, key);
        wgfp_handshakes_set_mac1_key(datapath, mac1_key != 0 ? key : NULL);
        break;
    case SECRET:
        key_of(secret = input_byte(input) % 3, key);
        wgfp_handshakes_set_cookie_secret(datapath, secret != 0 ? key : NULL);
        break;
    case TIME:
        world_enter(world, now += input_byte(input) * (UNDER_LOAD_HOLD / 128));
        break;
    }
}

static void lane_clear(struct lane *lane, uint32_t most)
{
    lane->first = lane->count = 0;
    lane->most = most;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    const uint8_t options = input_byte(&input);

    lane_clear(&verified, HANDSHAKE_QUEUE_SIZE);
    lane_clear(&others, HANDSHAKE_QUEUE_SIZE);
    lane_clear(&cookies, COOKIE_QUEUE_SIZE);
    lane_clear(&foreign, options & 1 ? MAX_FOREIGN : 0);
    cookies_next = false;
    loaded_until = dropped = 0;
    mac1_key = secret = 0;
    world = world_new();
    world_enter(world, now = 1000);
    datapath = datapath_new(&(struct wgfp_settings){.small = 1, .accept_foreign = options & 1});
    for (int i = 0; i < MOST_STEPS && input.size > 0; i++)
        step(&input);
    foreign_take();
    handshakes_take(UINT32_MAX);
    require(drops_of(datapath) == dropped, "what is not handed up is counted");
    wgfp_datapath_free(datapath);
    world_free(world);
    return 0;
}
