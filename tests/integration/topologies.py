"""Networks that several chapters use, from powered-off to two WireGuard interfaces that know each other."""

import sys
from dataclasses import dataclass

from tests.integration import natbox
from tests.integration.hosts import Host, HostProcess, Lab, Machine, add_addresses, connect, eventually
from tests.integration.peers import PORT, Implementation, Peer

LEFT_INSIDE = ("10.20.0.1/24", "fd20::1/64")
NAT64_PREFIX = "2001:db8:64:ff9b::"  # of 96 bits
RIGHT_INSIDE = ("10.20.0.2/24", "fd20::2/64")


def endpoint(address: str, port: int = PORT) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


@dataclass(slots=True)
class Pair:
    """Two peers on one wire.

    left                                        right
    wg0   10.20.0.1/24 fd20::1/64               wg0   10.20.0.2/24 fd20::2/64
    eth0  10.10.0.1/24 fd10::1/64  ───────────  eth0  10.10.0.2/24 fd10::2/64
    """

    left: Peer
    right: Peer

    @classmethod
    def build(cls, lab: Lab, left: Implementation, right: Implementation) -> "Pair":
        """Power on both, lay the wire and create the interfaces, which do not know each other yet."""
        machines = left.machine(lab, "left"), right.machine(lab, "right")
        connect(machines[0], "eth0", machines[1], "eth0")
        add_addresses(machines[0], "eth0", "10.10.0.1/24", "fd10::1/64")
        add_addresses(machines[1], "eth0", "10.10.0.2/24", "fd10::2/64")
        pair = cls(Peer(left, machines[0], LEFT_INSIDE), Peer(right, machines[1], RIGHT_INSIDE))
        pair.left.up()
        pair.right.up()
        return pair

    def introduce(self, outside: int = 4, psk: str = "") -> None:
        """Make them peers of each other; either can begin, over IPv4 or IPv6."""
        left, right = ("10.10.0.1", "10.10.0.2") if outside == 4 else ("fd10::1", "fd10::2")
        self.left.introduce(self.right, endpoint(right), psk)
        self.right.introduce(self.left, endpoint(left), psk)

    def counters_agree(self) -> bool:
        """Return whether each side received exactly what the other sent."""
        left, right = self.left.traffic(self.right), self.right.traffic(self.left)
        return (left.sent, left.received) == (right.received, right.sent)


@dataclass(slots=True)
class BehindNAT:
    """A peer behind a router that translates addresses, and one outside that cannot begin.

    hidden                   router                                      outside
    wg0 10.20.0.1/24                                                     wg0 10.20.0.2/24
    eth0 192.168.1.2/24 ──── lan 192.168.1.1/24 │ wan 10.10.0.1/24 ──── eth0 10.10.0.2/24
                                          masquerade
    """

    hidden: Peer
    outside: Peer
    router: Host

    @classmethod
    def build(
        cls, lab: Lab, hidden: Implementation, outside: Implementation, *, mapping_seconds: int
    ) -> "BehindNAT":
        """Build it; the router forgets a UDP mapping after `mapping_seconds` of silence."""
        machines = hidden.machine(lab, "hidden"), outside.machine(lab, "outside")
        router = lab.host("router")
        connect(machines[0], "eth0", router, "lan")
        connect(router, "wan", machines[1], "eth0")
        add_addresses(machines[0], "eth0", "192.168.1.2/24")
        add_addresses(router, "lan", "192.168.1.1/24")
        add_addresses(router, "wan", "10.10.0.1/24")
        add_addresses(machines[1], "eth0", "10.10.0.2/24")
        machines[0].run("ip", "route", "add", "default", "via", "192.168.1.1")
        masquerade(router, "wan", mapping_seconds)
        peers = Peer(hidden, machines[0], LEFT_INSIDE), Peer(outside, machines[1], RIGHT_INSIDE)
        for peer in peers:
            peer.up()
        return cls(*peers, router)


def masquerade(router: Host, wan: str, mapping_seconds: int) -> None:
    """Translate what leaves by `wan`."""
    timeouts = [f"net.netfilter.nf_conntrack_udp_timeout{kind}={mapping_seconds}" for kind in ("", "_stream")]
    chain = "{ type nat hook postrouting priority 100; }"
    router.run(
        "nft", f"add table ip nat; add chain ip nat out {chain}; add rule ip nat out oifname {wan} masquerade"
    )
    router.run("sysctl", "-qw", "net.ipv4.ip_forward=1", *timeouts)


def translate_ipv6(router: Host, wan: str, address: str) -> None:
    """Be a NAT64 and the name server that says so, for hosts with IPv6 alone.

    wan: the card towards IPv4, with as much of a NAT as Linux is; address: the router's, of IPv6. tayga gives
    each host an address of its own, which the router masquerades; by the well-known prefix it refuses
    addresses that are for examples.
    """
    text = (
        "tun-device nat64\nipv4-addr 192.168.64.1\ndynamic-pool 192.168.64.0/24\n"
        f"ipv6-addr fd64::64\nprefix {NAT64_PREFIX}/96\n"
    )
    file = router.write("/run/tayga.conf", text)
    router.run("tayga", "--config", file, "--mktun")
    router.run("ip", "link", "set", "nat64", "up")
    router.run("ip", "route", "add", "192.168.64.0/24", "dev", "nat64")
    router.run("ip", "route", "add", f"{NAT64_PREFIX}/96", "dev", "nat64")
    masquerade(router, wan, 120)
    router.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
    router.start("tayga", "--config", file, "--nodetach")
    options = "-k", "--no-resolv", "--no-hosts", "--user=root", "--pid-file=/run/dnsmasq.pid"
    name = f"--host-record=ipv4only.arpa,192.0.0.170,{NAT64_PREFIX}c000:aa"
    router.start("dnsmasq", *options, f"--listen-address={address}", name)


def move(machine: Machine, card: str, old: str, new: str) -> None:
    """Replace a network card's address."""
    machine.run("ip", "address", "delete", old, "dev", card)
    add_addresses(machine, card, new)


def put_nat(router: Host, wan: str, inside: str, address: str, kind: str, lifetime: int = 120) -> HostProcess:
    """Have a router translate what comes from a network, as a NAT of a kind does that Linux is not.

    inside: the network; address: the NAT's, in the network of the card `wan`, and none of the router's; kind:
    the name of one in wgpy.testing.nat, perhaps with "+hairpin"; lifetime: seconds, of flows that were
    answered. UDP goes by natbox.py, all else by nftables.
    """
    router.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    unanswered = min(30, lifetime)
    box = router.start(sys.executable, natbox.__file__, inside, address, kind, str(unanswered), str(lifetime))
    eventually(lambda: router.attempt("ip", "link", "show", natbox.TUN).status == 0, "the NAT's TUN is there")
    router.run("ip", "link", "set", natbox.TUN, "mtu", "1500", "up")
    router.run("ip", "route", "add", f"{address}/32", "dev", natbox.TUN)
    router.run("ip", "neighbour", "add", "proxy", address, "dev", wan)
    router.run("ip", "route", "add", "default", "dev", natbox.TUN, "table", "100")
    for within in (("from", inside), ("to", f"{address}/32")):
        router.run("ip", "rule", "add", *within, "ipproto", "udp", "table", "100")
    router.run("ip", "rule", "add", "priority", "1", "iif", natbox.TUN, "table", "main")
    router.run(
        "nft",
        "add table ip nat; add chain ip nat out { type nat hook postrouting priority 100; };"
        f"add rule ip nat out oifname {wan} ip saddr {inside} meta l4proto != udp snat to {address}",
    )
    return box
