"""What `wgpy mesh why` knows of ports: which are asked about, and which rule lets this node begin to them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from wgpy.address import Address
from wgpy.cli.errors import UsageError
from wgpy.cli.mesh import networks
from wgpy.cli.mesh.local_rules import read_local
from wgpy.mesh.member import Member
from wgpy.mesh.ports import ICMP, TCP, Ports, parse_ports
from wgpy.mesh.records import Rule
from wgpy.mesh.rules import Rules
from wgpy.mesh.selectors import KINDS, names_of, shown_rule
from wgpy.mesh.signing import VerifyKey

_WITH_PORTS: Final = re.compile(
    rf"(?P<name>(?:(?:{'|'.join(KINDS)}):)?(?:[^:\[\]]*\[[^\]]*\]|[^:\[\]]+)):(?P<ports>[^:]+)"
)
_PING: Final = Ports(ICMP)


@dataclass(frozen=True, slots=True)
class Permitted:
    """What rules let this node begin. rules: by ports, "" where none does; ping: whether one lets it ping."""

    rules: Mapping[Ports, str] = field(default_factory=dict)
    ping: bool = True

    @property
    def tcp_port(self) -> int | None:
        """The first port that can be tried, which is one of TCP that a rule is for."""
        tried = (ports.first for ports, rule in self.rules.items() if rule and ports.protocol == TCP)
        return next((port for port in tried if port), None)


def split(text: str) -> tuple[str, tuple[Ports, ...]]:
    """Return the name or address that is asked about, and its ports if there are any. Raises CommandError."""
    found = _WITH_PORTS.fullmatch(text)
    if found is None or found["name"] in KINDS:
        return text, ()
    try:
        return _bare(found["name"]), parse_ports(found["ports"])
    except ValueError as error:
        raise UsageError(str(error)) from None


def _bare(name: str) -> str:
    """Return an address of IPv6 without its brackets, which a host of a site keeps."""
    return name.strip("[]") if name.startswith("[") else name


def permitted(
    network: str, peer: VerifyKey, destination: Address | str, ports: tuple[Ports, ...], now: int
) -> Permitted:
    """Return what the rules in this node's files let it begin to an address of, or behind, a peer, or a site.

    destination: an address, or the name of a site of the peer; now: Unix seconds.
    """
    node = networks.node_file(network)
    if node is None:
        return Permitted()
    ledger, topology = read_local(network, node, now)
    local, other = topology.member(node.identity.verify_key()), topology.member(peer)
    if not topology.rules or local is None or other is None:
        return Permitted(dict.fromkeys(ports, "without any rule"))
    rules, names = Rules(topology), names_of(ledger.nodes(), topology)

    def told(each: Ports) -> str:
        rule = _rule(rules, local, other, destination, each)
        if rule is None:
            return ""
        selectors = shown_rule(rule, names, topology.ends).split(" ")
        return " ".join(["allow", *(selector.removeprefix("node:") for selector in selectors)])

    return Permitted({each: told(each) for each in ports}, bool(told(_PING)))


def _rule(
    rules: Rules, local: Member, other: Member, destination: Address | str, ports: Ports
) -> Rule | None:
    if isinstance(destination, str):
        return rules.to_site(local, other, destination, ports)
    return rules.to_address(local, other, destination, ports)
