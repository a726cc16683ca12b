/* The C data path of wgpy as it is, without Python and without a handshake: with its cipher, or with none.
 *
 * Beside limit.c it tells what the structure costs: null against limit is the structure, aead against null the
 * cipher. The keys are fixed, so it protects nothing: it is a ruler. Nothing can switch a daemon to it.
 */
#include "datapath.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "aead_kernel.h"
#include "setup.h"

enum { INDEX = 1 };

static const char USAGE[] = "usage: structure INTERFACE PORT REMOTE REMOTE_PORT null|aead\n";

/* -- A kernel that does nothing ---------------------------------------------------------------------- */

static bool null_supported(void)
{
    return true;
}

static void null_stream(const uint8_t key[WGFP_KEY_SIZE], const struct wgfp_aead_run *runs, size_t n, uint8_t *blocks,
                        struct wgfp_aead_tags *tags)
{
    (void)key, (void)runs, (void)n, (void)blocks, (void)tags;
}

static void null_xor(uint8_t *dst, const uint8_t *src, const uint8_t *blocks, size_t length)
{
    (void)blocks;
    if (dst != src)
        memcpy(dst, src, length);
}

static void null_mac(struct wgfp_aead_message *messages, size_t n)
{
    for (size_t i = 0; i < n; i++)
        memset(messages[i].tag, 0, sizeof messages[i].tag);
}

static const struct wgfp_aead_kernel null_kernel = {
    .name = "null",
    .messages = WGFP_MAC_MESSAGES,
    .blocks = WGFP_STREAM_BLOCKS,
    .supported = null_supported,
    .stream = null_stream,
    .xor = null_xor,
    .mac = null_mac,
};

/* -- Setting up -------------------------------------------------------------------------------------- */

/* As wgpyd does: where each datagram came to, and its ECN bits. */
static int with_origins(int udp)
{
    const int on = 1;

    if (setsockopt(udp, IPPROTO_IP, IP_PKTINFO, &on, sizeof on) < 0 ||
        setsockopt(udp, IPPROTO_IP, IP_RECVTOS, &on, sizeof on) < 0)
        fail("cannot set the socket up: %s", strerror(errno));
    return udp;
}

static bool read_cipher(const char *name)
{
    if (strcmp(name, "null") != 0 && strcmp(name, "aead") != 0)
        fail("%s is no cipher; want null or aead", name);
    return strcmp(name, "null") == 0;
}

/* One peer that has all addresses, and a session with it. */
static void add_peer(struct wgfp_datapath *datapath, const struct wgfp_endpoint *remote)
{
    static const uint8_t everywhere[16];
    const struct wgfp_session session = {
        .local_index = INDEX, .remote_index = INDEX, .reject_after_time = NEVER,
        .rekey_after_sent_time = NEVER, .rekey_after_received_time = NEVER};
    uint32_t peer;

    if (wgfp_peer_add(datapath, &peer) != 0 || wgfp_route_set(datapath, peer, everywhere, 4, 0) != 0 ||
        wgfp_route_set(datapath, peer, everywhere, 16, 0) != 0 || wgfp_keypair_install(datapath, peer, &session) != 0 ||
        wgfp_keypair_use(datapath, peer, INDEX, 0, 1) != 0)
        fail("the data path takes no peer");
    wgfp_peer_set_endpoint(datapath, peer, remote, 0);
}

int main(int count, char **arguments)
{
    struct wgfp_endpoint remote = {.size = 4};
    struct wgfp_queue queue = {.udp6 = -1};
    struct wgfp_settings settings = {
        .queues = &queue, .queue_count = 1, .vnet_header = 10, .staged_bytes = 1 << 20};
    struct wgfp_datapath *datapath;
    bool joins_udp;

    if (count != 6) {
        fputs(USAGE, stderr);
        return 2;
    }
    const struct in_addr address = read_address(arguments[3]);
    const bool encrypts_nothing = read_cipher(arguments[5]);

    memcpy(remote.address, &address, sizeof address);
    remote.port = read_port(arguments[4]);
    queue.udp4 = with_origins(open_udp(read_port(arguments[2]), SOCK_NONBLOCK));
    queue.tun = open_tun(arguments[1], &joins_udp);
    settings.offloads = OFFLOAD_TSO | OFFLOAD_GSO | (joins_udp ? OFFLOAD_USO : 0);
    if (wgfp_datapath_new(&datapath, &settings) != 0)
        fail("there is no memory");
    if (encrypts_nothing)
        datapath->aead = &null_kernel;
    wgfp_datapath_set_mtu(datapath, 1420);
    add_peer(datapath, &remote);
    if (wgfp_datapath_start(datapath) != 0)
        fail("cannot start threads");
    for (;;)
        pause();
}
