/* Times the C data path's cipher, by every kernel of this processor, beside OpenSSL's and libsodium's.
 *
 * Everybody seals and opens the same 48 packets, about what a superpacket makes: kernels so many of them by one call,
 * the others one. "apart" is from one place to another; "in place" is as the data path does it, behind a header, sealed
 * and then opened again. Before that, all have to agree.
 *
 * Built WITH_OPENSSL, or else without it. Where OPENSSL_ia32cap is set, OpenSSL, which it holds back, is alone.
 */
#define _GNU_SOURCE
#include "wgfp.h"

#include "timing.h"

#include <dlfcn.h>
#include <stdbool.h>
#ifdef WITH_OPENSSL
#include <openssl/evp.h>
#endif

enum { TAG = 16, HEADER = 16, PACKETS = 48, LONGEST = 1420, STRIDE = 1472 };

typedef struct wgfp_aead_packet packet;

struct cipher {
    const char *name;
    void (*seal)(const struct cipher *cipher, packet *packets, size_t n);
    void (*open)(const struct cipher *cipher, packet *packets, size_t n);
    const struct wgfp_aead_kernel *kernel;
};

struct work {
    struct cipher cipher;
    packet sealing[PACKETS], opening[PACKETS], in_place[PACKETS];
    uint8_t sealed[PACKETS * STRIDE], place[PACKETS * STRIDE];
    size_t at_once;
};

static const uint8_t key[32] = {1, 2, 3};
static uint8_t plain[PACKETS * STRIDE], opened[PACKETS * STRIDE];

/* -- Ciphers ---------------------------------------------------------------------------------------- */

static void kernel_seal(const struct cipher *cipher, packet *packets, size_t n)
{
    wgfp_aead_seal(cipher->kernel, key, packets, n);
}

static void kernel_open(const struct cipher *cipher, packet *packets, size_t n)
{
    wgfp_aead_open(cipher->kernel, key, packets, n);
}

static void nonce_write(uint8_t nonce[12], uint64_t counter)
{
    memset(nonce, 0, 4);
    for (int i = 0; i < 8; i++)
        nonce[4 + i] = (uint8_t)(counter >> 8 * i);
}

#ifdef WITH_OPENSSL
static EVP_CIPHER_CTX *sealing_context, *opening_context;

static void openssl_seal(const struct cipher *cipher, packet *packets, size_t n)
{
    (void)cipher;
    for (size_t i = 0; i < n; i++) {
        uint8_t nonce[12];
        int length;

        nonce_write(nonce, packets[i].counter);
        EVP_EncryptInit_ex(sealing_context, NULL, NULL, NULL, nonce);
        EVP_EncryptUpdate(sealing_context, packets[i].dst, &length, packets[i].src, (int)packets[i].length);
        EVP_EncryptFinal_ex(sealing_context, packets[i].dst + length, &length);
        EVP_CIPHER_CTX_ctrl(sealing_context, EVP_CTRL_AEAD_GET_TAG, TAG, packets[i].dst + packets[i].length);
    }
}

static void openssl_open(const struct cipher *cipher, packet *packets, size_t n)
{
    (void)cipher;
    for (size_t i = 0; i < n; i++) {
        uint8_t nonce[12], tag[TAG];
        int length;

        memcpy(tag, packets[i].src + packets[i].length, TAG);
        nonce_write(nonce, packets[i].counter);
        EVP_DecryptInit_ex(opening_context, NULL, NULL, NULL, nonce);
        EVP_CIPHER_CTX_ctrl(opening_context, EVP_CTRL_AEAD_SET_TAG, TAG, tag);
        EVP_DecryptUpdate(opening_context, packets[i].dst, &length, packets[i].src, (int)packets[i].length);
        packets[i].ok = EVP_DecryptFinal_ex(opening_context, packets[i].dst + length, &length) > 0;
    }
}

static void openssl_prepare(void)
{
    sealing_context = EVP_CIPHER_CTX_new();
    opening_context = EVP_CIPHER_CTX_new();
    if (sealing_context == NULL || opening_context == NULL ||
        EVP_EncryptInit_ex(sealing_context, EVP_chacha20_poly1305(), NULL, key, NULL) != 1 ||
        EVP_DecryptInit_ex(opening_context, EVP_chacha20_poly1305(), NULL, key, NULL) != 1)
        fail("OpenSSL has no ChaCha20-Poly1305");
}
#endif

/* libsodium's crypto_aead_chacha20poly1305_ietf_encrypt and _decrypt, declared as its manual does: so that the library,
 * which is nearly everywhere, will do without its headers. */
static int (*sodium_encrypt)(uint8_t *, unsigned long long *, const uint8_t *, unsigned long long, const uint8_t *,
                             unsigned long long, const uint8_t *, const uint8_t *, const uint8_t *);
static int (*sodium_decrypt)(uint8_t *, unsigned long long *, uint8_t *, const uint8_t *, unsigned long long,
                             const uint8_t *, unsigned long long, const uint8_t *, const uint8_t *);

static void sodium_seal(const struct cipher *cipher, packet *packets, size_t n)
{
    (void)cipher;
    for (size_t i = 0; i < n; i++) {
        uint8_t nonce[12];

        nonce_write(nonce, packets[i].counter);
        sodium_encrypt(packets[i].dst, NULL, packets[i].src, packets[i].length, NULL, 0, NULL, nonce, key);
    }
}

static void sodium_open(const struct cipher *cipher, packet *packets, size_t n)
{
    (void)cipher;
    for (size_t i = 0; i < n; i++) {
        uint8_t nonce[12];

        nonce_write(nonce, packets[i].counter);
        packets[i].ok = sodium_decrypt(packets[i].dst, NULL, NULL, packets[i].src, packets[i].length + TAG, NULL, 0,
                                       nonce, key) == 0;
    }
}

static bool sodium_load(void)
{
    void *library = dlopen("libsodium.so.23", RTLD_NOW); /* up to 1.0.18 */
    int (*prepare)(void) = NULL;

    if (library == NULL)
        library = dlopen("libsodium.so.26", RTLD_NOW);
    if (library == NULL)
        return false;
    *(void **)&prepare = dlsym(library, "sodium_init");
    *(void **)&sodium_encrypt = dlsym(library, "crypto_aead_chacha20poly1305_ietf_encrypt");
    *(void **)&sodium_decrypt = dlsym(library, "crypto_aead_chacha20poly1305_ietf_decrypt");
    return prepare != NULL && prepare() >= 0 && sodium_encrypt != NULL && sodium_decrypt != NULL;
}

/* -- Work ------------------------------------------------------------------------------------------- */

static void seal_apart(void *state)
{
    struct work *work = state;

    for (size_t i = 0; i < PACKETS; i += work->at_once)
        work->cipher.seal(&work->cipher, work->sealing + i, work->at_once);
    sink = work->sealed[0];
}

static void open_apart(void *state)
{
    struct work *work = state;

    for (size_t i = 0; i < PACKETS; i += work->at_once)
        work->cipher.open(&work->cipher, work->opening + i, work->at_once);
    if (!work->opening[PACKETS - 1].ok)
        fail("%s does not open what was sealed", work->cipher.name);
}

static void both_in_place(void *state)
{
    struct work *work = state;

    for (size_t i = 0; i < PACKETS; i += work->at_once)
        work->cipher.seal(&work->cipher, work->in_place + i, work->at_once);
    for (size_t i = 0; i < PACKETS; i += work->at_once)
        work->cipher.open(&work->cipher, work->in_place + i, work->at_once);
    sink = work->in_place[0].src[0];
}

static void check_opened(packet *packets, const char *name)
{
    for (size_t i = 0; i < PACKETS; i++) {
        if (!packets[i].ok || memcmp(packets[i].dst, plain + i * STRIDE, packets[i].length) != 0)
            fail("%s does not open what was sealed", name);
    }
}

/* The portable kernel seals and the cipher opens; the cipher seals the same; what was changed it refuses. */
static void check(struct work *work)
{
    static uint8_t right[PACKETS * STRIDE];
    const struct cipher portable = {.kernel = wgfp_aead_kernel_find("portable")};

    kernel_seal(&portable, work->sealing, PACKETS);
    memcpy(right, work->sealed, sizeof right);
    memset(opened, 0, sizeof opened);
    open_apart(work);
    check_opened(work->opening, work->cipher.name);
    memset(work->sealed, 0, sizeof work->sealed);
    seal_apart(work);
    if (memcmp(right, work->sealed, sizeof right) != 0)
        fail("%s seals something else than the portable kernel", work->cipher.name);
    work->sealed[work->sealing[0].length] ^= 1;
    open_apart(work);
    if (work->opening[0].ok)
        fail("%s opens what was changed", work->cipher.name);
    work->sealed[work->sealing[0].length] ^= 1;
    both_in_place(work);
    check_opened(work->in_place, work->cipher.name);
}

static struct candidate *add(const char *column, void (*run)(void *), struct work *work, const char *line)
{
    struct candidate *added = candidate_add(column, run, work);

    snprintf(added->line, sizeof added->line, "%s", line);
    added->each = PACKETS;
    added->bytes = work->sealing[0].length;
    return added;
}

/* name: of the length. */
static void cipher_add(const struct cipher *cipher, const char *name, uint32_t length, size_t at_once)
{
    struct work *work = allocated(sizeof *work);
    char line[LINE_SIZE];

    work->cipher = *cipher;
    work->at_once = at_once;
    for (size_t i = 0; i < PACKETS; i++) {
        const size_t at = i * STRIDE;
        uint8_t *sealed = work->sealed + at, *place = work->place + at + HEADER;

        memcpy(place, plain + at, length);
        work->sealing[i] = (packet){.src = plain + at, .dst = sealed, .counter = i, .length = length};
        work->opening[i] = (packet){.src = sealed, .dst = opened + at, .counter = i, .length = length};
        work->in_place[i] = (packet){.src = place, .dst = place, .counter = i, .length = length};
    }
    check(work);
    if (cipher->kernel != NULL)
        snprintf(line, sizeof line, "%s, %s, %zu at once", name, cipher->name, at_once);
    else
        snprintf(line, sizeof line, "%s, %s", name, cipher->name);
    add("seal", seal_apart, work, line);
    add("open", open_apart, work, line);
    add("both in place", both_in_place, work, line);
}

static size_t ciphers_find(struct cipher found[8])
{
    static const char *const kernels[] = {"portable", "avx2", "avx512", "avx512-beside", "neon"};
    size_t n = 0;

#ifdef WITH_OPENSSL
    const bool held_back = getenv("OPENSSL_ia32cap") != NULL;

    openssl_prepare();
    found[n++] = (struct cipher){held_back ? "OpenSSL to AVX2" : "OpenSSL", openssl_seal, openssl_open, NULL};
    if (held_back)
        return n;
#endif
    if (sodium_load())
        found[n++] = (struct cipher){"libsodium", sodium_seal, sodium_open, NULL};
    else
        fputs("libsodium in C: there is no libsodium.so.23 or .26 (Debian: libsodium23)\n", stderr);
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
        const struct wgfp_aead_kernel *kernel = wgfp_aead_kernel_find(kernels[i]);

        if (kernel != NULL)
            found[n++] = (struct cipher){kernels[i], kernel_seal, kernel_open, kernel};
    }
    return n;
}

int main(int count, char **arguments)
{
    static const struct { const char *name; uint32_t length; } lengths[] = {
        {"64 B", 64}, {"512 B", 512}, {"1,420 B", LONGEST},
    };
    static const size_t at_once[] = {1, 8, PACKETS};
    struct cipher ciphers[8];
    const size_t n = ciphers_find(ciphers);

    for (size_t i = 0; i < sizeof plain; i++)
        plain[i] = (uint8_t)(i * 7);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        for (size_t k = 0; k < n; k++) {
            for (size_t m = 0; m < (ciphers[k].kernel != NULL ? 3 : 1); m++)
                cipher_add(&ciphers[k], lengths[i].name, lengths[i].length, at_once[m]);
        }
    }
    return timing_main(count, arguments);
}
