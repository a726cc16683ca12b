/* Checks every AEAD kernel of this processor, without Python: for sanitizers, emulators and other byte orders.
 *
 *     cc -std=c11 -O2 -I wgpy/fastpath -o aead_check tests/fastpath/aead_check.c wgpy/fastpath/aead*.c
 *     ./aead_check [ROUNDS [SEED]]
 *
 * Prints one line a kernel and exits with 0, or says what failed and exits with 1.
 */
#define _GNU_SOURCE
#include "wgfp.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    TAG = 16,
    PACKETS = 70, /* more than the batch that a kernel is given at once */
    LONGEST = 3000,
    STRIDE = 4096,
    MARGIN = 0xa5,
};

static const char *const names[] = {"portable", "avx2", "avx512", "avx512-beside", "neon"};

static const struct wgfp_aead_kernel *tested;
static uint64_t seed, random_state;

static void fail(const char *what, size_t packet, uint32_t length)
{
    printf("%s: %s (packet %zu of %u bytes, seed %llu)\n", wgfp_aead_kernel_name(tested), what, packet, length,
           (unsigned long long)seed);
    exit(1);
}

static uint64_t random_word(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static uint32_t random_below(uint32_t limit)
{
    return (uint32_t)(random_word() >> 32) % limit;
}

static void random_fill(uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)(random_word() >> 24);
}

/* Published and known answers. */

static const uint8_t counting_key[32] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                         16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};

/* RFC 8439, 2.4.2: the nonce's counter part is 00 00 00 4a 00 00 00 00. */
static const char sunscreen[] = "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the "
                                "future, sunscreen would be it.";
static const uint8_t sunscreen_sealed[114] = {
    0x6e, 0x2e, 0x35, 0x9a, 0x25, 0x68, 0xf9, 0x80, 0x41, 0xba, 0x07, 0x28, 0xdd, 0x0d, 0x69, 0x81, 0xe9, 0x7e, 0x7a,
    0xec, 0x1d, 0x43, 0x60, 0xc2, 0x0a, 0x27, 0xaf, 0xcc, 0xfd, 0x9f, 0xae, 0x0b, 0xf9, 0x1b, 0x65, 0xc5, 0x52, 0x47,
    0x33, 0xab, 0x8f, 0x59, 0x3d, 0xab, 0xcd, 0x62, 0xb3, 0x57, 0x16, 0x39, 0xd6, 0x24, 0xe6, 0x51, 0x52, 0xab, 0x8f,
    0x53, 0x0c, 0x35, 0x9f, 0x08, 0x61, 0xd8, 0x07, 0xca, 0x0d, 0xbf, 0x50, 0x0d, 0x6a, 0x61, 0x56, 0xa3, 0x8e, 0x08,
    0x8a, 0x22, 0xb6, 0x5e, 0x52, 0xbc, 0x51, 0x4d, 0x16, 0xcc, 0xf8, 0x06, 0x81, 0x8c, 0xe9, 0x1a, 0xb7, 0x79, 0x37,
    0x36, 0x5a, 0xf9, 0x0b, 0xbf, 0x74, 0xa3, 0x5b, 0xe6, 0xb4, 0x0b, 0x8e, 0xed, 0xf2, 0x78, 0x5e, 0x42, 0x87, 0x4d,
};

static void check_rfc_8439(void)
{
    uint8_t sealed[sizeof sunscreen_sealed + TAG];
    struct wgfp_aead_packet packet = {
        .src = (const uint8_t *)sunscreen,
        .dst = sealed,
        .counter = 0x4a000000,
        .length = sizeof sunscreen_sealed,
    };

    wgfp_aead_seal(tested, counting_key, &packet, 1);
    if (memcmp(sealed, sunscreen_sealed, sizeof sunscreen_sealed) != 0)
        fail("not the ciphertext of RFC 8439, 2.4.2", 0, packet.length);
}

/* Every length from 0 to 1600, each with a counter of its own; FNV-1a over all that comes out. The expected value
 * was made with OpenSSL. */
static void check_digest(void)
{
    static const uint64_t expected = 0xc178a2a3850eed16;
    enum { LAST = 1600 };
    static uint8_t plain[LAST], sealed[LAST + TAG];
    uint64_t digest = 0xcbf29ce484222325;
    uint8_t key[32];

    for (int i = 0; i < 32; i++)
        key[i] = (uint8_t)(0x80 + i);
    for (uint32_t length = 0; length <= LAST; length++) {
        for (uint32_t i = 0; i < length; i++)
            plain[i] = (uint8_t)(i * 7 + length);
        struct wgfp_aead_packet packet = {
            .src = plain,
            .dst = sealed,
            .counter = 0x0123456789abcdef ^ ((uint64_t)length << 40 | length),
            .length = length,
        };
        wgfp_aead_seal(tested, key, &packet, 1);
        for (uint32_t i = 0; i < length + TAG; i++)
            digest = (digest ^ sealed[i]) * 0x100000001b3;
    }
    if (digest != expected)
        fail("the digest of all lengths is wrong", 0, LAST);
}

/* Random batches, beside the portable kernel. */

static uint8_t plain[PACKETS * STRIDE], expected[PACKETS * STRIDE], sealed[PACKETS * STRIDE], opened[PACKETS * STRIDE];

struct shape {
    size_t n;
    size_t offset[PACKETS]; /* where the packet stands in each of the arrays */
    uint32_t length[PACKETS];
    uint8_t key[32];
    uint64_t counter;
};

static struct shape random_shape(void)
{
    struct shape shape = {.n = 1 + random_below(random_below(2) ? 10 : PACKETS), .counter = random_word()};
    const uint32_t kind = random_below(4), common = random_below(LONGEST);

    random_fill(shape.key, sizeof shape.key);
    for (size_t i = 0; i < shape.n; i++) {
        const uint32_t lengths[] = {common, random_below(LONGEST + 1), random_below(130),
                                    random_below(8) ? common : random_below(LONGEST + 1)};
        shape.length[i] = lengths[kind];
        shape.offset[i] = i * STRIDE + 64 + random_below(64);
        random_fill(plain + shape.offset[i], shape.length[i]);
        if (random_below(4) == 0) /* high limbs */
            memset(plain + shape.offset[i], 0xff, shape.length[i]);
    }
    return shape;
}

static void packets_describe(struct wgfp_aead_packet *packets, const struct shape *shape, const uint8_t *src,
                             uint8_t *dst)
{
    for (size_t i = 0; i < shape->n; i++) {
        packets[i] = (struct wgfp_aead_packet){
            .src = src + shape->offset[i],
            .dst = dst + shape->offset[i],
            .counter = shape->counter + i,
            .length = shape->length[i],
        };
    }
}

/* The array is as it was but for the packets, of `length` + `more` bytes each. */
static void check_margins(const uint8_t *array, const struct shape *shape, uint32_t more)
{
    for (size_t i = 0; i < shape->n; i++) {
        const size_t begin = shape->offset[i], end = begin + shape->length[i] + more;

        for (size_t at = i * STRIDE; at < (i + 1) * STRIDE; at++) {
            if ((at < begin || at >= end) && array[at] != MARGIN)
                fail("written outside of the packet", i, shape->length[i]);
        }
    }
}

static void check_seal(const struct shape *shape, bool in_place)
{
    struct wgfp_aead_packet packets[PACKETS];

    packets_describe(packets, shape, plain, expected);
    wgfp_aead_seal(wgfp_aead_kernel_find("portable"), shape->key, packets, shape->n);

    memset(sealed, MARGIN, sizeof sealed);
    for (size_t i = 0; in_place && i < shape->n; i++)
        memcpy(sealed + shape->offset[i], plain + shape->offset[i], shape->length[i]);
    packets_describe(packets, shape, in_place ? sealed : plain, sealed);
    wgfp_aead_seal(tested, shape->key, packets, shape->n);
    for (size_t i = 0; i < shape->n; i++) {
        if (memcmp(sealed + shape->offset[i], expected + shape->offset[i], shape->length[i] + TAG) != 0)
            fail("sealed differs from the portable kernel's", i, shape->length[i]);
    }
    check_margins(sealed, shape, TAG);
}

static void check_open(const struct shape *shape, bool in_place, uint32_t forged_of_16)
{
    struct wgfp_aead_packet packets[PACKETS];
    bool forged[PACKETS];
    uint8_t *target = in_place ? sealed : opened;

    for (size_t i = 0; i < shape->n; i++) {
        const uint32_t bit = random_below((shape->length[i] + TAG) * 8);

        forged[i] = random_below(16) < forged_of_16;
        if (forged[i])
            sealed[shape->offset[i] + bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    memcpy(expected, sealed, sizeof expected);
    memset(opened, MARGIN, sizeof opened);
    packets_describe(packets, shape, sealed, target);
    wgfp_aead_open(tested, shape->key, packets, shape->n);
    for (size_t i = 0; i < shape->n; i++) {
        const size_t at = shape->offset[i];

        if (packets[i].ok != !forged[i])
            fail(forged[i] ? "a forged packet was taken" : "an authentic packet was refused", i, shape->length[i]);
        if (!forged[i] && memcmp(target + at, plain + at, shape->length[i]) != 0)
            fail("opened differs from what was sealed", i, shape->length[i]);
        if (forged[i] && in_place && memcmp(target + at, expected + at, shape->length[i] + TAG) != 0)
            fail("a forged packet was written over", i, shape->length[i]);
        for (uint32_t j = 0; forged[i] && !in_place && j < shape->length[i]; j++) {
            if (target[at + j] != MARGIN)
                fail("something was written of a forged packet", i, shape->length[i]);
        }
    }
    check_margins(target, shape, in_place ? TAG : 0);
}

static void check_random_shapes(int rounds)
{
    static const uint32_t forged_of_16[] = {0, 1, 8, 16};

    for (int round = 0; round < rounds; round++) {
        const struct shape shape = random_shape();

        check_seal(&shape, random_below(2));
        check_open(&shape, random_below(2), forged_of_16[random_below(4)]);
    }
}

/* Packets that begin or end at a page that must not be touched. */

struct fenced {
    uint8_t *map, *begin, *end;
};

static struct fenced fenced_new(void)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *map = mmap(NULL, 4 * page + 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const size_t size = (LONGEST + TAG + page - 1) / page * page;

    if (map == MAP_FAILED || mprotect(map, page, PROT_NONE) != 0 || mprotect(map + page + size, page, PROT_NONE) != 0)
        fail("no memory", 0, 0);
    return (struct fenced){map, map + page, map + page + size};
}

static void check_fences(void)
{
    static struct fenced fences[2][9];
    struct wgfp_aead_packet packets[9];

    for (size_t i = 0; i < 9; i++) {
        fences[0][i] = fenced_new();
        fences[1][i] = fenced_new();
    }
    for (uint32_t length = 0; length <= 600; length++) {
        for (int at_end = 0; at_end < 2; at_end++) {
            for (size_t n = 1; n <= 9; n = n == 3 ? 8 : n + 1) {
                for (size_t i = 0; i < n; i++) {
                    const uint32_t its = length + (uint32_t)(i % 3) * 100;
                    uint8_t *in = at_end ? fences[0][i].end - its : fences[0][i].begin;
                    uint8_t *out = at_end ? fences[1][i].end - its - TAG : fences[1][i].begin;

                    packets[i] = (struct wgfp_aead_packet){.src = in, .dst = out, .counter = i, .length = its};
                }
                wgfp_aead_seal(tested, counting_key, packets, n);
                for (size_t i = 0; i < n; i++) {
                    uint8_t *out = (uint8_t *)(uintptr_t)packets[i].src;

                    packets[i].src = packets[i].dst;
                    packets[i].dst = out;
                }
                wgfp_aead_open(tested, counting_key, packets, n);
                for (size_t i = 0; i < n; i++) {
                    if (!packets[i].ok)
                        fail("refused at a page's border", i, packets[i].length);
                }
            }
        }
    }
}

int main(int argc, char **argv)
{
    const int rounds = argc > 1 ? atoi(argv[1]) : 300;

    seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        tested = wgfp_aead_kernel_find(names[i]);
        if (tested == NULL)
            continue;
        random_state = 0x9e3779b97f4a7c15 * (seed + 1);
        check_rfc_8439();
        check_digest();
        check_random_shapes(rounds);
        check_fences();
        printf("%s: %d rounds\n", names[i], rounds);
    }
    return 0;
}
