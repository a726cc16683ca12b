/* Shows that the time a kernel takes does not depend on keys and texts. Either under valgrind, which does not know
 * AVX-512, or with clang's memory sanitizer, which does not look into assembly text:
 *
 *     gcc -std=c11 -O3 -g -DWGFP_CHECK_SECRETS -I wgpy/fastpath -o aead_secrets tests/fastpath/aead_secrets.c \
 *         wgpy/fastpath/aead*.c
 *     valgrind --error-exitcode=1 ./aead_secrets [leak]
 *
 *     clang -std=c11 -O1 -g -DWGFP_CHECK_SECRETS -fsanitize=memory ...
 *     ./aead_secrets [leak]
 *
 * Secrets are made undefined, so there are complaints where a branch or an address depends on them. With `leak` one
 * does, which proves that it would be seen.
 */
#include "secrets.h"
#include "wgfp.h"

#include <stdio.h>
#include <string.h>

#if defined(__clang__)
/* Not AVX2's, which has secrets go into assembly text: the sanitizer takes that for their use. */
static const char *const names[] = {"portable", "avx512", "avx512-beside"};
#else
static const char *const names[] = {"portable", "avx2", "neon"};
#endif

enum { TAG = 16, PACKETS = 9, LONGEST = 1500 };

static uint8_t plain[PACKETS][LONGEST], sealed[PACKETS][LONGEST + TAG], opened[PACKETS][LONGEST], key[32];

static void check(const struct wgfp_aead_kernel *kernel, size_t n, uint32_t length, uint32_t step)
{
    struct wgfp_aead_packet packets[PACKETS];

    for (size_t i = 0; i < n; i++) {
        packets[i] = (struct wgfp_aead_packet){
            .src = plain[i], .dst = sealed[i], .counter = i, .length = length + (uint32_t)i * step};
    }
    make_secret(key, sizeof key);
    make_secret(plain, sizeof plain);
    wgfp_aead_seal(kernel, key, packets, n);

    wgfp_publish(sealed, sizeof sealed); /* goes over the network */
    sealed[n - 1][length / 2] ^= (uint8_t)(n > 1);
    for (size_t i = 0; i < n; i++) {
        packets[i].src = sealed[i];
        packets[i].dst = opened[i];
    }
    wgfp_aead_open(kernel, key, packets, n);
    for (size_t i = 0; i < n; i++) {
        if (packets[i].ok != (n == 1 || i != n - 1))
            printf("packet %zu of %zu: opened wrongly\n", i, n);
    }
}

int main(int argc, char **argv)
{
    static const size_t batches[] = {1, 2, 3, 4, 5, 8, 9};
    static const uint32_t lengths[] = {0, 1, 16, 63, 64, 200, 1400};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct wgfp_aead_kernel *kernel = wgfp_aead_kernel_find(names[i]);

        if (kernel == NULL)
            continue;
        for (size_t j = 0; j < sizeof batches / sizeof batches[0]; j++) {
            for (size_t k = 0; k < sizeof lengths / sizeof lengths[0]; k++) {
                check(kernel, batches[j], lengths[k], 0);
                check(kernel, batches[j], lengths[k], 11);
            }
        }
        printf("%s: checked\n", names[i]);
    }
    if (argc > 1 && strcmp(argv[1], "leak") == 0 && key[0] == 1)
        puts("leaked");
    return 0;
}
