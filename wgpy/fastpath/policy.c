/* The policy; what the functions mean is said in policy.h. RFC 792, RFC 950, RFC 4443 for ICMP's types. */
#include "datapath.h"

#include "bytes.h"
#include "policy.h"
#include "protocols.h"

#include <string.h>

enum {
    SYN = 0x02,
    ACK = 0x10,
    FLAGS = TCP_FLAGS_END - 1, /* offset in a TCP header */

    ICMP_HEADER = 8,
    IDENTIFIER = 4, /* offset in an ICMP message */
};

/* -- Packets ---------------------------------------------------------------------------------------- */

static bool is_query(const struct wgfp_view *view, uint8_t type)
{
    return view->version == 4 ? type == 8 || type == 13 || type == 15 || type == 17 : type == 128;
}

static bool is_reply(const struct wgfp_view *view, uint8_t type)
{
    return view->version == 4 ? type == 0 || type == 14 || type == 16 || type == 18 : type == 129;
}

/* -- Flows ------------------------------------------------------------------------------------------ */

static void key_make(struct flow_key *key, const struct peer *peer, const struct wgfp_view *view, const uint8_t *local,
                     const uint8_t *remote)
{
    *key = (struct flow_key){.life = peer->life, .protocol = view->protocol, .version = view->version};
    memcpy(key->local, local, packet_address_size(view));
    memcpy(key->remote, remote, packet_address_size(view));
}

/* The flow that a packet of ours is of; false: its answers are known without, or there are none. */
static bool key_begun(struct flow_key *key, const struct peer *peer, const struct wgfp_view *view, const uint8_t *packet)
{
    const uint8_t *transport = packet_transport(view, packet);

    if (transport == NULL || view->protocol == TCP || (packet_is_icmp(view) && !is_query(view, transport[0])))
        return false;
    key_make(key, peer, view, packet_source(view, packet), packet_destination(view, packet));
    if (packet_is_icmp(view)) {
        key->local_port = wgfp_load16_be(transport + IDENTIFIER);
    } else if (packet_has_ports(view)) {
        key->local_port = wgfp_load16_be(transport);
        key->remote_port = wgfp_load16_be(transport + 2);
    }
    return true;
}

/* The flow of ours that a packet of the peer would answer. */
static bool key_answered(struct flow_key *key, const struct peer *peer, const struct wgfp_view *view,
                         const uint8_t *packet, const uint8_t *transport)
{
    if (packet_is_icmp(view) && !is_reply(view, transport[0]))
        return false;
    key_make(key, peer, view, packet_destination(view, packet), packet_source(view, packet));
    if (packet_is_icmp(view)) {
        key->local_port = wgfp_load16_be(transport + IDENTIFIER);
    } else if (packet_has_ports(view)) {
        key->local_port = wgfp_load16_be(transport + 2);
        key->remote_port = wgfp_load16_be(transport);
    }
    return true;
}

/* Do the peer's permits let in what answers a packet of ours, of a flow? */
static bool may_answer(const struct peer *peer, const struct wgfp_view *view, const uint8_t *packet,
                       const struct flow_key *key)
{
    const struct subject answer = {
        .source = packet_destination(view, packet),
        .destination = packet_source(view, packet),
        .size = packet_address_size(view),
        .protocol = view->protocol,
        .port = packet_has_ports(view) ? key->local_port : (uint32_t)NO_PORT,
    };

    return permits_find(peer->policy, &answer) != NO_RULE;
}

void policy_note_sent(struct wgfp_datapath *datapath, const struct peer *peer, const struct wgfp_view *view,
                      const uint8_t *packet, uint64_t now)
{
    struct flow_key key;

    if (!key_begun(&key, peer, view, packet))
        return;
    if (!may_answer(peer, view, packet, &key))
        flow_note(&datapath->flows, &key, now);
}

/* -- What comes in ---------------------------------------------------------------------------------- */

static struct subject subject_of(const struct wgfp_view *view, const uint8_t *packet, const uint8_t *transport)
{
    return (struct subject){
        .source = packet_source(view, packet),
        .destination = packet_destination(view, packet),
        .size = packet_address_size(view),
        .protocol = transport != NULL ? view->protocol : -1,
        .port = transport != NULL && packet_has_ports(view) ? wgfp_load16_be(transport + 2) : (uint32_t)NO_PORT,
    };
}

static bool is_invalid_fragment(const struct wgfp_view *view)
{
    if (packet_fragment_offset(view) != 0)
        return view->protocol == TCP && packet_fragment_offset(view) == 1; /* it would overwrite the flags */
    return (view->fragment & FRAGMENT_MORE) && view->transport != 0 &&
           view->length - view->transport < packet_least_transport(view);
}

static bool is_of(const struct wgfp_datapath *datapath, const struct peer *peer, const uint8_t *address, uint32_t size)
{
    return wgfp_allowedips_lookup(datapath->routes, address, size) == peer->number;
}

/* Does an ICMP error quote a packet of ours, of a connection or a flow with this peer, whoever began that? */
static bool quotes_ours(struct wgfp_datapath *datapath, const struct peer *peer, const struct wgfp_view *view,
                        const uint8_t *packet, uint64_t now)
{
    const uint8_t *quoted = packet + view->transport + ICMP_HEADER;
    const uint32_t size = packet_address_size(view);
    struct wgfp_view inner;
    struct flow_key key;

    if (!wgfp_packet_parse_quoted(&inner, quoted, view->length - view->transport - ICMP_HEADER) ||
        inner.version != view->version ||
        !packet_address_equal(packet_source(&inner, quoted), packet_destination(view, packet), size))
        return false;
    if (inner.protocol == TCP && inner.transport != 0 && packet_fragment_offset(&inner) == 0)
        return is_of(datapath, peer, packet_destination(&inner, quoted), size);
    if (!key_begun(&key, peer, &inner, quoted))
        return false;
    return may_answer(peer, &inner, quoted, &key) ? is_of(datapath, peer, packet_destination(&inner, quoted), size)
                                                  : flow_is_alive(&datapath->flows, &key, now);
}

static bool is_answer(struct wgfp_datapath *datapath, const struct peer *peer, const struct wgfp_view *view,
                      const uint8_t *packet, const uint8_t *transport, uint64_t now)
{
    struct flow_key key;

    if (view->protocol == TCP)
        return (transport[FLAGS] & (SYN | ACK)) != SYN;
    if (packet_is_icmp_error(view, packet))
        return quotes_ours(datapath, peer, view, packet, now);
    return key_answered(&key, peer, view, packet, transport) && flow_refresh(&datapath->flows, &key, now);
}

static bool cache_is_of(const struct policy_cache *cache, const struct subject *subject)
{
    return cache->size == subject->size && cache->port == subject->port && cache->protocol == subject->protocol &&
           packet_address_equal(cache->source, subject->source, subject->size) &&
           packet_address_equal(cache->destination, subject->destination, subject->size);
}

static void cache_fill(struct policy_cache *cache, const struct subject *subject, uint32_t rule)
{
    *cache = (struct policy_cache){
        .size = subject->size, .protocol = subject->protocol, .port = subject->port, .rule = rule};
    memcpy(cache->source, subject->source, subject->size);
    memcpy(cache->destination, subject->destination, subject->size);
}

void policy_cache_end(struct wgfp_datapath *datapath, struct policy_cache *cache)
{
    if (cache->admitted > 0)
        atomic_fetch_add_explicit(&datapath->rule_counts[cache->rule], cache->admitted, memory_order_relaxed);
    cache->admitted = 0;
}

bool policy_admits(struct wgfp_datapath *datapath, const struct peer *peer, struct policy_cache *cache,
                   const struct wgfp_view *view, const uint8_t *packet, uint64_t now, enum wgfp_drop *reason)
{
    *reason = WGFP_DROP_INVALID_FRAGMENT;
    if (is_invalid_fragment(view))
        return false;
    if (packet_fragment_offset(view) != 0)
        return true; /* without its first one it is nothing */
    const uint8_t *transport = packet_transport(view, packet);
    const struct subject subject = subject_of(view, packet, transport);

    if (!cache_is_of(cache, &subject)) {
        policy_cache_end(datapath, cache);
        cache_fill(cache, &subject, permits_find(peer->policy, &subject));
    }
    *reason = WGFP_DROP_NOT_PERMITTED;
    if (cache->rule == NO_RULE)
        return transport != NULL && is_answer(datapath, peer, view, packet, transport, now);
    cache->admitted++;
    return true;
}

void wgfp_rule_counts(const struct wgfp_datapath *datapath, uint64_t *counts)
{
    for (uint32_t i = 0; i < MAX_RULES; i++)
        counts[i] = atomic_load_explicit(&datapath->rule_counts[i], memory_order_relaxed);
}
