"""The data path in C as Python sees it: one method per function of wgpy/fastpath/wgfp.h.

Invariant: nothing is decided here. Values of the engine become those of C and back, and errors of C become
the exceptions of the portable data path. Whoever owns the descriptors lends them until `close`.
"""

from collections import Counter
from collections.abc import Sequence
from enum import IntFlag
from struct import Struct
from typing import Any, Final, NoReturn, assert_never

from wgpy.contract.constants import (
    DEFAULT_MTU,
    INITIATION_SIZE,
    MAX_FLOWS,
    MAX_FOREIGN,
    MAX_RULES,
    MAX_STAGED_BYTES,
)
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import (
    Event,
    PeerActivity,
    PeerId,
    RelayCounts,
)
from wgpy.contract.orders import (
    AddPeer,
    AddRelayed,
    AllowedIP,
    ClearSource,
    DataPathOrder,
    InstallKeypair,
    LendInitiation,
    LocalPort,
    Permit,
    PurgeStaged,
    RemoveKeypair,
    RemovePeer,
    RemoveRoute,
    SendKeepalive,
    SetCookieSecret,
    SetEndpoint,
    SetMac1Key,
    SetPolicy,
    SetRelay,
    SetRoute,
    SetTranslations,
    Translation,
    UseKeypair,
)

from . import Counters, Datagram, bad_mtu, keypair_exists, no_keypair, no_peer, peer_exists
from .native_values import (
    Queue,
    c_endpoint,
    drop_reasons,
    event_of,
    key,
    local_port_row,
    or_never,
    permits_array,
    translation_row,
    unpack_endpoint,
)
from .native_values import (
    queues as c_queues,
)

try:
    from wgpy._fastpath import ffi as _ffi
    from wgpy._fastpath import lib as _lib
except ImportError:  # it was not built
    _ffi = _lib = None

SEED_SIZE: Final = 16

_SOURCES: Final = f"{__file__.rpartition('/datapath/')[0]}/fastpath"
_EVENTS_AT_ONCE: Final = 256
_MAX_EVENTS: Final = 16 * _EVENTS_AT_ONCE  # in one go; a busy data path raises new ones meanwhile
_PREFIX: Final = Struct("=16sBB")  # WGFP_PREFIX_SIZE
_DATAGRAM: Final = Struct("=48sI")  # struct wgfp_datagram without its data
_SESSION: Final = Struct("=32s32sQQQII")  # struct wgfp_session
_NO_SESSION: Final = bytes(_SESSION.size)


class Offload(IntFlag):
    """What the kernel is trusted with: `offloads` of struct wgfp_settings."""

    NONE = 0
    TSO = 1  # TCP superpackets to the TUN
    USO = 2  # UDP superpackets to the TUN
    GSO = 4  # many datagrams in one call to send
    FILTER = 8  # to drop at the sockets, which are of UDP, what the data path would drop unopened


def available() -> bool:
    """Whether the C data path was built. Raises ImportError if it was built from other sources than these."""
    if _lib is None:
        return False
    check_headers(getattr(_lib, "WGFP_HEADERS", 0), _SOURCES)
    return True


def make_filter_ahead() -> None:
    """Begin to make the filter of the next data path that wants one, in a thread of C."""
    _lib.wgfp_filter_make_ahead()


def trim_memory() -> None:
    """Have the C library give back to the kernel what it keeps of memory that was freed."""
    if _lib is not None:
        _lib.wgfp_memory_trim()


def check_headers(built_from: int, sources: str) -> None:
    """Raises ImportError if the headers have another checksum; most installations have none.

    An editable one has the newest Python, and the library of when it was made: fields would be read where
    others are.
    """
    try:
        checksum = _checksum(sources)
    except FileNotFoundError:
        return
    if built_from != checksum:
        raise ImportError("the C data path was built from other sources: run `pip install -e .` again")


def _checksum(sources: str) -> int:
    """As in wgpy/fastpath/build.py."""
    content = b""
    for header in ("errors.h", "wgfp.h"):
        with open(f"{sources}/{header}", "rb") as file:
            content += file.read()
    from zlib import crc32  # noqa: PLC0415 - no cost where there are no headers

    return crc32(content)


class NativeDataPath:
    """Implements `DataPath` with threads of its own, between `start` and `stop`."""

    def __init__(
        self,
        queues: Sequence[Queue],
        *,
        vnet_header_size: int = 0,
        offloads: Offload = Offload.NONE,
        mtu: int = DEFAULT_MTU,
        staged_bytes: int = MAX_STAGED_BYTES,
        small: bool = False,
        accept_foreign: bool = False,
        flows: int = MAX_FLOWS,
        seed: bytes = bytes(SEED_SIZE),
        system: Any = None,
    ) -> None:
        """queues: 1 to 16; system: a `struct wgfp_system *` in place of the kernel's.

        flows: at most so many are remembered for their answers, a power of two, at least 8;
        seed: random, so that nobody can choose which of them share a place in the table.

        Raises ImportError without the extension, ValueError and MemoryError.
        """
        if not available():
            raise ImportError("the C data path is not built: install wgpy where there is a C compiler")
        self._ids: list[PeerId] = []  # by the number in C, which gives the lowest first; 0: there is none
        self._numbers: dict[PeerId, int] = {}  # of those whose number is another than their id
        self._queues = c_queues(queues)
        self._system = system  # lives as long as C may call it
        settings = {
            "queues": self._queues,
            "queue_count": len(queues),
            "vnet_header": vnet_header_size,
            "offloads": offloads,
            "staged_bytes": staged_bytes,
            "small": small,
            "accept_foreign": accept_foreign,
            "flows": flows,
            "seed": seed,
            "system": _ffi.NULL if system is None else system,
        }
        made = _ffi.new("struct wgfp_datapath **")
        error = _lib.wgfp_datapath_new(made, _ffi.new("struct wgfp_settings *", settings))
        if error == _lib.WGFP_ERR_MEMORY:
            raise MemoryError("there is no memory for the data path")
        if error:
            raise ValueError("the data path refuses these settings; see struct wgfp_settings")
        self._c = _ffi.gc(made[0], _lib.wgfp_datapath_free)
        self._datagram = _ffi.new("struct wgfp_datagram *")
        self._datagram_bytes = _ffi.buffer(self._datagram)
        self._events = _ffi.new("struct wgfp_event[]", _EVENTS_AT_ONCE)
        self._number = _ffi.new("uint32_t *")
        self._session = _ffi.new("struct wgfp_session *")
        self._session_bytes = _ffi.buffer(self._session)
        self._activity = _ffi.new("struct wgfp_activity *")
        self._permits: tuple[tuple[Permit, ...] | None, Any] = None, permits_array(())
        self._reasons = drop_reasons()
        self._drops = _ffi.new("uint64_t[]", len(self._reasons))
        self._relay_counts = _ffi.new("uint64_t[2]")
        self._rule_counts = _ffi.new("uint64_t[]", MAX_RULES)
        self.set_mtu(mtu)

    # -- Life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to move packets. Raises MemoryError if the threads could not be had."""
        if _lib.wgfp_datapath_start(self._c):
            raise MemoryError("the threads of the data path cannot be started")

    def stop(self) -> None:
        _lib.wgfp_datapath_stop(self._c)

    def close(self) -> None:
        """Stop for good, and have no descriptor. Harmless when repeated; keys go with this object."""
        _lib.wgfp_datapath_close(self._c)
        self.set_sockets([Queue(-1, -1, -1)] * len(self._queues))

    def step(self) -> None:
        """Move what there is to move, here and now; for one that was not started."""
        _lib.wgfp_datapath_step(self._c)

    def fileno(self) -> int:
        """Readable while there is something to take, or when a TUN is gone; `acknowledge` before taking."""
        return int(_lib.wgfp_datapath_fileno(self._c))

    def acknowledge(self) -> None:
        _lib.wgfp_datapath_acknowledge(self._c)

    def failure(self) -> int:
        """errno of a TUN that cannot be read any more, or 0."""
        return int(_lib.wgfp_datapath_failure(self._c))

    def set_mtu(self, mtu: int) -> None:
        if mtu < 1:
            raise bad_mtu(mtu)
        _lib.wgfp_datapath_set_mtu(self._c, mtu)

    def set_silent(self, silent: bool) -> None:
        _lib.wgfp_datapath_set_silent(self._c, silent)

    def set_reading(self, reading: bool) -> None:
        """Read packets from the TUNs, or, once this has returned, leave them there."""
        _lib.wgfp_datapath_set_reading(self._c, reading)

    def set_sockets(self, queues: Sequence[Queue]) -> None:
        """Use other sockets; when this returns, the former ones can be closed. The TUNs stay."""
        if len(queues) != len(self._queues):
            raise ValueError(f"want sockets for {len(self._queues)} queues, not {len(queues)}")
        _lib.wgfp_datapath_set_sockets(self._c, c_queues(queues))

    def offloads(self) -> Offload:
        """Those in use: what was asked for without what turned out not to work."""
        return Offload(_lib.wgfp_datapath_offloads(self._c))

    # -- What the driver takes -------------------------------------------------------------------

    def take_events(self) -> list[Event]:
        events: list[Event] = []
        while len(events) < _MAX_EVENTS and (count := self._take_events(events)):
            assert count <= _EVENTS_AT_ONCE
        return events

    def _take_events(self, events: list[Event]) -> int:
        count = int(_lib.wgfp_events_take(self._c, self._events, _EVENTS_AT_ONCE))
        events += [event_of(self._events[i], self._ids[self._events[i].peer]) for i in range(count)]
        return count

    def take_datagrams(self) -> list[Datagram]:
        return []

    def next_handshake(self) -> tuple[bytes, Endpoint] | None:
        """The next message with a valid mac1 for the mac1 key, those with a valid mac2 first."""
        return self._take_datagram() if _lib.wgfp_handshake_take(self._c, self._datagram) else None

    @property
    def handshakes_waiting(self) -> int:
        return int(_lib.wgfp_handshakes_waiting(self._c))

    def accept_foreign(self) -> None:
        if _lib.wgfp_foreign_accept(self._c):
            raise MemoryError("there is no memory for datagrams that are not WireGuard's")

    def expect_foreign(self, magic: bytes, hints: frozenset[bytes]) -> None:
        words = [int.from_bytes(hint[:4], "little") for hint in hints]
        if _lib.wgfp_foreign_expect(self._c, magic, words, len(words)):
            raise MemoryError("there is no memory for whom datagrams are expected from")

    def note_handshake(self, message: bytes, peer: PeerId | None) -> None:
        """A handshake message was sent, and must not come back from the TUN."""
        number = 0 if peer is None else self._number_of(peer)
        _lib.wgfp_handshake_note(self._c, message, len(message), number)

    def take_foreign(self) -> list[tuple[bytes, Endpoint]]:
        foreign: list[tuple[bytes, Endpoint]] = []
        while len(foreign) < MAX_FOREIGN and _lib.wgfp_foreign_take(self._c, self._datagram):
            foreign.append(self._take_datagram())
        return foreign

    def _take_datagram(self) -> tuple[bytes, Endpoint]:
        source, length = _DATAGRAM.unpack_from(self._datagram_bytes)
        return self._datagram_bytes[_DATAGRAM.size : _DATAGRAM.size + length], unpack_endpoint(source)

    def activity(self, peer: PeerId) -> PeerActivity:
        record = self._activity
        _lib.wgfp_peer_activity(self._c, self._known_number(peer), record)
        return PeerActivity(
            record.first_unanswered_sent,
            record.first_unacked_received,
            record.last_sent,
            record.last_received,
            record.tx_bytes,
            record.rx_bytes,
        )

    def allowed_ips(self, peer: PeerId) -> list[AllowedIP]:
        number = self._number_of(peer)
        count = _lib.wgfp_routes_of_peer(self._c, number, _ffi.NULL, 0)
        prefixes = bytearray(count * _PREFIX.size)
        _lib.wgfp_routes_of_peer(self._c, number, _ffi.from_buffer("uint8_t[]", prefixes), count)
        new = tuple.__new__  # of a hundred thousand, at half the price of AllowedIP's own
        return [
            new(AllowedIP, (address[:size], length))
            for address, size, length in _PREFIX.iter_unpack(prefixes)
        ]

    def counters(self) -> Counters:
        _lib.wgfp_drops(self._c, self._drops)
        return Counter(dict(zip(self._reasons, self._drops, strict=True)))

    def relay_counts(self) -> RelayCounts:
        _lib.wgfp_relay_counts(self._c, self._relay_counts)
        return RelayCounts(*self._relay_counts)

    def rule_counts(self) -> list[int]:
        """Packets that a permit let in, by number of its rule."""
        _lib.wgfp_rule_counts(self._c, self._rule_counts)
        return list(self._rule_counts)

    # -- Orders ----------------------------------------------------------------------------------

    def apply(self, action: DataPathOrder, now: int) -> None:  # noqa: C901, PLR0912 - a case for every order
        """Carry out one order. Raises StateError for a peer or keypair that is not there."""
        number_of = self._number_of
        match action:
            case SetRoute():  # first, as it is by far the most frequent
                self._set_route(action)
            case SetEndpoint(peer, endpoint, pinned):
                _lib.wgfp_peer_set_endpoint(self._c, number_of(peer), c_endpoint(endpoint), pinned)
            case InstallKeypair():
                self._install_keypair(action)
            case UseKeypair(peer, local_index, confirm):
                self._use_keypair(peer, local_index, confirm, now)
            case LendInitiation(peer, message, until):
                self._lend_initiation(number_of(peer), message, until)
            case RemoveKeypair(peer, local_index):
                if _lib.wgfp_keypair_remove(self._c, number_of(peer), local_index):
                    raise no_keypair(peer, local_index)
            case SendKeepalive(peer):
                _lib.wgfp_peer_send_keepalive(self._c, number_of(peer), now)
            case ClearSource(peer):
                _lib.wgfp_peer_clear_source(self._c, number_of(peer))
            case PurgeStaged(peer):
                _lib.wgfp_peer_purge_staged(self._c, number_of(peer))
            case SetPolicy(peer, permits):
                self._set_policy(number_of(peer), permits)
            case SetTranslations(translations, closed):
                self._set_translations(translations, closed)
            case RemoveRoute(peer, (address, length)):
                _lib.wgfp_route_remove(self._c, number_of(peer), address, len(address), length)
            case SetRelay(rate):
                if _lib.wgfp_relay_set_rate(self._c, rate):
                    raise MemoryError("there is no memory for a relay")
            case AddRelayed(peer, public_key):
                if _lib.wgfp_relay_add_peer(self._c, number_of(peer), key(public_key)):
                    raise MemoryError("there is no memory for another relayed peer")
            case AddPeer(peer):
                self._add_peer(peer)
            case RemovePeer(peer):
                self._remove_peer(peer)
            case SetMac1Key(public_key):
                self._set_guard(public_key)
            case SetCookieSecret(secret):
                _lib.wgfp_handshakes_set_cookie_secret(self._c, key(secret))
            case _:
                assert_never(action)

    def _number_of(self, peer: PeerId) -> int:
        try:
            return self._known_number(peer)
        except KeyError:
            raise no_peer(peer) from None

    def _known_number(self, peer: PeerId) -> int:
        """Raises KeyError."""
        number = self._numbers.get(peer, peer)
        if not self._is_of(peer, number):
            raise KeyError(peer)
        return number

    def _is_of(self, peer: PeerId, number: int) -> bool:
        return 0 < number < len(self._ids) and self._ids[number] == peer

    def _add_peer(self, peer: PeerId) -> None:
        if self._is_of(peer, self._numbers.get(peer, peer)):
            raise peer_exists(peer)
        if _lib.wgfp_peer_add(self._c, self._number):
            raise MemoryError("there is no memory for another peer")
        number = self._number[0]
        self._ids += [0] * (number + 1 - len(self._ids))
        self._ids[number] = peer
        if number != peer:  # one was removed before
            self._numbers[peer] = number

    def _remove_peer(self, peer: PeerId) -> None:
        number = self._number_of(peer)
        _lib.wgfp_peer_remove(self._c, number)
        self._ids[number] = 0
        self._numbers.pop(peer, None)

    def _set_route(self, order: SetRoute) -> None:
        address, length = order.prefix
        number = self._number_of(order.peer)
        try:
            error = _lib.wgfp_route_set(self._c, number, address, len(address), length)
        except OverflowError:
            error = _lib.WGFP_ERR_INVALID
        if error:
            self._refuse_route(error, order)

    def _refuse_route(self, error: int, order: SetRoute) -> NoReturn:
        if error == _lib.WGFP_ERR_MEMORY:
            raise MemoryError("there is no memory for another route")
        from .allowedips import no_prefix  # noqa: PLC0415 - what few need costs no start

        raise no_prefix(order.prefix)

    def _set_policy(self, number: int, permits: tuple[Permit, ...] | None) -> None:
        if permits is not self._permits[0]:  # peers often have the same, which may be many
            from .permits import check_permits  # noqa: PLC0415 - no cost without a policy

            check_permits(permits)
            self._permits = permits, permits_array(permits or ())
        array = self._permits[1]
        if _lib.wgfp_peer_set_policy(self._c, number, array, len(array), permits is not None):
            raise MemoryError("there is no memory for another policy")

    def _set_translations(self, translations: tuple[Translation, ...], closed: tuple[LocalPort, ...]) -> None:
        from .translation import check_translations  # noqa: PLC0415 - no cost without translations

        check_translations(translations, closed)
        rows = [translation_row(translation) for translation in translations]
        ports = [local_port_row(port) for port in closed]
        c_rows = _ffi.new("struct wgfp_translation[]", rows)
        c_ports = _ffi.new("struct wgfp_local_port[]", ports)
        if _lib.wgfp_translations_set(self._c, c_rows, len(rows), c_ports, len(ports)):
            raise MemoryError("there is no memory for these translations")

    def _install_keypair(self, order: InstallKeypair) -> None:
        number = self._number_of(order.peer)
        _SESSION.pack_into(
            self._session_bytes,
            0,
            key(order.sending_key),
            key(order.receiving_key),
            order.reject_after_time,
            or_never(order.rekey_after_sent_time),
            or_never(order.rekey_after_received_time),
            order.local_index,
            order.remote_index,
        )
        error = _lib.wgfp_keypair_install(self._c, number, self._session)
        self._session_bytes[:] = _NO_SESSION
        if error == _lib.WGFP_ERR_EXISTS:
            raise keypair_exists(order.local_index)
        if error:
            raise MemoryError("there is no memory for another keypair")

    def _lend_initiation(self, number: int, message: bytes | None, until: int) -> None:
        if message is not None and len(message) != INITIATION_SIZE:
            raise ValueError(f"an initiation is {INITIATION_SIZE} bytes, not {len(message)}")
        _lib.wgfp_initiation_lend(self._c, number, _ffi.NULL if message is None else message, until)

    def _use_keypair(self, peer: PeerId, local_index: int | None, confirm: bool, now: int) -> None:
        number = self._number_of(peer)
        if local_index is None:
            _lib.wgfp_keypair_use_none(self._c, number)
        elif _lib.wgfp_keypair_use(self._c, number, local_index, confirm, now):
            raise no_keypair(peer, local_index)

    def _set_guard(self, public_key: bytes | None) -> None:
        _lib.wgfp_handshakes_set_cookie_secret(self._c, _ffi.NULL)
        _lib.wgfp_handshakes_set_mac1_key(self._c, _ffi.NULL if public_key is None else key(public_key))
