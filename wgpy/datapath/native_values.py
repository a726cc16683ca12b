"""Values of the contract as those of C, wgpy/fastpath/wgfp.h, and back."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv6Address
from struct import Struct
from typing import Any, Final, NamedTuple

from wgpy.contract.constants import KEY_LENGTH
from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import (
    DataReceived,
    DataSent,
    EndpointChanged,
    Event,
    InitiationSent,
    KeyAged,
    KeyConfirmed,
    KeyNeeded,
    PeerId,
    RoutingLoop,
    SessionNeeded,
)
from wgpy.contract.orders import LocalPort, Permit, Translation

try:
    from wgpy._fastpath import ffi as _ffi
    from wgpy._fastpath import lib as _lib
except ImportError:  # it was not built
    _ffi = _lib = None

_NEVER: Final = 2**64 - 1
_ENDPOINTS_REMEMBERED: Final = 1024
_ENDPOINT: Final = Struct("=16s16sIIII")  # struct wgfp_endpoint
_PERMIT: Final = Struct("=16s16sIIIIIIII")  # struct wgfp_permit
_ANYWHERE: Final = (b"", 0)
_IPV4_SIZE: Final = 4
_NO_ADDRESS: Final = bytes(16)


class Queue(NamedTuple):
    """Descriptors of a TUN queue and of the sockets that go with it, non-blocking; -1: there is none."""

    tun: int
    udp4: int
    udp6: int


def queues(queues: Sequence[Queue]) -> Any:
    return _ffi.new("struct wgfp_queue[]", list(map(tuple, queues)))


def key(key: bytes) -> bytes:
    """The same; C takes as many bytes as there should be."""
    if len(key) != KEY_LENGTH:
        raise ValueError(f"a key is {KEY_LENGTH} bytes, not {len(key)}")
    return key


def or_never(time: int | None) -> int:
    return _NEVER if time is None else time


def permits_array(permits: Sequence[Permit]) -> Any:
    """A struct wgfp_permit[]."""
    packed = b"".join(map(_pack_permit, permits))
    return _ffi.from_buffer("struct wgfp_permit[]", packed)


def _pack_permit(permit: Permit) -> bytes:
    rule, protocol, destination, first_port, last_port, source = permit
    to, to_length = destination or _ANYWHERE
    of, of_length = source or _ANYWHERE
    sizes = len(of), of_length, len(to), to_length
    return _PERMIT.pack(of, to, *sizes, protocol, first_port, last_port, rule)


def translation_row(translation: Translation) -> tuple[bytes, bytes, int, int]:
    """The members of a struct wgfp_translation."""
    (mapped, length), (real, _) = translation
    return mapped, real, len(mapped), length


def local_port_row(port: LocalPort) -> tuple[bytes, int, int, int]:
    """The members of a struct wgfp_local_port."""
    return port.address, len(port.address), port.protocol, port.port


def drop_reasons() -> list[DropReason]:
    """In C's order."""
    reasons: list[DropReason] = []
    while (name := _lib.wgfp_drop_name(len(reasons))) != _ffi.NULL:
        reasons.append(DropReason(_ffi.string(name).decode()))
    return reasons


def event_of(event: Any, peer: PeerId) -> Event:
    kind = event.kind
    if kind == _lib.WGFP_EVENT_DATA_SENT:
        return DataSent(peer)
    if kind == _lib.WGFP_EVENT_DATA_RECEIVED:
        return DataReceived(peer)
    if kind == _lib.WGFP_EVENT_KEY_NEEDED:
        return KeyNeeded(peer)
    if kind == _lib.WGFP_EVENT_INITIATION_SENT:
        return InitiationSent(peer, event.local_index)
    if kind == _lib.WGFP_EVENT_SESSION_NEEDED:
        return SessionNeeded(peer)
    if kind == _lib.WGFP_EVENT_ROUTING_LOOP:
        return RoutingLoop(peer, endpoint_of(event.endpoint))
    if kind == _lib.WGFP_EVENT_KEY_CONFIRMED:
        return KeyConfirmed(peer, event.local_index)
    if kind == _lib.WGFP_EVENT_KEY_AGED:
        return KeyAged(peer, event.local_index)
    assert kind == _lib.WGFP_EVENT_ENDPOINT_CHANGED
    return EndpointChanged(peer, endpoint_of(event.endpoint))


def c_endpoint(endpoint: Endpoint) -> Any:
    return _ffi.from_buffer("struct wgfp_endpoint *", pack_endpoint(endpoint))


def endpoint_of(endpoint: Any) -> Endpoint:
    return unpack_endpoint(bytes(_ffi.buffer(_ffi.addressof(endpoint))))


@lru_cache(_ENDPOINTS_REMEMBERED)
def pack_endpoint(endpoint: Endpoint) -> bytes:
    """The bytes of a struct wgfp_endpoint."""
    address, port, scope_id, local_address, local_interface = endpoint
    packed = _packed_address(address)
    local = _packed_address(local_address) if local_address else b""
    return _ENDPOINT.pack(packed, local, len(packed), port, scope_id, local_interface)


def unpack_endpoint(packed: bytes) -> Endpoint:
    """The endpoint that a struct wgfp_endpoint of an address holds."""
    address, local, size, port, scope_id, local_interface = _ENDPOINT.unpack(packed)
    return Endpoint(
        _address_text(address[:size]),
        port,
        scope_id,
        _address_text(local[:size]) if local != _NO_ADDRESS else "",
        local_interface,
    )


# IPv4 by hand: every message of a flood needs it, and no cache knows its source.


def _packed_address(text: str) -> bytes:
    return IPv6Address(text).packed if ":" in text else bytes(map(int, text.split(".")))


def _address_text(address: bytes) -> str:
    if len(address) != _IPV4_SIZE:
        return str(IPv6Address(address))
    first, second, third, fourth = address
    return f"{first}.{second}.{third}.{fourth}"
