"""What a data path reports to the engine, and the activity record that the engine reads itself.

Events are level flags: raising one that is already raised changes nothing, so a busy tunnel raises
almost none and no queue of them can overflow. An event about a peer or keypair that is gone is ignored.
"""

from typing import NamedTuple

from .endpoint import Endpoint
from .lazy_dataclass import dataclass

PeerId = int  # given by the engine, never reused in its life


@dataclass(frozen=True, slots=True)
class KeyNeeded:
    """A packet was staged, as the peer has no usable sending keypair. Raised for every such packet."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class InitiationSent:
    """A packet was staged as for `KeyNeeded`, and the initiation that was lent has been sent for it."""

    peer: PeerId
    local_index: int


@dataclass(frozen=True, slots=True)
class SessionNeeded:
    """Another peer began a handshake with this one by this relay, with which it has no session."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class KeyConfirmed:
    """The first authentic datagram came in on a keypair that did not send yet. Whitepaper 5.4.5.

    The peer's newest sends from then on: the answer to this very datagram may not go by an older one, which
    the other end may have lost. What is staged waits for `UseKeypair`.
    """

    peer: PeerId
    local_index: int


@dataclass(frozen=True, slots=True)
class KeyAged:
    """A keypair crossed one of its rekey thresholds: time for a new handshake."""

    peer: PeerId
    local_index: int


@dataclass(frozen=True, slots=True)
class DataSent:
    """`PeerActivity.first_unanswered_sent` left zero."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class DataReceived:
    """`PeerActivity.first_unacked_received` left zero."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class EndpointChanged:
    """An authentic datagram came from another endpoint, and the data path now sends there."""

    peer: PeerId
    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class RoutingLoop:
    """The host routes what was sent to the peer back into the interface.

    Raised once for each keypair, and once for each handshake message. endpoint: where it was sent to, the
    first if there are several.
    """

    peer: PeerId
    endpoint: Endpoint


Event = (
    RoutingLoop
    | KeyNeeded
    | InitiationSent
    | SessionNeeded
    | KeyConfirmed
    | KeyAged
    | DataSent
    | DataReceived
    | EndpointChanged
)


@dataclass(slots=True)
class PeerActivity:
    """When transport data of one peer passed, in boottime ns, 0 for never; and how much.

    Written by the data path alone. Bytes are UDP payload, as the kernel counts them; handshake
    messages are not in here (the engine adds its own).
    """

    # Oldest data sent since anything authentic was received or a keypair installed (WP 6.5, 15 s).
    first_unanswered_sent: int = 0
    # Oldest data received since anything was sent or a keypair installed (WP 6.5, 10 s).
    first_unacked_received: int = 0
    last_sent: int = 0  # data or keepalive
    last_received: int = 0  # data or keepalive, authentic
    tx_bytes: int = 0
    rx_bytes: int = 0


class RelayCounts(NamedTuple):
    """What was forwarded between peers, since the data path was made."""

    datagrams: int = 0
    bytes: int = 0
