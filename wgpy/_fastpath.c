/* The C data path: its public functions. What they mean is said in wgfp.h. */
#include "wgfp.h"

enum { WGFP_ABI_VERSION = 1 };

int wgfp_abi_version(void)
{
    return WGFP_ABI_VERSION;
}
