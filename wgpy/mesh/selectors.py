"""The selectors of rules as people read and write them: a rule binds identities, and names are for people."""

import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import Final

from wgpy.address import Prefix
from wgpy.keys import PublicKey
from wgpy.mesh.links import Ends, selector_of
from wgpy.mesh.ports import parse_ports
from wgpy.mesh.records import (
    ANY,
    NAME,
    End,
    Node,
    Rule,
    client_key_of,
    client_selector,
    identity_of,
    node_selector,
)
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.topology import Topology

Names = Mapping[VerifyKey | PublicKey, str]  # of nodes by their identities, of clients by their keys

KINDS: Final = ("node", "tag", "site", "client")  # of selectors
_NO_ENDS: Final[Ends] = {}
_IDENTITY: Final = re.compile(r"[A-Za-z0-9+/]{43}=")
_END: Final = re.compile(
    rf"(?:(?P<kind>{'|'.join(KINDS)}):)?(?P<name>{_IDENTITY.pattern}|{NAME.pattern})"
    r"(?:/(?:\[(?P<prefix6>[^\]]*)\]|(?P<prefix>[^:\[\]]*)))?(?::(?P<ports>.*))?"
)
_WITH: Final = "with or without ports as in web1:5432/tcp"


def names_of(nodes: Iterable[Node], topology: Topology) -> Names:
    """Return the names of members and clients, and those of other nodes that none of these has. Each once."""
    names: dict[VerifyKey | PublicKey, str] = {client.key: client.name for client in topology.clients}
    names |= {member.identity: member.name for member in topology.members if member.name}
    taken: set[str] = set(names.values())
    for node in nodes:
        if node.signer not in names and node.name not in taken:
            names[node.signer] = node.name
            taken.add(node.name)
    return names


def parse_end(text: str) -> End:
    """Read one side of a rule as `wgpy mesh allow` takes it; a node may have a name there, or its identity.

    Raises ValueError with a sentence.
    """
    if (found := _END.fullmatch(text)) is None:
        raise ValueError(f"`{text}` is neither a node's name nor tag:NAME nor any, {_WITH}")
    prefix = found["prefix6"] or found["prefix"]
    ports = parse_ports(found["ports"]) if found["ports"] is not None else ()
    prefixes = (_prefix(prefix),) if prefix is not None else ()
    if (found["kind"], found["name"]) == (None, ANY):
        return End(ANY, prefixes, ports)
    return End(_selector(found["kind"] or ("site" if prefixes else "node"), found["name"]), prefixes, ports)


def _selector(kind: str, name: str) -> str:
    if not _IDENTITY.fullmatch(name):
        return f"{kind}:{name}"
    if kind == "client":
        return client_selector(PublicKey.from_base64(name))
    return node_selector(VerifyKey.from_base64(name))


def _prefix(text: str) -> Prefix:
    try:
        found = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            f"`{text}` is no prefix of a site: want such as 192.168.1.10 or 192.168.1.0/28"
        ) from None
    if found.network_address != ip_address(text.partition("/")[0]):
        raise ValueError(f"`{text}` has bits behind its length: {found} is the prefix")
    return found


def shown(selector: str, names: Names, ends: Ends = _NO_ENDS) -> str:
    """Return a selector with a name instead of an identity or a key, or that in base64 if it has no name.

    ends: what the selectors of scopes stand for.
    """
    if end := ends.get(selector):
        return end.text.replace(end.selector, shown(end.selector, names), 1)
    if client := client_key_of(selector):
        return f"client:{names.get(client, str(client))}"
    identity = identity_of(selector)
    return selector if identity is None else f"node:{names.get(identity, str(identity))}"


def shown_rule(rule: Rule, names: Names, ends: Ends = _NO_ENDS) -> str:
    """Return both selectors of a rule for programs. ends: what those of scopes stand for."""
    return f"{shown(rule.source, names, ends)} {shown(rule.destination, names, ends)}"


def rule_text(shown: str) -> str:
    """Return a rule, as `shown_rule` returns it, in the words of `wgpy mesh allow`."""
    return " to ".join(selector.removeprefix("node:") for selector in shown.split(" "))


def naming(rules: Iterable[Rule], identity: VerifyKey, ends: Ends = _NO_ENDS) -> Iterator[Rule]:
    """Give the rules that are for a node by its identity. ends: what the selectors of scopes stand for."""
    selector = node_selector(identity)
    return (
        rule
        for rule in rules
        if selector in (selector_of(rule.source, ends), selector_of(rule.destination, ends))
    )


def naming_only_by_name(rules: Iterable[Rule], name: str) -> Iterator[Rule]:
    """Give the rules of older versions that are for whichever node has a name."""
    selector = f"node:{name}"
    is_name = identity_of(selector) is None
    return (rule for rule in rules if is_name and selector in (rule.source, rule.destination))
