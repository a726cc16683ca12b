"""What the engine wants done: orders to the data path, messages to send, and what became of a handshake.

The driver carries them out in order.
"""

from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import PeerId
from wgpy.contract.lazy_dataclass import dataclass
from wgpy.contract.orders import EngineOrder


@dataclass(frozen=True, slots=True)
class SendDatagram:
    """A handshake message for the world. peer is None for a cookie reply."""

    peer: PeerId | None
    data: bytes
    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class HandshakeCompleted:
    """Event: a session with this peer began."""

    peer: PeerId
    initiator: bool


@dataclass(frozen=True, slots=True)
class PeerUnreachable:
    """Event: REKEY_ATTEMPT_TIME passed without an answer; the next packet starts over."""

    peer: PeerId


Action = EngineOrder | SendDatagram | HandshakeCompleted | PeerUnreachable
