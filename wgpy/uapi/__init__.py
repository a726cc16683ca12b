"""The cross-platform configuration protocol (UAPI): the values of `wgpy.model` as text, in both directions.

Sans-IO but for `client`. Used by the daemon that serves it and by the commands that configure one.
https://www.wireguard.com/xplatform/
"""

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

__all__ = [
    "COUNTERS_REQUEST",
    "GET_REQUEST",
    "MAX_LINE_LENGTH",
    "MAX_REQUEST_LINES",
    "CountersRequest",
    "GetRequest",
    "Request",
    "RequestParser",
    "UapiError",
    "decode_counters",
    "decode_errno",
    "decode_status",
    "encode_counters",
    "encode_errno",
    "encode_set",
    "encode_status",
]
