/* The C data path, as Python sees it.
 *
 * The part between the two markers is also read by build.py, which hands it to cffi: plain
 * declarations only, no preprocessor lines.
 */
#ifndef WGFP_H
#define WGFP_H

#include "errors.h"

#include <stddef.h>
#include <stdint.h>

/* cffi: begin */

/* ChaCha20-Poly1305 (RFC 8439) for WireGuard's data: no associated data, and the nonce is four zero bytes and the
 * counter, little-endian. A kernel is its implementation for one instruction set. */
struct wgfp_aead_kernel;

const struct wgfp_aead_kernel *wgfp_aead_kernel_best(void);

/* "avx512-beside", "avx512", "avx2", "neon" or "portable"; NULL if it is not in this build, or not for this processor. */
const struct wgfp_aead_kernel *wgfp_aead_kernel_find(const char *name);
const char *wgfp_aead_kernel_name(const struct wgfp_aead_kernel *kernel);

/* dst may be src, or else must not overlap it. Any alignment will do; 64 bytes is best. */
struct wgfp_aead_packet {
    const uint8_t *src; /* seal: the plaintext. open: the ciphertext and its tag */
    uint8_t *dst;       /* seal: room for the ciphertext and its tag, 16 bytes. open: room for the plaintext */
    uint64_t counter;
    uint32_t length;    /* bytes of plaintext */
    int ok;             /* written: 1, or 0 if the packet is not authentic; then nothing was written to dst */
};

/* Any number of packets under one key: the more, the faster each; from 8 on it changes little. */
void wgfp_aead_seal(const struct wgfp_aead_kernel *kernel, const uint8_t key[32],
                    struct wgfp_aead_packet *packets, size_t n);
void wgfp_aead_open(const struct wgfp_aead_kernel *kernel, const uint8_t key[32],
                    struct wgfp_aead_packet *packets, size_t n);

/* -- The handshake's ----------------------------------------------------------------------------- */

/* KDF_n of whitepaper 5.4: n times 32 bytes, n at most 255. length: at most 32; out must not overlap the others. */
void wgfp_kdf(uint8_t *out, size_t n, const uint8_t key[32], const uint8_t *data, size_t length);

/* How many X25519 (RFC 7748) the processor does side by side: 4, or 0 for none: then wgfp_x25519 must not be called. */
unsigned wgfp_x25519_lanes(void);

/* n times X25519 of a scalar and a point; scalars, points and shared are n times 32 bytes. As many as there are lanes take
 * as long as one. What is shared is zeros if the point is of low order. shared must not overlap the others. */
void wgfp_x25519(uint8_t *shared, const uint8_t *scalars, const uint8_t *points, size_t n);

/* -- The data path ------------------------------------------------------------------------------- */

/* Holds peers, keypairs and routes, and moves packets between TUN and UDP sockets, in threads of its own between start
 * and stop. All functions that take one are called by one thread, the control. Times are nanoseconds on the boot clock.
 * A function that can fail returns 0 or a wgfp_error; then nothing has changed. */
struct wgfp_datapath;

/* The system calls it makes; NULL stands for the kernel's. system.h */
struct wgfp_system;

/* A TUN queue and the sockets that go with it; all non-blocking, and owned by the caller. Two threads serve it. */
struct wgfp_queue {
    int tun;  /* a TUN, or a socket that keeps the borders of packets */
    int udp4; /* -1: there is none */
    int udp6;
};

struct wgfp_settings {
    const struct wgfp_queue *queues;
    uint32_t queue_count;    /* 1 to 16 */
    uint32_t vnet_header;    /* packets have so many bytes of a struct wgfp_vnet in front, both ways: 0, 10 or 24 */
    uint32_t offloads;       /* 1 TCP superpackets to the TUN, 2 UDP superpackets to it, 4 UDP_SEGMENT, 8 the
                              * filter of filter.h at the sockets, which are of UDP then */
    uint32_t staged_bytes;   /* at most so many of packets that wait for a keypair, of all peers */
    uint32_t small;          /* 1: take less memory, and make smaller batches */
    uint32_t accept_foreign; /* 1: as after wgfp_foreign_accept */
    uint32_t flows;          /* that are remembered for their answers: a power of two, at least 8; or 0 */
    uint8_t seed[16];        /* random, for the table of them */
    const struct wgfp_system *system;
};

/* A remote UDP address, and the local one that its datagrams came to. Unused bytes are zero. */
struct wgfp_endpoint {
    uint8_t address[16];       /* as on the network; the first 4 bytes if size is 4 */
    uint8_t local_address[16]; /* zeros: the kernel chooses */
    uint32_t size;             /* 4 or 16; 0: none */
    uint32_t port;
    uint32_t scope_id;
    uint32_t local_interface;
};

/* Begin to make the filter of the next data path with one, in a thread: the kernel takes milliseconds to verify it, which
 * the caller may use otherwise. */
void wgfp_filter_make_ahead(void);

/* Give back to the kernel what the C library keeps of memory that was freed; where it can. */
void wgfp_memory_trim(void);

/* WGFP_ERR_INVALID: another number of queues or bytes; WGFP_ERR_MEMORY. */
int wgfp_datapath_new(struct wgfp_datapath **datapath, const struct wgfp_settings *settings);
void wgfp_datapath_free(struct wgfp_datapath *datapath); /* closes it first; NULL is freed, too */

/* Stop for good, and have no descriptor of its own any more. Harmless when repeated; all but its threads goes on. */
void wgfp_datapath_close(struct wgfp_datapath *datapath);

/* WGFP_ERR_MEMORY: the threads could not be had. */
int wgfp_datapath_start(struct wgfp_datapath *datapath);
void wgfp_datapath_stop(struct wgfp_datapath *datapath);

/* Move what there is to move, in this thread, and wait for nothing. For a data path that was not started. */
void wgfp_datapath_step(struct wgfp_datapath *datapath);

/* Readable while there is something to take: events, handshake messages, foreign datagrams, or that a TUN is gone; a
 * second later for DATA_SENT and DATA_RECEIVED. Acknowledge before taking. */
int wgfp_datapath_fileno(const struct wgfp_datapath *datapath);
void wgfp_datapath_acknowledge(struct wgfp_datapath *datapath);

/* errno of a TUN that cannot be read any more, or 0. Nothing is read from it then. */
int wgfp_datapath_failure(const struct wgfp_datapath *datapath);

/* Pad no packet beyond this many bytes. mtu: at least 1. */
void wgfp_datapath_set_mtu(struct wgfp_datapath *datapath, uint32_t mtu);

/* Drop what leads nowhere without an ICMP error, or with one, as at the beginning. */
void wgfp_datapath_set_silent(struct wgfp_datapath *datapath, uint8_t silent);

/* Read packets from the TUNs, as at the beginning, or leave them there; after it returned 0 holds. */
void wgfp_datapath_set_reading(struct wgfp_datapath *datapath, uint8_t reading);

/* Take other sockets; after it returned the former ones are not used any more. queues: as many as there are; their
 * `tun` is not looked at. */
void wgfp_datapath_set_sockets(struct wgfp_datapath *datapath, const struct wgfp_queue *queues);

/* The offloads that are in use now: those of the settings without what turned out not to work. */
uint32_t wgfp_datapath_offloads(const struct wgfp_datapath *datapath);

/* Drops by reason since the beginning, as many numbers as there are names. */
void wgfp_drops(const struct wgfp_datapath *datapath, uint64_t *counts);

/* The name of reason i, or NULL after the last. */
const char *wgfp_drop_name(uint32_t i);

/* -- Peers, keypairs and routes. A peer is a number other than 0 that wgfp_peer_add chose; it may be given again
 * after wgfp_peer_remove. */

/* When transport data passed, 0 for never, and how much. */
struct wgfp_activity {
    uint64_t first_unanswered_sent;
    uint64_t first_unacked_received;
    uint64_t last_sent;
    uint64_t last_received;
    uint64_t tx_bytes;
    uint64_t rx_bytes;
};

/* A session's keys, and its rekey thresholds: 2^64 - 1 for never. */
struct wgfp_session {
    uint8_t sending_key[32];
    uint8_t receiving_key[32];
    uint64_t reject_after_time;
    uint64_t rekey_after_sent_time;
    uint64_t rekey_after_received_time;
    uint32_t local_index;
    uint32_t remote_index;
};

/* WGFP_ERR_MEMORY. */
int wgfp_peer_add(struct wgfp_datapath *datapath, uint32_t *peer);
void wgfp_peer_remove(struct wgfp_datapath *datapath, uint32_t peer);

/* Send there. pinned: 1: whatever arrives from elsewhere, until the next call; 0: until an authentic datagram does. */
void wgfp_peer_set_endpoint(struct wgfp_datapath *datapath, uint32_t peer, const struct wgfp_endpoint *endpoint,
                            int pinned);

void wgfp_peer_clear_source(struct wgfp_datapath *datapath, uint32_t peer);
void wgfp_peer_purge_staged(struct wgfp_datapath *datapath, uint32_t peer);
void wgfp_peer_send_keepalive(struct wgfp_datapath *datapath, uint32_t peer, uint64_t now);
void wgfp_peer_activity(struct wgfp_datapath *datapath, uint32_t peer, struct wgfp_activity *activity);

/* What a peer may begin. */
struct wgfp_permit {
    uint8_t source[16];      /* a prefix, as on the network; the first 4 bytes if the size is 4 */
    uint8_t destination[16]; /* as the source */
    uint32_t source_size;    /* 4 or 16; 0: any */
    uint32_t source_length;  /* bits */
    uint32_t destination_size;
    uint32_t destination_length;
    uint32_t protocol;           /* of IP; 0: any */
    uint32_t first_port;         /* inclusive, of the destination; other ports than all match nothing without ports */
    uint32_t last_port;
    uint32_t rule; /* where it is counted, below 16384 */
};

/* filtered: 0: no policy, everything passes; 1: what these permits allow, and what answers us. If it differs from the one
 * before, what is staged is purged.
 * WGFP_ERR_INVALID: more than 16384 permits, or no permits; WGFP_ERR_MEMORY. */
int wgfp_peer_set_policy(struct wgfp_datapath *datapath, uint32_t peer, const struct wgfp_permit *permits, size_t count,
                         int filtered);

/* A prefix as the mesh knows it, and as it is: of one IP version and one length. */
struct wgfp_translation {
    uint8_t mapped[16]; /* as on the network; the first 4 bytes if the size is 4 */
    uint8_t real[16];
    uint32_t size;   /* 4 or 16 */
    uint32_t length; /* bits */
};

/* What no translated packet may reach. */
struct wgfp_local_port {
    uint8_t address[16];
    uint32_t size;
    uint32_t protocol; /* of IP, one with ports */
    uint32_t port;
};

/* Translate mapped addresses to real ones as packets come in, and back as they go out; no other any more. If they differ
 * from those before, what is staged is purged. No two may overlap, neither as mapped nor as real.
 * WGFP_ERR_INVALID: more than 4096 translations or 64 closed ports, or no prefixes; WGFP_ERR_MEMORY. */
int wgfp_translations_set(struct wgfp_datapath *datapath, const struct wgfp_translation *translations, size_t count,
                          const struct wgfp_local_port *closed, size_t closed_count);

/* Forward what relayed peers send to each other, as they send it. rate: bytes a second from one to another; 0: forward
 * nothing, as at the beginning, and forget the relayed peers. WGFP_ERR_MEMORY. */
int wgfp_relay_set_rate(struct wgfp_datapath *datapath, uint64_t rate);

/* Forward between this peer and the other relayed ones; nothing without a rate. WGFP_ERR_MEMORY. */
int wgfp_relay_add_peer(struct wgfp_datapath *datapath, uint32_t peer, const uint8_t *public_key);

/* Datagrams and bytes that were forwarded since it has a rate: 2 numbers. */
void wgfp_relay_counts(const struct wgfp_datapath *datapath, uint64_t *counts);

/* Packets that a permit let in, by number of its rule: 16384 numbers. */
void wgfp_rule_counts(const struct wgfp_datapath *datapath, uint64_t *counts);

/* WGFP_ERR_INVALID, WGFP_ERR_MEMORY: as wgfp_allowedips_insert. */
int wgfp_route_set(struct wgfp_datapath *datapath, uint32_t peer, const uint8_t *address, size_t size, unsigned length);
void wgfp_route_remove(struct wgfp_datapath *datapath, uint32_t peer, const uint8_t *address, size_t size,
                       unsigned length);

/* As wgfp_allowedips_of_peer. */
size_t wgfp_routes_of_peer(const struct wgfp_datapath *datapath, uint32_t peer, uint8_t *prefixes, size_t room);

/* It receives; it sends once it is used, or has received as the newest of its peer.
 * WGFP_ERR_EXISTS: the local index is in use; WGFP_ERR_MEMORY. */
int wgfp_keypair_install(struct wgfp_datapath *datapath, uint32_t peer, const struct wgfp_session *session);

/* Lend the initiation (148 bytes) of the peer's next handshake: the first packet without a keypair sends it, and raises
 * INITIATION_SENT instead of KEY_NEEDED, unless that comes at `until` or later. It takes the place of one that is lent; NULL: of
 * none. Where there is no memory none is lent. */
void wgfp_initiation_lend(struct wgfp_datapath *datapath, uint32_t peer, const uint8_t *message, uint64_t until);

/* Send by it from now on, what is staged first; if nothing is and `confirm`, an empty packet.
 * WGFP_ERR_ABSENT: the peer has no such keypair. */
int wgfp_keypair_use(struct wgfp_datapath *datapath, uint32_t peer, uint32_t local_index, int confirm, uint64_t now);

/* Send no more: stage. */
void wgfp_keypair_use_none(struct wgfp_datapath *datapath, uint32_t peer);

/* WGFP_ERR_ABSENT. */
int wgfp_keypair_remove(struct wgfp_datapath *datapath, uint32_t peer, uint32_t local_index);

/* -- What is handed up. */

enum wgfp_event_kind {
    WGFP_EVENT_ENDPOINT_CHANGED,
    WGFP_EVENT_INITIATION_SENT,
    WGFP_EVENT_KEY_NEEDED,
    WGFP_EVENT_SESSION_NEEDED,
    WGFP_EVENT_KEY_CONFIRMED,
    WGFP_EVENT_KEY_AGED,
    WGFP_EVENT_ROUTING_LOOP,
    WGFP_EVENT_DATA_SENT,
    WGFP_EVENT_DATA_RECEIVED,
};

struct wgfp_event {
    struct wgfp_endpoint endpoint; /* of ENDPOINT_CHANGED and ROUTING_LOOP */
    uint32_t kind;
    uint32_t peer;
    uint32_t local_index; /* of INITIATION_SENT, KEY_CONFIRMED and KEY_AGED */
};

/* Write at most n events, n at least 64, and return how many; as long as that is not 0 there may be more. */
size_t wgfp_events_take(struct wgfp_datapath *datapath, struct wgfp_event *events, size_t n);

/* A datagram that is not transport data. */
struct wgfp_datagram {
    struct wgfp_endpoint source;
    uint32_t length;
    uint8_t data[2048]; /* a foreign datagram that is longer is dropped */
};

/* Handshake messages, those with a valid mac2 first. take: 1, or 0 if there is none. */
size_t wgfp_handshakes_waiting(const struct wgfp_datapath *datapath);
int wgfp_handshake_take(struct wgfp_datapath *datapath, struct wgfp_datagram *message);

/* A handshake message was sent to a peer, 0: to none; should the host route it back into the TUN, it is dropped there,
 * and the peer's event raised. */
void wgfp_handshake_note(struct wgfp_datapath *datapath, const uint8_t *message, size_t length, uint32_t peer);

/* From now on datagrams that are not WireGuard's wait for wgfp_foreign_take.
 * WGFP_ERR_MEMORY: nothing has changed. */
int wgfp_foreign_accept(struct wgfp_datapath *datapath);

/* Of them none need wait but those that begin with `magic` (4 bytes) and have one of n words at offset 8, as wgfp_load32
 * reads it; until the next call of this or of wgfp_foreign_accept. WGFP_ERR_MEMORY: nothing has changed. */
int wgfp_foreign_expect(struct wgfp_datapath *datapath, const uint8_t *magic, const uint32_t *words, size_t n);

/* 1, or 0 if there is none. */
int wgfp_foreign_take(struct wgfp_datapath *datapath, struct wgfp_datagram *datagram);

/* Let only messages with a valid mac1 for this public key wait; NULL: any. */
void wgfp_handshakes_set_mac1_key(struct wgfp_datapath *datapath, const uint8_t *public_key);

/* Under load, messages with a valid mac2 by this secret (32 bytes) come first; NULL: there is none. */
void wgfp_handshakes_set_cookie_secret(struct wgfp_datapath *datapath, const uint8_t *secret);

/* cffi: end */

#endif
