"""Orders to a data path, by their author: the engine, the configuration, or the policy.

A data path carries them out in the order in which they are given.
"""

from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
)
from typing import NamedTuple, Self

from .endpoint import Endpoint
from .errors import InputError
from .events import PeerId
from .lazy_dataclass import dataclass, field

AnyPrefix = (
    str | bytes | IPv4Address | IPv6Address | IPv4Network | IPv6Network | IPv4Interface | IPv6Interface
)


class _AllowedIP(NamedTuple):
    address: bytes
    prefix_length: int


class AllowedIP(_AllowedIP):
    """A prefix. address: 4 or 16 bytes with all host bits zero; prefix_length: 0 to 32 or 128."""

    __slots__ = ()

    def __new__(cls, prefix: AnyPrefix, length: int | None = None) -> Self:
        """Take `"10.0.0.0/24"`, `("10.0.0.0", 24)`, 4 or 16 bytes, or an object of `ipaddress`.

        Host bits are cleared. length: in bits; None for that of the prefix, and for all bits of an address.
        Raises InputError, and TypeError for anything else.
        """
        packed, own_length = _parts(prefix)
        if length is None:
            length = 8 * len(packed) if own_length is None else own_length
        elif own_length is not None:
            raise InputError(f"{prefix!s} has a prefix length already: leave one of both out")
        host_bits = 8 * len(packed) - length
        if length < 0 or host_bits < 0:
            raise InputError(f"want a prefix length from 0 to {8 * len(packed)}, not {length}")
        if host_bits:
            packed = (int.from_bytes(packed) >> host_bits << host_bits).to_bytes(len(packed))
        return super().__new__(cls, packed, length)

    def __str__(self) -> str:
        return f"{ip_address(self.address)}/{self.prefix_length}"


def _parts(prefix: AnyPrefix) -> tuple[bytes, int | None]:
    """Return address and length; None where there is only the address. Raises InputError, TypeError."""
    match prefix:
        case bytes():
            if len(prefix) not in (4, 16):
                raise InputError(f"an IP address is 4 or 16 bytes, not {len(prefix)}")
            return prefix, None
        case str():
            return _parts_of_text(prefix)
        case IPv4Network() | IPv6Network():
            return prefix.network_address.packed, prefix.prefixlen
        case IPv4Interface() | IPv6Interface():  # these are addresses, too
            return prefix.packed, prefix.network.prefixlen
        case IPv4Address() | IPv6Address():
            return prefix.packed, None
    raise TypeError(f"want a prefix as text, bytes or an object of ipaddress, not {type(prefix).__name__}")


def _parts_of_text(text: str) -> tuple[bytes, int | None]:
    address, slash, length = text.partition("/")
    try:
        own_length = int(length) if slash else None
        if "%" in address or (slash and str(own_length) != length):  # there is one spelling
            raise ValueError
        return ip_address(address).packed, own_length
    except ValueError:
        raise InputError(
            f"`{text}` is no prefix: want an IP address, `/` and a prefix length: 10.0.0.0/24, fd00::/64"
        ) from None


class Permit(NamedTuple):
    """What a peer may begin.

    rule: number of the rule that says so, 0 to MAX_RULES - 1, counted there; protocol: IP protocol number, 0
    for any; destination: None for any; first_port, last_port: inclusive, of protocols with ports; a permit
    with other ports than all matches nothing of a protocol without; source: None for any.
    """

    rule: int
    protocol: int = 0
    destination: AllowedIP | None = None
    first_port: int = 0
    last_port: int = 65535
    source: AllowedIP | None = None


class Translation(NamedTuple):
    """A prefix as the mesh knows it, and as it is: of one IP version and one length."""

    mapped: AllowedIP
    real: AllowedIP


class LocalPort(NamedTuple):
    """address: 4 or 16 bytes; protocol: IP protocol number, of one with ports."""

    address: bytes
    protocol: int
    port: int


# -- Of the engine ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AddPeer:
    peer: PeerId


@dataclass(frozen=True, slots=True)
class RemovePeer:
    """Forget the peer: its keypairs, routes, staged packets and counters."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class SetEndpoint:
    """Send there. pinned: authentic datagrams from elsewhere do not move it; only the next order does."""

    peer: PeerId
    endpoint: Endpoint
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class ClearSource:
    """Let the kernel choose our address again: the one used so far may be why nobody answers."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class LendInitiation:
    """Let the first packet without a keypair send this initiation, and raise `InitiationSent` for it.

    message: a whole datagram, in place of one that is lent; None: of none. until: from this boottime ns on it
    is not sent. A data path may leave it alone, and raise `KeyNeeded`.
    """

    peer: PeerId
    message: bytes | None
    until: int = 0


@dataclass(frozen=True, slots=True)
class InstallKeypair:
    """Receive by this keypair from now on; send by it after `UseKeypair`, or `KeyConfirmed` of the newest.

    Its rekey thresholds: sending at or after `rekey_after_sent_time`, receiving at or after
    `rekey_after_received_time` (boottime ns, None for never), or sending message number
    REKEY_AFTER_MESSAGES raises `KeyAged`, each once. From `reject_after_time` on it neither opens nor
    seals. Installing one also clears both `first_` fields of the peer's activity.
    """

    peer: PeerId
    local_index: int
    remote_index: int
    sending_key: bytes = field(repr=False)
    receiving_key: bytes = field(repr=False)
    reject_after_time: int
    rekey_after_sent_time: int | None
    rekey_after_received_time: int | None


@dataclass(frozen=True, slots=True)
class UseKeypair:
    """Send by this keypair, staged packets first. With None: stop sending, and stage.

    confirm: with nothing staged, send an empty packet, as the responder waits for the first one.
    """

    peer: PeerId
    local_index: int | None
    confirm: bool = False


@dataclass(frozen=True, slots=True)
class RemoveKeypair:
    peer: PeerId
    local_index: int


@dataclass(frozen=True, slots=True)
class SendKeepalive:
    """Send what is staged or, if nothing is, one empty packet.

    Without a usable keypair an empty packet is staged, which raises `KeyNeeded`.
    """

    peer: PeerId


@dataclass(frozen=True, slots=True)
class PurgeStaged:
    peer: PeerId


@dataclass(frozen=True, slots=True)
class SetMac1Key:
    """From now on the engine wants only handshake messages with a valid mac1 for this key; None: any.

    A data path may pass on others, as the engine checks too. The cookie secret is no more.
    """

    public_key: bytes | None


@dataclass(frozen=True, slots=True)
class SetCookieSecret:
    """Under load the engine wants messages with a valid mac2 by this secret first. Whitepaper 5.4.7."""

    secret: bytes = field(repr=False)


EngineOrder = (
    AddPeer
    | RemovePeer
    | SetEndpoint
    | ClearSource
    | LendInitiation
    | InstallKeypair
    | UseKeypair
    | RemoveKeypair
    | SendKeepalive
    | PurgeStaged
    | SetMac1Key
    | SetCookieSecret
)

# -- Of the configuration --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SetRoute:
    """Route the prefix to this peer, and to no other any more."""

    peer: PeerId
    prefix: AllowedIP


@dataclass(frozen=True, slots=True)
class RemoveRoute:
    peer: PeerId
    prefix: AllowedIP


RouteOrder = SetRoute | RemoveRoute


@dataclass(frozen=True, slots=True)
class SetRelay:
    """Forward what relayed peers send to each other, as they send it.

    rate: bytes a second that each of two peers may send to the other; 0: forward nothing, as at the
    beginning, and forget the relayed peers.
    """

    rate: int


@dataclass(frozen=True, slots=True)
class AddRelayed:
    """Forward between this peer and the other relayed ones, after `SetRelay`."""

    peer: PeerId
    public_key: bytes


RelayOrder = SetRelay | AddRelayed

# -- Of the policy -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SetPolicy:
    """Let the peer begin what one of these permits allows; what answers us passes, and nothing else.

    None: no policy, everything passes, as before the first such order. Empty: the peer begins nothing.
    What is staged for the peer is purged if the policy differs from the one before.
    """

    peer: PeerId
    permits: tuple[Permit, ...] | None


@dataclass(frozen=True, slots=True)
class SetTranslations:
    """Translate mapped addresses to real ones as packets come in, and back as they go out; no other any more.

    translations: no two overlap, neither as mapped nor as real; closed: what no translated packet may reach.
    What is staged is purged if the translations differ from those before.
    """

    translations: tuple[Translation, ...]
    closed: tuple[LocalPort, ...] = ()


PolicyOrder = SetPolicy | SetTranslations

DataPathOrder = EngineOrder | RouteOrder | RelayOrder | PolicyOrder
