"""Every number of the protocol, once, with its source.

Times are nanoseconds on the boot clock. "WP" is the WireGuard whitepaper (revision of 2020-06-01);
"Linux" is drivers/net/wireguard, where the paper leaves a value to the implementation.
"""

from typing import Final

SECOND: Final = 1_000_000_000
MILLISECOND: Final = 1_000_000

# -- Noise, WP 5.4 -------------------------------------------------------------------------------
CONSTRUCTION: Final = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
IDENTIFIER: Final = b"WireGuard v1 zx2c4 Jason@zx2c4.com"
LABEL_MAC1: Final = b"mac1----"
LABEL_COOKIE: Final = b"cookie--"

KEY_LENGTH: Final = 32
HASH_LENGTH: Final = 32
TAG_LENGTH: Final = 16  # RFC 8439, Poly1305
MAC_LENGTH: Final = 16  # WP 5.4.4, keyed BLAKE2s cut to 16 bytes
COOKIE_LENGTH: Final = 16
COOKIE_NONCE_LENGTH: Final = 24  # XChaCha20-Poly1305
TIMESTAMP_LENGTH: Final = 12  # TAI64N

# -- Messages, WP 5.4.2 to 5.4.7 -----------------------------------------------------------------
INITIATION_SIZE: Final = 148
RESPONSE_SIZE: Final = 92
COOKIE_REPLY_SIZE: Final = 64
TRANSPORT_HEADER_SIZE: Final = 16
TRANSPORT_OVERHEAD: Final = TRANSPORT_HEADER_SIZE + TAG_LENGTH
KEEPALIVE_SIZE: Final = TRANSPORT_OVERHEAD
PADDING_MULTIPLE: Final = 16  # WP 5.4.6

# -- Lifetimes, WP 6.1 to 6.5 --------------------------------------------------------------------
REKEY_AFTER_MESSAGES: Final = 2**60
REJECT_AFTER_MESSAGES: Final = 2**64 - 2**13 - 1
REKEY_AFTER_TIME: Final = 120 * SECOND
REJECT_AFTER_TIME: Final = 180 * SECOND
REKEY_ATTEMPT_TIME: Final = 90 * SECOND
REKEY_TIMEOUT: Final = 5 * SECOND
KEEPALIVE_TIMEOUT: Final = 10 * SECOND
REKEY_JITTER: Final = 333 * MILLISECOND  # Linux: REKEY_TIMEOUT_JITTER_MAX_JIFFIES
# WP 6.2: the initiator rekeys on receive when this much of the session's life has passed.
REKEY_ON_RECEIVE_AFTER_TIME: Final = REJECT_AFTER_TIME - KEEPALIVE_TIMEOUT - REKEY_TIMEOUT
# WP 6.5: after sending and hearing nothing for this long, a new handshake.
NEW_HANDSHAKE_AFTER_SILENCE: Final = KEEPALIVE_TIMEOUT + REKEY_TIMEOUT
ZERO_KEY_MATERIAL_AFTER: Final = 3 * REJECT_AFTER_TIME  # WP 6.3

# -- Cookies and load, WP 5.3, 5.4.7 and 6.6 -----------------------------------------------------
COOKIE_SECRET_MAX_AGE: Final = 120 * SECOND
COOKIE_SECRET_LATENCY: Final = 5 * SECOND  # Linux: a received cookie is used this much less long
MAX_REFUSED_INITIATIONS: Final = 128  # of keys that are no peer's
INITIATION_MIN_INTERVAL: Final = 20 * MILLISECOND  # Linux: INITIATIONS_PER_SECOND = 50
UNDER_LOAD_HOLD: Final = 1 * SECOND
# What Python answers in well under a second; Linux queues 4,096, which here would be seconds old.
HANDSHAKE_QUEUE_SIZE: Final = 512
UNDER_LOAD_DEPTH: Final = HANDSHAKE_QUEUE_SIZE // 8
RATE_LIMIT_PER_SECOND: Final = 20  # Linux: PACKETS_PER_SECOND
RATE_LIMIT_BURST: Final = 5  # Linux: PACKETS_BURSTABLE
RATE_LIMIT_MAX_SOURCES: Final = 8192

# -- Data, WP 5.4.6 ------------------------------------------------------------------------------
REPLAY_WINDOW_BITS: Final = 8192
REPLAY_WINDOW: Final = 8128  # usable: one 64-bit word is always being cleared (RFC 6479)
MAX_STAGED_PACKETS: Final = 128  # Linux: MAX_STAGED_PACKETS
MAX_STAGED_BYTES: Final = 4 * 2**20  # all peers together
SMALL_STAGED_BYTES: Final = 2**20  # where memory is short
STAGED_CELL: Final = 512  # a staged packet takes whole cells of them, an empty one takes one
MAX_FOREIGN: Final = 64  # datagrams of other types waiting for the driver
MAX_FOREIGN_PER_SOURCE: Final = 8  # an IPv4 address, or what an IPv6 host may have: a /64
MAX_FOREIGN_SIZE: Final = 2048
HANDSHAKE_TOS: Final = 0x88  # Linux: HANDSHAKE_DSCP, AF41
DEFAULT_MTU: Final = 1420
MAX_PEERS: Final = 2**20  # Linux: MAX_PEERS_PER_DEVICE

# -- Policy --------------------------------------------------------------------------------------
MAX_RULES: Final = 16_384  # that are counted apart
MAX_PERMITS: Final = 16_384  # of a peer
MAX_PORT: Final = 65_535
MAX_FLOWS: Final = 65_536  # that were begun here and may be answered, of all peers
SMALL_FLOWS: Final = 4096  # where memory is short
FLOW_LIFETIME: Final = 180 * SECOND  # after its last packet, either way
MAX_TRANSLATIONS: Final = 4096
MAX_CLOSED_PORTS: Final = 64

# ICMP errors to who sends what leads nowhere. Linux: icmp_msgs_per_sec, icmp_msgs_burst
ICMP_ERROR_INTERVAL: Final = MILLISECOND
ICMP_ERROR_BURST: Final = 50

# -- Relay ---------------------------------------------------------------------------------------
DEFAULT_RELAY_RATE: Final = 1_250_000_000  # bytes a second, each way of a pair
MAX_RELAYED_PAIRS: Final = 4096
SMALL_RELAYED_PAIRS: Final = 512  # where memory is short
MAX_RELAYED_INDICES: Final = 8  # of each way: three sessions, and initiations that are not answered yet
MAX_UNANSWERED_INITIATIONS: Final = 4  # of each way
RELAY_ANSWER_TIME: Final = 2 * REKEY_TIMEOUT  # until when an initiation may be answered
RELAY_REPLACE_TIME: Final = SECOND  # then the oldest unanswered initiation gives way to another one
RELAY_INDEX_LIFETIME: Final = REJECT_AFTER_TIME + REKEY_TIMEOUT  # after the response, which takes its time
RELAY_BURST_TIME: Final = 100 * MILLISECOND  # of a pair's rate
# mac1 keys that are tried to find the addressee of an initiation: for one source, and in all.
RELAY_SEARCHES_PER_SECOND: Final = 20_000
RELAY_SEARCHES_PER_SECOND_OF_ALL: Final = 100_000
RELAY_SEARCH_BURST_TIME: Final = SECOND
