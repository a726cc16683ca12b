"""The selectors of rules as people read them: a rule binds identities, and names are for people."""

from collections.abc import Iterable, Iterator, Mapping

from wgpy.mesh.records import Node, Rule, identity_of, node_selector
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.topology import Member

Names = Mapping[VerifyKey, str]  # each name once


def names_of(nodes: Iterable[Node], members: Iterable[Member]) -> Names:
    """Return the names of members, and those of other nodes that no member has."""
    names = {member.identity: member.name for member in members if member.name}
    taken: set[str] = set(names.values())
    for node in nodes:
        if node.signer not in names and node.name not in taken:
            names[node.signer] = node.name
            taken.add(node.name)
    return names


def shown(selector: str, names: Names) -> str:
    """Return a selector with a name instead of an identity, or the identity in base64 if it has no name."""
    identity = identity_of(selector)
    return selector if identity is None else f"node:{names.get(identity, str(identity))}"


def shown_rule(rule: Rule, names: Names) -> str:
    """Return both selectors of a rule for programs."""
    return f"{shown(rule.source, names)} {shown(rule.destination, names)}"


def rule_text(shown: str) -> str:
    """Return a rule, as `shown_rule` returns it, in the words of `wgpy mesh allow`."""
    return " to ".join(selector.removeprefix("node:") for selector in shown.split(" "))


def naming(rules: Iterable[Rule], identity: VerifyKey) -> Iterator[Rule]:
    """Give the rules that are for a node by its identity."""
    selector = node_selector(identity)
    return (rule for rule in rules if selector in (rule.source, rule.destination))


def naming_only_by_name(rules: Iterable[Rule], name: str) -> Iterator[Rule]:
    """Give the rules of older versions that are for whichever node has a name."""
    selector = f"node:{name}"
    is_name = identity_of(selector) is None
    return (rule for rule in rules if is_name and selector in (rule.source, rule.destination))
