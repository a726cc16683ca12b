"""How each proxy of the rows is started: with a tunnel to a host whose server its clients are to reach.

left eth0 203.0.113.10 ──┬── net ──┬── eth0 203.0.113.20 right
clients and the proxy    │         │             the server
                   Tailscale's control and relay, for its nodes alone

The right end of Tailscale's is a node of Tailscale with an interface, that of the others wgpyd.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.nat.tailscale import PATHS, Tailscale
from benchmarks.rows.rootless import write_tunnel
from benchmarks.suite.namespaces import INSIDE, INTERFACE, MTU, PORT
from benchmarks.suite.rounds import Turn
from tests.integration.hosts import Host, HostProcess, add_addresses, eventually
from tests.integration.internet import Internet
from tests.integration.meshlab import Node, program
from tests.integration.ordinaryuser import start_as_user
from tests.integration.peers import key_pair, wait_until_listening

SERVER: Final = 7000  # its port
PROXY: Final = 1080
FORWARD: Final = 1081
_JOINING: Final = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Served:
    """A proxy that serves clients of the left host.

    way: what its clients say of it, as `load.c` wants it; forward: the same for a port that leads to the
    server, None if it has none.
    """

    left: Host
    right: Host
    proxy: HostProcess
    way: tuple[str, str]
    forward: tuple[str, str] | None


def serve(turn: Turn) -> Served:
    """Start a proxy and its tunnel. Raises AssertionError."""
    net = Internet.build(turn.lab)
    return _SERVE[turn.implementation.name](turn, net)


def _wgpy(turn: Turn, net: Internet) -> Served:
    left, right = net.public("left", 10), net.public("right", 20)
    private, public = key_pair()
    key = _serve_tunnel(turn, right, public)
    path = write_tunnel(left.host, private, INSIDE[0], key, right.outside)
    (wgpy,) = turn.implementation.command
    server = f"{INSIDE[1]}:{SERVER}"
    proxy = start_as_user(
        left.host, wgpy, "proxy", path, "--forward", f"127.0.0.1:{FORWARD}={server}",
        "--socks5", f"127.0.0.1:{PROXY}",
    )  # fmt: skip
    return _served(turn, left, right, proxy, server, (str(FORWARD), "-"))


def _onetun(turn: Turn, net: Internet) -> Served:
    left, right = net.public("left", 10), net.public("right", 20)
    private, public = key_pair()
    (onetun,) = turn.implementation.command
    proxy = left.host.start(
        onetun, f"127.0.0.1:{PROXY}:{INSIDE[1]}:{SERVER}", "--endpoint-addr", f"{right.outside}:{PORT}",
        "--endpoint-public-key", _serve_tunnel(turn, right, public), "--private-key", private,
        "--source-peer-ip", INSIDE[0], "--max-transmission-unit", str(MTU),
    )  # fmt: skip
    return _served(turn, left, right, proxy, "-", (str(PROXY), "-"))


def _tailscale(turn: Turn, net: Internet) -> Served:
    userspace, daemon, lab = turn.implementation.command
    hub, relay = net.public("hub", 2), net.public("relay", 3)
    left, right = net.public("left", 10), net.public("right", 20)
    mesh = Tailscale(daemon, lab)
    mesh.found(hub, [relay])
    proxy = left.host.start(
        userspace, *PATHS, "--tun=userspace-networking", f"--socks5-server=127.0.0.1:{PROXY}"
    )
    mesh.enter(left)
    mesh.join(right)
    eventually(lambda: mesh.is_ready(left, [right]), "both are nodes", _JOINING)
    return _served(turn, left, right, proxy, f"{mesh.address(right)}:{SERVER}")


_SERVE: Final[Mapping[str, Callable[[Turn, Internet], Served]]] = {
    "wgpy-proxy": _wgpy,
    "onetun": _onetun,
    "tailscaled-socks5": _tailscale,
}


def _serve_tunnel(turn: Turn, right: Node, peer: str) -> str:
    """Start the right end of a tunnel; return its public key. peer: that of the left end."""
    private, public = key_pair()
    host = right.host
    daemon = host.start(program("wgpyd"), "-f", INTERFACE)
    turn.daemons.append(daemon)
    wait_until_listening(host, INTERFACE, daemon)
    host.run(
        "wg", "set", INTERFACE, "listen-port", str(PORT), "private-key",
        host.write("/run/private.key", private), "peer", peer, "allowed-ips", INSIDE[0],
    )  # fmt: skip
    add_addresses(host, INTERFACE, f"{INSIDE[1]}/24")
    host.run("ip", "link", "set", INTERFACE, "mtu", str(MTU), "up")
    return public


def _served(
    turn: Turn,
    left: Node,
    right: Node,
    proxy: HostProcess,
    server: str,
    forward: tuple[str, str] | None = None,
) -> Served:
    turn.daemons.append(proxy)
    listens = ("ss", "-Hltn", f"sport = :{PROXY}")
    eventually(lambda: not proxy.is_running() or left.host.run(*listens) != "", "the proxy listens")
    return Served(left.host, right.host, proxy, (str(PROXY), server), forward)
