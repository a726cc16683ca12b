"""What the paths of a peer want done, and what they are told. Times are boottime ns."""

from enum import Enum, auto
from typing import NamedTuple

from wgpy.contract.endpoint import Endpoint
from wgpy.contract.lazy_dataclass import dataclass

from .exchange import PathKind, PathMessage


class Traffic(NamedTuple):
    """With the peer, 0 for never.

    received: when data last came; unanswered: when the oldest was sent that nothing authentic followed.
    """

    received: int
    unanswered: int


class Relay(NamedTuple):
    """A node that forwards to the peer. key: public; round_trip: ns, to the peer by it, 0 if unknown."""

    key: bytes
    endpoint: Endpoint
    round_trip: int = 0


class PathInUse(NamedTuple):
    """round_trip: ns, 0 if unknown; since: when it was taken."""

    endpoint: Endpoint
    kind: PathKind
    round_trip: int
    since: int


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask this node there, by `Discovery.ask`. key: None for the peer itself."""

    endpoint: Endpoint
    key: bytes | None = None


class Session(Enum):
    """What becomes of it. A relay forwards the data of a session only if it forwarded its handshake."""

    KEEP = auto()
    BEGIN = auto()  # another one now: `Engine.begin_handshake` anew
    END = auto()  # have the next packet begin another one: `Engine.end_session`


@dataclass(frozen=True, slots=True)
class Use:
    """Make this the peer's endpoint."""

    endpoint: Endpoint
    pinned: bool
    session: Session


@dataclass(frozen=True, slots=True)
class Register:
    """Send this relay an empty packet, by the tunnel to it, so that it knows where this host is.

    key: the relay's.
    """

    key: bytes


@dataclass(frozen=True, slots=True)
class Tell:
    """Send this to the peer, inside of the tunnel to it."""

    message: PathMessage


@dataclass(frozen=True, slots=True)
class Keepalive:
    """Send the peer an empty packet, which needs no answer, by `Device.send_keepalive`."""


Output = Ask | Use | Register | Tell | Keepalive
