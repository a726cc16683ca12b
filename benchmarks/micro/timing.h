/* How the programs here time what they compare: candidates take turns, and each turn's figure is printed.
 *
 *     PROGRAM ROUNDS
 *
 * prints LINE, COLUMN and a number, apart by tabs, as often as there are rounds; micro/table.py reads them. What is left
 * out is said in a sentence on standard error.
 *
 *     PROGRAM list
 *     PROGRAM run NUMBER TIMES
 *
 * say which candidates there are, and run one of them, for somebody else to count what that takes.
 *
 * Needs _GNU_SOURCE before the first header.
 */
#ifndef TIMING_H
#define TIMING_H

#include "../fail.h"

#include <stdint.h>
#include <string.h>
#include <time.h>

enum {
    SLICE = 200000, /* nanoseconds, about: how long a turn is, far above what reading the clock takes */
    MOST_CANDIDATES = 512,
    LINE_SIZE = 64,
};

struct candidate {
    char line[LINE_SIZE];
    const char *column;
    void (*prepare)(void *state); /* before each run, and not timed; NULL: nothing */
    void (*run)(void *state);
    void *state;
    double each;  /* how many one run does: the figure is nanoseconds for one of them */
    double bytes; /* of one of them: there is a figure in GB/s, too; 0: there is none */
    int times;    /* written: runs in a turn */
};

static struct candidate candidates[MOST_CANDIDATES];
static size_t candidate_count;

/* Results go here, so that no compiler can leave out what made them. */
static volatile uint64_t sink;

/* What is returned is to be given a line by the caller. */
static struct candidate *candidate_add(const char *column, void (*run)(void *state), void *state)
{
    struct candidate *added = &candidates[candidate_count];

    if (candidate_count++ == MOST_CANDIDATES)
        fail("there are more than %d candidates", (int)MOST_CANDIDATES);
    *added = (struct candidate){.column = column, .run = run, .state = state, .each = 1};
    return added;
}

/* The same numbers in every run and on every host: splitmix64, by Sebastiano Vigna, in the public domain. */
static inline uint64_t random_next(uint64_t *seed)
{
    uint64_t number = *seed += UINT64_C(0x9e3779b97f4a7c15);

    number = (number ^ number >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    number = (number ^ number >> 27) * UINT64_C(0x94d049bb133111eb);
    return number ^ number >> 31;
}

static inline void *allocated(size_t size)
{
    void *memory = aligned_alloc(64, (size + 63) / 64 * 64);

    if (memory == NULL)
        fail("there is no memory");
    memset(memory, 0, size);
    return memory;
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* What reading the clock twice takes by itself: the least of many, for it is in every figure. */
static double clock_cost(void)
{
    double least = 1e9;

    for (int i = 0; i < 1000; i++) {
        const double start = now(), taken = now() - start;

        if (taken < least)
            least = taken;
    }
    return least;
}

/* Nanoseconds of a run. Where each has to be prepared, each is timed by itself. */
static double timed(const struct candidate *one, double cost)
{
    double total = 0;

    if (one->prepare == NULL) {
        const double start = now();

        for (int i = 0; i < one->times; i++)
            one->run(one->state);
        return (now() - start) / one->times;
    }
    for (int i = 0; i < one->times; i++) {
        one->prepare(one->state);
        const double start = now();

        one->run(one->state);
        total += now() - start - cost;
    }
    return total / one->times;
}

static void candidates_run(const struct candidate *one, int times)
{
    for (int i = 0; i < times; i++) {
        if (one->prepare != NULL)
            one->prepare(one->state);
        one->run(one->state);
    }
}

static void candidates_time(int rounds)
{
    const double cost = clock_cost();

    for (size_t i = 0; i < candidate_count; i++) {
        candidates_run(&candidates[i], 2); /* caches, page faults, the clock rate */
        const double start = now();

        candidates_run(&candidates[i], 1);
        candidates[i].times = 1 + (int)(SLICE / (now() - start + 1));
    }
    for (int round = 0; round < rounds; round++) {
        for (size_t i = 0; i < candidate_count; i++) {
            const struct candidate *one = &candidates[i];
            const double each = timed(one, cost) / one->each;

            printf("%s\t%s, ns\t%.4f\n", one->line, one->column, each);
            if (one->bytes > 0)
                printf("%s\t%s, GB/s\t%.4f\n", one->line, one->column, one->bytes / each);
        }
    }
}

static int timing_main(int count, char **arguments)
{
    if (count == 2 && strcmp(arguments[1], "list") == 0) {
        for (size_t i = 0; i < candidate_count; i++)
            printf("%s\t%s\t%g\n", candidates[i].line, candidates[i].column, candidates[i].each);
    } else if (count == 4 && strcmp(arguments[1], "run") == 0) {
        const unsigned long number = strtoul(arguments[2], NULL, 10);

        if (number >= candidate_count)
            fail("there is no candidate %s", arguments[2]);
        candidates_run(&candidates[number], atoi(arguments[3]));
    } else if (count == 2 && atoi(arguments[1]) > 0) {
        candidates_time(atoi(arguments[1]));
    } else {
        fprintf(stderr, "usage: %s ROUNDS | list | run NUMBER TIMES\n", program_invocation_short_name);
        return 2;
    }
    return 0;
}

#endif
