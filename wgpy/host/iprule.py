"""The rules that lead to a routing table of a mesh's interface. Pure; ip-rule(8)

A rule of ours has our protocol number. What is not for the table goes on with the rule after ours, as if
there were none: the main table is the host's own, and what a full tunnel's rules say of it holds.

Of a network with an exit two rules follow: what the main table has a route for, its default routes left out,
and then a table of the exit's default routes. One network of a host has an exit, and those without one have
their rules before it. The first of the two leaves out a group of interfaces, too, which no interface is in:
its number is that of the exit's table, and says whose rule it is.

Clients may have an exit of their own, by the node that they enter by: one rule leads what comes by the mesh's
interface and the mesh's table has no route for to a table with that exit's default routes. Of what this host
sends itself nothing comes by an interface. What others reach by this host has an exception in that table.

On a host of a site the rules of its return route come first: for what bears an address of the site, and for
ICMP errors. Those are about packets of others, have no address until their way is found, and say nothing to
whom they reach past the gateway. The kernel looks up type and code of ICMP where it has the destination port
of other protocols (`union flowi_uli`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from wgpy.contract.lazy_dataclass import dataclass

# Who made a route or a rule, in its field for that. The kernel's header and iproute2's rt_protos leave 151
# free, and so do the routing daemons (FRR to 197, BIRD, Calico's 80, OVN's 84, Open/R's 99).
PROTOCOL: Final = "151"
MAIN_TABLE: Final = "254"
_LOCAL_TABLE: Final = "255"
_MAIN_PREFERENCE: Final = 32766  # Linux: of the rule that reads the main table
_PROTOCOLS: Final = {"ipproto-1": "icmp", "ipproto-6": "tcp", "ipproto-58": "ipv6-icmp"}
# Types and codes of errors, as ports: ICMP's 3, 11 and 12, and ICMPv6's 1 to 4.
_ICMP_ERRORS: Final = {
    4: ("ipproto icmp dport 768-1023", "ipproto icmp dport 2816-3327"),
    6: ("ipproto ipv6-icmp dport 256-1279",),
}
_GROUP: Final = "suppress_ifgroup"
# Keys of a rule that chooses nothing: it is for every packet.
_PLAIN: Final = {"priority", "src", "table", "protocol", "suppress_prefixlen", _GROUP}

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TableUse:
    """Who looks a table up: everybody without the mark.

    network: prefix of the mesh's own addresses; port: TCP, of a coordinator on this host, 0 for none. Its
    answers go past the table, unless they are for an address of the mesh; exit_table: that may have the
    default routes of an exit; is_exit: whether it is looked up; clients_table: that may have those of an exit
    of clients; entry: interface by which what comes looks that up, "" for none; return_table: that is looked
    up first for what comes from `sources`, prefixes of a site that the host is in.
    """

    table: int
    mark: int
    network: str
    port: int = 0
    exit_table: int = 0
    is_exit: bool = False
    clients_table: int = 0
    entry: str = ""
    return_table: int = 0
    sources: tuple[str, ...] = ()

    @property
    def tables(self) -> tuple[int, ...]:
        return self.table, self.exit_table, self.clients_table, self.return_table


def rule_changes(found: Sequence[Json], use: TableUse) -> list[str]:
    """Return lines for `ip`: new rules first, so that the table is looked up meanwhile.

    found: what `ip -N -json rule` answers for one version of IP.
    """
    wanted = _wanted(found, use)
    present = [_text(rule) for rule in found if _is_own(rule, use.port, use.tables)]
    return [
        *(f"rule add {rule}" for rule in wanted if rule not in present),
        *(f"rule delete {rule}" for rule in present if rule not in wanted),
    ]


def rule_removals(found: Sequence[Json], port: int, *tables: int) -> list[str]:
    """Return lines for `ip` that delete what `rule_changes` made. tables: of a network, or some of them."""
    return [f"rule delete {_text(rule)}" for rule in found if _is_own(rule, port, tables)]


def _wanted(found: Sequence[Json], use: TableUse) -> list[str]:
    main, local = _main(found), _local(found)
    after = main if use.is_exit else min([main, *_of_other_exits(found, use.exit_table)])
    rules = [*_rules(use, main), *(_exit_rules(use) if use.is_exit else ())]
    places = (max(after - distance, local) for distance in range(len(rules), 0, -1))
    return [f"preference {place} {rule}" for place, rule in zip(places, rules, strict=True)]


def _rules(use: TableUse, main: int) -> Iterator[str]:
    lookup = f"lookup {use.table} protocol {PROTOCOL}"
    if use.sources:
        yield from _return_rules(use, lookup)
    if use.port:
        answers = f"ipproto tcp sport {use.port}"
        yield f"to {use.network} {answers} {lookup}"
        yield f"{answers} goto {main} protocol {PROTOCOL}"
    yield f"not fwmark {use.mark:#x} {lookup}"
    if use.entry:
        yield f"iif {use.entry} lookup {use.clients_table} protocol {PROTOCOL}"


def _return_rules(use: TableUse, lookup: str) -> Iterator[str]:
    """What bears the node's own address in the mesh, errors too, is for the table of the mesh."""
    instead = f"lookup {use.return_table} protocol {PROTOCOL}"
    yield from (f"from {source} {instead}" for source in use.sources)
    yield f"from {use.network} {lookup}"
    yield from (f"{errors} {instead}" for errors in _ICMP_ERRORS[6 if ":" in use.network else 4])


def _exit_rules(use: TableUse) -> Iterator[str]:
    without_defaults = f"suppress_prefixlength 0 suppress_ifgroup {use.exit_table}"
    yield f"not fwmark {use.mark:#x} lookup {MAIN_TABLE} {without_defaults} protocol {PROTOCOL}"
    yield f"not fwmark {use.mark:#x} lookup {use.exit_table} protocol {PROTOCOL}"


def _local(found: Sequence[Json]) -> int:
    """Return the preference of the rule that reads the local table."""
    return next((rule["priority"] for rule in found if rule.get("table") == _LOCAL_TABLE), 0)


def _main(found: Sequence[Json]) -> int:
    """Return the preference of the rule that reads the main table for every packet."""
    mains = (
        rule["priority"] for rule in found if rule.get("table") == MAIN_TABLE and _is_for_every_packet(rule)
    )
    return next(mains, _MAIN_PREFERENCE)


def _of_other_exits(found: Sequence[Json], exit_table: int) -> Iterator[int]:
    """Give the preference of the first rule of each exit of another network."""
    for rule in found:
        if rule.get("protocol") == PROTOCOL and rule.get(_GROUP, str(exit_table)) != str(exit_table):
            yield rule["priority"]


def _is_for_every_packet(rule: Json) -> bool:
    return rule.keys() <= _PLAIN and rule.get("src") == "all"


def _is_own(rule: Json, port: int, tables: Iterable[int]) -> bool:
    """Whether a rule is of these tables; one that goes past them names none, but the port."""
    if rule.get("protocol") != PROTOCOL:
        return False
    is_past = "goto" in rule and rule.get("sport") == port != 0
    numbers = {str(table) for table in tables}
    return is_past or rule.get(_GROUP) in numbers or rule.get("table") in numbers


def _text(rule: Json) -> str:
    """Return a rule of ours as `ip` takes it, selectors in the order in which we write them."""
    return " ".join([f"preference {rule['priority']}", *_selectors(rule), f"protocol {PROTOCOL}"])


def _selectors(rule: Json) -> Iterator[str]:
    if rule.get("src", "all") != "all":
        yield f"from {rule['src']}/{rule.get('srclen', 128 if ':' in rule['src'] else 32)}"
    if "fwmark" in rule:
        yield f"{'not ' if 'not' in rule else ''}fwmark {rule['fwmark']}"
    if "iif" in rule:
        yield f"iif {rule['iif']}"
    if "dst" in rule:
        yield f"to {rule['dst']}/{rule.get('dstlen', 128 if ':' in rule['dst'] else 32)}"
    if "ipproto" in rule:
        yield f"ipproto {_PROTOCOLS.get(rule['ipproto'], rule['ipproto'])}"
    if "sport" in rule:
        yield f"sport {rule['sport']}"
    if "dport_start" in rule:
        yield f"dport {rule['dport_start']}-{rule['dport_end']}"
    yield f"goto {rule['goto']}" if "goto" in rule else f"lookup {rule['table']}"
    if "suppress_prefixlen" in rule:
        yield f"suppress_prefixlength {rule['suppress_prefixlen']}"
    if _GROUP in rule:
        yield f"suppress_ifgroup {rule[_GROUP]}"
