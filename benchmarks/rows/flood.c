/* A flood of handshake initiations, at an exact pace, each from an address of its own.
 *
 * All of a message is random but its type, and mac1 if the public key of the flooded end is given: then it is right,
 * so that end must open the message, or send a cookie that nobody waits for, to find out that it is worth nothing.
 *
 * Invariant: it sends from addresses that are not its own, so it is for networks that are made to vanish; and it ends by
 * itself. SIGTERM ends it earlier. In the end it says what it sent.
 */
#define _GNU_SOURCE
#include "cookie.h"

#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "parts.h"

enum {
    TICKS = 5000,             /* wake-ups a second, at most */
    BATCH = 64,               /* packets sent by one system call, at most */
    SLACK = SECOND / 20,      /* who is later than this does not catch up: that would be a burst */
    MOST_RATE = 10000000,
    MOST_SECONDS = 3600,
    KEY = 32,
    HEADERS = sizeof(struct iphdr) + sizeof(struct udphdr),
    MESSAGE = 148,            /* a handshake initiation; whitepaper 5.4.2 */
    MAC = 16,
    MAC1 = MESSAGE - 2 * MAC, /* where the two macs are */
    MAC2 = MESSAGE - MAC,
    INITIATION = 1,           /* its type */
};

static const char usage[] =
    "usage: flood ADDRESS PORT RATE SECONDS SOURCES [PUBLIC_KEY]\n"
    "\n"
    "Send RATE handshake initiations a second to a UDP port for some seconds, from random addresses of SOURCES, an\n"
    "IPv4 prefix. Their mac1 is right if PUBLIC_KEY is given (64 hexadecimal digits), else wrong. Needs CAP_NET_RAW.\n";

struct packet {
    struct iphdr ip;
    struct udphdr udp;
    uint8_t message[MESSAGE];
};

_Static_assert(sizeof(struct packet) == HEADERS + MESSAGE, "there are no holes on the wire");

struct flood {
    int raw;
    struct sockaddr_in target;
    uint64_t rate;
    uint64_t seconds;
    uint32_t network; /* of the sources */
    uint32_t hosts;   /* mask of the bits that differ between them */
    int has_key;
    struct wgfp_mac1 mac1;
    uint64_t random; /* state; never 0 */
    struct packet packets[BATCH];
    struct iovec slices[BATCH];
    struct mmsghdr headers[BATCH];
};

static volatile sig_atomic_t stopping;

/* -- Packets ---------------------------------------------------------------------------------------- */

static void random_fill(struct flood *flood, uint8_t *bytes, size_t length)
{
    for (size_t done = 0; done < length; done += sizeof(uint64_t)) {
        const uint64_t word = random_next(&flood->random);
        const size_t left = length - done;

        memcpy(bytes + done, &word, left < sizeof word ? left : sizeof word);
    }
}

static void packet_renew(struct flood *flood, struct packet *packet)
{
    const uint64_t random = random_next(&flood->random);

    packet->ip.saddr = htonl(flood->network | ((uint32_t)random & flood->hosts));
    packet->udp.source = htons((uint16_t)(1024 + (random >> 32) % 60000));
    random_fill(flood, packet->message + 4, MAC2 - 4);
    if (flood->has_key)
        wgfp_blake2s_mac(packet->message + MAC1, &flood->mac1.key, packet->message, MAC1);
}

static void packet_init(const struct flood *flood, struct packet *packet)
{
    memset(packet, 0, sizeof *packet);
    packet->ip.version = IPVERSION;
    packet->ip.ihl = sizeof packet->ip / 4;
    packet->ip.ttl = IPDEFTTL;
    packet->ip.protocol = IPPROTO_UDP;
    packet->ip.daddr = flood->target.sin_addr.s_addr;
    packet->udp.dest = flood->target.sin_port;
    packet->udp.len = htons(sizeof packet->udp + MESSAGE); /* and no checksum, which IPv4 allows */
    packet->message[0] = INITIATION;
}

static void batch_init(struct flood *flood)
{
    for (size_t i = 0; i < BATCH; i++) {
        packet_init(flood, &flood->packets[i]);
        flood->slices[i] = (struct iovec){.iov_base = &flood->packets[i], .iov_len = sizeof flood->packets[i]};
        flood->headers[i].msg_hdr = (struct msghdr){
            .msg_name = &flood->target, .msg_namelen = sizeof flood->target,
            .msg_iov = &flood->slices[i], .msg_iovlen = 1,
        };
    }
}

static void batch_send(struct flood *flood, unsigned int count)
{
    for (unsigned int i = 0; i < count; i++)
        packet_renew(flood, &flood->packets[i]);
    for (unsigned int sent = 0; sent < count;) {
        const int now = sendmmsg(flood->raw, flood->headers + sent, count - sent, 0);

        if (now < 0 && errno != EINTR)
            fail("cannot send: %s", strerror(errno));
        if (now > 0)
            sent += (unsigned int)now;
    }
}

/* -- Pace ------------------------------------------------------------------------------------------- */

static void sleep_until(uint64_t when)
{
    const struct timespec time = {.tv_sec = (time_t)(when / SECOND), .tv_nsec = (long)(when % SECOND)};

    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL); /* a signal may end it: who calls looks */
}

static void run(struct flood *flood)
{
    const uint64_t wanted = (flood->rate + TICKS - 1) / TICKS, batch = wanted < BATCH ? wanted : BATCH;
    const uint64_t began = clock_now(), end = began + flood->seconds * SECOND;
    uint64_t base = began, since_base = 0, sent = 0, now = began;

    while (!stopping && now < end) {
        const uint64_t due = base + since_base * SECOND / flood->rate;

        if (due > now) {
            sleep_until(due < end ? due : end);
        } else {
            if (now - due > SLACK) {
                base = now;
                since_base = 0;
            }
            batch_send(flood, (unsigned int)batch);
            since_base += batch;
            sent += batch;
        }
        now = clock_now();
    }
    const double seconds = (double)(now - began) / SECOND;

    printf("sent %llu in %.3f s: %.0f a second\n", (unsigned long long)sent, seconds, (double)sent / seconds);
}

/* -- Arguments -------------------------------------------------------------------------------------- */

static void read_sources(struct flood *flood, char *text)
{
    char *slash = strchr(text, '/');
    struct in_addr network;

    if (slash == NULL)
        fail("%s is no IPv4 prefix, as 10.128.0.0/9 is one", text);
    *slash = '\0';
    if (inet_pton(AF_INET, text, &network) != 1)
        fail("%s is no IPv4 address", text);
    const uint64_t length = number(slash + 1, "prefix length", 1, 32);

    flood->hosts = (uint32_t)(UINT64_C(0xffffffff) >> length);
    flood->network = ntohl(network.s_addr) & ~flood->hosts;
}

static void read_key(struct flood *flood, const char *text)
{
    uint8_t key[KEY];

    if (strlen(text) != 2 * KEY || strspn(text, "0123456789abcdefABCDEF") != 2 * KEY)
        fail("%s is no public key; want 64 hexadecimal digits", text);
    for (size_t i = 0; i < KEY; i++) {
        const char digits[] = {text[2 * i], text[2 * i + 1], '\0'};

        key[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    wgfp_mac1_init(&flood->mac1, key);
    flood->has_key = 1;
}

static void stop(int signal)
{
    (void)signal;
    stopping = 1;
}

int main(int argc, char **argv)
{
    static struct flood flood;
    const struct sigaction on_stop = {.sa_handler = stop};

    if (argc != 6 && argc != 7) {
        fputs(usage, stderr);
        return 2;
    }
    flood.target.sin_family = AF_INET;
    if (inet_pton(AF_INET, argv[1], &flood.target.sin_addr) != 1)
        fail("%s is no IPv4 address", argv[1]);
    flood.target.sin_port = htons((uint16_t)number(argv[2], "port", 1, UINT16_MAX));
    flood.rate = number(argv[3], "rate", 1, MOST_RATE);
    flood.seconds = number(argv[4], "number of seconds", 1, MOST_SECONDS);
    read_sources(&flood, argv[5]);
    if (argc == 7)
        read_key(&flood, argv[6]);
    if (getrandom(&flood.random, sizeof flood.random, 0) != (ssize_t)sizeof flood.random)
        fail("there is no randomness: %s", strerror(errno));
    flood.random |= 1;
    flood.raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    if (flood.raw < 0)
        fail("cannot open a raw socket: %s", strerror(errno));
    sigaction(SIGTERM, &on_stop, NULL);
    batch_init(&flood);
    run(&flood);
    return 0;
}
