"""Why a datagram, or a packet, was not passed on: what both halves of a device count."""

from enum import Enum


class DropReason(Enum):
    """Why a datagram, or a packet from the TUN, was not passed on. The value is its counter's name."""

    # Any datagram
    MALFORMED = "malformed"
    UNKNOWN_TYPE = "unknown_type"
    # Handshake messages
    NO_PRIVATE_KEY = "no_private_key"
    INVALID_MAC1 = "invalid_mac1"
    INVALID_MAC2 = "invalid_mac2"
    RATE_LIMITED = "rate_limited"
    HANDSHAKE_QUEUE_FULL = "handshake_queue_full"
    HANDSHAKE_DECRYPTION_FAILED = "handshake_decryption_failed"
    LOW_ORDER_KEY = "low_order_key"
    UNKNOWN_PEER = "unknown_peer"
    REPLAYED_TIMESTAMP = "replayed_timestamp"
    INITIATION_FLOOD = "initiation_flood"
    UNEXPECTED_RESPONSE = "unexpected_response"
    UNEXPECTED_COOKIE = "unexpected_cookie"
    INVALID_COOKIE = "invalid_cookie"
    DEVICE_DOWN = "device_down"
    # Transport data, inbound
    UNKNOWN_INDEX = "unknown_index"
    KEYPAIR_EXPIRED = "keypair_expired"
    DECRYPTION_FAILED = "decryption_failed"
    REPLAYED_COUNTER = "replayed_counter"
    INVALID_PACKET = "invalid_packet"
    SOURCE_NOT_ALLOWED = "source_not_allowed"
    INVALID_FRAGMENT = "invalid_fragment"
    NOT_PERMITTED = "not_permitted"
    FORBIDDEN_DESTINATION = "forbidden_destination"
    ECN_CONGESTION = "ecn_congestion"
    TUN_WRITE_FAILED = "tun_write_failed"
    # Translated packets, either way
    UNTRANSLATABLE = "untranslatable"
    # Packets from the TUN, outbound
    INVALID_OUTBOUND_PACKET = "invalid_outbound_packet"
    INVALID_SUPERPACKET = "invalid_superpacket"
    NO_PEER_FOR_DESTINATION = "no_peer_for_destination"
    NO_ENDPOINT = "no_endpoint"
    ROUTING_LOOP = "routing_loop"
    STAGED_QUEUE_FULL = "staged_queue_full"
    STAGED_PURGED = "staged_purged"
    SEND_FAILED = "send_failed"
    # Datagrams that are not WireGuard
    FOREIGN_RATE_LIMITED = "foreign_rate_limited"
    INVALID_MAC = "invalid_mac"
    UNEXPECTED_ANSWER = "unexpected_answer"
    FOREIGN_QUEUE_FULL = "foreign_queue_full"
    FOREIGN_TOO_LONG = "foreign_too_long"
    FOREIGN_SOURCE_LIMIT = "foreign_source_limit"
    # Datagrams that one peer sends to another by way of this interface
    RELAY_NO_ADDRESSEE = "relay_no_addressee"
    RELAY_NO_SESSION = "relay_no_session"
    RELAY_INDEX_IN_USE = "relay_index_in_use"
    RELAY_RATE_LIMITED = "relay_rate_limited"
    RELAY_SEARCH_LIMITED = "relay_search_limited"
    RELAY_FULL = "relay_full"
