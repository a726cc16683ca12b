"""The cross-platform configuration protocol (UAPI): the values of `wgpy.model` as text, in both directions.

Used by the daemon that serves it and by the commands that configure one. Sans-IO but for the clients, which
talk to any implementation's socket, and are loaded when they are first used: `get`, `set_` and `handshakes`
block, those of `aio` are for asyncio. https://www.wireguard.com/xplatform/
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .answers import (
    decode_counters,
    decode_errno,
    decode_status,
    encode_counters,
    encode_errno,
    encode_status,
)
from .errors import UapiError
from .requests import (
    COUNTERS_REQUEST,
    GET_REQUEST,
    MAX_LINE_LENGTH,
    MAX_REQUEST_LINES,
    CountersRequest,
    GetRequest,
    Request,
    RequestParser,
    encode_set,
)

if TYPE_CHECKING:
    from . import aio as aio
    from .client import InterfaceError as InterfaceError
    from .client import NoSuchInterfaceError as NoSuchInterfaceError
    from .client import counters as counters
    from .client import get as get
    from .client import handshakes as handshakes
    from .client import interfaces as interfaces
    from .client import set_ as set_

_OF_CLIENT = (
    "InterfaceError",
    "NoSuchInterfaceError",
    "counters",
    "get",
    "handshakes",
    "interfaces",
    "set_",
)

__all__ = [  # noqa: PLE0604 - all are strings
    "COUNTERS_REQUEST",
    "GET_REQUEST",
    "MAX_LINE_LENGTH",
    "MAX_REQUEST_LINES",
    "CountersRequest",
    "GetRequest",
    "Request",
    "RequestParser",
    "UapiError",
    "aio",
    "decode_counters",
    "decode_errno",
    "decode_status",
    "encode_counters",
    "encode_errno",
    "encode_set",
    "encode_status",
    *_OF_CLIENT,
]


def __getattr__(name: str) -> object:
    """Load a client when it is first used. PEP 562."""
    if name == "aio":
        return import_module("wgpy.uapi.aio")
    if name in _OF_CLIENT:
        return getattr(import_module("wgpy.uapi.client"), name)
    raise AttributeError(f"module 'wgpy.uapi' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
