/* Times the window of message counters: in order, out of order as parallel paths deliver, and what came before. */
#define _GNU_SOURCE
#include "replay.h"
#include "timing.h"

enum { RUN = 4096, APART = 64 }; /* counters in a run, and how far from its place one of them may be */

struct checks {
    struct wgfp_replay window;
    uint64_t base;          /* of this run's counters */
    uint64_t step;          /* to the base of the next run's */
    uint32_t offsets[RUN];
    bool accepted;          /* what the window should say of each */
};

static void check_run(void *state)
{
    struct checks *checks = state;
    uint64_t accepted = 0;

    for (int i = 0; i < RUN; i++)
        accepted += wgfp_replay_accept(&checks->window, checks->base + checks->offsets[i]);
    checks->base += checks->step;
    if (accepted != (checks->accepted ? RUN : 0))
        fail("of %d counters %llu were accepted", (int)RUN, (unsigned long long)accepted);
    sink = accepted;
}

/* spread: how many counters in a row are shuffled. */
static struct checks *checks_make(uint32_t spread)
{
    struct checks *checks = allocated(sizeof *checks);
    uint64_t seed = 1;

    checks->step = RUN;
    checks->accepted = true;
    for (uint32_t i = 0; i < RUN; i++)
        checks->offsets[i] = i;
    for (uint32_t i = 0; i < RUN; i++) {
        const uint32_t first = i / spread * spread;
        const uint32_t other = first + (uint32_t)(random_next(&seed) % spread), kept = checks->offsets[i];

        checks->offsets[i] = checks->offsets[other];
        checks->offsets[other] = kept;
    }
    return checks;
}

static void add(const char *line, struct checks *checks)
{
    struct candidate *added = candidate_add("a check", check_run, checks);

    snprintf(added->line, sizeof added->line, "%s", line);
    added->each = RUN;
}

int main(int count, char **arguments)
{
    struct checks *seen = checks_make(1);

    add("in order", checks_make(1));
    add("up to 64 out of order", checks_make(APART));
    add("up to 4,096 out of order", checks_make(RUN));
    check_run(seen);
    seen->base = seen->step = 0;
    seen->accepted = false;
    add("seen before", seen);
    return timing_main(count, arguments);
}
