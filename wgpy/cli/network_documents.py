"""What `--json` prints of a whole network: of its nodes, tokens, rules and clients; as in `documents`."""

from typing import TypedDict

from wgpy.cli.documents import Dependents
from wgpy.node.agent_client import Site


class NodeRow(TypedDict):
    """key: for WireGuard; address6: None if it is no member; exclusion: why it is none, ""; connected:
    whether to the coordinator; heard: when it last was, Unix seconds, 0 for never; seen: the address that
    the coordinator sees; cloned: whether several hosts have the identity; admitted: Unix seconds; token:
    that admitted it; routes: that it announces and may; requested: that it may not yet.
    """

    name: str
    identity: str
    key: str
    address: str
    address6: str | None
    member: bool
    exclusion: str
    connected: bool
    heard: int
    seen: str
    cloned: bool
    admitted: int
    token: str
    tags: list[str]
    routes: list[str]
    requested: list[str]
    endpoints: list[str]


class Nodes(TypedDict):
    """nodes: members first."""

    nodes: list[NodeRow]


class TokenFields(TypedDict):
    """key: by which `revoke` knows it; expires: Unix seconds; uses: hosts that it admits; lifetime: seconds
    that each is a member for, 0 for ever; tags, routes: of its nodes.
    """

    key: str
    expires: int
    uses: int
    lifetime: int
    tags: list[str]
    routes: list[str]


class NewToken(TokenFields):
    """token: a secret; relay: whether its nodes are relays."""

    token: str
    relay: bool


class TokenRow(TokenFields):
    """state: valid, revoked, expired or used up; used: hosts that it admitted; relay: whether these are
    relays.
    """

    state: str
    used: int
    relay: bool


class Tokens(TypedDict):
    """tokens: the newest last."""

    tokens: list[TokenRow]


class Revoked(Dependents):
    """revoked: the token's key; kept: identities of nodes that it admitted, and which stay."""

    revoked: str
    kept: list[str]


class Removed(Dependents):
    """removed: name of the node; token: that admitted it; open: whether that still admits hosts; rules: for
    the node.
    """

    removed: str
    identity: str
    token: str
    open: bool
    rules: list[str]


class ApprovedNode(TypedDict):
    """Of a node. approved: prefixes; zones: of its sites; routes: that the others use; requested: that they
    do not.
    """

    node: str
    approved: list[str]
    zones: list[str]
    routes: list[str]
    requested: list[str]
    sites: list[Site]


class ChangedRule(TypedDict):
    """rule: SOURCE DESTINATION; concerns: whether it concerns the node now."""

    rule: str
    concerns: bool


class Tagged(TypedDict):
    """tags: all that the node has; rules: that this is a change for."""

    node: str
    identity: str
    tags: list[str]
    rules: list[ChangedRule]


class Allowed(TypedDict):
    """allowed: the rule, SOURCE DESTINATION; rules: all."""

    allowed: str
    rules: list[str]


class Disallowed(TypedDict):
    """disallowed: the rule, SOURCE DESTINATION; rules: those that are left."""

    disallowed: str
    rules: list[str]


class DryRun(TypedDict):
    """would_lose: by node, to whom it could no longer begin; would_keep_only: by node and other node, to
    which ports alone; would_be_cut_off: nodes that no rule would join with any; clients_would_keep_only: by
    client, to what alone.
    """

    would_lose: dict[str, list[str]]
    would_keep_only: dict[str, dict[str, str]]
    would_be_cut_off: list[str]
    clients_would_keep_only: dict[str, list[str]]


class NewFile(TypedDict):
    """gateway: name of the node; address, address6: of the client there; paths: of files that were written;
    text: of the file, with the private key if that was made here.
    """

    gateway: str
    address: str
    address6: str
    endpoint: str
    paths: list[str]
    text: str


class NewClient(TypedDict):
    """client: its name; to: destinations of its own; expires: Unix seconds, 0 for never; files: one a
    gateway.
    """

    client: str
    key: str
    to: list[str]
    expires: int
    files: list[NewFile]


class ClientGateway(TypedDict):
    """address, address6: of the client there; endpoint: of the node, in the client's file."""

    name: str
    identity: str
    address: str
    address6: str
    endpoint: str


class ClientRow(TypedDict):
    """exclusion: why it is not in force, ""; expires: Unix seconds, 0 for never; to: destinations of its
    own.
    """

    name: str
    key: str
    in_force: bool
    exclusion: str
    expires: int
    to: list[str]
    gateways: list[ClientGateway]


class ShownClient(ClientRow):
    """changed: sentences, what is so no longer since its file was made."""

    changed: list[str]


class ClientList(TypedDict):
    clients: list[ClientRow]


class RemovedClient(TypedDict):
    """removed: its name; rules: for it."""

    removed: str
    key: str
    rules: list[str]


class RelayFields(TypedDict):
    """endpoints: that it publishes."""

    name: str
    identity: str
    address: str
    endpoints: list[str]


class RemovedRelay(RelayFields):
    """left: names of relays that are left."""

    left: list[str]


class Relays(TypedDict):
    relays: list[RelayFields]


# time: Unix seconds; who: name or identity of the author; from: address
AuditEntry = TypedDict("AuditEntry", {"time": int, "who": str, "what": str, "from": str})


class Audit(TypedDict):
    """entries: the newest last, each with its time (Unix seconds), author (who), change (what) and source
    (from).
    """

    entries: list[AuditEntry]


class ApprovedSites(TypedDict):
    """Of a site. sites: by each of its gateways."""

    sites: list[Site]
