/* Runs parts of the C data path a number of times, so that a counter of instructions can tell what each costs.
 *
 *     path MODE PACKETS TIMES
 *
 * A TCP superpacket of so many packets passes from one data path to another, by system calls that are made here and do
 * nothing but copy. Each mode does what the one before does, and one thing more, so differences are what counts:
 *
 *     idle      the sender takes a turn, both ways, and nothing waits for it
 *     copy      the superpacket is copied, as a read from the TUN does
 *     out       that turn finds it: routed, cut, summed, sealed, handed to the socket
 *     carry     its datagrams are carried to the other end, as the kernel would, and that takes a turn for nothing
 *     in        that turn finds them: opened, checked against replay and routes, summed, joined, written to the TUN
 *     permit    the same, and both ends have a policy that permits everything
 *     rule      the same, of a policy of one rule of a port
 *     rules     the same, of as many rules as there may be, up to ten thousand
 *     site      the same, but each end has a site that it translates, and a policy of one rule of a port
 *     crowd     the same, but each end has a thousand sites, and as many rules as there may be, up to ten thousand
 *
 * Two modes are by themselves, the cipher over the same packets in one call: seal, open.
 */
#include "datapath.h"

#include "policy.h"
#include "superpacket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../fail.h"

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum {
    MOST_PACKETS = 45, /* whose messages one UDP_SEGMENT takes */
    MESSAGE = MTU + TRANSPORT_OVERHEAD,
    STRIDE = 1536, /* a packet for the cipher, aligned */
    PORT = 51820,
    LOCAL_INDEX = 7,
    FIRST_PEER = 1,
    SITES = 1000,
    RULES = MAX_PERMITS < 10000 ? MAX_PERMITS : 10000,
    TUN = 1001, /* descriptors: the sender's, and the receiver's one more */
    SOCKETS = 2001,
};

static struct superpacket tun;
static bool tun_waits; /* it, at the sender's TUN */

/* What was sent as one, until it is received. */
static struct {
    uint8_t bytes[MOST_PACKETS * MESSAGE];
    size_t length;
    bool waits;
} wire;

static bool carrying;
static size_t written;
static uint8_t scratch[MOST_PACKETS * MESSAGE]; /* nobody reads it */

/* -- System calls ----------------------------------------------------------------------------------- */

static ssize_t nothing_waits(void)
{
    errno = EAGAIN;
    return -1;
}

static ssize_t read_superpacket(int fd, const struct iovec *slices, int n)
{
    if (fd != TUN || !tun_waits || n != 2)
        return nothing_waits();
    tun_waits = false;
    memcpy(slices[0].iov_base, &tun.vnet, sizeof tun.vnet);
    memcpy(slices[1].iov_base, tun.bytes, tun.length);
    return (ssize_t)(sizeof tun.vnet + tun.length);
}

static ssize_t count_written(int fd, const struct iovec *slices, int n)
{
    size_t length = 0;

    (void)fd;
    for (int i = 0; i < n; i++)
        length += slices[i].iov_len;
    written += length - sizeof tun.vnet;
    return (ssize_t)length;
}

static int carry_sent(int fd, struct mmsghdr *messages, unsigned n, int flags)
{
    (void)fd, (void)flags;
    if (n != 1)
        fail("%u messages were sent, not one", n);
    const struct msghdr *message = &messages[0].msg_hdr;

    for (size_t i = 0; carrying && i < message->msg_iovlen; i++) {
        memcpy(wire.bytes + wire.length, message->msg_iov[i].iov_base, message->msg_iov[i].iov_len);
        wire.length += message->msg_iov[i].iov_len;
        wire.waits = true;
    }
    return 1;
}

static void label_received(struct msghdr *message)
{
    const struct sockaddr_in source = {
        .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    const int size = MESSAGE;

    memcpy(message->msg_name, &source, sizeof source);
    *header = (struct cmsghdr){.cmsg_level = IPPROTO_UDP, .cmsg_type = UDP_GRO, .cmsg_len = CMSG_LEN(sizeof size)};
    memcpy(CMSG_DATA(header), &size, sizeof size);
    message->msg_controllen = header->cmsg_len;
}

static int receive_carried(int fd, struct mmsghdr *messages, unsigned n, int flags, struct timespec *timeout)
{
    (void)n, (void)flags, (void)timeout;
    if (fd != SOCKETS + 1 || !wire.waits)
        return (int)nothing_waits();
    memcpy(messages[0].msg_hdr.msg_iov[0].iov_base, wire.bytes, wire.length);
    messages[0].msg_len = (unsigned)wire.length;
    label_received(&messages[0].msg_hdr);
    wire.waits = false;
    wire.length = 0;
    return 1;
}

static uint64_t now(void)
{
    return 1;
}

static const struct wgfp_system calls = {
    .readv = read_superpacket, .writev = count_written,
    .recvmmsg = receive_carried, .sendmmsg = carry_sent,
    .now = now,
};

/* -- Ends of a tunnel ------------------------------------------------------------------------------- */

/* end: 0 sends, 1 receives. */
static struct wgfp_datapath *datapath_make(uint32_t end)
{
    const uint8_t *remote = superpacket_addresses[1 - end];
    const struct wgfp_queue queue = {.tun = TUN + (int)end, .udp4 = SOCKETS + (int)end, .udp6 = -1};
    const struct wgfp_settings settings = {
        .queues = &queue, .queue_count = 1, .vnet_header = sizeof(struct wgfp_vnet), .staged_bytes = 1 << 20, .system = &calls,
        .offloads = OFFLOAD_TSO | OFFLOAD_USO | OFFLOAD_GSO,
    };
    const struct wgfp_endpoint endpoint = {.address = {127, 0, 0, 1}, .size = 4, .port = PORT};
    const struct wgfp_session session = {
        .sending_key = {(uint8_t)end}, .receiving_key = {(uint8_t)(1 - end)},
        .local_index = LOCAL_INDEX, .remote_index = LOCAL_INDEX,
        .reject_after_time = NEVER, .rekey_after_sent_time = NEVER, .rekey_after_received_time = NEVER,
    };
    struct wgfp_datapath *datapath;
    uint32_t peer;

    if (wgfp_datapath_new(&datapath, &settings) != 0 || wgfp_peer_add(datapath, &peer) != 0 ||
        wgfp_route_set(datapath, peer, remote, sizeof superpacket_addresses[0], 32) != 0 ||
        wgfp_keypair_install(datapath, peer, &session) != 0)
        fail("a data path cannot be made");
    wgfp_datapath_set_mtu(datapath, MTU);
    wgfp_peer_set_endpoint(datapath, peer, &endpoint, 0);
    if (wgfp_keypair_use(datapath, peer, LOCAL_INDEX, 0, now()) != 0)
        fail("the keypair cannot be used");
    return datapath;
}

static void check_drops(const struct wgfp_datapath *datapath)
{
    uint64_t counts[WGFP_DROPS];

    wgfp_drops(datapath, counts);
    for (uint32_t i = 0; i < WGFP_DROPS; i++) {
        if (counts[i] != 0)
            fail("packets were dropped: %s", wgfp_drop_name(i));
    }
}

static void permit_everything(struct wgfp_datapath *datapath)
{
    const struct wgfp_permit everything = {.last_port = 65535};

    if (wgfp_peer_set_policy(datapath, FIRST_PEER, &everything, 1, 1) != 0)
        fail("the policy cannot be set");
}

static void address_at(uint8_t *to, uint32_t address)
{
    const uint32_t wire_order = htonl(address);

    memcpy(to, &wire_order, sizeof wire_order);
}

/* Of sites of 256 addresses. The first one is the sender's real and the receiver's mapped one, 10.0.0.0/24. */
static void translate_sites(struct wgfp_datapath *datapath, uint32_t end, uint32_t sites)
{
    static struct wgfp_translation translations[SITES];

    for (uint32_t i = 0; i < sites; i++) {
        translations[i] = (struct wgfp_translation){.size = 4, .length = 24};
        address_at(translations[i].mapped, (end == 0 ? 0x0a100000 : 0x0a000000) + (i << 8));
        address_at(translations[i].real, (end == 0 ? 0x0a000000 : 0x0a200000) + (i << 8));
    }
    if (wgfp_translations_set(datapath, translations, sites, NULL, 0) != 0)
        fail("the sites cannot be translated");
}

/* Each of a port, half of them of a host's, but for the last, which is that of the superpacket's port. */
static void permit_rules(struct wgfp_datapath *datapath, uint32_t rules)
{
    static struct wgfp_permit permits[RULES];

    for (uint32_t i = 0; i < rules; i++) {
        permits[i] = (struct wgfp_permit){
            .destination_size = 4, .destination_length = 32, .protocol = IPPROTO_TCP, .first_port = i + 1, .last_port = i + 1,
        };
        address_at(permits[i].destination, 0x0a000100 + i);
    }
    for (uint32_t i = 1; i + 1 < rules; i += 2)
        permits[i] = (struct wgfp_permit){.protocol = IPPROTO_TCP, .first_port = i + 1, .last_port = i + 1};
    permits[rules - 1].destination_length = 24;
    permits[rules - 1].first_port = permits[rules - 1].last_port = 0;
    address_at(permits[rules - 1].destination, 0x0a000000);
    if (wgfp_peer_set_policy(datapath, FIRST_PEER, permits, rules, 1) != 0)
        fail("the rules cannot be set");
}

static void make_gateways(struct wgfp_datapath *sender, struct wgfp_datapath *receiver, uint32_t sites, uint32_t rules)
{
    uint8_t mapped_sender[4];

    address_at(mapped_sender, 0x0a100001);
    if (wgfp_route_set(receiver, FIRST_PEER, mapped_sender, sizeof mapped_sender, 32) != 0)
        fail("the site cannot be routed");
    translate_sites(sender, 0, sites);
    translate_sites(receiver, 1, sites);
    permit_rules(sender, rules);
    permit_rules(receiver, rules);
}

/* -- Modes ------------------------------------------------------------------------------------------ */

enum mode { IDLE, COPY, OUT, CARRY, IN, PERMIT, RULE, MANY_RULES, SITE, CROWD, SEAL, OPEN, MODES };

static const char *const mode_names[MODES] = {
    "idle", "copy", "out", "carry", "in", "permit", "rule", "rules", "site", "crowd", "seal", "open",
};

static void take_turns(enum mode mode, struct wgfp_datapath *sender, struct wgfp_datapath *receiver)
{
    struct iovec room[2] = {{scratch, sizeof tun.vnet}, {scratch + sizeof tun.vnet, sizeof scratch - sizeof tun.vnet}};

    tun_waits = mode >= OUT;
    wgfp_datapath_step(sender);
    if (mode == COPY) {
        tun_waits = true;
        (void)read_superpacket(TUN, room, 2);
    }
    if (mode == CARRY) {
        memcpy(scratch, wire.bytes, wire.length);
        wire.length = 0;
        wire.waits = false;
    }
    if (mode >= CARRY)
        wgfp_datapath_step(receiver);
}

static void run_path(enum mode mode, uint32_t packets, uint32_t times)
{
    struct wgfp_datapath *sender = datapath_make(0), *receiver = datapath_make(1);

    superpacket_make(&tun, TCP4, packets);
    carrying = mode >= CARRY;
    if (mode == PERMIT) {
        permit_everything(sender);
        permit_everything(receiver);
    }
    if (mode == RULE || mode == MANY_RULES) {
        permit_rules(sender, mode == RULE ? 1 : RULES);
        permit_rules(receiver, mode == RULE ? 1 : RULES);
    }
    if (mode == SITE)
        make_gateways(sender, receiver, 1, 1);
    if (mode == CROWD)
        make_gateways(sender, receiver, SITES, RULES);
    for (uint32_t i = 0; i < times; i++)
        take_turns(mode, sender, receiver);
    check_drops(sender);
    check_drops(receiver);
    if (mode >= IN && written != times * tun.length)
        fail("%zu bytes arrived, and %zu were sent", written, times * tun.length);
    wgfp_datapath_free(sender);
    wgfp_datapath_free(receiver);
}

static void run_cipher(enum mode mode, uint32_t packets, uint32_t times)
{
    static _Alignas(64) uint8_t sealed[MOST_PACKETS * STRIDE], opened[MOST_PACKETS * STRIDE];
    const struct wgfp_aead_kernel *kernel = wgfp_aead_kernel_best();
    struct wgfp_aead_packet sealing[MOST_PACKETS], opening[MOST_PACKETS];
    const uint8_t key[32] = {1};

    for (uint32_t i = 0; i < packets; i++) {
        uint8_t *data = sealed + (size_t)i * STRIDE;

        sealing[i] = (struct wgfp_aead_packet){.src = data, .dst = data, .counter = i, .length = MTU};
        opening[i] = sealing[i];
        opening[i].dst = opened + (size_t)i * STRIDE;
    }
    wgfp_aead_seal(kernel, key, sealing, packets);
    for (uint32_t i = 0; i < times; i++) {
        if (mode == SEAL)
            wgfp_aead_seal(kernel, key, sealing, packets);
        else
            wgfp_aead_open(kernel, key, opening, packets);
    }
    if (mode == OPEN && !opening[packets - 1].ok)
        fail("what was sealed cannot be opened");
}

int main(int argc, char **argv)
{
    unsigned mode = 0;

    if (argc != 4) {
        fputs("usage: path MODE PACKETS TIMES\n", stderr);
        return 2;
    }
    while (mode < MODES && strcmp(argv[1], mode_names[mode]) != 0)
        mode++;
    const unsigned long packets = strtoul(argv[2], NULL, 10), times = strtoul(argv[3], NULL, 10);

    if (mode == MODES || packets < 1 || packets > MOST_PACKETS || times < 1)
        fail("there is no mode %s for %s packets, %s times", argv[1], argv[2], argv[3]);
    if (mode < SEAL)
        run_path(mode, (uint32_t)packets, (uint32_t)times);
    else
        run_cipher(mode, (uint32_t)packets, (uint32_t)times);
    puts(wgfp_aead_kernel_name(wgfp_aead_kernel_best()));
    return 0;
}
