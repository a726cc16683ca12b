/* The limit of a relay: UDP datagrams of one host go to another one, and back, and nobody looks into them.
 *
 * One thread: receive many datagrams by one system call (UDP_GRO), and send them on by one (UDP_SEGMENT), from the
 * buffers in which they came.
 *
 * Invariant: this is a ruler, not a relay. It trusts whoever sends from one of the two addresses.
 */
#define _GNU_SOURCE
#include "setup.h"

#include <string.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

enum { MESSAGES = 32, MESSAGE_BYTES = 1 << 16 };

static const char USAGE[] =
    "usage: forward PORT ONE ONE_PORT OTHER OTHER_PORT\n"
    "\n"
    "Sends what comes to UDP port PORT from ONE_PORT of the IPv4 address ONE to OTHER_PORT of OTHER, and back.\n"
    "Measures how fast a relay could be on this host. Ends when killed.\n";

union control {
    struct cmsghdr align;
    uint8_t bytes[CMSG_SPACE(sizeof(int))];
};

static struct mmsghdr received[MESSAGES], sent[MESSAGES];
static struct iovec slices[MESSAGES];
static struct sockaddr_in sources[MESSAGES];
static union control received_controls[MESSAGES], sent_controls[MESSAGES];
static uint8_t buffers[MESSAGES][MESSAGE_BYTES];
static struct sockaddr_in ends[2];

static void prepare(int i)
{
    slices[i] = (struct iovec){buffers[i], MESSAGE_BYTES};
    received[i].msg_hdr = (struct msghdr){
        .msg_name = &sources[i],
        .msg_namelen = sizeof sources[i],
        .msg_iov = &slices[i],
        .msg_iovlen = 1,
        .msg_control = &received_controls[i],
        .msg_controllen = sizeof received_controls[i],
    };
}

/* Of the datagrams that a message was joined of; 0: it is one. */
static int segment_size(struct msghdr *message)
{
    const struct cmsghdr *header = CMSG_FIRSTHDR(message);
    int size = 0;

    if (header != NULL && header->cmsg_level == IPPROTO_UDP && header->cmsg_type == UDP_GRO)
        memcpy(&size, CMSG_DATA(header), sizeof size);
    return size;
}

/* NULL: it came from nobody that is known. */
static struct sockaddr_in *opposite(const struct sockaddr_in *source)
{
    for (int i = 0; i < 2; i++)
        if (source->sin_addr.s_addr == ends[i].sin_addr.s_addr && source->sin_port == ends[i].sin_port)
            return &ends[1 - i];
    return NULL;
}

static int forward(int from, int count)
{
    struct sockaddr_in *to = opposite(&sources[from]);
    const int size = segment_size(&received[from].msg_hdr);

    if (to == NULL)
        return count;
    slices[from].iov_len = received[from].msg_len;
    sent[count].msg_hdr = (struct msghdr){
        .msg_name = to, .msg_namelen = sizeof *to, .msg_iov = &slices[from], .msg_iovlen = 1};
    if (size > 0 && received[from].msg_len > (unsigned)size) {
        const uint16_t segment = (uint16_t)size;
        struct cmsghdr *header = &sent_controls[count].align;

        *header = (struct cmsghdr){.cmsg_level = IPPROTO_UDP, .cmsg_type = UDP_SEGMENT, .cmsg_len = CMSG_LEN(sizeof segment)};
        memcpy(CMSG_DATA(header), &segment, sizeof segment);
        sent[count].msg_hdr.msg_control = header;
        sent[count].msg_hdr.msg_controllen = CMSG_SPACE(sizeof segment);
    }
    return count + 1;
}

static void turn(int udp)
{
    for (int i = 0; i < MESSAGES; i++)
        prepare(i);
    const int came = recvmmsg(udp, received, MESSAGES, MSG_WAITFORONE, NULL);
    int count = 0, done = 0;

    for (int i = 0; i < came; i++)
        count = forward(i, count);
    while (done < count) {
        const int now = sendmmsg(udp, sent + done, (unsigned)(count - done), 0);

        done += now > 0 ? now : 1; /* what the kernel refuses is lost */
    }
}

static struct sockaddr_in read_end(char *const *arguments)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr = read_address(arguments[0]), .sin_port = htons(read_port(arguments[1]))};
}

int main(int count, char **arguments)
{
    if (count != 6) {
        fputs(USAGE, stderr);
        return 2;
    }
    const int udp = open_udp(read_port(arguments[1]), 0);

    ends[0] = read_end(arguments + 2);
    ends[1] = read_end(arguments + 4);
    (void)open_tun; /* the tunnels' */
    for (;;)
        turn(udp);
}
