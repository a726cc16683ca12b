/* What a ruler opens: a TUN with all offloads, and a UDP socket that joins datagrams. Needs _GNU_SOURCE. */
#ifndef SETUP_H
#define SETUP_H

#include "../fail.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* What the kernel knows and older headers do not. */
#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

enum { SOCKET_BUFFER = 7 << 20 }; /* as much as wireguard-go asks for */

/* joins_udp: written: does the kernel take UDP superpackets from us? */
static int open_tun(const char *name, bool *joins_udp)
{
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
    const unsigned offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
    const int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

    if (*name == '\0') /* the kernel would choose one */
        fail("the interface has no name");
    if (strlen(name) >= sizeof request.ifr_name)
        fail("the interface name %s has more than 15 characters", name);
    memcpy(request.ifr_name, name, strlen(name));
    if (tun < 0)
        fail("cannot open /dev/net/tun: %s", strerror(errno));
    if (ioctl(tun, TUNSETIFF, &request) < 0)
        fail("cannot make the TUN device %s: %s", name, strerror(errno));
    *joins_udp = ioctl(tun, TUNSETOFFLOAD, offloads | TUN_F_USO4 | TUN_F_USO6) == 0;
    if (!*joins_udp && ioctl(tun, TUNSETOFFLOAD, offloads) < 0)
        fail("the TUN device takes no offloads: %s", strerror(errno));
    return tun;
}

/* flags: SOCK_NONBLOCK, or 0. */
static int open_udp(uint16_t port, int flags)
{
    const struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = htons(port)};
    const int on = 1, size = SOCKET_BUFFER;
    const int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | flags, 0);

    if (udp < 0)
        fail("cannot open a UDP socket: %s", strerror(errno));
    if (bind(udp, (const struct sockaddr *)&local, sizeof local) < 0)
        fail("cannot listen on UDP port %u: %s", (unsigned)port, strerror(errno));
    if (setsockopt(udp, IPPROTO_UDP, UDP_GRO, &on, sizeof on) < 0)
        fail("the kernel has no UDP_GRO: %s", strerror(errno));
    if (setsockopt(udp, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0 ||
        setsockopt(udp, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0)
        fail("cannot enlarge the socket's buffers: %s", strerror(errno));
    return udp;
}

static struct in_addr read_address(const char *text)
{
    struct in_addr address;

    if (inet_pton(AF_INET, text, &address) != 1)
        fail("%s is no IPv4 address", text);
    return address;
}

static uint16_t read_port(const char *text)
{
    char *end;
    const unsigned long port = strtoul(text, &end, 10);

    if (*end != '\0' || port == 0 || port > UINT16_MAX)
        fail("%s is no port; want a number from 1 to 65535", text);
    return (uint16_t)port;
}

#endif
