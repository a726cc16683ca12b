"""The cross-platform configuration protocol (UAPI): values, and their text form in both directions.

Sans-IO. Used by the daemon that serves it and by clients that speak it (`uapi_client`).
https://www.wireguard.com/xplatform/
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from errno import EINVAL, EPROTO
from itertools import islice
from socket import AF_INET, AF_INET6, if_nametoindex, inet_ntop, inet_pton
from typing import Any, Final, NamedTuple

from wgpy.engine.actions import AllowedIP
from wgpy.engine.constants import KEY_LENGTH, SECOND
from wgpy.engine.endpoint import Endpoint
from wgpy.keys import PresharedKey, PrivateKey, PublicKey


class AllowedIPChange(NamedTuple):
    """One `allowed_ip=` line: give the prefix to the peer, or (`-PREFIX`) take it away if the peer has it."""

    prefix: AllowedIP
    remove: bool = False


@dataclass(frozen=True, slots=True)
class PeerUpdate:
    """One peer's part of a `set=1`. None leaves a setting as it is."""

    public_key: PublicKey
    update_only: bool = False
    remove: bool = False
    preshared_key: PresharedKey | None = None  # zeros clear it
    endpoint: Endpoint | None = None
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


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """A whole `get=1` answer."""

    private_key: PrivateKey | None = None
    listen_port: int = 0
    fwmark: int = 0
    peers: Sequence[PeerStatus] = field(default_factory=tuple)


# -- errors ----------------------------------------------------------------------------------------


class UapiError(Exception):
    """A request, or an answer to one, that cannot be accepted; `str` is one sentence for the log.

    errno: as it goes on the wire; line_number: within its request, from 1, or 0 if it is about no line;
    line: what stood there, cut, with keys hidden; fatal: close the connection after answering.
    """

    def __init__(
        self, errno: int, why: str, *, line_number: int = 0, line: str = "", fatal: bool = False
    ) -> None:
        super().__init__(f"line {line_number}, `{line}`: {why}" if line_number else why)
        self.errno = errno
        self.why = why
        self.line_number = line_number
        self.line = line
        self.fatal = fatal


_SHOWN_LENGTH: Final = 80
_KEY_LIKE: Final = re.compile(r"[0-9A-Za-z+/]{32,}=?")


def _shown(line: str) -> str:
    """A line as it may stand in a log: without key material, printable, short."""
    key, equals, value = line.partition("=")
    if equals and key not in _SHOWABLE_KEYS:
        value = "(hidden)"
    text = _KEY_LIKE.sub("(hidden)", key + equals + value).encode("unicode_escape").decode()
    return text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + "…"


# -- values ----------------------------------------------------------------------------------------
# Each reads the text after `=` and raises ValueError with what it wants instead.

_UINT16_MAX: Final = 0xFFFF
_UINT32_MAX: Final = 0xFFFFFFFF
_new_tuple: Final = tuple.__new__  # what a NamedTuple's own constructor calls, at half the price
_PREFIX_LENGTHS: Final = {str(length): length for length in range(129)}


def _unsigned(text: str, maximum: int) -> int:
    if text.isdecimal() and text.isascii() and len(text) <= 20 and int(text) <= maximum:
        return int(text)
    raise ValueError(f"want a whole number from 0 to {maximum}")


def _uint16(text: str) -> int:
    return _unsigned(text, _UINT16_MAX)


def parse_fwmark(text: str) -> int:
    """A mark in decimal or 0x hexadecimal; nothing means 0. Raises ValueError."""
    if text[:2].lower() == "0x" and re.fullmatch("[0-9A-Fa-f]{1,8}", text[2:]):
        return int(text, 0)
    try:
        return _unsigned(text or "0", _UINT32_MAX)
    except ValueError:
        raise ValueError(f"want a mark from 0 to {_UINT32_MAX}, decimal or 0x hexadecimal") from None


def _true(text: str) -> bool:
    if text != "true":
        raise ValueError("want `true`, or leave the line out")
    return True


def _version(text: str) -> None:
    if text != "1":
        raise ValueError("want protocol version 1")


def parse_prefix(text: str) -> AllowedIP:
    """`ADDRESS/LENGTH`; host bits are cleared. Raises ValueError.

    Written for speed, as it runs for each of a hundred thousand lines: `ipaddress` takes four times as long.
    """
    address, _, length = text.partition("/")
    try:
        if ":" in address:
            host_bits = 128 - _PREFIX_LENGTHS[length]
            packed = inet_pton(AF_INET6, address)
        else:
            host_bits = 32 - _PREFIX_LENGTHS[length]
            packed = inet_pton(AF_INET, address)
        if host_bits:
            # A negative shift raises ValueError: more bits than an IPv4 address has.
            packed = (int.from_bytes(packed) >> host_bits << host_bits).to_bytes(len(packed))
    except (KeyError, OSError, ValueError):
        raise ValueError("want an IP address, `/` and a prefix length: 10.0.0.0/24, fd00::/64") from None
    return _new_tuple(AllowedIP, (packed, _PREFIX_LENGTHS[length]))


def format_prefix(prefix: AllowedIP) -> str:
    family = AF_INET if len(prefix.address) == 4 else AF_INET6
    return f"{inet_ntop(family, prefix.address)}/{prefix.prefix_length}"


def _allowed_ip(text: str) -> AllowedIPChange:
    if text.startswith("-"):
        return AllowedIPChange(parse_prefix(text[1:]), remove=True)
    return AllowedIPChange(parse_prefix(text))


def parse_endpoint(text: str) -> Endpoint:
    """`192.0.2.1:51820`, `[2001:db8::1]:51820` or `[fe80::1%ZONE]:51820`. Raises ValueError.

    ZONE: the name or number of an interface of this host.
    """
    host, _, port_text = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    address, percent, zone = (host[1:-1] if bracketed else host).partition("%")
    try:
        port = _uint16(port_text)
        if not bracketed:
            return Endpoint(inet_ntop(AF_INET, inet_pton(AF_INET, host)), port)
        address = inet_ntop(AF_INET6, inet_pton(AF_INET6, address))
    except (OSError, ValueError):
        raise ValueError("want 192.0.2.1:51820 or [2001:db8::1]:51820, address and port as numbers") from None
    return Endpoint(address, port, _scope_id(zone) if percent else 0)


def _scope_id(zone: str) -> int:
    if zone.isdecimal():
        return _unsigned(zone, _UINT32_MAX)
    try:
        return if_nametoindex(zone)
    except (OSError, ValueError):
        raise ValueError("the zone after `%` is no network interface of this host") from None


# -- requests, read --------------------------------------------------------------------------------

MAX_LINE_LENGTH: Final = 4096
MAX_REQUEST_LINES: Final = 2**19  # a few times the largest configuration anybody has; about 80 MiB of values

_Parse = Callable[[str], Any]
# key -> field of DeviceUpdate or PeerUpdate, and how its value is read
_DEVICE_KEYS: Final[dict[str, tuple[str, _Parse]]] = {
    "private_key": ("private_key", PrivateKey.from_hex),
    "listen_port": ("listen_port", _uint16),
    "fwmark": ("fwmark", parse_fwmark),
    "replace_peers": ("replace_peers", _true),
}
_PEER_KEYS: Final[dict[str, tuple[str, _Parse]]] = {
    "update_only": ("update_only", _true),
    "remove": ("remove", _true),
    "preshared_key": ("preshared_key", PresharedKey.from_hex),
    "endpoint": ("endpoint", parse_endpoint),
    "persistent_keepalive_interval": ("persistent_keepalive", _uint16),
    "replace_allowed_ips": ("replace_allowed_ips", _true),
    "protocol_version": ("", _version),
}
_SHOWABLE_KEYS: Final = {"set", "get", "public_key", "allowed_ip", *_DEVICE_KEYS, *_PEER_KEYS} - {
    "private_key",
    "preshared_key",
}


class _SetBuilder:
    """The lines of one `set`, collected into a DeviceUpdate as they come."""

    def __init__(self) -> None:
        self._device: dict[str, Any] = {}
        self._peers: list[PeerUpdate] = []
        self._peer: dict[str, Any] | None = None
        self._allowed_ips: list[AllowedIPChange] = []

    def add(self, key: str, value: str) -> None:
        """Raises ValueError, and then the request is to be given up."""
        if key == "public_key":
            public_key = PublicKey.from_hex(value)
            self._finish_peer()
            self._peer = {"public_key": public_key}
        elif self._peer is None:
            self._set(self._device, _DEVICE_KEYS, key, value)
        elif key == "allowed_ip":
            self._allowed_ips.append(_allowed_ip(value))
        else:
            self._set(self._peer, _PEER_KEYS, key, value)

    def add_allowed_ips(self, lines: list[str], start: int, stop: int) -> int:
        """Take lines[start:stop] as long as each gives the peer an allowed IP; the first not taken.

        The short way for the bulk of a large request. Any other line is left to `add`.
        """
        if self._peer is None:
            return start
        append = self._allowed_ips.append
        for position in range(start, stop):
            key, _, value = lines[position].partition("=")
            if key != "allowed_ip":
                return position
            try:
                append(_new_tuple(AllowedIPChange, (parse_prefix(value), False)))
            except ValueError:
                return position
        return stop

    def finish(self) -> DeviceUpdate:
        self._finish_peer()
        return DeviceUpdate(**self._device, peers=tuple(self._peers))

    def _finish_peer(self) -> None:
        if self._peer is not None:
            self._peers.append(PeerUpdate(**self._peer, allowed_ips=tuple(self._allowed_ips)))
            self._allowed_ips = []

    def _set(self, fields: dict[str, Any], keys: dict[str, tuple[str, _Parse]], key: str, value: str) -> None:
        if key not in keys:
            if key in _DEVICE_KEYS:
                raise ValueError("a key of the device must stand before the first public_key")
            if key in _PEER_KEYS or key == "allowed_ip":
                raise ValueError("a key of a peer must stand after a public_key")
            raise ValueError("there is no such key")
        name, parse = keys[key]
        parsed = parse(value)
        if name:
            fields[name] = parsed


@dataclass(frozen=True, slots=True)
class GetRequest:
    """`get=1`."""


Request = GetRequest | DeviceUpdate | UapiError


class _State(Enum):
    BETWEEN = "between requests"
    GET = "in a get"
    SET = "in a set"
    REFUSED = "in a request that is already refused"
    CLOSED = "closed"


class RequestParser:
    """The server's half of one connection: bytes in, whole requests out.

    Lines are parsed as they arrive, and an error is reported when its request ends, so that framing
    survives it; what breaks framing is reported at once, as fatal. Never holds more than a line of
    text and MAX_REQUEST_LINES parsed lines.
    """

    def __init__(self) -> None:
        self._state = _State.BETWEEN
        self._tail = ""
        self._requests: list[Request] = []
        self._set = _SetBuilder()
        self._line_number = 0
        self._error = UapiError(0, "")

    @property
    def is_closed(self) -> bool:
        """After a fatal error or the end of input, whatever is fed is ignored."""
        return self._state is _State.CLOSED

    def feed(self, data: bytes) -> list[Request]:
        """The requests that these bytes complete, in order."""
        *lines, self._tail = (self._tail + data.decode("latin-1")).split("\n")
        position = 0
        while position < len(lines):
            if self._state is _State.SET:
                start, room = position, MAX_REQUEST_LINES - self._line_number
                position = self._set.add_allowed_ips(lines, start, min(len(lines), start + room))
                self._line_number += position - start
            if position < len(lines):
                self._take_line(lines[position])
                position += 1
        if len(self._tail) > MAX_LINE_LENGTH:
            self._take_line(self._tail)
        if self.is_closed:
            self._tail = ""
        return self._take_requests()

    def feed_eof(self) -> list[Request]:
        """The request that the end of input completes, if one had begun; a last line needs no newline."""
        if self._tail:
            self._take_line(self._tail)
        if self._state not in (_State.BETWEEN, _State.CLOSED):
            self._end_request()
        self._tail = ""
        self._state = _State.CLOSED
        return self._take_requests()

    def _take_requests(self) -> list[Request]:
        requests, self._requests = self._requests, []
        return requests

    def _take_line(self, line: str) -> None:
        if self._state is _State.CLOSED:
            return
        self._line_number += 1
        if len(line) > MAX_LINE_LENGTH:
            self._refuse(EINVAL, f"a line may have {MAX_LINE_LENGTH} bytes", line[:_SHOWN_LENGTH], fatal=True)
        elif self._state is _State.BETWEEN:
            self._begin_request(line)
        elif not line:
            self._end_request()
        elif self._state is not _State.REFUSED:
            self._take_setting(line)

    def _begin_request(self, line: str) -> None:
        self._line_number = 1
        if line == "get=1":
            self._state = _State.GET
        elif line == "set=1":
            self._state = _State.SET
            self._set = _SetBuilder()
        elif line:
            number = EINVAL if "=" in line else EPROTO
            self._refuse(number, "a request begins with get=1 or set=1", line, fatal=True)

    def _take_setting(self, line: str) -> None:
        if self._line_number > MAX_REQUEST_LINES:
            self._refuse(EINVAL, f"a request may have {MAX_REQUEST_LINES} lines", line, fatal=True)
            return
        key, equals, value = line.partition("=")
        if not equals:
            self._refuse(EPROTO, "there is no `=`", line)
        elif self._state is _State.GET:
            self._refuse(EINVAL, "a get has no settings", line)
        else:
            try:
                self._set.add(key, value)
            except ValueError as error:
                self._refuse(EINVAL, str(error), line)

    def _refuse(self, number: int, why: str, line: str, *, fatal: bool = False) -> None:
        """`wg` reads the number of a failed `get` as positive and that of a failed `set` as negative."""
        errno = number if self._state is _State.GET else -number
        shown = _shown(line)
        self._error = UapiError(errno, why, line_number=self._line_number, line=shown, fatal=fatal)
        self._set = _SetBuilder()
        self._state = _State.REFUSED
        if fatal:
            self._requests.append(self._error)
            self._state = _State.CLOSED

    def _end_request(self) -> None:
        match self._state:
            case _State.GET:
                self._requests.append(GetRequest())
            case _State.SET:
                self._requests.append(self._set.finish())
                self._set = _SetBuilder()
            case _State.REFUSED:
                self._requests.append(self._error)
        self._state = _State.BETWEEN


# -- requests and answers, written -----------------------------------------------------------------

GET_REQUEST: Final = b"get=1\n\n"
_LINES_PER_CHUNK: Final = 1024
_NO_PRESHARED_KEY: Final = PresharedKey(bytes(KEY_LENGTH))


def encode_errno(errno: int) -> bytes:
    """The answer to a `set`, and to a `get` that failed. 0 is success."""
    return f"errno={errno}\n\n".encode()


def encode_status(status: DeviceStatus) -> Iterator[bytes]:
    """The answer to a `get`, in chunks of some tens of KiB."""
    lines = _status_lines(status)
    while chunk := "".join(islice(lines, _LINES_PER_CHUNK)):
        yield chunk.encode()


def _status_lines(status: DeviceStatus) -> Iterator[str]:
    if status.private_key:
        yield f"private_key={status.private_key.hex()}\n"
    if status.listen_port:
        yield f"listen_port={status.listen_port}\n"
    if status.fwmark:
        yield f"fwmark={status.fwmark}\n"
    for peer in status.peers:
        yield f"public_key={peer.public_key.hex()}\n"
        yield f"preshared_key={peer.preshared_key.hex()}\n"
        yield "protocol_version=1\n"
        if peer.endpoint:
            yield f"endpoint={peer.endpoint}\n"
        seconds, nanoseconds = divmod(peer.last_handshake_time, SECOND)
        yield f"last_handshake_time_sec={seconds}\n"
        yield f"last_handshake_time_nsec={nanoseconds}\n"
        yield f"tx_bytes={peer.tx_bytes}\n"
        yield f"rx_bytes={peer.rx_bytes}\n"
        yield f"persistent_keepalive_interval={peer.persistent_keepalive}\n"
        for prefix in peer.allowed_ips:
            yield f"allowed_ip={format_prefix(prefix)}\n"
    yield "errno=0\n\n"


def encode_set(update: DeviceUpdate) -> bytes:
    """The request that makes this update. Law: `RequestParser` reads it back as the same value."""
    return "".join(_set_lines(update)).encode()


def _set_lines(update: DeviceUpdate) -> Iterator[str]:
    yield "set=1\n"
    if update.private_key is not None:
        yield f"private_key={update.private_key.hex()}\n"
    if update.listen_port is not None:
        yield f"listen_port={update.listen_port}\n"
    if update.fwmark is not None:
        yield f"fwmark={update.fwmark}\n"
    if update.replace_peers:
        yield "replace_peers=true\n"
    for peer in update.peers:
        yield from _set_peer_lines(peer)
    yield "\n"


def _set_peer_lines(peer: PeerUpdate) -> Iterator[str]:
    yield f"public_key={peer.public_key.hex()}\n"
    if peer.update_only:
        yield "update_only=true\n"
    if peer.remove:
        yield "remove=true\n"
    if peer.preshared_key is not None:
        yield f"preshared_key={peer.preshared_key.hex()}\n"
    if peer.endpoint is not None:
        yield f"endpoint={peer.endpoint}\n"
    if peer.persistent_keepalive is not None:
        yield f"persistent_keepalive_interval={peer.persistent_keepalive}\n"
    if peer.replace_allowed_ips:
        yield "replace_allowed_ips=true\n"
    for change in peer.allowed_ips:
        yield f"allowed_ip={'-' if change.remove else ''}{format_prefix(change.prefix)}\n"


# -- answers, read ---------------------------------------------------------------------------------


def decode_errno(answer: bytes) -> int:
    """The number that ends an answer. Raises UapiError if none does."""
    last = answer.removesuffix(b"\n\n").rpartition(b"\n")[2]
    found = re.fullmatch(rb"errno=(-?[0-9]{1,9})", last)
    if found is None or not answer.endswith(b"\n\n"):
        raise UapiError(EPROTO, "the daemon broke off its answer")
    return int(found[1])


_STATUS_NUMBERS: Final = {
    "tx_bytes": "tx_bytes",
    "rx_bytes": "rx_bytes",
    "persistent_keepalive_interval": "persistent_keepalive",
}


def decode_status(answer: bytes) -> DeviceStatus:
    """A whole answer to a `get`; keys that are not known are skipped, as `wg` does. Raises UapiError."""
    if number := decode_errno(answer):
        raise UapiError(number, "the daemon refused to say its state: " + os.strerror(abs(number)))
    device: dict[str, Any] = {}
    peers: list[dict[str, Any]] = []
    for line_number, line in enumerate(answer.decode("latin-1").splitlines(), 1):
        key, _, value = line.partition("=")
        try:
            if key == "public_key":
                peers.append({"public_key": PublicKey.from_hex(value), "allowed_ips": []})
            elif not peers:
                _read_device_status(device, key, value)
            else:
                _read_peer_status(peers[-1], key, value)
        except ValueError as error:
            raise UapiError(EPROTO, str(error), line_number=line_number, line=_shown(line)) from None
    return DeviceStatus(**device, peers=tuple(_peer_status(fields) for fields in peers))


def _read_device_status(fields: dict[str, Any], key: str, value: str) -> None:
    if key in _DEVICE_KEYS and key != "replace_peers":
        name, parse = _DEVICE_KEYS[key]
        fields[name] = parse(value)


def _read_peer_status(fields: dict[str, Any], key: str, value: str) -> None:
    match key:
        case "allowed_ip":
            fields["allowed_ips"].append(parse_prefix(value))
        case "preshared_key":
            fields["preshared_key"] = PresharedKey.from_hex(value)
        case "endpoint":
            fields["endpoint"] = parse_endpoint(value)
        case "last_handshake_time_sec":
            fields["last_handshake_time"] = _unsigned(value, 2**63) * SECOND
        case "last_handshake_time_nsec":
            # `sec` comes first, in every daemon.
            fields["last_handshake_time"] = fields.get("last_handshake_time", 0) + _unsigned(value, SECOND)
        case _ if key in _STATUS_NUMBERS:
            fields[_STATUS_NUMBERS[key]] = _unsigned(value, 2**64 - 1)


def _peer_status(fields: dict[str, Any]) -> PeerStatus:
    fields.setdefault("preshared_key", _NO_PRESHARED_KEY)
    return PeerStatus(**{**fields, "allowed_ips": tuple(fields["allowed_ips"])})
