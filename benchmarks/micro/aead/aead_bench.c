/* Times AEAD kernels beside OpenSSL, packet by packet. aead.py builds and runs this; it is a program of its own
 * because the calls are too short for Python.
 *
 *     aead_bench time KERNEL LENGTH,... BATCH,... ROUNDS
 *
 * prints a line per length and batch: nanoseconds a packet, medians of the rounds, for OpenSSL's seal and open and the
 * kernel's, which take turns.
 *
 *     aead_bench pairs KERNEL LENGTH,... BATCH,... ROUNDS
 *
 * does so as a data path does: in place, behind a header of 16 bytes, one packet close to the other, up to 20 bytes
 * more in some than in others. Each batch is sealed and then opened; nanoseconds a packet for both together, OpenSSL's
 * and the kernel's.
 *
 *     aead_bench run KERNEL|openssl LENGTH BATCH TIMES
 *
 * seals and opens a batch so many times, for somebody else to count what that takes.
 */
#define _GNU_SOURCE
#include "wgfp.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    TAG = 16,
    MOST = 64,       /* packets */
    STRIDE = 2304,   /* bytes from one to the next */
    OFFSET = 64,     /* of the first */
    HEADER = 16,     /* in front of a packet, for pairs */
    SLICE = 50000,   /* nanoseconds, about: how long one turn is */
};

typedef struct wgfp_aead_packet packet;

static const struct wgfp_aead_kernel *kernel;
static EVP_CIPHER_CTX *sealing, *opening;
static uint8_t key[32];
static uint8_t *plain, *sealed, *opened;

static void openssl_seal(packet *packets, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t nonce[12] = {0};
        int length;

        memcpy(nonce + 4, &packets[i].counter, 8);
        EVP_EncryptInit_ex(sealing, NULL, NULL, NULL, nonce);
        EVP_EncryptUpdate(sealing, packets[i].dst, &length, packets[i].src, (int)packets[i].length);
        EVP_EncryptFinal_ex(sealing, packets[i].dst + length, &length);
        EVP_CIPHER_CTX_ctrl(sealing, EVP_CTRL_AEAD_GET_TAG, TAG, packets[i].dst + packets[i].length);
    }
}

static void openssl_open(packet *packets, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t nonce[12] = {0};
        int length;

        memcpy(nonce + 4, &packets[i].counter, 8);
        EVP_DecryptInit_ex(opening, NULL, NULL, NULL, nonce);
        EVP_CIPHER_CTX_ctrl(opening, EVP_CTRL_AEAD_SET_TAG, TAG, (void *)(packets[i].src + packets[i].length));
        EVP_DecryptUpdate(opening, packets[i].dst, &length, packets[i].src, (int)packets[i].length);
        packets[i].ok = EVP_DecryptFinal_ex(opening, packets[i].dst + length, &length) > 0;
    }
}

static void kernel_seal(packet *packets, size_t n)
{
    wgfp_aead_seal(kernel, key, packets, n);
}

static void kernel_open(packet *packets, size_t n)
{
    wgfp_aead_open(kernel, key, packets, n);
}

static void openssl_both(packet *packets, size_t n)
{
    openssl_seal(packets, n);
    openssl_open(packets, n);
}

static void kernel_both(packet *packets, size_t n)
{
    kernel_seal(packets, n);
    kernel_open(packets, n);
}

typedef void run(packet *, size_t);
static run *const runs[] = {openssl_seal, openssl_open, kernel_seal, kernel_open};
static run *const pairs[] = {openssl_both, kernel_both};
enum { RUNS = 4, PAIRS = 2 };

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static double timed(run *run, packet *packets, size_t n, int times)
{
    const double start = now();

    for (int i = 0; i < times; i++)
        run(packets, n);
    return (now() - start) / times / (double)n;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void describe(packet *to_seal, packet *to_open, uint32_t length, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const size_t at = OFFSET + i * STRIDE;

        to_seal[i] = (packet){.src = plain + at, .dst = sealed + at, .counter = 1000 + i, .length = length};
        to_open[i] = (packet){.src = sealed + at, .dst = opened + at, .counter = 1000 + i, .length = length};
    }
}

static void check_opened(const packet *packets, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!packets[i].ok) {
            fprintf(stderr, "what was sealed does not open\n");
            exit(1);
        }
    }
}

/* first: the index in `runs` of a sealing function, before the opening one. */
static void run_only(int first, uint32_t length, size_t n, int times)
{
    packet to_seal[MOST], to_open[MOST];

    describe(to_seal, to_open, length, n);
    for (int i = 0; i < times; i++) {
        runs[first](to_seal, n);
        runs[first + 1](to_open, n);
    }
    check_opened(to_open, n);
}

static void describe_in_place(packet *packets, uint32_t length, size_t n)
{
    const size_t stride = (HEADER + length + 20 + TAG + 63) / 64 * 64; /* as allocators align */

    for (size_t i = 0; i < n; i++) {
        uint8_t *at = sealed + i * stride + HEADER;

        packets[i] = (packet){.src = at, .dst = at, .counter = 1000 + i, .length = length + 4 * (uint32_t)(i % 6)};
    }
}

/* Print the medians of what `count` functions take, which take turns; packets[i] are for the function i. */
static void measure(run *const *functions, packet *const *packets, size_t count, size_t n, int rounds)
{
    double *times[RUNS];
    int repeat[RUNS];

    for (size_t i = 0; i < count; i++) {
        const double once = timed(functions[i], packets[i], n, 10) * (double)n;

        repeat[i] = 1 + (int)(SLICE / once);
        times[i] = calloc((size_t)rounds, sizeof *times[i]);
    }
    for (int round = 0; round < rounds; round++) {
        for (size_t i = 0; i < count; i++)
            times[i][round] = timed(functions[i], packets[i], n, repeat[i]);
    }
    for (size_t i = 0; i < count; i++) {
        qsort(times[i], (size_t)rounds, sizeof *times[i], compare);
        printf(" %.1f", times[i][rounds / 2]);
        free(times[i]);
    }
}

static void time_apart(int rounds, uint32_t length, size_t n)
{
    packet to_seal[MOST], to_open[MOST];

    describe(to_seal, to_open, length, n);
    measure(runs, (packet *const[]){to_seal, to_open, to_seal, to_open}, RUNS, n, rounds);
    check_opened(to_open, n);
}

static void time_pairs(int rounds, uint32_t length, size_t n)
{
    packet packets[MOST];

    describe_in_place(packets, length, n);
    measure(pairs, (packet *const[]){packets, packets}, PAIRS, n, rounds);
    check_opened(packets, n);
}

static size_t numbers(char *list, size_t found[16])
{
    size_t n = 0;

    for (char *item = strtok(list, ","); item != NULL && n < 16; item = strtok(NULL, ","))
        found[n++] = strtoul(item, NULL, 10);
    return n;
}

static void prepare(void)
{
    static const uint8_t nonce[12];

    plain = aligned_alloc(4096, MOST * STRIDE + 4096);
    sealed = aligned_alloc(4096, MOST * STRIDE + 4096);
    opened = aligned_alloc(4096, MOST * STRIDE + 4096);
    memset(plain, 1, MOST * STRIDE);
    memset(sealed, 0, MOST * STRIDE);
    memset(opened, 0, MOST * STRIDE);
    sealing = EVP_CIPHER_CTX_new();
    opening = EVP_CIPHER_CTX_new();
    EVP_EncryptInit_ex(sealing, EVP_chacha20_poly1305(), NULL, key, nonce);
    EVP_DecryptInit_ex(opening, EVP_chacha20_poly1305(), NULL, key, nonce);
}

int main(int argc, char **argv)
{
    size_t lengths[16], batches[16];

    if (argc != 6) {
        fprintf(stderr, "usage: aead_bench time|pairs|run KERNEL LENGTH,... BATCH,... TIMES\n");
        return 2;
    }
    const bool openssl = strcmp(argv[2], "openssl") == 0;
    const size_t n_lengths = numbers(argv[3], lengths), n_batches = numbers(argv[4], batches);
    const int times = atoi(argv[5]);

    kernel = wgfp_aead_kernel_find(openssl ? "portable" : argv[2]);
    if (kernel == NULL) {
        fprintf(stderr, "there is no kernel %s on this processor\n", argv[2]);
        return 3;
    }
    prepare();
    for (size_t i = 0; i < n_lengths; i++) {
        for (size_t j = 0; j < n_batches; j++) {
            const size_t n = batches[j] < MOST ? batches[j] : MOST;
            const uint32_t length = (uint32_t)lengths[i];

            if (strcmp(argv[1], "run") == 0) {
                run_only(openssl ? 0 : 2, length, n, times);
                continue;
            }
            printf("%u %zu", length, n);
            if (strcmp(argv[1], "pairs") == 0)
                time_pairs(times, length, n);
            else
                time_apart(times, length, n);
            putchar('\n');
        }
    }
    return 0;
}
