"""The kinds of records that are published in a network: one file a kind, with all that is special to it.

A new kind is a file here that ends with its KIND, and its tests. The registry finds it, and the code that
decodes, keeps, spreads or describes records depends on KIND alone.
"""

from .approval import Approval
from .base import (
    MAX_ITEMS,
    NAME,
    AdminRecord,
    Audience,
    Author,
    Kind,
    NameOf,
    Record,
    RecordInvalid,
    network_id,
)
from .client import Client, Ingress, client_key_of, client_selector
from .departure import Departure
from .network import Network
from .node import Node, admission, admit
from .paths import Paths, RegisteredRelay
from .registry import KINDS, RecordKey, decode, describe, encode, kind_of, record_key
from .relay import Relay
from .removal import Removal
from .revocation import Revocation
from .rule import Rule, identity_of, is_by_name, node_selector
from .scope import ANY, End, Scope, scope_selector
from .sites import AnnouncedSite, Sites
from .tags import Tags
from .token import Token
from .unknown import UNKNOWN, Unknown
from .zone_approval import ZoneApproval

__all__ = [
    "ANY", "KINDS", "MAX_ITEMS", "NAME", "UNKNOWN", "AdminRecord", "AnnouncedSite", "Approval",
    "Audience", "Author", "Client", "Departure", "End", "Ingress", "Kind", "NameOf", "Network", "Node",
    "Paths", "Record", "RecordInvalid", "RecordKey", "RegisteredRelay", "Relay", "Removal", "Revocation",
    "Rule", "Scope", "Sites", "Tags", "Token", "Unknown", "ZoneApproval", "admission", "admit",
    "client_key_of", "client_selector", "decode", "describe", "encode", "identity_of", "is_by_name",
    "kind_of", "network_id", "node_selector", "record_key", "scope_selector",
]  # fmt: skip
