/* What the programs of the rows have in common: numbers in arguments, a clock, random numbers.
 *
 * Needs _GNU_SOURCE before the first header.
 */
#ifndef PARTS_H
#define PARTS_H

#include "../fail.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

enum { SECOND = 1000000000 };

/* Monotonic nanoseconds. */
static uint64_t clock_now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

/* xorshift64*: what is random has to differ, not to be secret. state: never 0. */
static inline uint64_t random_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1d;
}

static uint64_t number(const char *text, const char *what, uint64_t least, uint64_t most)
{
    char *end;

    errno = 0;
    const unsigned long long value = strtoull(text, &end, 10);

    if (errno != 0 || *text < '0' || *text > '9' || *end != '\0' || value < least || value > most)
        fail("%s is no %s; want a number from %llu to %llu", text, what, (unsigned long long)least,
             (unsigned long long)most);
    return value;
}

#endif
