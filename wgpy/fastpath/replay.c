/* The bitmap is a ring that never shifts: moving on clears the words that come into use again, one in 64 messages when
 * they arrive in order. So one word is always younger than its bits say, and the window is that much shorter. */
#include "replay.h"

#include <string.h>

enum {
    WORD_BITS = 64,
    WORDS = sizeof((struct wgfp_replay *)0)->bitmap / sizeof(uint64_t),
};

_Static_assert(WORDS * WORD_BITS == REPLAY_WINDOW_BITS, "the bitmap is of as many bits");
_Static_assert((WORDS - 1) * WORD_BITS == REPLAY_WINDOW, "one word is always being cleared");
_Static_assert((WORDS & (WORDS - 1)) == 0, "numbers of words are taken modulo WORDS by a mask");

/* Words first to last, numbered as if there were no ring, come into use. */
static void clear_words(struct wgfp_replay *window, uint64_t first, uint64_t last)
{
    if (last - first >= WORDS - 1) {
        memset(window->bitmap, 0, sizeof window->bitmap);
        return;
    }
    for (uint64_t word = first; word <= last; word++)
        window->bitmap[word % WORDS] = 0;
}

bool wgfp_replay_accept(struct wgfp_replay *window, uint64_t counter)
{
    const uint64_t greatest = window->greatest;
    const uint64_t word = counter / WORD_BITS;
    const uint64_t bit = (uint64_t)1 << counter % WORD_BITS;

    if (counter > greatest) {
        if (word != greatest / WORD_BITS)
            clear_words(window, greatest / WORD_BITS + 1, word);
        window->greatest = counter;
    } else if (greatest - counter > REPLAY_WINDOW) {
        return false;
    }
    if (window->bitmap[word % WORDS] & bit)
        return false;
    window->bitmap[word % WORDS] |= bit;
    return true;
}
