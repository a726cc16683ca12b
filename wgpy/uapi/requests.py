"""Requests: read by the server as their bytes come in, written by the client."""

import re
from collections.abc import Callable, Iterator
from enum import Enum
from errno import EINVAL, EPROTO
from typing import Any, Final

from wgpy.address import format_prefix, new_tuple, parse_endpoint, parse_prefix
from wgpy.contract.lazy_dataclass import dataclass
from wgpy.keys import PresharedKey, PrivateKey, PublicKey
from wgpy.model import AllowedIPChange, DeviceUpdate, PeerUpdate
from wgpy.number import parse_fwmark, parse_port, parse_uint16

from .errors import UapiError
from .text import allowed_ip, true, version

GET_REQUEST: Final = b"get=1\n\n"
COUNTERS_REQUEST: Final = b"counters=1\n\n"
MAX_LINE_LENGTH: Final = 4096
MAX_REQUEST_LINES: Final = 2**19  # a few times the largest configuration anybody has; about 80 MiB of values

_Parse = Callable[[str], Any]
# key -> field of DeviceUpdate or PeerUpdate, and how its value is read
DEVICE_KEYS: Final[dict[str, tuple[str, _Parse]]] = {
    "private_key": ("private_key", PrivateKey.from_hex),
    "listen_port": ("listen_port", parse_port),
    "fwmark": ("fwmark", parse_fwmark),
    "replace_peers": ("replace_peers", true),
}
_PEER_KEYS: Final[dict[str, tuple[str, _Parse]]] = {
    "update_only": ("update_only", true),
    "remove": ("remove", true),
    "preshared_key": ("preshared_key", PresharedKey.from_hex),
    "endpoint": ("endpoint", parse_endpoint),
    "persistent_keepalive_interval": ("persistent_keepalive", parse_uint16),
    "replace_allowed_ips": ("replace_allowed_ips", true),
    "protocol_version": ("", version),
}
_SHOWABLE_KEYS: Final = {"set", "get", "public_key", "allowed_ip", *DEVICE_KEYS, *_PEER_KEYS} - {
    "private_key",
    "preshared_key",
}

_SHOWN_LENGTH: Final = 80
_KEY_LIKE: Final = r"[0-9A-Za-z+/]{32,}=?"


def shown(line: str) -> str:
    """A line as it may stand in a log: without key material, printable, short."""
    key, equals, value = line.partition("=")
    if equals and key not in _SHOWABLE_KEYS:
        value = "(hidden)"
    text = re.sub(_KEY_LIKE, "(hidden)", key + equals + value).encode("unicode_escape").decode()
    return text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + "…"


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
            self._set(self._device, DEVICE_KEYS, key, value)
        elif key == "allowed_ip":
            self._allowed_ips.append(allowed_ip(value))
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
                append(new_tuple(AllowedIPChange, (parse_prefix(value), False)))
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
            if key in DEVICE_KEYS:
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


@dataclass(frozen=True, slots=True)
class CountersRequest:
    """`counters=1`: what was dropped, and why. wgpyd's own; other daemons refuse it."""


Request = GetRequest | CountersRequest | DeviceUpdate | UapiError
_QUESTIONS: Final[dict[str, Request]] = {"get=1": GetRequest(), "counters=1": CountersRequest()}


class _State(Enum):
    BETWEEN = "between requests"
    QUESTION = "in a get or the like"
    SET = "in a set"
    REFUSED = "in a request that is already refused"
    CLOSED = "closed"


class RequestParser:
    """The server's half of one connection: bytes in, whole requests out.

    Only its empty line completes a request. Lines are parsed as they arrive, and an error is reported when
    its request ends, so that framing survives it; what breaks framing is reported at once, as fatal. Never
    holds more than a line of text and MAX_REQUEST_LINES parsed lines.
    """

    def __init__(self) -> None:
        self._state = _State.BETWEEN
        self._tail = ""
        self._requests: list[Request] = []
        self._question: Request = GetRequest()
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
        """The refusal of the request that the end of input cuts off, if one had begun.

        Its sender may have died anywhere: in a number, after half of the allowed IPs, before the empty line.
        """
        if self._tail or self._state not in (_State.BETWEEN, _State.CLOSED):
            self._refuse_cut_off()
        self._tail = ""
        self._state = _State.CLOSED
        return self._take_requests()

    def _refuse_cut_off(self) -> None:
        if self._state is not _State.REFUSED:
            self._line_number += 1
            self._refuse(EPROTO, "the input ended before the empty line that ends a request", self._tail)
        self._requests.append(self._error)

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
        if line in _QUESTIONS:
            self._state = _State.QUESTION
            self._question = _QUESTIONS[line]
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
        elif self._state is _State.QUESTION:
            self._refuse(EINVAL, "a get has no settings", line)
        else:
            try:
                self._set.add(key, value)
            except ValueError as error:
                self._refuse(EINVAL, str(error), line)

    def _refuse(self, number: int, why: str, line: str, *, fatal: bool = False) -> None:
        """`wg` reads the number of a failed `get` as positive and that of a failed `set` as negative."""
        errno = number if self._state is _State.QUESTION else -number
        self._error = UapiError(errno, why, line_number=self._line_number, line=shown(line), fatal=fatal)
        self._set = _SetBuilder()
        self._state = _State.REFUSED
        if fatal:
            self._requests.append(self._error)
            self._state = _State.CLOSED

    def _end_request(self) -> None:
        match self._state:
            case _State.QUESTION:
                self._requests.append(self._question)
            case _State.SET:
                self._requests.append(self._set.finish())
                self._set = _SetBuilder()
            case _State.REFUSED:
                self._requests.append(self._error)
        self._state = _State.BETWEEN


def encode_set(update: DeviceUpdate) -> bytes:
    """The request that makes this update. Invariant: `RequestParser` reads it back as the same value."""
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
