/* Runs a schedule on the small parts of the data path, without Python: for sanitizers, emulators, other byte orders.
 *
 *     cc -std=c11 -O2 -I wgpy/fastpath -Wl,--wrap=calloc,--wrap=malloc -o parts_check tests/fastpath/parts_check.c \
 *         wgpy/fastpath/{allowedips,replay,blake2s,cookie}.c
 *     ./parts_check [FAIL] < schedule
 *
 * A line of the schedule is a letter and its arguments, bytes as hexadecimal digits ("-" for none), with the answer
 * that is expected; schedules.py writes them. Exits with 0, or says which line failed and exits with 1.
 *
 * With FAIL, every FAILth allocation fails while a prefix is inserted. Then it is inserted again until that works,
 * and all answers must be the same.
 */
#include "allowedips.h"
#include "cookie.h"
#include "replay.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST = 2048, FIELDS = 6 };

void *__real_calloc(size_t n, size_t size);
void *__real_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_malloc(size_t size);

static unsigned long fail_each, allocations, failures;
static bool may_fail;

static bool fails(void)
{
    if (!may_fail || fail_each == 0 || ++allocations % fail_each != 0)
        return false;
    failures++;
    return true;
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

/* One argument. Bytes are in memory of just their size, so that a sanitizer sees what is read beyond. */
struct field {
    uint64_t number;
    uint8_t *bytes;
    size_t size;
};

static struct field field_read(const char *text)
{
    struct field field = {.number = strtoull(text, NULL, 10), .size = strlen(text) / 2};

    field.bytes = field.size == 0 ? NULL : malloc(field.size);
    for (size_t i = 0; i < field.size; i++) {
        const char digits[3] = {text[2 * i], text[2 * i + 1], '\0'};

        field.bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return field;
}

static struct wgfp_allowedips *routes;
static struct wgfp_replay window;

/* As by insert, but again and again. False if anything had changed before it worked. */
static bool insert(const struct field *f)
{
    const size_t before = wgfp_allowedips_count(routes);
    int result;

    may_fail = true;
    while ((result = wgfp_allowedips_insert(routes, f[0].bytes, f[0].size, (unsigned)f[1].number,
                                            (uint32_t)f[2].number)) == WGFP_ERR_MEMORY) {
        if (wgfp_allowedips_count(routes) != before)
            return false;
    }
    may_fail = false;
    return result == 0;
}

static uint32_t lookup(const struct field *address)
{
    return address->size == 4 ? wgfp_allowedips_lookup4(routes, address->bytes)
                              : wgfp_allowedips_lookup6(routes, address->bytes);
}

static bool hash(const struct field *f)
{
    uint8_t out[32];

    wgfp_blake2s(out, f[2].size, f[0].bytes, f[0].size, f[1].bytes, f[1].size);
    return memcmp(out, f[2].bytes, f[2].size) == 0;
}

static bool mac1(const struct field *f)
{
    struct wgfp_mac1 state;

    wgfp_mac1_init(&state, f[0].bytes);
    const bool valid = wgfp_mac1_valid(&state, f[1].bytes, f[1].size);

    wgfp_mac1_clear(&state);
    return valid == (f[2].number != 0);
}

static bool mac2(const struct field *f)
{
    struct wgfp_cookie_secret state;

    wgfp_cookie_secret_init(&state, f[0].bytes);
    const bool valid =
        wgfp_mac2_valid(&state, f[1].bytes, f[1].size, f[2].bytes, f[2].size, (uint16_t)f[3].number);

    wgfp_cookie_secret_clear(&state);
    return valid == (f[4].number != 0);
}

/* Did one line do what it should? */
static bool obey(char what, const struct field *f)
{
    switch (what) {
    case 'i': /* insert ADDRESS LENGTH PEER */
        return insert(f);
    case 'r': /* remove ADDRESS LENGTH PEER */
        wgfp_allowedips_remove(routes, f[0].bytes, f[0].size, (unsigned)f[1].number, (uint32_t)f[2].number);
        return true;
    case 'p': /* remove the PEER */
        wgfp_allowedips_remove_peer(routes, (uint32_t)f[0].number);
        return true;
    case 'l': /* look up ADDRESS: PEER */
        return lookup(&f[0]) == f[1].number;
    case 'n': /* NUMBER of prefixes */
        return wgfp_allowedips_count(routes) == f[0].number;
    case 'w': /* a new window */
        window = (struct wgfp_replay){0};
        return true;
    case 'a': /* accept COUNTER: 0 or 1 */
        return wgfp_replay_accept(&window, f[0].number) == (f[1].number != 0);
    case 'h': /* hash with KEY of DATA: HASH */
        return hash(f);
    case '1': /* mac1 for PUBLIC_KEY in MESSAGE: 0 or 1 */
        return mac1(f);
    case '2': /* mac2 with SECRET in MESSAGE from ADDRESS PORT: 0 or 1 */
        return mac2(f);
    default:
        return false;
    }
}

static bool obey_line(char *line)
{
    struct field fields[FIELDS] = {{0}};
    const char what = strtok(line, " \n")[0];
    const char *word;

    for (int i = 0; i < FIELDS && (word = strtok(NULL, " \n")) != NULL; i++)
        fields[i] = field_read(word);
    const bool obeyed = obey(what, fields);

    for (int i = 0; i < FIELDS; i++)
        free(fields[i].bytes);
    return obeyed;
}

int main(int argc, char **argv)
{
    static char line[LONGEST];
    unsigned long lines = 0;
    bool obeyed = true;

    fail_each = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    routes = wgfp_allowedips_new();
    while (obeyed && fgets(line, sizeof line, stdin) != NULL) {
        lines++;
        obeyed = obey_line(line);
    }
    wgfp_allowedips_free(routes);
    if (obeyed)
        printf("%lu lines, %lu allocations failed\n", lines, failures);
    else
        printf("line %lu had another outcome\n", lines);
    return obeyed ? 0 : 1;
}
