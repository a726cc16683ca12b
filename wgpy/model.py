"""The settings of an interface and of its peers, changes of them, and their state, as values."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import RelayCounts
from wgpy.contract.lazy_dataclass import dataclass
from wgpy.contract.orders import AllowedIP, Permit, SetTranslations
from wgpy.keys import PresharedKey, PrivateKey, PublicKey


class AllowedIPChange(NamedTuple):
    """One `allowed_ip=` line: give the prefix to the peer, or (`-PREFIX`) take it away if the peer has it."""

    prefix: AllowedIP
    remove: bool = False


class Policy(NamedTuple):
    """What a peer may begin. permits: None for everything, () for nothing; replies to us pass always."""

    permits: tuple[Permit, ...] | None = None


NO_POLICY: Final = Policy()
NO_TRANSLATIONS: Final = SetTranslations(())
NOTHING_RELAYED: Final = RelayCounts()


def net_allowed_ips(changes: Iterable[AllowedIPChange]) -> dict[AllowedIP, None]:
    """What the changes leave to a peer that had nothing: each prefix once, in the order of the changes."""
    prefixes: dict[AllowedIP, None] = {}
    for prefix, remove in changes:
        if remove:
            prefixes.pop(prefix, None)
        else:
            prefixes[prefix] = None
    return prefixes


@dataclass(frozen=True, slots=True)
class PeerUpdate:
    """One peer's part of a `set=1`. None leaves a setting as it is."""

    public_key: PublicKey
    update_only: bool = False
    remove: bool = False
    preshared_key: PresharedKey | None = None  # zeros clear it
    endpoint: Endpoint | None = None
    pinned: bool = False  # endpoint stays, wherever the peer sends from; only within a program, not as text
    candidates: Sequence[Endpoint] | None = None  # where else it may be; only within a program, not as text
    handshake: bool = False  # begin one now; only within a program, not as text
    ends_session: bool = False  # have the next packet begin one; only within a program, not as text
    policy: Policy | None = None  # in force before its allowed IPs are; only within a program, not as text
    persistent_keepalive: int | None = None  # seconds, 0 for off
    replace_allowed_ips: bool = False
    allowed_ips: Sequence[AllowedIPChange] = ()


@dataclass(frozen=True, slots=True)
class DeviceUpdate:
    """A whole `set=1`. None leaves a setting as it is."""

    private_key: PrivateKey | None = None  # zeros clear it
    listen_port: int | None = None
    fwmark: int | None = None  # 0 clears it
    replace_peers: bool = False
    peers: Sequence[PeerUpdate] = ()
    translations: SetTranslations | None = None  # in force before its peers are; only within a program
    relay_rate: int | None = None  # as `SetRelay` has it, for all peers; only within a program, not as text


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """One peer's part of a `get=1` answer."""

    public_key: PublicKey
    preshared_key: PresharedKey
    endpoint: Endpoint | None = None
    last_handshake_time: int = 0  # ns since 1970, 0 for never
    tx_bytes: int = 0
    rx_bytes: int = 0
    persistent_keepalive: int = 0
    allowed_ips: Sequence[AllowedIP] = ()
    candidates: Sequence[Endpoint] = ()  # where else it may be; only within a program, not as text
    policy: Policy = NO_POLICY
    # When the oldest data or initiation was sent that nothing authentic followed: boottime ns, 0 for none.
    unanswered_since: int = 0


class PeerTraffic(NamedTuple):
    """Boottime ns, 0 for never. received: when the last data was; unanswered: as `unanswered_since`."""

    received: int = 0
    unanswered: int = 0


class PeerPath(NamedTuple):
    """endpoint: without our address; handshake: ns since 1970, 0 for never, as `last_handshake_time`."""

    endpoint: Endpoint | None = None
    handshake: int = 0


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """A whole `get=1` answer."""

    private_key: PrivateKey | None = None
    listen_port: int = 0
    fwmark: int = 0
    peers: Sequence[PeerStatus] = ()
    translations: SetTranslations = NO_TRANSLATIONS  # only within a program, not as text
    relay_rate: int = 0  # as `SetRelay` has it; only within a program, not as text
    relayed: RelayCounts = NOTHING_RELAYED  # only within a program, not as text
