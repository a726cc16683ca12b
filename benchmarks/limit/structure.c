/* The C data path of wgpy as it is, without Python and without a handshake: with its cipher, or with none.
 *
 * Beside limit.c it tells what the structure costs: null against limit is the structure, aead against null the
 * cipher. The keys are fixed, so it protects nothing: it is a ruler. Nothing can switch a daemon to it.
 */
#include "internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "aead_kernel.h"
#include "../fail.h"

#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

enum { INDEX = 1, SOCKET_BUFFER = 7 << 20 };

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

static int open_tun(const char *name)
{
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
    const int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

    strncpy(request.ifr_name, name, sizeof request.ifr_name - 1);
    if (tun < 0 || ioctl(tun, TUNSETIFF, &request) < 0)
        fail("cannot make the TUN device %s: %s", name, strerror(errno));
    if (ioctl(tun, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_USO4 | TUN_F_USO6) < 0)
        fail("the TUN device takes no offloads: %s", strerror(errno));
    return tun;
}

static int open_udp(uint16_t port)
{
    const struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = htons(port)};
    const int on = 1, size = SOCKET_BUFFER;
    const int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (udp < 0 || bind(udp, (const struct sockaddr *)&local, sizeof local) < 0)
        fail("cannot listen on UDP port %u: %s", (unsigned)port, strerror(errno));
    if (setsockopt(udp, IPPROTO_UDP, UDP_GRO, &on, sizeof on) < 0 ||
        setsockopt(udp, IPPROTO_IP, IP_PKTINFO, &on, sizeof on) < 0 ||
        setsockopt(udp, IPPROTO_IP, IP_RECVTOS, &on, sizeof on) < 0 ||
        setsockopt(udp, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0 ||
        setsockopt(udp, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0)
        fail("cannot set the socket up: %s", strerror(errno));
    return udp;
}

static uint16_t read_port(const char *text)
{
    const unsigned long port = strtoul(text, NULL, 10);

    if (port == 0 || port > UINT16_MAX)
        fail("%s is no port; want a number from 1 to 65535", text);
    return (uint16_t)port;
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
        .queues = &queue, .queue_count = 1, .vnet_header = 1, .offloads = 7, .staged_bytes = 1 << 20};
    struct wgfp_datapath *datapath;
    uint32_t peer;

    if (count != 6) {
        fputs(USAGE, stderr);
        return 2;
    }
    queue = (struct wgfp_queue){open_tun(arguments[1]), open_udp(read_port(arguments[2])), -1};
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
