/* Shows that the time it takes to check a mac depends on no key and on no cookie, and not on how much of it is right; and
 * that of deriving keys on none of them:
 *
 *     gcc -std=c11 -O3 -g -DWGFP_CHECK_SECRETS -I wgpy/fastpath -o parts_secrets tests/fastpath/parts_secrets.c \
 *         wgpy/fastpath/blake2s.c wgpy/fastpath/cookie.c wgpy/fastpath/kdf.c
 *     valgrind --error-exitcode=1 ./parts_secrets [leak]
 *
 * With `leak` a branch does depend on a key, which proves that it would be seen.
 */
#include "cookie.h"
#include "secrets.h"
#include "wgfp.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    static const uint8_t address[16];
    static uint8_t message[148], public_key[32], secret[32], keys[3 * 32];
    struct wgfp_mac1 mac1;
    struct wgfp_cookie_secret cookie_secret;

    make_secret(public_key, sizeof public_key);
    make_secret(secret, sizeof secret);
    wgfp_mac1_init(&mac1, public_key);
    wgfp_cookie_secret_init(&cookie_secret, secret);
    if (wgfp_mac1_valid(&mac1, message, sizeof message))
        puts("mac1: wrongly valid");
    if (wgfp_mac2_valid(&cookie_secret, message, sizeof message, address, sizeof address, 1))
        puts("mac2: wrongly valid");
    wgfp_kdf(keys, 3, secret, public_key, sizeof public_key);
    wgfp_kdf(keys, 2, secret, NULL, 0);
    puts("checked");
    if (argc > 1 && strcmp(argv[1], "leak") == 0 && cookie_secret.key.h[0] == 1)
        puts("leaked");
    wgfp_mac1_clear(&mac1);
    wgfp_cookie_secret_clear(&cookie_secret);
    return 0;
}
