/* Checks X25519 of many pairs without Python: for sanitizers and other compilers, and that no time depends on a secret.
 *
 *     cc -std=c11 -O2 -I wgpy/fastpath -o x25519_check tests/fastpath/x25519_check.c wgpy/fastpath/x25519.c
 *     ./x25519_check
 *
 *     clang -std=c11 -O1 -g -DWGFP_CHECK_SECRETS -fsanitize=memory ...
 *     ./x25519_check [leak]
 *
 * Built the second way secrets are undefined, so there are complaints where a branch or an address depends on them; with
 * `leak` one does, which proves that it would be seen. Prints what was checked and exits with 0, or says what failed.
 */
#include "wgfp.h"

#if defined(WGFP_CHECK_SECRETS)
#include "secrets.h"
#else
#define make_secret(memory, size) ((void)0)
#define wgfp_publish(memory, size) ((void)0)
#endif

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE = 32, MOST = 9 };

/* RFC 7748, section 6.1 */
static const uint8_t alice[SIZE] = {0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16, 0xc1,
                                    0x72, 0x51, 0xb2, 0x66, 0x45, 0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0,
                                    0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a};
static const uint8_t bob_public[SIZE] = {0xde, 0x9e, 0xdb, 0x7d, 0x7b, 0x7d, 0xc1, 0xb4, 0xd3, 0x5b, 0x61,
                                         0xc2, 0xec, 0xe4, 0x35, 0x37, 0x3f, 0x83, 0x43, 0xc8, 0x5b, 0x78,
                                         0x67, 0x4d, 0xad, 0xfc, 0x7e, 0x14, 0x6f, 0x88, 0x2b, 0x4f};
static const uint8_t secret[SIZE] = {0x4a, 0x5d, 0x9d, 0x5b, 0xa4, 0xce, 0x2d, 0xe1, 0x72, 0x8e, 0x3b,
                                     0xf4, 0x80, 0x35, 0x0f, 0x25, 0xe0, 0x7e, 0x21, 0xc9, 0x47, 0xd1,
                                     0x9e, 0x33, 0x76, 0xf0, 0x9b, 0x3c, 0x1e, 0x16, 0x17, 0x42};

/* In memory of exactly this size, so that a sanitizer sees what is beyond. Every second point is of low order. */
static __attribute__((noinline)) void check(size_t n)
{
    uint8_t *scalars = calloc(n, SIZE), *points = calloc(n, SIZE), *shared = calloc(n, SIZE);

    if (scalars == NULL || points == NULL || shared == NULL)
        exit(2);
    for (size_t i = 0; i < n; i++) {
        memcpy(scalars + SIZE * i, alice, SIZE);
        memcpy(points + SIZE * i, bob_public, SIZE);
        if (i % 2 == 1)
            memset(points + SIZE * i, 0, SIZE);
    }
    make_secret(scalars, SIZE * n);
    make_secret(points, SIZE * n);
    wgfp_x25519(shared, scalars, points, n);
    wgfp_publish(shared, SIZE * n);
    for (size_t i = 0; i < n; i++) {
        static const uint8_t zeros[SIZE];

        if (memcmp(shared + SIZE * i, i % 2 == 1 ? zeros : secret, SIZE) != 0) {
            printf("pair %zu of %zu: another secret\n", i, n);
            exit(1);
        }
    }
    free(scalars);
    free(points);
    free(shared);
}

int main(int argc, char **argv)
{
    uint8_t key[SIZE] = {1};

    if (wgfp_x25519_lanes() == 0) {
        puts("no lanes");
        return 0;
    }
    for (size_t n = 1; n <= MOST; n++)
        check(n);
    printf("%u lanes: checked\n", wgfp_x25519_lanes());
    make_secret(key, sizeof key);
    if (argc > 1 && strcmp(argv[1], "leak") == 0 && key[0] == 1)
        puts("leaked");
    return 0;
}
