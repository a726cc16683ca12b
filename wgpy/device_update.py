"""What a `set` means: an update carried out on a running device, a little at a time.

Invariant: nothing here can fail half-way; the caller has done before what can fail. A peer that is known
keeps its session, and a prefix that stays is never without its route, so traffic flows while this runs. Only
what `replace_peers` takes away ends a session that could not have begun under the new settings.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from wgpy.contract.constants import KEY_LENGTH, MAX_PEERS
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.errors import InputError, StateError
from wgpy.contract.lazy_dataclass import dataclass, field, replace
from wgpy.contract.orders import AllowedIP
from wgpy.datapath import DataPath
from wgpy.device import Device
from wgpy.engine.peer import Peer
from wgpy.keys import PresharedKey
from wgpy.model import NO_POLICY, AllowedIPChange, DeviceUpdate, PeerUpdate, net_allowed_ips
from wgpy.number import MAX_UINT16, MAX_UINT32
from wgpy.paths.candidates import Candidates

_PREFIXES_PER_STEP: Final = 256
_ENDPOINT_SIZES: Final = (6, 18)  # IPv4, IPv6
_NO_PRESHARED_KEY: Final = PresharedKey(bytes(KEY_LENGTH))


def check_update(device: Device[DataPath], update: DeviceUpdate) -> None:
    """Raises StateError or ValueError if the device cannot hold what the update asks for.

    Texts are refused where they are read; this is for values of a program, which may be anything.
    """
    _check_number("a port", update.listen_port, MAX_UINT16)
    _check_number("a firewall mark", update.fwmark, MAX_UINT32)
    for peer in update.peers:
        _check_peer(peer)
    known = set() if update.replace_peers else set(device.engine.peers)
    if (
        len(known) + len(update.peers) > MAX_PEERS
        and len(known.union(bytes(peer.public_key) for peer in update.peers)) > MAX_PEERS
    ):
        raise StateError(f"an interface has at most {MAX_PEERS} peers: remove some first")
    if update.translations is not None:
        from wgpy.datapath.translation import check_translations  # noqa: PLC0415 - no cost without any

        check_translations(update.translations.translations, update.translations.closed)


def _check_peer(peer: PeerUpdate) -> None:
    """Raises InputError."""
    _check_number("a persistent keepalive", peer.persistent_keepalive, MAX_UINT16)
    for endpoint in (peer.endpoint, *(peer.candidates or ())):
        if endpoint is not None:
            _check_endpoint(endpoint)
    if not all(type(prefix) is AllowedIP for prefix, _ in peer.allowed_ips):
        raise InputError("an allowed IP is a prefix: want AllowedIPChange(AllowedIP(…))")


def _check_number(what: str, number: int | None, highest: int) -> None:
    """Raises InputError."""
    if number is not None and not 0 <= number <= highest:
        raise InputError(f"{what} is a number from 0 to {highest}, not {number}")


def _check_endpoint(endpoint: Endpoint) -> None:
    """Raises InputError."""
    try:
        size = len(endpoint.packed())
    except (ValueError, OverflowError):
        size = 0
    if size not in _ENDPOINT_SIZES:
        raise InputError(f"{endpoint} is no endpoint: want an address, not a name, and a port up to 65535")


def apply_update(
    device: Device[DataPath],
    update: DeviceUpdate,
    clock: Callable[[], int],
    last_timestamp: int = 0,
    *,
    take_apart: bool = False,
) -> Iterator[None]:
    """Carry out an update that `check_update` accepted; it is done when the iterator ends.

    Between steps the device may be driven, but not configured. clock(): boottime ns, as a large update takes
    long; last_timestamp: for the new private key; take_apart: the peers are a list, and each is taken out as
    its turn comes: so what ten thousand of them were told by does not stay in memory beside them.
    """
    if update.private_key is not None:
        key = bytes(update.private_key) if update.private_key else None
        device.engine.set_private_key(key, clock(), last_timestamp)
    if update.translations is not None:
        device.set_translations(update.translations, clock())
    if update.relay_rate is not None:
        device.set_relay(update.relay_rate, clock())
    application = _Application(device, clock)
    if update.replace_peers:
        yield from application.begin_anew(update.peers)
    for change in _taken(update.peers) if take_apart else update.peers:
        yield from application.change_peer(change)
        yield


def _taken(peers: Sequence[PeerUpdate]) -> Iterator[PeerUpdate]:
    assert isinstance(peers, list)
    peers.reverse()
    while peers:
        yield peers.pop()


@dataclass(slots=True)
class _Application:
    """starting_over: peers that count as removed, though their sessions wait for them to be set again."""

    device: Device[DataPath]
    clock: Callable[[], int]
    starting_over: set[bytes] = field(default_factory=set)

    def begin_anew(self, changes: Sequence[PeerUpdate]) -> Iterator[None]:
        """Remove all peers, or let them start over if they are set again."""
        set_again = {bytes(peer.public_key) for peer in changes if not (peer.update_only or peer.remove)}
        for peer in list(self.device.engine.peers.values()):
            if peer.public_key in set_again:
                self.starting_over.add(peer.public_key)
            else:
                yield from self._remove_peer(peer)

    def change_peer(self, change: PeerUpdate) -> Iterator[None]:
        key = bytes(change.public_key)
        peer = None if key in self.starting_over else self.device.engine.peers.get(key)
        if key == self.device.engine.public_key or (peer is None and change.update_only):
            return
        if change.remove:
            if peer:
                yield from self._remove_peer(peer)
        elif peer:
            yield from self._change_settings(peer, change)
        elif key in self.starting_over:
            self.starting_over.remove(key)
            yield from self._set_again(self.device.engine.peers[key], change)
        else:
            yield from self._add_peer(key, change)

    def _add_peer(self, key: bytes, change: PeerUpdate) -> Iterator[None]:
        peer = self.device.add_peer(key, self.clock())
        yield from self._change_settings(peer, change)
        self.device.engine.receive_refused(peer, self.clock())

    def _set_again(self, peer: Peer, change: PeerUpdate) -> Iterator[None]:
        """Let it start over: with its session, if that could have begun under the new settings, too."""
        if _keeps_session(peer, change):
            yield from self._change_settings(peer, _as_first(change))
            return
        yield from self._remove_peer(peer)
        yield from self._add_peer(peer.public_key, change)

    def _remove_peer(self, peer: Peer) -> Iterator[None]:
        # Its allowed IPs first, as all at once may take long.
        yield from self._change_allowed_ips(peer, _removing(self.device.allowed_ips(peer)))
        self.device.engine.remove_peer(peer)
        yield

    def _change_settings(self, peer: Peer, change: PeerUpdate) -> Iterator[None]:
        engine, now = self.device.engine, self.clock()
        if change.preshared_key is not None:
            engine.set_preshared_key(peer, bytes(change.preshared_key))
        if change.endpoint is not None:
            engine.set_endpoint(peer, change.endpoint, now, pinned=change.pinned)
        if change.ends_session:
            engine.end_session(peer)
        if change.candidates is not None:
            self._set_candidates(peer, Candidates.of(change.candidates), now)
        if change.policy is not None:
            self.device.set_policy(peer, change.policy, now)
        present = self.device.allowed_ips(peer) if change.replace_allowed_ips else []
        changes = _difference(present, change.allowed_ips) if present else change.allowed_ips
        yield from self._change_allowed_ips(peer, changes)
        # Last, as it may send at once: everything that the packet needs is set by now.
        if change.persistent_keepalive is not None:
            engine.set_persistent_keepalive(peer, change.persistent_keepalive, self.clock())
        if change.handshake and engine.is_up:
            engine.begin_handshake(peer, self.clock(), anew=True)

    def _set_candidates(self, peer: Peer, candidates: Candidates, now: int) -> None:
        endpoint = candidates.endpoint_instead(peer.endpoint, before=peer.selector)
        self.device.engine.set_selector(peer, candidates if candidates.endpoints else None)
        if endpoint and not peer.pinned:
            self.device.engine.set_endpoint(peer, endpoint, now)

    def _change_allowed_ips(self, peer: Peer, changes: Sequence[AllowedIPChange]) -> Iterator[None]:
        for start in range(0, len(changes), _PREFIXES_PER_STEP):
            step = changes[start : start + _PREFIXES_PER_STEP]
            self.device.change_allowed_ips(peer, step, self.clock())
            yield


def _difference(present: list[AllowedIP], changes: Sequence[AllowedIPChange]) -> list[AllowedIPChange]:
    """What makes of those that are present what the changes would make of none."""
    wanted, known = net_allowed_ips(changes), set(present)
    unwanted = _removing(prefix for prefix in present if prefix not in wanted)
    return unwanted + [AllowedIPChange(prefix) for prefix in wanted if prefix not in known]


def _removing(prefixes: Iterable[AllowedIP]) -> list[AllowedIPChange]:
    return [AllowedIPChange(prefix, remove=True) for prefix in prefixes]


def _as_first(change: PeerUpdate) -> PeerUpdate:
    """The same for a peer that was not there: what it leaves out is at its default.

    Only a learnt endpoint stays, since the session that is kept would be of no use without it.
    """
    return replace(
        change,
        preshared_key=change.preshared_key or _NO_PRESHARED_KEY,
        candidates=change.candidates or (),
        policy=change.policy or NO_POLICY,
        persistent_keepalive=change.persistent_keepalive or 0,
        replace_allowed_ips=True,
    )


def _keeps_session(peer: Peer, change: PeerUpdate) -> bool:
    """Whether the preshared key stays, and no endpoint that was set is left out."""
    preshared_key = bytes(change.preshared_key or _NO_PRESHARED_KEY)
    has_endpoint = change.endpoint is not None or bool(change.candidates)
    return preshared_key == peer.preshared_key and (has_endpoint or not peer.endpoint_is_set)
