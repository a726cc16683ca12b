"""Hosts in several networks, as they are found in the world, and `wgpy mesh` on each of them.

Who stands in a cloud has a public address. Who stands in an office or at an edge site has one that means
nothing outside, behind a router that translates addresses and lets one UDP port in. `meshdrawing` shows it.
"""

import json
import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

from tests.documents import checked as checked_document
from tests.integration.commands import run_wgpy
from tests.integration.exchange import assert_tcp_arrives_whole
from tests.integration.hosts import (
    CommandFailed,
    Host,
    HostProcess,
    Lab,
    Result,
    add_addresses,
    checked,
    connect,
    eventually,
)
from tests.integration.topologies import masquerade
from wgpy.mesh import codec
from wgpy.node.agent_client import Status, socket_path
from wgpy.node.files import COORDINATORS, NODES

NETWORK = "lab"
PORT = 51820  # UDP of every node, and TCP of the coordinator
_TCP_SIZE = 1 << 20
_PROGRAMS = Path(sys.executable).parent
_MAPPING_SECONDS = 30
_AGENT_TIMEOUT = 60.0  # seconds
_LEFT_BY_A_REBOOT = ("/run/wgpyd", "/run/wireguard")  # nothing of these


def program(name: str) -> str:
    """Return a program of this installation."""
    return str(_PROGRAMS / name)


@dataclass(slots=True)
class Node:
    """A host that can be in the mesh.

    inside: its own address; outside: that it has for the world; options: that it joins with; daemon_options:
    that its daemon has from its next start.
    """

    name: str
    host: Host
    inside: str
    outside: str
    options: tuple[str, ...] = ()
    daemon_options: tuple[str, ...] = ()

    # -- Commands --------------------------------------------------------------------------------

    def mesh(self, *arguments: str) -> str:
        """Run `wgpy mesh …`, which must succeed, and return what it says."""
        return checked(self.name, ("wgpy", "mesh", *arguments), self.attempt(*arguments))

    def ask(self, *arguments: str) -> Any:
        """Run `wgpy mesh … --json` and return the document; warnings stand before it."""
        return _document(arguments, self.mesh(*arguments, "--json"))

    def why(self, name: str) -> Any:
        """Run `wgpy mesh why … --json` and return the document, whose verdict is the exit status, too."""
        done = self.attempt("why", name, "--json")
        document = _document(("why",), done.output)
        assert done.status == (document["reachable"] is False), done.output
        return document

    def attempt(self, *arguments: str) -> Result:
        """Run `wgpy mesh …` and return what came of it."""
        return run_wgpy(self.host, "mesh", *arguments)

    def join(self, token: str, *options: str) -> str:
        return self.mesh("join", token, "--name", self.name, *self.options, *options)

    def status(self) -> Status:
        """Return what its agent knows, asked at its socket: for what is asked often. Raises HTTPException."""
        agent = HTTPConnection("agent")
        with socket.socket(socket.AF_UNIX) as agent.sock:
            agent.sock.settimeout(_AGENT_TIMEOUT)
            agent.sock.connect(str(self.host.path(f"/run/wgpyd/{socket_path(NETWORK).name}")))
            agent.request("GET", "/status")
            answer = agent.getresponse()
            if answer.status != HTTPStatus.OK:
                raise HTTPException(answer.read().decode())
            return codec.read(Status, json.load(answer))

    def shown_status(self) -> Status:
        """Return what `wgpy mesh status` shows, without what only that adds."""
        return codec.read(Status, self.ask("status")["networks"][NETWORK])

    def token(self, *options: str) -> str:
        """Make a token; this node has the network's key."""
        return str(self.ask("token", *options)["token"])

    # -- The tunnel ------------------------------------------------------------------------------

    def address(self, family: int = 4) -> str:
        """Return its address in the mesh, as its interface has it."""
        (card,) = json.loads(self.host.run("ip", "-json", "address", "show", "dev", "mesh0"))
        kind = "inet" if family == 4 else "inet6"
        found = [
            one["local"] for one in card["addr_info"] if one["family"] == kind and one["scope"] == "global"
        ]
        return str(found[0])

    def ping(self, other: "Node", family: int = 4, *, within: int = 5) -> float:
        """Ping another by the mesh and return the milliseconds; fails unless it answers."""
        said = self.host.run("ping", "-n", "-c", "1", "-W", str(within), other.address(family))
        found = re.search(r"time=([0-9.]+) ms", said)
        assert found, said
        return float(found[1])

    def reaches(self, other: "Node", *, within: float = 0.5) -> bool:
        """Say whether a ping is answered within some seconds."""
        ping = ("ping", "-n", "-c", "1", "-W", str(within), other.address())
        return self.host.attempt(*ping).status == 0

    def tcp(self, other: "Node", family: int = 4, size: int = _TCP_SIZE) -> None:
        """Send another so many bytes by the mesh, which must arrive whole."""
        assert_tcp_arrives_whole(self.host, other.host, other.address(family), size)

    # -- Life and death --------------------------------------------------------------------------

    def agents(self) -> list[int]:
        """Return the processes that are the node, by their ids outside."""
        return [pid for pid in self.host.processes("wgpyd") if _is(pid, "wgpyd", "--mesh")]

    def kill(self) -> None:
        """Kill it as it stands, and return when it is gone."""
        _kill(self.agents())

    def serve(self, *options: str, daemon: str = "") -> HostProcess:
        """Start it as the system does at boot, and do not wait until it is ready.

        daemon: the program, by default the installed one.
        """
        command = (daemon or program("wgpyd"), "-f", "--mesh", NETWORK, *self.daemon_options, *options)
        return self.host.start("env", "LOG_LEVEL=debug", *command)

    def replace(self) -> None:
        """Have another process take over, and return when the former one has ended."""
        former = {*self.agents()}
        process = self.serve("--replace")
        eventually(
            lambda: not former & {*self.agents()} or not process.is_running(), "the former daemon has ended"
        )
        if not process.is_running():
            raise CommandFailed(f"the next daemon ended at once: {process.wait()}")

    def start(self, daemon: str = "") -> HostProcess:
        """Start it, and return when it is ready. daemon: as for `serve`."""
        return _started(self.serve(daemon=daemon), self.is_ready)

    def is_ready(self) -> bool:
        try:
            self.status()
        except (OSError, HTTPException):
            return False
        return True

    def switch_off(self) -> None:
        """Lose all but the disk."""
        self.kill()
        self.host.attempt("ip", "link", "delete", "mesh0")
        self.host.run("rm", "-rf", *_LEFT_BY_A_REBOOT)

    @property
    def folder(self) -> Path:
        """What the node keeps on disk, as a path that can be opened from outside."""
        return self.host.path(str(NODES / NETWORK))


@dataclass(slots=True)
class Coordinator:
    """The coordinator's process on its host, which `wgpy mesh init` started."""

    host: Host

    def processes(self) -> list[int]:
        return [pid for pid in self.host.processes("wgmesh") if _is(pid, "wgmesh", "serve")]

    def kill(self) -> None:
        """Kill it as it stands, and return when it is gone."""
        _kill(self.processes())

    def serve(self) -> HostProcess:
        """Start it as the system does at boot, and do not wait until it is ready."""
        return self.host.start(program("wgmesh"), "serve", NETWORK)

    def start(self) -> HostProcess:
        """Start it, and return when it is ready."""
        process = self.serve()
        return _started(process, lambda: "serving" in process.log.read_text())

    def run(self, command: str, *arguments: str) -> str:
        """Run `wgmesh COMMAND lab …`, which must succeed."""
        return self.host.run(program("wgmesh"), command, NETWORK, *arguments)

    @property
    def folder(self) -> Path:
        """Its state, as a path that can be opened from outside."""
        return self.host.path(str(COORDINATORS / NETWORK))


@dataclass(frozen=True, slots=True)
class Site:
    """A network that hosts stand in. router: its way out; outside: what the world sees, "" if all of it."""

    name: str
    router: Host
    bridge: str
    prefix: str
    outside: str = ""

    def address(self, number: int) -> str:
        return f"{self.prefix.rpartition('.')[0]}.{number}"


@dataclass(frozen=True, slots=True)
class Reach:
    """How one node reached another: milliseconds of a ping by IPv4 and IPv6."""

    ping4: float
    ping6: float


@dataclass(slots=True)
class World:
    """Four networks and their hosts; the first host is the coordinator's."""

    lab: Lab
    sites: list[Site]
    nodes: list[Node]
    places: dict[str, str]  # of hosts, the site of each
    reached: dict[tuple[str, str], Reach] = field(default_factory=dict)
    megabytes: float = 0.0  # that came by TCP

    @classmethod
    def networks(cls, lab: Lab) -> "World":
        """Power on all routers, and no host."""
        backbone = _backbone(lab)
        sites = [
            _cloud(backbone, "cloud-a", "198.51.100.0/24"),
            _cloud(backbone, "cloud-b", "203.0.113.0/24"),
            _behind_nat(lab, backbone, "office", ("192.0.2.1/25", "192.0.2.10")),
            _behind_nat(lab, backbone, "edge", ("192.0.2.129/25", "192.0.2.140")),
        ]
        return cls(lab, sites, [], {})

    @classmethod
    def build(cls, lab: Lab) -> "World":
        """Power on everything; nobody is in a mesh yet. See `meshdrawing`."""
        world = cls.networks(lab)
        world.stand("hub", "cloud-a", 10)
        world.stand("alpha", "cloud-a", 11)
        world.stand("beta", "cloud-b", 10)
        world.stand("desk", "office", 10).options = ("--endpoint", f"192.0.2.10:{PORT}")
        world.stand("sensor", "edge", 10)  # others find it where the coordinator sees it
        return world

    def stand(self, name: str, site_name: str, number: int) -> Node:
        """Power on one more host in a site. number: the last of its own address."""
        site = next(site for site in self.sites if site.name == site_name)
        node = _stand(self.lab, site, name, number)
        self.nodes.append(node)
        self.places[name] = site_name
        return node

    @property
    def hub(self) -> Node:
        """The host of the coordinator, which is the first node and has the network's key."""
        return self.nodes[0]

    @property
    def others(self) -> Sequence[Node]:
        return self.nodes[1:]

    @property
    def coordinator(self) -> Coordinator:
        return Coordinator(self.hub.host)

    def node(self, name: str) -> Node:
        return next(node for node in self.nodes if node.name == name)

    def found(self, *options: str) -> None:
        """Make the network, by one command on the first host."""
        self.hub.mesh("init", NETWORK, "--public", self.hub.outside, "--name", self.hub.name, *options)

    def populate(self, *token_options: str) -> None:
        """Have all the others join, each by one command with the same token."""
        token = self.hub.token("--uses", str(len(self.others)), *token_options)
        for node in self.others:
            node.join(token)

    def measure(self) -> None:
        """Have every node ping every other, and every pair move TCP: there by IPv4, back by IPv6."""
        for one, other in permutations(self.nodes, 2):
            self.reached[one.name, other.name] = Reach(one.ping(other, 4), one.ping(other, 6))
        for one, other in combinations(self.nodes, 2):
            one.tcp(other, 4)
            other.tcp(one, 6)
            self.megabytes += 2 * _TCP_SIZE / 1e6


def _document(arguments: Sequence[str], said: str) -> Any:
    start = re.search(r"^{", said, re.MULTILINE)
    assert start, said
    return checked_document(("wgpy", "mesh", *arguments), said[start.start() :])


def _backbone(lab: Lab) -> Host:
    backbone = lab.host("backbone")
    backbone.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    return backbone


def _bridge(router: Host, name: str, address: str) -> None:
    router.run("ip", "link", "add", name, "type", "bridge")
    router.run("ip", "link", "set", name, "up")
    add_addresses(router, name, address)


def _cloud(backbone: Host, name: str, prefix: str) -> Site:
    site = Site(name, backbone, name, prefix)
    _bridge(backbone, name, f"{site.address(1)}/24")
    return site


def _behind_nat(lab: Lab, backbone: Host, name: str, wire: tuple[str, str]) -> Site:
    """Set up a router as it is sold. wire: the backbone's address with its length, and the router's."""
    router = lab.host(f"{name}-nat")
    gateway, length = wire[0].split("/")
    connect(backbone, name, router, "wan")
    add_addresses(backbone, name, wire[0])
    add_addresses(router, "wan", f"{wire[1]}/{length}")
    router.run("ip", "route", "add", "default", "via", gateway)
    site = Site(name, router, "lan", "192.168.1.0/24", wire[1])
    _bridge(router, "lan", f"{site.address(1)}/24")
    masquerade(router, "wan", _MAPPING_SECONDS)
    router.run(
        "nft",
        "add chain ip nat in { type nat hook prerouting priority -100; };"
        f"add rule ip nat in iifname wan udp dport {PORT} dnat to {site.address(10)};"
        "add table ip wall; add chain ip wall pass { type filter hook forward priority 0; policy drop; };"
        "add rule ip wall pass ct state established,related accept;"
        "add rule ip wall pass iifname lan accept; add rule ip wall pass ct status dnat accept",
    )
    return site


def _stand(lab: Lab, site: Site, name: str, number: int) -> Node:
    """Power on a host in a site."""
    host = lab.host(name)
    connect(host, "eth0", site.router, name)
    site.router.run("ip", "link", "set", name, "master", site.bridge)
    inside = site.address(number)
    add_addresses(host, "eth0", f"{inside}/24")
    host.run("ip", "route", "add", "default", "via", site.address(1))
    return Node(name, host, inside, site.outside or inside)


def _is(pid: int, *words: str) -> bool:
    """Say whether a process was started with these words, the first of which ends a path."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:  # gone in the meantime
        return False
    return any(Path(word).name == words[0] for word in command) and words[1] in command


def _started(process: HostProcess, is_ready: Callable[[], bool]) -> HostProcess:
    eventually(lambda: is_ready() or not process.is_running(), "a daemon is ready")
    if not process.is_running():
        raise CommandFailed(f"a daemon ended at once: {process.wait()}")
    return process


def _kill(pids: Sequence[int]) -> None:
    """Kill processes, and return when what they held is free."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for pid in pids:
        eventually(partial(_has_ended, pid), f"process {pid} has ended")


def _has_ended(pid: int) -> bool:
    """Say whether a process is gone, or waits for its parent with all its threads ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        threads = [*Path(f"/proc/{pid}/task").iterdir()]
    except OSError:  # gone in the meantime
        return True
    return state in "ZX" and len(threads) == 1
