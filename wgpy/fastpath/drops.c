/* Drops by reason; what the functions mean is said in wgfp.h. */
#include "datapath.h"

#include "drops.h"

void wgfp_drops(const struct wgfp_datapath *datapath, uint64_t *counts)
{
    for (uint32_t i = 0; i < WGFP_DROPS; i++)
        counts[i] = atomic_load_explicit(&datapath->drops[i], memory_order_relaxed);
    filter_add_drops(&datapath->filter, counts);
}

const char *wgfp_drop_name(uint32_t i)
{
    static const char *const names[] = {
#define WGFP_DROP_NAME(name, counter) counter,
        WGFP_DROP_REASONS(WGFP_DROP_NAME)
#undef WGFP_DROP_NAME
    };

    return i < WGFP_DROPS ? names[i] : NULL;
}
