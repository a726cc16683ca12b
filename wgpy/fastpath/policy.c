/* The policy; what the functions mean is said in policy.h. RFC 792, RFC 950, RFC 4443 for ICMP's types. */
#include "datapath.h"

#include "bytes.h"
#include "policy.h"
#include "protocols.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_PORT = 65535,

    SYN = 0x02,
    ACK = 0x10,
    FLAGS = TCP_FLAGS_END - 1, /* offset in a TCP header */

    ICMP_HEADER = 8,
    IDENTIFIER = 4, /* offset in an ICMP message */
};

/* Words are in memory's order. Nothing of it is padding, as it is compared as a whole. */
struct permit {
    uint32_t destination[4], mask[4];
    uint32_t size; /* of the destination: 4 or 16; 0: any */
    uint16_t first_port, last_port;
    uint16_t rule;
    uint8_t protocol;  /* 0: any */
    uint8_t all_ports; /* so that a protocol without ports matches, too */
};

_Static_assert(sizeof(struct permit) == 44, "a permit has no padding");

struct policy {
    size_t count;
    struct permit permits[];
};

/* What a permit is asked about. */
struct subject {
    const uint8_t *destination;
    uint32_t size;
    int protocol; /* -1: not known */
    int port;     /* -1: there is none */
};

/* -- Permits ---------------------------------------------------------------------------------------- */

static void mask_make(uint8_t mask[16], uint32_t length)
{
    memset(mask, 0, 16);
    for (uint32_t bit = 0; bit < length; bit++)
        mask[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
}

static bool has_host_bits(const struct permit *permit)
{
    uint32_t bits = 0;

    for (int i = 0; i < 4; i++)
        bits |= permit->destination[i] & ~permit->mask[i];
    return bits != 0;
}

/* false: it is no permit. */
static bool permit_make(struct permit *permit, const struct wgfp_permit *from)
{
    uint8_t mask[16];

    if (from->rule >= MAX_RULES || from->protocol > UINT8_MAX || from->first_port > from->last_port ||
        from->last_port > MAX_PORT || (from->destination_size != 0 && from->destination_size != 4 &&
        from->destination_size != 16) || from->destination_length > 8 * from->destination_size)
        return false;
    mask_make(mask, from->destination_length);
    memcpy(permit->destination, from->destination, from->destination_size);
    memcpy(permit->mask, mask, sizeof mask);
    permit->size = from->destination_size;
    permit->first_port = (uint16_t)from->first_port;
    permit->last_port = (uint16_t)from->last_port;
    permit->all_ports = from->first_port == 0 && from->last_port == MAX_PORT;
    permit->rule = (uint16_t)from->rule;
    permit->protocol = (uint8_t)from->protocol;
    return !has_host_bits(permit);
}

int policy_new(struct policy **policy, const struct wgfp_permit *permits, size_t count)
{
    if (count > MAX_PERMITS)
        return WGFP_ERR_INVALID;
    struct policy *made = calloc(1, sizeof *made + count * sizeof *made->permits);

    if (made == NULL)
        return WGFP_ERR_MEMORY;
    made->count = count;
    for (size_t i = 0; i < count; i++) {
        if (!permit_make(&made->permits[i], &permits[i])) {
            free(made);
            return WGFP_ERR_INVALID;
        }
    }
    *policy = made;
    return 0;
}

void policy_free(struct policy *policy)
{
    free(policy);
}

bool policy_equal(const struct policy *a, const struct policy *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    return a->count == b->count && memcmp(a->permits, b->permits, a->count * sizeof *a->permits) == 0;
}

static bool is_within(const uint8_t *address, const struct permit *permit)
{
    for (uint32_t i = 0; i < permit->size / 4; i++) {
        uint32_t word;

        memcpy(&word, address + 4 * i, sizeof word);
        if (((word ^ permit->destination[i]) & permit->mask[i]) != 0)
            return false;
    }
    return true;
}

static bool permit_matches(const struct permit *permit, const struct subject *subject)
{
    return (permit->protocol == 0 || permit->protocol == subject->protocol) &&
           (permit->all_ports || (subject->port >= permit->first_port && subject->port <= permit->last_port)) &&
           (permit->size == 0 || (permit->size == subject->size && is_within(subject->destination, permit)));
}

/* The first that allows it, or NULL. */
static const struct permit *permit_find(const struct policy *policy, const struct subject *subject)
{
    for (size_t i = 0; i < policy->count; i++)
        if (permit_matches(&policy->permits[i], subject))
            return &policy->permits[i];
    return NULL;
}

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

void policy_note_sent(struct wgfp_datapath *datapath, const struct peer *peer, const struct wgfp_view *view,
                      const uint8_t *packet, uint64_t now)
{
    struct flow_key key;

    if (!key_begun(&key, peer, view, packet))
        return;
    const struct subject answer = {
        packet_source(view, packet), packet_address_size(view), view->protocol, packet_has_ports(view) ? key.local_port : -1};

    if (permit_find(peer->policy, &answer) == NULL)
        flow_note(&datapath->flows, &key, now);
}

/* -- What comes in ---------------------------------------------------------------------------------- */

static struct subject subject_of(const struct wgfp_view *view, const uint8_t *packet, const uint8_t *transport)
{
    return (struct subject){
        .destination = packet_destination(view, packet),
        .size = packet_address_size(view),
        .protocol = transport != NULL ? view->protocol : -1,
        .port = transport != NULL && packet_has_ports(view) ? wgfp_load16_be(transport + 2) : -1,
    };
}

static bool is_invalid_fragment(const struct wgfp_view *view)
{
    if (packet_fragment_offset(view) != 0)
        return view->protocol == TCP && packet_fragment_offset(view) == 1; /* it would overwrite the flags */
    return (view->fragment & FRAGMENT_MORE) && view->transport != 0 &&
           view->length - view->transport < packet_least_transport(view);
}

/* Does an ICMP error quote a packet of ours, of a connection or a flow with this peer? */
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
        return wgfp_allowedips_lookup(datapath->routes, packet_destination(&inner, quoted), size) == peer->number;
    return key_begun(&key, peer, &inner, quoted) && flow_is_alive(&datapath->flows, &key, now);
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

bool policy_admits(struct wgfp_datapath *datapath, const struct peer *peer, const struct wgfp_view *view,
                   const uint8_t *packet, uint64_t now, enum wgfp_drop *reason)
{
    *reason = WGFP_DROP_INVALID_FRAGMENT;
    if (is_invalid_fragment(view))
        return false;
    if (packet_fragment_offset(view) != 0)
        return true; /* without its first one it is nothing */
    const uint8_t *transport = packet_transport(view, packet);
    const struct subject subject = subject_of(view, packet, transport);
    const struct permit *permit = permit_find(peer->policy, &subject);

    *reason = WGFP_DROP_NOT_PERMITTED;
    if (permit == NULL)
        return transport != NULL && is_answer(datapath, peer, view, packet, transport, now);
    atomic_fetch_add_explicit(&datapath->rule_counts[permit->rule], 1, memory_order_relaxed);
    return true;
}

void wgfp_rule_counts(const struct wgfp_datapath *datapath, uint64_t *counts)
{
    for (uint32_t i = 0; i < MAX_RULES; i++)
        counts[i] = atomic_load_explicit(&datapath->rule_counts[i], memory_order_relaxed);
}
