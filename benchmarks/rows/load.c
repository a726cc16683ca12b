/* Clients of a proxy, and the server that they reach by it.
 *
 * A client's first byte says what it wants of the server: '>' sends blocks, and gets a byte for each; '<' gets
 * bytes; '?' gets one byte.
 *
 * Invariant: who waits in vain for PATIENCE seconds, fails. The server, and `hold`, run until they are killed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "parts.h"

enum {
    BLOCK = 1 << 18, /* bytes */
    PATIENCE = 30,
    BACKLOG = 4096,
    STACK = 1 << 17, /* bytes, of a thread of the server */
    MOST_THREADS = 64,
    MOST_HELD = 10000,
    MOST_SECONDS = 3600,
};

static const char usage[] =
    "usage: load serve PORT\n"
    "       load PROXY SERVER there|back SECONDS        one stream; prints the bytes that arrived\n"
    "       load PROXY SERVER connect SECONDS THREADS   prints how many connections there were, and how many failed\n"
    "       load PROXY SERVER hold COUNT                prints `held` once so many connections are open\n"
    "\n"
    "PROXY: the port of a proxy at 127.0.0.1. SERVER: ADDRESS:PORT if the proxy speaks SOCKS5, - if it leads there.\n";

static struct sockaddr_in proxy, server; /* server: without a port if the proxy leads there */
static char block[BLOCK];
static uint64_t deadline; /* ns */
static atomic_long connected, failed;

/* Return 0, or -1 if less comes. */
static int receive(int fd, void *data, size_t size)
{
    return recv(fd, data, size, MSG_WAITALL) == (ssize_t)size ? 0 : -1;
}

/* Return 0, or -1. RFC 1928 */
static int ask_socks5(int fd)
{
    unsigned char request[10] = {5, 1, 0, 1}, answer[22];
    size_t address;

    memcpy(request + 4, &server.sin_addr, 4);
    memcpy(request + 8, &server.sin_port, 2);
    if (send(fd, "\5\1\0", 3, MSG_NOSIGNAL) != 3 || receive(fd, answer, 2) || answer[1] != 0)
        return -1;
    if (send(fd, request, sizeof request, MSG_NOSIGNAL) != sizeof request || receive(fd, answer, 4))
        return -1;
    address = answer[3] == 1 ? 4 : 16;
    return answer[1] == 0 ? receive(fd, answer + 4, address + 2) : -1;
}

/* Return a connection to the server that has said what it wants, or -1. */
static int dial(char wish)
{
    struct timeval patience = {.tv_sec = PATIENCE};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (struct sockaddr *)&proxy, sizeof proxy) || (server.sin_port && ask_socks5(fd)) ||
        send(fd, &wish, 1, MSG_NOSIGNAL) != 1) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Return a connection that the server has answered, or -1. */
static int greet(void)
{
    char answer;
    int fd = dial('?');

    if (fd >= 0 && receive(fd, &answer, 1)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* -- What clients do ------------------------------------------------------------------------------------------ */

static void there(int fd)
{
    uint64_t blocks = 0;
    ssize_t got;

    while (clock_now() < deadline) {
        for (size_t sent = 0; sent < BLOCK;) {
            ssize_t size = send(fd, block + sent, BLOCK - sent, MSG_NOSIGNAL);
            if (size <= 0)
                fail("the stream broke: %s", strerror(errno));
            sent += (size_t)size;
        }
        if ((got = recv(fd, block, BLOCK, MSG_DONTWAIT)) > 0)
            blocks += (uint64_t)got;
    }
    printf("%llu\n", (unsigned long long)(blocks * BLOCK));
}

static void back(int fd)
{
    uint64_t bytes = 0;

    while (clock_now() < deadline) {
        ssize_t size = recv(fd, block, BLOCK, 0);
        if (size <= 0)
            fail("the stream broke: %s", size ? strerror(errno) : "it ended");
        bytes += (uint64_t)size;
    }
    printf("%llu\n", (unsigned long long)bytes);
}

static void *connect_again_and_again(void *unused)
{
    while (clock_now() < deadline) {
        int fd = greet();
        if (fd >= 0)
            close(fd);
        atomic_fetch_add(fd >= 0 ? &connected : &failed, 1);
    }
    return unused;
}

static void connect_in_threads(unsigned long count)
{
    pthread_t threads[MOST_THREADS];

    for (unsigned long index = 0; index < count; index++)
        if (pthread_create(&threads[index], NULL, connect_again_and_again, NULL))
            fail("there is no thread");
    for (unsigned long index = 0; index < count; index++)
        pthread_join(threads[index], NULL);
    printf("%ld %ld\n", atomic_load(&connected), atomic_load(&failed));
}

static void hold(unsigned long count)
{
    for (unsigned long number = 0; number < count; number++)
        if (greet() < 0)
            fail("connection %lu of %lu failed", number + 1, count);
    printf("held\n");
    fflush(stdout);
    for (;;)
        pause();
}

/* -- The server ----------------------------------------------------------------------------------------------- */

/* Answer each block of what comes with a byte. */
static void take(int fd)
{
    char buffer[1 << 16];
    uint64_t received = 0, answered = 0;
    ssize_t size;

    while ((size = recv(fd, buffer, sizeof buffer, 0)) > 0)
        for (received += (uint64_t)size; received / BLOCK > answered; answered++)
            if (send(fd, "!", 1, MSG_NOSIGNAL) != 1)
                return;
}

static void *answer(void *client)
{
    int on = 1, fd = (int)(intptr_t)client;
    char wish = 0;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (receive(fd, &wish, 1) == 0 && wish == '>')
        take(fd);
    while (wish == '<' && send(fd, block, BLOCK, MSG_NOSIGNAL) > 0)
        ;
    if (wish == '?' && send(fd, "!", 1, MSG_NOSIGNAL) == 1)
        recv(fd, &wish, 1, 0); /* until the client closes */
    close(fd);
    return NULL;
}

static void serve(uint16_t port)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
    int on = 1, listening = socket(AF_INET, SOCK_STREAM, 0);
    pthread_attr_t attributes;
    pthread_t thread;

    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listening, (struct sockaddr *)&any, sizeof any) || listen(listening, BACKLOG))
        fail("port %u cannot be listened on: %s", port, strerror(errno));
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK);
    for (;;) {
        int fd = accept(listening, NULL, NULL);
        if (fd >= 0 && pthread_create(&thread, &attributes, answer, (void *)(intptr_t)fd))
            close(fd);
    }
}

/* -- Arguments ------------------------------------------------------------------------------------------------ */

static void read_server(char *text)
{
    char *port = strchr(text, ':');

    if (strcmp(text, "-") == 0)
        return;
    server.sin_family = AF_INET;
    if (port)
        *port++ = '\0';
    if (!port || inet_pton(AF_INET, text, &server.sin_addr) != 1)
        fail("want ADDRESS:PORT");
    server.sin_port = htons((uint16_t)number(port, "port", 1, UINT16_MAX));
}

int main(int count, char **words)
{
    if (count == 3 && strcmp(words[1], "serve") == 0)
        serve((uint16_t)number(words[2], "port", 1, UINT16_MAX));
    if (count < 5)
        fail("wrong arguments\n%s", usage);
    proxy.sin_family = AF_INET;
    proxy.sin_port = htons((uint16_t)number(words[1], "port", 1, UINT16_MAX));
    inet_pton(AF_INET, "127.0.0.1", &proxy.sin_addr);
    read_server(words[2]);
    const char *wish = words[3];
    if (strcmp(wish, "hold") == 0)
        hold(number(words[4], "count", 1, MOST_HELD));
    deadline = clock_now() + number(words[4], "duration", 1, MOST_SECONDS) * SECOND;
    if (strcmp(wish, "connect") == 0 && count == 6)
        connect_in_threads(number(words[5], "number of threads", 1, MOST_THREADS));
    else if (strcmp(wish, "there") == 0 || strcmp(wish, "back") == 0) {
        int fd = dial(*wish == 't' ? '>' : '<');
        if (fd < 0)
            fail("there is no connection");
        (*wish == 't' ? there : back)(fd);
    } else
        fail("wrong arguments\n%s", usage);
    return 0;
}
