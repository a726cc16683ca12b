"""Answers: written by the server in chunks, read by the client."""

import os
import re
from collections.abc import Iterator, Mapping
from errno import EPROTO
from itertools import islice
from typing import Any, Final

from wgpy.address import format_prefix, parse_endpoint, parse_prefix
from wgpy.contract.constants import KEY_LENGTH, SECOND
from wgpy.keys import PresharedKey, PublicKey
from wgpy.model import DeviceStatus, PeerStatus
from wgpy.number import MAX_UINT64, parse_number

from .errors import UapiError
from .requests import DEVICE_KEYS, shown

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


def decode_errno(answer: bytes) -> int:
    """The number that ends an answer. Raises UapiError if none does."""
    last = answer.removesuffix(b"\n\n").rpartition(b"\n")[2]
    found = re.fullmatch(rb"errno=(-?[0-9]{1,9})", last)
    if found is None or not answer.endswith(b"\n\n"):
        raise UapiError(EPROTO, "the daemon broke off its answer")
    return int(found[1])


def encode_counters(counters: Mapping[str, int]) -> bytes:
    """The answer to `counters=1`: those that are not zero."""
    lines = [f"{name}={count}\n" for name, count in sorted(counters.items()) if count]
    return "".join([*lines, "errno=0\n\n"]).encode()


def decode_counters(answer: bytes) -> dict[str, int]:
    """A whole answer to `counters=1`, by name. Raises UapiError, also if the daemon knows no counters."""
    if number := decode_errno(answer):
        raise UapiError(number, "the daemon refused to say its counters: " + os.strerror(abs(number)))
    counters = {}
    for line_number, line in enumerate(answer.decode("latin-1").splitlines()[:-2], 1):
        name, _, count = line.partition("=")
        try:
            counters[name] = parse_number(count, 0, MAX_UINT64)
        except ValueError as error:
            raise UapiError(EPROTO, str(error), line_number=line_number, line=shown(line)) from None
    return counters


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
            raise UapiError(EPROTO, str(error), line_number=line_number, line=shown(line)) from None
    return DeviceStatus(**device, peers=tuple(_peer_status(fields) for fields in peers))


def _read_device_status(fields: dict[str, Any], key: str, value: str) -> None:
    if key in DEVICE_KEYS and key != "replace_peers":
        name, parse = DEVICE_KEYS[key]
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
            fields["last_handshake_time"] = parse_number(value, 0, 2**63) * SECOND
        case "last_handshake_time_nsec":
            # `sec` comes first, in every daemon.
            fields["last_handshake_time"] = fields.get("last_handshake_time", 0) + parse_number(
                value, 0, SECOND
            )
        case _ if key in _STATUS_NUMBERS:
            fields[_STATUS_NUMBERS[key]] = parse_number(value, 0, MAX_UINT64)


def _peer_status(fields: dict[str, Any]) -> PeerStatus:
    fields.setdefault("preshared_key", _NO_PRESHARED_KEY)
    return PeerStatus(**{**fields, "allowed_ips": tuple(fields["allowed_ips"])})
