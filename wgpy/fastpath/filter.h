/* A filter at the sockets: the kernel drops what the data path would drop unopened, and wakes nobody for it.
 *
 * It is a program of eBPF at each socket, and a table in memory that it shares with the data path, so a change of what
 * is known here is no system call. A message's mac1 is computed in the kernel, or a flood of initiations would pass.
 *
 * Invariant: it drops nothing that the data path would take. The table has an index before anybody is told of it. What it
 * does not tell apart passes, and the data path judges that as if there were no filter.
 */
#ifndef WGFP_FILTER_H
#define WGFP_FILTER_H

#include "cookie.h"
#include "drops.h"
#include "wgfp.h"

struct filter_table;

/* All zeros: there is none, and all functions do nothing. */
struct filter {
    struct filter_table *table;
    int program; /* -1: it was closed */
};

/* Take that of wgfp_filter_make_ahead, or make one. false: the kernel has no such filter, or not for this process. */
bool filter_open(struct filter *filter);

/* Have no descriptor, and attach no more; free: it is at no socket any more, and its drops are forgotten. */
void filter_close(struct filter *filter);
void filter_free(struct filter *filter);

/* UDP sockets; -1 is none. Attaching can fail; then all passes there. */
void filter_attach(const struct filter *filter, int udp);
void filter_detach(const struct filter *filter, int udp);

/* NULL: any mac1 is good. */
void filter_set_mac1(const struct filter *filter, const struct wgfp_mac1 *mac1);

/* Do datagrams pass that are not WireGuard's? */
void filter_set_foreign(const struct filter *filter, bool takes);

/* Of these only those that begin with a word, as of the network, and have at offset 8 what was added as an index; 0: all. */
void filter_expect_foreign(const struct filter *filter, uint32_t magic);

/* Do initiations pass that come from an end's address, or from where transport data came just now? */
void filter_set_relay(const struct filter *filter, bool relays);

/* What is added twice is removed twice. */
void filter_add_index(const struct filter *filter, uint32_t index);
void filter_remove_index(const struct filter *filter, uint32_t index);
void filter_add_end(const struct filter *filter, const struct wgfp_endpoint *endpoint);
void filter_remove_end(const struct filter *filter, const struct wgfp_endpoint *endpoint);

/* A cookie reply for this index may come within the next 16 seconds. */
void filter_expect_cookie(const struct filter *filter, uint32_t index);

/* What it dropped, by the data path's reasons: add that to as many numbers as there are. */
void filter_add_drops(const struct filter *filter, uint64_t counts[WGFP_DROPS]);

#endif
