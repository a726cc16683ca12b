/* What an x86-64 processor can do, and the system lets programs use: Intel SDM volume 1, 13.3 and 14.3.
 *
 * By the instructions themselves: __builtin_cpu_supports and __builtin_cpu_is ask the compiler's library, and zig's
 * answers no to all.
 */
#ifndef WGFP_CPU_X86_H
#define WGFP_CPU_X86_H

#include <cpuid.h>
#include <stdbool.h>
#include <stdint.h>

enum { WGFP_CPU_YMM = 0x06, WGFP_CPU_ZMM = 0xe6 }; /* registers that the system saves, in XCR0 */

/* Whether it has all features of leaf 7, EBX, and the system saves the registers. */
static inline bool wgfp_cpu_has(uint32_t features, uint32_t registers)
{
    uint32_t eax, ebx, ecx, edx, saved, unused;

    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & bit_OSXSAVE))
        return false;
    __asm__("xgetbv" : "=a"(saved), "=d"(unused) : "c"(0));
    return (saved & registers) == registers && __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) &&
           (ebx & features) == features;
}

/* Is it AMD's? In a virtual machine the instruction takes a microsecond: ask once. */
static inline bool wgfp_cpu_is_amd(void)
{
    uint32_t eax, ebx = 0, ecx = 0, edx = 0;

    return __get_cpuid(0, &eax, &ebx, &ecx, &edx) && ebx == signature_AMD_ebx && ecx == signature_AMD_ecx &&
           edx == signature_AMD_edx;
}

#endif
