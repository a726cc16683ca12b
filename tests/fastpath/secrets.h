/* Makes secrets undefined, so that valgrind, or clang's memory sanitizer, complains of every branch and every address
 * that depends on them. Programs that include this are built with -DWGFP_CHECK_SECRETS. */
#ifndef SECRETS_H
#define SECRETS_H

#include "clear.h"

#if defined(__clang__)
#define make_secret(memory, size) __msan_poison(memory, size)
#else
#define make_secret(memory, size) ((void)VALGRIND_MAKE_MEM_UNDEFINED(memory, size))
#endif

#endif
