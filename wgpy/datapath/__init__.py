"""Moving packets: what any data path offers to its driver.

Two of one kind exist: `portable` (Python, sans-IO: reference, simulation, hosts without a compiler)
and `native` (C worker threads). What both must do is written here and held by one test suite.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.errors import StateError
from wgpy.contract.events import Event, PeerActivity, PeerId, RelayCounts
from wgpy.contract.orders import AllowedIP, DataPathOrder

Counters = Mapping[DropReason, int]


class Datagram(NamedTuple):
    """Bytes for a UDP socket. tos: the outer TOS byte or traffic class; peer: None if it is no peer's."""

    data: bytes
    endpoint: Endpoint
    tos: int
    peer: PeerId | None


class DataPath(Protocol):
    """The half of a WireGuard device that moves packets; the engine is the other half."""

    def apply(self, action: DataPathOrder, now: int) -> None:
        """Carry out one order. now: boottime ns.

        Raises StateError for a peer or keypair that is not there: the engine never gives such an order.
        """

    def take_events(self) -> list[Event]:
        """What happened since the last call, each flag once; a new endpoint before what else its peer did."""

    def take_datagrams(self) -> list[Datagram]:
        """What the driver is to send, in order; nothing where the data path sends by itself."""

    def next_handshake(self) -> tuple[bytes, Endpoint] | None:
        """A message of types 1 to 3, of the right size; its macs may be checked or not."""

    @property
    def handshakes_waiting(self) -> int:
        """How many more `next_handshake` would give: what tells the load."""

    def accept_foreign(self) -> None:
        """Keep datagrams that are not WireGuard's from now on, as somebody wants them. Raises MemoryError."""

    def expect_foreign(self, magic: bytes, hints: frozenset[bytes]) -> None:
        """Only those are wanted that begin with this magic and have one of these hints at offset 8.

        Others may be dropped unseen, until `accept_foreign` is called again. magic: 4 bytes; hints: of 4
        bytes or more, the first 4 of which are compared. Raises MemoryError.
        """

    def note_handshake(self, message: bytes, peer: PeerId | None) -> None:
        """A handshake message was sent: one that comes back from the TUN is dropped and raises RoutingLoop.

        peer: None if it was sent to no known peer; then no event is raised.
        """

    def take_foreign(self) -> list[tuple[bytes, Endpoint]]:
        """Datagrams that are not WireGuard's, if they are kept: at most MAX_FOREIGN, oldest first."""

    def activity(self, peer: PeerId) -> PeerActivity:
        """The peer's record as it stands now. Raises KeyError for a peer that was not added."""

    def allowed_ips(self, peer: PeerId) -> list[AllowedIP]:
        """The prefixes that are the peer's, in the order in which it got them. Raises StateError."""

    def counters(self) -> Counters:
        """Dropped packets and datagrams by reason, since the data path was made; 0 for any other."""

    def rule_counts(self) -> list[int]:
        """Packets that a permit let in, by number of its rule: MAX_RULES of them."""

    def relay_counts(self) -> RelayCounts:
        """What was forwarded between relayed peers; what was not is counted by its reason."""

    def set_mtu(self, mtu: int) -> None:
        """Pad no packet beyond this many bytes. Raises ValueError below 1."""

    def set_silent(self, silent: bool) -> None:
        """Drop what leads nowhere without an ICMP error, or with one, as at the beginning."""


def no_peer(peer: PeerId) -> StateError:
    return StateError(f"peer {peer} is not there; AddPeer comes first")


def peer_exists(peer: PeerId) -> StateError:
    return StateError(f"peer {peer} is there already; a PeerId is never used again")


def no_keypair(peer: PeerId, local_index: int) -> StateError:
    return StateError(f"peer {peer} has no keypair {local_index:#x}; InstallKeypair comes first")


def keypair_exists(local_index: int) -> StateError:
    return StateError(f"keypair {local_index:#x} is there already; RemoveKeypair comes first")


def bad_mtu(mtu: int) -> ValueError:
    return ValueError(f"an MTU is at least 1 byte, not {mtu}")
