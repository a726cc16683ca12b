/* Keypairs; what the functions mean is said in keypair.h. */
#include "datapath.h"

#include "clear.h"
#include "keypair.h"
#include "outbound.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_BUCKETS = 16, MAX_BUCKETS = 1 << 24 };

/* The engine draws local indices at random, so their low bits are all the hash there need be. */
static struct keypair **bucket_of(const struct keypair_table *table, uint32_t local_index)
{
    return &table->buckets[local_index & table->mask];
}

static void table_insert(struct keypair_table *table, struct keypair *keypair)
{
    struct keypair **bucket = bucket_of(table, keypair->session.local_index);
    struct keypair **remote = &table->remote_buckets[keypair->session.remote_index & table->mask];

    keypair->next_in_bucket = *bucket;
    *bucket = keypair;
    keypair->next_remote = *remote;
    *remote = keypair;
}

static void table_remove(struct keypair_table *table, const struct keypair *keypair)
{
    struct keypair **link = bucket_of(table, keypair->session.local_index);
    struct keypair **remote = &table->remote_buckets[keypair->session.remote_index & table->mask];

    while (*link != keypair)
        link = &(*link)->next_in_bucket;
    *link = keypair->next_in_bucket;
    while (*remote != keypair)
        remote = &(*remote)->next_remote;
    *remote = keypair->next_remote;
    table->count--;
}

/* One piece of memory for both. */
static int table_make(struct keypair_table *table, uint32_t buckets, uint32_t count)
{
    struct keypair **all = calloc(2 * (size_t)buckets, sizeof *all);

    if (all == NULL)
        return WGFP_ERR_MEMORY;
    *table = (struct keypair_table){all, all + buckets, buckets - 1, count};
    return 0;
}

/* Twice as many buckets; without memory for them the chains become longer. */
static void table_grow(struct keypair_table *table)
{
    const uint32_t former = table->mask + 1;
    struct keypair_table grown;

    if (former >= MAX_BUCKETS || table_make(&grown, 2 * former, table->count) != 0)
        return;
    for (uint32_t i = 0; i < former; i++) {
        for (struct keypair *keypair = table->buckets[i], *next; keypair != NULL; keypair = next) {
            next = keypair->next_in_bucket;
            table_insert(&grown, keypair);
        }
    }
    free(table->buckets);
    *table = grown;
}

int keypair_table_init(struct keypair_table *table)
{
    return table_make(table, FIRST_BUCKETS, 0);
}

void keypair_table_free(struct keypair_table *table)
{
    free(table->buckets);
}

static void keypair_free(struct keypair *keypair)
{
    wgfp_clear(keypair, sizeof *keypair);
    free(keypair);
}

void keypairs_remove(struct wgfp_datapath *datapath, struct peer *peer)
{
    peer->sending = NULL;
    for (struct keypair *keypair = peer->keypairs, *next; keypair != NULL; keypair = next) {
        next = keypair->next;
        table_remove(&datapath->keypairs, keypair);
        filter_remove_index(&datapath->filter, keypair->session.local_index);
        keypair_free(keypair);
    }
    peer->keypairs = NULL;
}

int keypair_install(struct wgfp_datapath *datapath, struct peer *peer, const struct wgfp_session *session)
{
    struct keypair_table *table = &datapath->keypairs;

    if (keypair_find(table, session->local_index) != NULL)
        return WGFP_ERR_EXISTS;
    struct keypair *keypair = calloc(1, sizeof *keypair);

    if (keypair == NULL)
        return WGFP_ERR_MEMORY;
    keypair->peer = peer;
    keypair->session = *session;
    keypair->next = peer->keypairs;
    peer->keypairs = keypair;
    if (++table->count > table->mask)
        table_grow(table);
    table_insert(table, keypair);
    filter_add_index(&datapath->filter, session->local_index);
    peer->activity.first_unanswered_sent = 0;
    peer->activity.first_unacked_received = 0;
    return 0;
}

static struct keypair *keypair_of(const struct wgfp_datapath *datapath, const struct peer *peer, uint32_t local_index)
{
    struct keypair *keypair = keypair_find(&datapath->keypairs, local_index);

    return keypair != NULL && keypair->peer == peer ? keypair : NULL;
}

int keypair_use(struct wgfp_datapath *datapath, struct peer *peer, uint32_t local_index, bool confirm, uint64_t now)
{
    struct keypair *keypair = keypair_of(datapath, peer, local_index);

    if (keypair == NULL)
        return WGFP_ERR_ABSENT;
    peer->sending = keypair;
    relay_note_session(datapath->relay, peer);
    keypair->confirmed = true;
    if (confirm)
        peer_send_keepalive(datapath, peer, now);
    else if (peer->staged.count != 0)
        outbound_staged(datapath->control, peer, now);
    return 0;
}

int keypair_remove(struct wgfp_datapath *datapath, struct peer *peer, uint32_t local_index)
{
    struct keypair *keypair = keypair_of(datapath, peer, local_index);
    struct keypair **link = &peer->keypairs;

    if (keypair == NULL)
        return WGFP_ERR_ABSENT;
    while (*link != keypair)
        link = &(*link)->next;
    *link = keypair->next;
    if (peer->sending == keypair) {
        peer->sending = NULL;
        relay_note_session(datapath->relay, peer);
    }
    table_remove(&datapath->keypairs, keypair);
    filter_remove_index(&datapath->filter, local_index);
    keypair_free(keypair);
    return 0;
}
