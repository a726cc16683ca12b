/* Times the Internet checksum, alone and with the copy that it saves a pass for, once it agrees with RFC 1071. */
#define _GNU_SOURCE
#include "checksum.h"
#include "timing.h"

struct bytes {
    const uint8_t *from;
    uint8_t *to;
    size_t length;
};

static void sum(void *state)
{
    const struct bytes *bytes = state;

    sink = wgfp_sum(bytes->from, bytes->length);
}

static void sum_copy(void *state)
{
    const struct bytes *bytes = state;

    sink = wgfp_sum_copy(bytes->to, bytes->from, bytes->length);
}

static void copy(void *state)
{
    const struct bytes *bytes = state;

    memcpy(bytes->to, bytes->from, bytes->length);
    __asm__ volatile("" : : "r"(bytes->to) : "memory"); /* it is read, for all that the compiler knows */
}

/* Of 16-bit words in network order, one after the other; its bytes as they lie in memory. */
static uint16_t sum_by_words(const uint8_t *from, size_t length)
{
    uint32_t total = 0;
    uint16_t in_memory;

    for (size_t i = 0; i < length; i++) {
        total += i % 2 == 0 ? (uint32_t)from[i] << 8 : from[i];
        total = (total & 0xffff) + (total >> 16);
    }
    const uint8_t network[2] = {(uint8_t)(total >> 8), (uint8_t)total};

    memcpy(&in_memory, network, sizeof in_memory);
    return in_memory;
}

static void check(const struct bytes *bytes)
{
    const uint16_t right = sum_by_words(bytes->from, bytes->length);

    if (wgfp_sum_fold(wgfp_sum(bytes->from, bytes->length)) != right ||
        wgfp_sum_fold(wgfp_sum_copy(bytes->to, bytes->from, bytes->length)) != right ||
        memcmp(bytes->to, bytes->from, bytes->length) != 0)
        fail("the sum of %zu bytes is wrong", bytes->length);
}

static void add(const char *line, const char *column, void (*run)(void *), struct bytes *bytes)
{
    struct candidate *added = candidate_add(column, run, bytes);

    snprintf(added->line, sizeof added->line, "%s", line);
    added->bytes = (double)bytes->length;
}

int main(int count, char **arguments)
{
    static const struct { const char *line; size_t length; } sizes[] = {
        {"20 B, an IPv4 header", 20}, {"64 B", 64}, {"576 B", 576}, {"1,420 B", 1420}, {"65,535 B", 65535},
    };
    uint64_t seed = 1;

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint8_t *from = allocated(sizes[i].length);
        struct bytes *bytes = allocated(sizeof *bytes);

        for (size_t k = 0; k < sizes[i].length; k++)
            from[k] = (uint8_t)random_next(&seed);
        *bytes = (struct bytes){from, allocated(sizes[i].length), sizes[i].length};
        check(bytes);
        add(sizes[i].line, "sum", sum, bytes);
        add(sizes[i].line, "sum and copy", sum_copy, bytes);
        add(sizes[i].line, "copy alone", copy, bytes);
    }
    return timing_main(count, arguments);
}
