/* Translation: addresses of a site as the mesh knows them, mapped, and as they are, real. Stateless, one to one, between
 * prefixes of one length; wgpy/datapath/translation.py does the same. RFC 1624, RFC 6296.
 *
 * Invariant: there and back is the identity, for packets with right checksums. Nothing here takes a lock or makes a
 * system call; translations change under the locks of all workers.
 */
#ifndef WGFP_TRANSLATION_H
#define WGFP_TRANSLATION_H

#include "drops.h"
#include "packet.h"
#include "wgfp.h"

enum {
    MAX_TRANSLATIONS = 4096,
    MAX_CLOSED_PORTS = 64,
};

struct translations;

/* WGFP_ERR_INVALID: too many, or prefixes that are none or of different lengths; WGFP_ERR_MEMORY. That no two overlap the
 * caller sees to. */
int translations_new(struct translations **translations, const struct wgfp_translation *from, size_t count,
                     const struct wgfp_local_port *closed, size_t closed_count);

/* NULL is freed, too. */
void translations_free(struct translations *translations);

/* NULL: there are none. */
bool translations_equal(const struct translations *a, const struct translations *b);

/* Translate a packet in place, with its checksums: one of a peer as the site shall see it, and one from the TUN as the
 * peer shall. false: for this reason it is not passed on, and may be changed. */
bool translate_inbound(const struct translations *translations, const struct wgfp_view *view, uint8_t *packet,
                       enum wgfp_drop *reason);
bool translate_outbound(const struct translations *translations, const struct wgfp_view *view, uint8_t *packet,
                        enum wgfp_drop *reason);

#endif
