/* Forgetting secrets: a memset that the compiler may not leave out. */
#ifndef WGFP_CLEAR_H
#define WGFP_CLEAR_H

#include <stddef.h>
#include <string.h>

static inline void wgfp_clear(void *memory, size_t size)
{
    memset(memory, 0, size);
    /* Says that somebody reads the memory, so the memset counts. */
    __asm__ volatile("" : : "r"(memory) : "memory");
}

#endif
