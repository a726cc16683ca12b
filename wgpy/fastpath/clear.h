/* What is done about secrets: forgetting them, and saying where they cease to be secret. */
#ifndef WGFP_CLEAR_H
#define WGFP_CLEAR_H

#include <stddef.h>
#include <string.h>

/* A memset that the compiler may not leave out. */
static inline void wgfp_clear(void *memory, size_t size)
{
    if (size > 256)
        __asm__("" : "+r"(size)); /* not known when compiled: then the C library does it, faster than `rep stos` */
    memset(memory, 0, size);
    /* Says that somebody reads the memory, so the memset counts. */
    __asm__ volatile("" : : "r"(memory) : "memory");
}

/* tests/fastpath/secrets.h has valgrind, or clang's memory sanitizer, treat secrets as undefined, so that it
 * complains of every branch and every address that depends on them. What may be known is said to be so by
 * wgfp_publish. The sanitizer does not see what assembly text writes to memory: that is said by wgfp_written. */
#if !defined(WGFP_CHECK_SECRETS)
#define wgfp_publish(memory, size) ((void)(memory), (void)(size))
#define wgfp_written(memory, size) ((void)(memory), (void)(size))
#elif defined(__clang__)
#include <sanitizer/msan_interface.h>
#define wgfp_publish(memory, size) __msan_unpoison(memory, size)
#define wgfp_written(memory, size) __msan_poison(memory, size)
#else
#include <valgrind/memcheck.h>
#define wgfp_publish(memory, size) ((void)VALGRIND_MAKE_MEM_DEFINED(memory, size))
#define wgfp_written(memory, size) ((void)(memory), (void)(size))
#endif

#endif
