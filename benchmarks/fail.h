/* How a benchmark's program ends when it cannot go on: one sentence, with the program's name, and exit status 1.
 *
 * Needs _GNU_SOURCE before the first header.
 */
#ifndef FAIL_H
#define FAIL_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void fail(const char *sentence, ...) __attribute__((noreturn, format(printf, 1, 2)));

static void fail(const char *sentence, ...)
{
    va_list arguments;

    va_start(arguments, sentence);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, sentence, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

#endif
