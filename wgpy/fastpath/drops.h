/* Why a packet or datagram is not passed on: one list gives the enumeration, the counters and their names.
 *
 * The names are those of DropReason in wgpy/contract/drops.py.
 */
#ifndef WGFP_DROPS_H
#define WGFP_DROPS_H

#define WGFP_DROP_REASONS(X)                              \
    X(MALFORMED, "malformed")                             \
    X(UNKNOWN_TYPE, "unknown_type")                       \
    X(INVALID_MAC1, "invalid_mac1")                       \
    X(HANDSHAKE_QUEUE_FULL, "handshake_queue_full")       \
    X(UNKNOWN_INDEX, "unknown_index")                     \
    X(UNKNOWN_PEER, "unknown_peer")                       \
    X(KEYPAIR_EXPIRED, "keypair_expired")                 \
    X(DECRYPTION_FAILED, "decryption_failed")             \
    X(REPLAYED_COUNTER, "replayed_counter")               \
    X(INVALID_PACKET, "invalid_packet")                   \
    X(SOURCE_NOT_ALLOWED, "source_not_allowed")           \
    X(INVALID_FRAGMENT, "invalid_fragment")               \
    X(NOT_PERMITTED, "not_permitted")                     \
    X(FORBIDDEN_DESTINATION, "forbidden_destination")     \
    X(ECN_CONGESTION, "ecn_congestion")                   \
    X(TUN_WRITE_FAILED, "tun_write_failed")               \
    X(UNTRANSLATABLE, "untranslatable")                   \
    X(INVALID_OUTBOUND_PACKET, "invalid_outbound_packet") \
    X(INVALID_SUPERPACKET, "invalid_superpacket")         \
    X(NO_PEER_FOR_DESTINATION, "no_peer_for_destination") \
    X(NO_ENDPOINT, "no_endpoint")                         \
    X(ROUTING_LOOP, "routing_loop")                       \
    X(STAGED_QUEUE_FULL, "staged_queue_full")             \
    X(STAGED_PURGED, "staged_purged")                     \
    X(SEND_FAILED, "send_failed")                         \
    X(FOREIGN_QUEUE_FULL, "foreign_queue_full")           \
    X(FOREIGN_TOO_LONG, "foreign_too_long")               \
    X(FOREIGN_SOURCE_LIMIT, "foreign_source_limit")       \
    X(RELAY_NO_ADDRESSEE, "relay_no_addressee")           \
    X(RELAY_NO_SESSION, "relay_no_session")               \
    X(RELAY_INDEX_IN_USE, "relay_index_in_use")           \
    X(RELAY_RATE_LIMITED, "relay_rate_limited")           \
    X(RELAY_SEARCH_LIMITED, "relay_search_limited")       \
    X(RELAY_FULL, "relay_full")

enum wgfp_drop {
#define WGFP_DROP_REASON(name, counter) WGFP_DROP_##name,
    WGFP_DROP_REASONS(WGFP_DROP_REASON)
#undef WGFP_DROP_REASON
    WGFP_DROPS
};

#endif
