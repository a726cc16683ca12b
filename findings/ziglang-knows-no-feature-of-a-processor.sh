#!/bin/sh
# ziglang 0.17.1 (PyPI), with clang 22.1.8 in it, Linux 6.18, x86-64, 2026-11-29.
#
# `python -m ziglang cc` compiles `__builtin_cpu_supports`, and what it asks at run time is zig's own library for compilers
# (lib/compiler_rt/fmv.zig), whose __cpu_indicator_init does nothing and whose features are all zero. So the answer is
# no to every feature on every processor, also to sse2, which each x86-64 has. A library that chooses the fastest of
# its variants this way works as before and takes the slowest one, and neither the compiler nor the linker says a word. What
# asks the processor by itself (<cpuid.h>: __get_cpuid, and xgetbv for what the system saves) is right.
#
# Seen, where /proc/cpuinfo has both:
#   __builtin_cpu_supports: sse2 no, avx2 no
#   __get_cpuid: sse2 yes, avx2 yes
set -eu
if [ "$(uname -m)" != x86_64 ] || ! grep -qw avx2 /proc/cpuinfo; then
    echo "SKIPPED: nothing can be seen here, as this is no x86-64 processor with AVX2"
    exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check ziglang==0.17.1
cat > "$folder/features.c" << 'C'
#include <cpuid.h>
#include <stdio.h>

static void show(const char *way, int sse2, int avx2)
{
    printf("%s: sse2 %s, avx2 %s\n", way, sse2 ? "yes" : "no", avx2 ? "yes" : "no");
}

int main(void)
{
    unsigned eax, ebx, ecx, edx, sse2;

    __builtin_cpu_init();
    show("__builtin_cpu_supports", __builtin_cpu_supports("sse2"), __builtin_cpu_supports("avx2"));
    __get_cpuid(1, &eax, &ebx, &ecx, &edx);
    sse2 = edx & bit_SSE2;
    __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx);
    show("__get_cpuid", sse2 != 0, (ebx & bit_AVX2) != 0);
    return 0;
}
C
ZIG_GLOBAL_CACHE_DIR=$folder/cache "$folder/venv/bin/python" -m ziglang cc -o "$folder/features" "$folder/features.c"
seen=$("$folder/features")
echo "$seen"
[ "$seen" = "__builtin_cpu_supports: sse2 no, avx2 no
__get_cpuid: sse2 yes, avx2 yes" ]
