"""The rules of nft, as `nft -j` lists them, and what they do with a flow. Pure; libnftables-json(5)"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network
from typing import Any, Final, NamedTuple

from .verdict import DROP, Chain, Flow, Step

_VERDICTS: Final = {"accept": "accept", "drop": DROP, "reject": DROP, "return": "return"}
_BRANCHES: Final = ("jump", "goto")
_FAMILIES: Final = {4: ("ip", "inet"), 6: ("ip6", "inet")}
_PROTOCOLS: Final = {"ip": 4, "ip6": 6}
_NFPROTOS: Final = {4: "ipv4", 6: "ipv6"}
_TRANSPORTS: Final = ("tcp", "th")  # whose fields a flow has
_MARK: Final = 0

Json = Mapping[str, Any]


class Base(NamedTuple):
    """A base chain by which forwarded packets go. table: with its family."""

    table: str
    chain: str


class Owned(NamedTuple):
    """A rule with a comment of ours. pair: by which interfaces its packets come and leave."""

    table: str
    chain: str
    handle: int
    pair: tuple[str, str]


def bases(ruleset: Iterable[Json], version: int) -> list[Base]:
    """Return those for a version of IP. ruleset: the objects of `nft -j list ruleset`."""
    return [
        Base(f"{chain['family']} {chain['table']}", chain["name"])
        for chain in _all(ruleset, "chain")
        if chain.get("hook") == "forward" and chain["family"] in _FAMILIES[version]
    ]


def chains(ruleset: Iterable[Json], table: str, flow: Flow) -> Mapping[str, Chain]:
    """Return the chains of a table, as a flow passes them."""
    ruleset = list(ruleset)
    steps: dict[str, list[Step]] = {}
    for rule in _all(ruleset, "rule"):
        if f"{rule['family']} {rule['table']}" == table:
            steps.setdefault(rule["chain"], []).extend(_steps(rule, flow))
    return {
        chain["name"]: Chain(steps.get(chain["name"], ()), chain.get("policy", ""))
        for chain in _all(ruleset, "chain")
        if f"{chain['family']} {chain['table']}" == table
    }


def owned(ruleset: Iterable[Json], comment: str) -> list[Owned]:
    """Return the rules that have a comment."""
    return [
        Owned(f"{rule['family']} {rule['table']}", rule["chain"], rule["handle"], _pair(rule["expr"]))
        for rule in _all(ruleset, "rule")
        if rule.get("comment") == comment
    ]


def _pair(expressions: Sequence[Json]) -> tuple[str, str]:
    found = {
        meta.get("key"): expression["match"]["right"]
        for expression in expressions
        if (meta := expression.get("match", {}).get("left", {}).get("meta"))
    }
    return found.get("iifname", ""), found.get("oifname", "")


def _all(ruleset: Iterable[Json], kind: str) -> Iterator[Json]:
    return (entry[kind] for entry in ruleset if kind in entry)


def _steps(rule: Json, flow: Flow) -> Iterator[Step]:
    """Give what a rule does; a map of verdicts has several."""
    text = f"rule {rule['handle']} of chain {rule['chain']} in table {rule['family']} {rule['table']}"
    matches: bool | None = True
    for expression in rule["expr"]:
        ((kind, value),) = expression.items()
        if kind == "match":
            matches = _both(matches, _match(value, flow))
        elif kind == "vmap":
            yield from _mapped(value, matches, flow, text)
        elif kind == "xt":
            yield from _of_iptables(value, matches, text)
            matches = _both(matches, _matches_of_iptables(value))
        elif kind in _VERDICTS or kind in _BRANCHES:
            yield _step(kind, value, matches, text)


def _step(kind: str, value: Any, matches: bool | None, text: str) -> Step:
    target = value["target"] if kind in _BRANCHES else ""
    return Step(matches, _VERDICTS.get(kind, kind), target, text)


def _mapped(vmap: Json, matches: bool | None, flow: Flow, text: str) -> Iterator[Step]:
    elements = vmap["data"].get("set", ()) if isinstance(vmap["data"], dict) else ()
    if not elements:
        yield Step(None, "accept", "", text)  # by a map that has a name: any verdict
    for key, verdict in elements:
        ((kind, value),) = verdict.items()
        found = _match({"op": "==", "left": vmap["key"], "right": key}, flow)
        if kind in _VERDICTS or kind in _BRANCHES:
            yield _step(kind, value, _both(matches, found), text)


def _matches_of_iptables(xt: Json) -> bool | None:
    """An extension of iptables: nft does not say what it asks for."""
    return True if xt.get("type") == "target" or xt.get("name") == "comment" else None


def _of_iptables(xt: Json, matches: bool | None, text: str) -> Iterator[Step]:
    if xt.get("type") == "target" and xt.get("name") == "REJECT":
        yield Step(matches, DROP, "", text)


def _both(one: bool | None, other: bool | None) -> bool | None:
    """Return whether both hold, None if that cannot be told."""
    if one is False or other is False:
        return False
    return True if one and other else None


def _match(match: Json, flow: Flow) -> bool | None:
    found = _value(match["left"], flow)
    if isinstance(found, bool) or found is None:
        return found
    is_equal = _is_of(found, match["right"])
    return is_equal if match["op"] != "!=" or is_equal is None else not is_equal


def _value(left: Json, flow: Flow) -> Any:
    """Return what a flow has there; False if it has no such thing, None if that cannot be told."""
    ((kind, value),) = left.items()
    match kind, value:
        case "meta", {"key": "iifname" | "iif"}:
            return flow.arrives_by
        case "meta", {"key": "oifname" | "oif"}:
            return flow.leaves_by
        case "meta", {"key": "nfproto"}:
            return _NFPROTOS[flow.version]
        case "meta", {"key": "l4proto"}:
            return "tcp"
        case "ct", {"key": "state"}:
            return flow.state
        case "ct", {"key": "status"} if flow.state == "new":
            return ""  # no NAT, whose rules come later
        case "meta", {"key": "mark"}:
            return f"{_MARK}"
        case "&", [{"meta": {"key": "mark"}}, int()]:
            return f"{_MARK}"
        case "payload", {"protocol": ("ip" | "ip6") as protocol, **field}:
            return _address(flow, str(field.get("field"))) if flow.version == _PROTOCOLS[protocol] else False
        case "payload", {"protocol": protocol}:
            return None if protocol in _TRANSPORTS else False
    return None


def _address(flow: Flow, field: str) -> Any:
    return {"saddr": flow.source, "daddr": flow.destination}.get(field)


def _is_of(found: Any, right: Any) -> bool | None:
    """Return whether a value is the one on the right, or one of those there."""
    match right:
        case {"set": list() as members}:
            return _is_of(found, members)
        case list():
            answers = [_is_of(found, member) for member in right]
            return True if True in answers else None if None in answers else False
        case {"prefix": {"addr": str(address), "len": int(length)}}:
            return found in ip_network(f"{address}/{length}", strict=False)
        case {"range": [str(first), str(last)]} if not isinstance(found, str):
            return bool(ip_address(first) <= found <= ip_address(last))
        case str() if right.startswith("@"):
            return None
        case str() | int():
            return fnmatchcase(str(found), str(right)) if isinstance(found, str) else str(found) == right
    return None
