"""The rules that lead to a routing table of a mesh's interface. Pure; ip-rule(8)

A rule of ours has our protocol number. What is not for the table goes on with the rule after ours, as if
there were none: the main table is the host's own, and what a full tunnel's rules say of it holds.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

# Who made a route or a rule, in its field for that. The kernel's header and iproute2's rt_protos leave 151
# free, and so do the routing daemons (FRR to 197, BIRD, Calico's 80, OVN's 84, Open/R's 99).
PROTOCOL: Final = "151"
MAIN_TABLE: Final = "254"
_LOCAL_TABLE: Final = "255"
_MAIN_PREFERENCE: Final = 32766  # Linux: of the rule that reads the main table
_TCP: Final = "ipproto-6"
# Keys of a rule that chooses nothing: it is for every packet.
_PLAIN: Final = {"priority", "src", "table", "protocol", "suppress_prefixlen", "suppress_ifgroup"}

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TableUse:
    """Who looks a table up: everybody without the mark.

    network: prefix of the mesh's own addresses; port: TCP, of a coordinator on this host, 0 for none. Its
    answers go past the table, unless they are for an address of the mesh.
    """

    table: int
    mark: int
    network: str
    port: int = 0


def rule_changes(found: Sequence[Json], use: TableUse) -> list[str]:
    """Return lines for `ip`: new rules first, so that the table is looked up meanwhile.

    found: what `ip -N -json rule` answers for one version of IP.
    """
    wanted = _wanted(found, use)
    present = [_text(rule) for rule in found if _is_own(rule, use.table, use.port)]
    return [
        *(f"rule add {rule}" for rule in wanted if rule not in present),
        *(f"rule delete {rule}" for rule in present if rule not in wanted),
    ]


def rule_removals(found: Sequence[Json], table: int, port: int) -> list[str]:
    """Return lines for `ip` that delete what `rule_changes` made."""
    return [f"rule delete {_text(rule)}" for rule in found if _is_own(rule, table, port)]


def _wanted(found: Sequence[Json], use: TableUse) -> list[str]:
    after, first = _place(found)
    own = max(after - 1, first)
    lookup = f"lookup {use.table} protocol {PROTOCOL}"
    rules = [f"preference {own} not fwmark {use.mark:#x} {lookup}"]
    if use.port:
        answers = f"ipproto tcp sport {use.port}"
        rules += [
            f"preference {max(own - 2, first)} to {use.network} {answers} {lookup}",
            f"preference {max(own - 1, first)} {answers} goto {after} protocol {PROTOCOL}",
        ]
    return rules


def _place(found: Sequence[Json]) -> tuple[int, int]:
    """Return the preferences of the rules that read the main table for every packet, and the local one."""
    local = next((rule["priority"] for rule in found if rule.get("table") == _LOCAL_TABLE), 0)
    mains = (
        rule["priority"] for rule in found if rule.get("table") == MAIN_TABLE and _is_for_every_packet(rule)
    )
    return next(mains, _MAIN_PREFERENCE), local


def _is_for_every_packet(rule: Json) -> bool:
    return rule.keys() <= _PLAIN and rule.get("src") == "all"


def _is_own(rule: Json, table: int, port: int) -> bool:
    """Whether a rule is of this table; one that goes past it names none, but the port."""
    if rule.get("protocol") != PROTOCOL:
        return False
    return rule.get("table") == str(table) or ("goto" in rule and rule.get("sport") == port != 0)


def _text(rule: Json) -> str:
    """Return a rule of ours as `ip` takes it, selectors in the order in which we write them."""
    return " ".join([f"preference {rule['priority']}", *_selectors(rule), f"protocol {PROTOCOL}"])


def _selectors(rule: Json) -> Iterator[str]:
    if "fwmark" in rule:
        yield f"{'not ' if 'not' in rule else ''}fwmark {rule['fwmark']}"
    if "dst" in rule:
        yield f"to {rule['dst']}/{rule.get('dstlen', 128 if ':' in rule['dst'] else 32)}"
    if rule.get("ipproto") == _TCP:
        yield "ipproto tcp"
    if "sport" in rule:
        yield f"sport {rule['sport']}"
    yield f"goto {rule['goto']}" if "goto" in rule else f"lookup {rule['table']}"
