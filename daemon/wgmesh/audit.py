"""The audit log's sentences. Pure."""

from wgpy.mesh.records import (
    AdminRecord,
    Approval,
    Departure,
    Network,
    Node,
    Record,
    Removal,
    Revocation,
    Rule,
    Token,
    Unknown,
)
from wgpy.mesh.signing import VerifyKey

from .transaction import Change

ADMINISTRATOR = "network key"


def author(record: Record | Unknown, names: dict[VerifyKey, str], network: VerifyKey) -> str:
    """Return who signed a record. names: of the nodes."""
    if isinstance(record, AdminRecord) or record.signer == network:
        return ADMINISTRATOR
    return names.get(record.signer, str(record.signer))


def sentence(change: Change, names: dict[VerifyKey, str]) -> str:
    """Return what a record changed. names: of the nodes."""
    match change.record:
        case Network(name=name):
            return f"network {name}"
        case Token(key=key, uses=uses, tags=tags):
            tagged = f" with tags {', '.join(tags)}" if tags else ""
            return f"token {_short(key)} for {_nodes(uses)}{tagged}"
        case Revocation(token=token, keep=keep):
            return f"revocation of token {_short(token)}, {_nodes(len(keep))} to stay"
        case Removal(identity=identity):
            return f"removal of {names.get(identity, identity)}"
        case Approval(identity=identity, routes=routes):
            return (
                f"approval of {', '.join(map(str, routes)) or 'nothing'} for {names.get(identity, identity)}"
            )
        case Rule(source=source, destination=destination, allowed=allowed):
            return f"rule {source} to {destination}" + ("" if allowed else " taken back")
        case Node() as node:
            return _node(node, change.before)
        case Departure(signer=signer):
            return f"departure of {names.get(signer, signer)}"
        case Unknown(type=kind, version=version):
            return f"{kind} (version {version}), which this coordinator does not know"
        case _:
            return change.key.kind


def _node(node: Node, before: Record | Unknown | None) -> str:
    if not isinstance(before, Node):
        return f"{node.name} joined with {node.address} by token {_short(node.token)}"
    changed = [
        name
        for name in ("name", "key", "address", "routes", "endpoints")
        if getattr(node, name) != getattr(before, name)
    ]
    was = f", which was {before.name}" if node.name != before.name else ""
    return f"{node.name}{was}, changed: {', '.join(changed) or 'nothing'}"


def _short(key: VerifyKey) -> str:
    return str(key)[:8]


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"
