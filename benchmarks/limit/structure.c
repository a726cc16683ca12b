/* The C data path of wgpy as it is, without Python and without a handshake: with its cipher, or with none.
 *
 * Beside limit.c it tells what the structure costs: null against limit is the structure, aead against null the
 * cipher. The keys are fixed, so it protects nothing: it is a ruler. Nothing can switch a daemon to it.
 */
#include "internal.h"

#include <arpa/inet.h>
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

static void null_stream(const uint8_t key[WGFP_KEY_SIZE], const struct wgfp_aead_run *runs, size_t n, uint8_t *blocks)
{
    (void)key, (void)runs, (void)n, (void)blocks;
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

int main(int count, char **arguments)
{
    static const uint8_t everywhere[16];
    struct wgfp_session session = {
        .local_index = INDEX, .remote_index = INDEX, .reject_after_time = NEVER,
        .rekey_after_sent_time = NEVER, .rekey_after_received_time = NEVER};
    struct wgfp_endpoint remote = {.size = 4};
    struct wgfp_queue queue;
    struct wgfp_settings settings = {
        .queues = &queue, .queue_count = 1, .vnet_header = 1, .staged_bytes = 1 << 20};
    struct wgfp_datapath *datapath;
    uint32_t peer;
    bool joins_udp;

    if (count != 6) {
        fputs(USAGE, stderr);
        return 2;
    }
    queue = (struct wgfp_queue){open_tun(arguments[1], &joins_udp),
                                with_origins(open_udp(read_port(arguments[2]), SOCK_NONBLOCK)), -1};
    settings.offloads = OFFLOAD_TUN_TCP | OFFLOAD_UDP_SEGMENT | (joins_udp ? OFFLOAD_TUN_UDP : 0);
    remote.port = read_port(arguments[4]);
    if (inet_pton(AF_INET, arguments[3], remote.address) != 1)
        fail("%s is no IPv4 address", arguments[3]);
    if (wgfp_datapath_new(&datapath, &settings) != 0)
        fail("there is no memory");
    if (strcmp(arguments[5], "null") == 0)
        datapath->aead = &null_kernel;
    wgfp_datapath_set_mtu(datapath, 1420);
    if (wgfp_peer_add(datapath, &peer) != 0 || wgfp_route_set(datapath, peer, everywhere, 4, 0) != 0 ||
        wgfp_route_set(datapath, peer, everywhere, 16, 0) != 0 || wgfp_keypair_install(datapath, peer, &session) != 0 ||
        wgfp_keypair_use(datapath, peer, INDEX, 0, 1) != 0)
        fail("the data path takes no peer");
    wgfp_peer_set_endpoint(datapath, peer, &remote);
    if (wgfp_datapath_start(datapath) != 0)
        fail("cannot start threads");
    for (;;)
        pause();
}
