"""A host behind an access network of each kind that the table of expectation names, in one public network."""

from typing import Final

from tests.integration.hosts import Host, add_addresses
from tests.integration.internet import Internet, add_bridge, attach, forward_nothing
from tests.integration.meshlab import Node
from tests.integration.topologies import masquerade, put_nat, translate_ipv6

NAMES: Final = {
    "public": "public",
    "full cone": "cone",
    "address-restricted": "address",
    "port-restricted": "port",
    "Linux": "linux",
    "Linux, input open": "open",
    "carrier-grade": "carried",
    "firewall": "walled",
    "counting": "counting",
    "random": "random",
    "IPv6 only": "six",
    "both versions": "dual",
    "UDP blocked": "blocked",
    "NAT64": "sixfour",
}
_NATS: Final = {
    "full cone": "FULL_CONE",
    "address-restricted": "ADDRESS_RESTRICTED",
    "port-restricted": "PORT_RESTRICTED",
    "counting": "SYMMETRIC_COUNTING",
    "random": "SYMMETRIC_RANDOM",
    "both versions": "PORT_RESTRICTED",
}


def stand(net: Internet, kind: str, number: int, copy: int = 0) -> Node:
    """Power on a host behind a network of a kind. number: of its own, below 100; copy: 0 for the first."""
    name = f"{NAMES[kind]}{copy or ''}"
    match kind:
        case "public":
            return net.public(name, number)
        case "Linux":
            return net.behind_nat(name, number)[0]
        case "carrier-grade":
            return behind_carrier(net, add_carrier(net, number, "PORT_RESTRICTED"), name, number)
        case "Linux, input open":
            node, router = net.behind_router(name, number)
            masquerade(router, "wan", 120)
            return node
        case "firewall":
            node = net.public(name, number)
            admit_answers(node.host)
            return node
        case "IPv6 only":
            return _with_ipv6(net, net.lab.host(name), number)
        case "NAT64":
            return put_behind_nat64(net, net.lab.host(name), number)
        case "UDP blocked":
            node, router = net.behind_nat(name, number)
            forward_nothing(router, "ip protocol udp")
            return node
        case _:
            node, router = net.behind_router(name, number)
            put_nat(router, "wan", f"192.168.{number}.0/24", f"203.0.113.{100 + number}", _NATS[kind])
            if kind == "both versions":
                _with_ipv6(net, node.host, number)
            return node


def stand_with_neighbour(net: Internet, kind: str, number: int, copy: int = 0) -> tuple[Node, ...]:
    """The same, and of kinds where that matters another host behind the same NAT."""
    name = f"{NAMES[kind]}{copy or ''}"
    match kind:
        case "Linux":
            node, router = net.behind_nat(name, number)
            return node, net.inside(f"{name}-beside", router, number, 3)
        case "carrier-grade":
            carrier = add_carrier(net, number, "PORT_RESTRICTED+hairpin")
            ends = (name, number), (f"{name}-near", number + 100)
            return tuple(behind_carrier(net, carrier, *end) for end in ends)
        case _:
            return (stand(net, kind, number, copy),)


def add_carrier(net: Internet, number: int, kind: str) -> Host:
    """Return a carrier's NAT, to which homes are connected. kind: as in `put_nat`."""
    carrier = net.lab.host(f"carrier{number}")
    net.plug(carrier, "wan", number)
    add_bridge(carrier, "lan")
    add_addresses(carrier, "lan", "100.64.0.1/16")
    put_nat(carrier, "wan", "100.64.0.0/16", f"203.0.113.{100 + number}", kind)
    return carrier


def behind_carrier(net: Internet, carrier: Host, name: str, number: int) -> Node:
    """Return a host behind a router of its own, which translates as Linux does, behind a carrier's NAT."""

    def plug(router: Host, card: str, number: int) -> str:
        attach(router, card, carrier, "lan")
        add_addresses(router, card, f"100.64.0.{number}/16")
        router.run("ip", "route", "add", "default", "via", "100.64.0.1")
        return ""

    return net.behind_nat(name, number, plug)[0]


def admit_answers(host: Host) -> None:
    """Have a firewall on the host itself that lets nothing in but what answers."""
    rules = (
        "type filter hook input priority 0; ct state established,related accept;"
        "iifname eth* meta l4proto { tcp, udp } drop;"
    )
    host.run("nft", f"add table inet wall {{ chain in {{ {rules} }}; }}")


def _with_ipv6(net: Internet, host: Host, number: int) -> Node:
    """Give a host IPv6 that lets nothing in but what answers, beside what else it has."""
    address = net.plug6(host, "eth6", number)
    admit_answers(host)
    return Node(host.name, host, address, address)


def put_behind_nat64(net: Internet, host: Host, number: int) -> Node:
    """Give a host IPv6 alone, as above, and a NAT64 beside it."""
    box = net.lab.host(f"{host.name}-64")
    net.plug(box, "wan", number)
    address = net.plug6(box, "wan6", 100 + number)
    box.run(
        "nft", "add table ip shut; add chain ip shut in { type filter hook input priority 0; policy drop; }"
    )
    translate_ipv6(box, "wan", address)
    host.write("/etc/resolv.conf", f"nameserver {address}\n")
    node = _with_ipv6(net, host, number)
    host.run("ip", "route", "add", "default", "via", address)
    return node
