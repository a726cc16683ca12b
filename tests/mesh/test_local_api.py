"""What a node shows, asked as its commands and Prometheus ask."""

import asyncio
import re
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest

from tests.mesh.network import NOW
from tests.mesh.reported import CHECKED, KEY, ME, NETWORK, OTHER, STATUS
from wgpy.driver.interface import Interface
from wgpy.host.tun import PacketSocket
from wgpy.node import agent_client as agent
from wgpy.node.agent_client import (
    AgentError,
    EndpointChange,
    RouteChange,
    Site,
    SiteAddition,
    Status,
    UdpAnswer,
)
from wgpy.node.http import Client, HttpError
from wgpy.node.network_check import NetworkCheck
from wgpyd.agent.api import local_api
from wgpyd.agent.rejected_records import RejectedRecords
from wgpyd.errors import StartError

TIMEOUT = 60.0  # seconds


@dataclass
class Node:
    """The agent behind the local API: it has the status that it was made with, and records its calls."""

    interface: Interface
    current: Status | None = STATUS
    rejected: RejectedRecords = field(default_factory=RejectedRecords)
    left: bool = False

    async def status(self) -> Status:
        if self.current is None:
            raise LookupError("this node was not told yet what prod is")
        return self.current

    async def rename(self, name: str) -> None:
        if name == "n8":
            raise AgentError("the name n8 is taken")
        assert self.current is not None
        self.current = replace(self.current, name=name)

    async def use_exit(self, name: str) -> None:
        self.current = self.current and replace(self.current, exit=name)

    async def change_return(self, change: agent.SiteReturn) -> None:
        self.current = self.current and replace(self.current, return_site=change.site)

    async def set_keepalive(self, keepalive: str) -> None:
        if keepalive == "often":
            raise AgentError("want a whole number from 1 to 65535")
        self.current = self.current and replace(self.current, keepalive=int(keepalive))

    async def change_routes(self, change: RouteChange) -> None:
        if not change.add:
            raise AgentError("10.42.9.0/24 is not announced")
        assert self.current is not None
        self.current = replace(self.current, routes=change.add)

    async def change_endpoints(self, change: EndpointChange) -> None:
        if not change.hosts:
            raise AgentError("the disk is full")
        assert self.current is not None
        self.current = replace(self.current, hosts=change.hosts)

    async def add_site(self, addition: SiteAddition) -> agent.SiteAnswer:
        if addition.name == "home":
            raise AgentError("home already is 192.168.1.0/24")
        assert self.current is not None
        added = Site(addition.name, addition.prefixes, addition.prefixes, (), "", True, "")
        self.current = replace(self.current, sites=(added,))
        return agent.SiteAnswer("that was asked for")

    async def remove_site(self, name: str) -> None:
        assert self.current is not None
        if name not in [site.name for site in self.current.sites]:
            raise AgentError(f"this node is no gateway of a site {name}")
        self.current = replace(self.current, sites=())

    async def change_coredns(self, site: str) -> agent.CoreDnsAnswer:
        if site == "home":
            raise AgentError("this node is no gateway of a site home that is in force")
        return agent.CoreDnsAnswer("coredns", f"{site}.mesh", ())

    async def check_network(self) -> NetworkCheck:
        return CHECKED

    async def ask_by_udp(self, identity: str) -> tuple[UdpAnswer, ...]:
        if identity != str(OTHER):
            raise AgentError(f"no peer has the identity {identity}")
        return UdpAnswer("192.0.2.8:51820", True, 7), UdpAnswer("[2001:db8::8]:51820", False, 0)

    async def measure(self, wanted: agent.RoundTripWanted) -> agent.RoundTrip:
        if wanted.identity != OTHER:
            raise AgentError(f"no peer has the identity {wanted.identity}")
        return agent.RoundTrip(wanted.milliseconds, agent.UsedPath("192.0.2.8:51820", "hub", True))

    async def leave(self) -> None:
        self.left = True


@pytest.fixture
def sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where commands look for agents."""
    monkeypatch.setattr(agent, "SOCKETS", tmp_path)
    return tmp_path


@asynccontextmanager
async def node() -> AsyncIterator[Node]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    interface = Interface(PacketSocket(ours))
    interface.start()
    try:
        yield Node(interface)
    finally:
        interface.close()
        theirs.close()


@asynccontextmanager
async def shown(sockets: Path, metrics: str = "") -> AsyncIterator[Node]:
    async with node() as shown_node, local_api(shown_node, sockets / f"{NETWORK}.sock", metrics):
        yield shown_node


async def get(path: Path, target: str, method: str = "GET") -> str:
    """Ask at a Unix socket. Raises HttpError."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        async with asyncio.timeout(TIMEOUT):
            client = Client(reader, writer, "node")
            return b"".join([data async for data in client.request(method, target)]).decode()
    finally:
        writer.close()


# -- Commands ------------------------------------------------------------------------------------


def test_a_command_reads_the_status_as_it_is(sockets: Path) -> None:
    async def scenario() -> None:
        async with shown(sockets):
            assert await asyncio.to_thread(agent.status, NETWORK) == STATUS

    asyncio.run(scenario())


def test_a_node_that_knows_nothing_yet_says_so(sockets: Path) -> None:
    async def scenario() -> None:
        async with shown(sockets) as one:
            one.current = None

            with pytest.raises(AgentError, match="was not told yet"):
                await asyncio.to_thread(agent.status, NETWORK)

    asyncio.run(scenario())


def test_an_agent_that_is_stopped_keeps_no_command_for_ever(sockets: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stopped:
        stopped.bind(str(sockets / f"{NETWORK}.sock"))
        stopped.listen()

        with pytest.raises(AgentError, match="the agent of prod did not answer within 0 s"):
            agent.status(NETWORK, timeout=0.1)


def test_a_command_renames_the_node_or_hears_why_not(sockets: Path) -> None:
    async def scenario() -> None:
        async with shown(sockets) as one:
            await asyncio.to_thread(agent.rename, NETWORK, "web1")
            with pytest.raises(AgentError, match="the name n8 is taken"):
                await asyncio.to_thread(agent.rename, NETWORK, "n8")

            assert (await one.status()).name == "web1"

    asyncio.run(scenario())


def test_a_command_sets_keepalive_exit_and_return_route_or_hears_why_not(sockets: Path) -> None:
    async def scenario() -> None:
        async with shown(sockets) as one:
            await asyncio.to_thread(agent.use_exit, NETWORK, "internet")
            await asyncio.to_thread(agent.change_return, NETWORK, agent.SiteReturn("blue", ()))
            await asyncio.to_thread(agent.set_keepalive, NETWORK, "20")
            with pytest.raises(AgentError, match="want a whole number"):
                await asyncio.to_thread(agent.set_keepalive, NETWORK, "often")

            found = await one.status()
            assert (found.keepalive, found.exit, found.return_site) == (20, "internet", "blue")

    asyncio.run(scenario())


def test_a_command_changes_what_coredns_asks_or_hears_why_not(sockets: Path) -> None:
    async def scenario() -> None:
        async with shown(sockets):
            answer = await asyncio.to_thread(agent.change_coredns, NETWORK, "blue")
            with pytest.raises(AgentError, match="no gateway of a site home"):
                await asyncio.to_thread(agent.change_coredns, NETWORK, "home")

            assert (answer.config_map, answer.domain) == ("coredns", "blue.mesh")

    asyncio.run(scenario())


def test_a_command_has_a_peers_host_asked_by_udp(sockets: Path) -> None:
    async def scenario() -> None:
        async with shown(sockets):
            answers = await asyncio.to_thread(agent.ask_by_udp, NETWORK, OTHER)
            with pytest.raises(AgentError, match="no peer has the identity"):
                await asyncio.to_thread(agent.ask_by_udp, NETWORK, ME)

            assert [answer.answered for answer in answers] == [True, False]

    asyncio.run(scenario())


def test_a_command_has_a_peer_measured_inside_of_the_tunnel(sockets: Path) -> None:
    async def scenario() -> None:
        async with shown(sockets):
            found = await asyncio.to_thread(agent.measure, NETWORK, agent.RoundTripWanted(OTHER, 900))
            with pytest.raises(AgentError, match="no peer has the identity"):
                await asyncio.to_thread(agent.measure, NETWORK, agent.RoundTripWanted(ME, 900))

            assert found == agent.RoundTrip(900, agent.UsedPath("192.0.2.8:51820", "hub", True))

    asyncio.run(scenario())


def test_a_command_has_the_relays_asked(sockets: Path) -> None:
    async def scenario() -> None:
        async with shown(sockets):
            assert await asyncio.to_thread(agent.check_network, NETWORK) == CHECKED

    asyncio.run(scenario())


def test_a_command_changes_the_endpoints_or_hears_why_not(sockets: Path) -> None:
    async def scenario() -> None:
        async with shown(sockets) as one:
            hosts = ("home.example.net:51820", "203.0.113.5:4000")
            await asyncio.to_thread(agent.change_endpoints, NETWORK, EndpointChange(hosts))
            with pytest.raises(AgentError, match="the disk is full"):
                await asyncio.to_thread(agent.change_endpoints, NETWORK, EndpointChange(()))

            assert (await one.status()).hosts == hosts

    asyncio.run(scenario())


def test_a_command_lets_the_node_leave(sockets: Path) -> None:
    async def scenario() -> None:
        async with shown(sockets) as one:
            await asyncio.to_thread(agent.leave, NETWORK)

            assert one.left

    asyncio.run(scenario())


def test_a_command_adds_and_removes_a_site_or_hears_why_not(sockets: Path) -> None:
    def addition(name: str) -> SiteAddition:
        return SiteAddition(name, (IPv4Network("192.168.1.0/24"),), "mapped", False, 100, False)

    async def scenario() -> None:
        async with shown(sockets) as one:
            answer = await asyncio.to_thread(agent.add_site, NETWORK, addition("lab"))
            assert one.current is not None
            assert (answer.reason, one.current.sites[0].name) == ("that was asked for", "lab")
            with pytest.raises(AgentError, match="home already is"):
                await asyncio.to_thread(agent.add_site, NETWORK, addition("home"))
            await asyncio.to_thread(agent.remove_site, NETWORK, "lab")
            assert one.current.sites == ()
            with pytest.raises(AgentError, match="is no gateway of a site lab"):
                await asyncio.to_thread(agent.remove_site, NETWORK, "lab")

    asyncio.run(scenario())


def test_a_command_changes_the_routes_or_hears_why_not(sockets: Path) -> None:
    prefix = IPv6Network("fd00:42::/64")

    async def scenario() -> None:
        async with shown(sockets) as one:
            await asyncio.to_thread(agent.change_routes, NETWORK, RouteChange((prefix,), ()))
            assert one.current is not None
            assert one.current.routes == (prefix,)
            with pytest.raises(AgentError, match="is not announced"):
                await asyncio.to_thread(agent.change_routes, NETWORK, RouteChange((), (prefix,)))

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/", 404), ("POST", "/status", 404), ("POST", "/rename", 409), ("POST", "/routes", 409),
        ("POST", "/round-trip", 409), ("GET", "/round-trip", 404),
    ],
)  # fmt: skip
def test_what_makes_no_sense_changes_nothing(sockets: Path, method: str, target: str, status: int) -> None:
    async def scenario() -> None:
        async with shown(sockets) as one:
            with pytest.raises(HttpError, match=r"\w") as raised:
                await get(sockets / f"{NETWORK}.sock", target, method)

            assert (raised.value.status, one.current, one.left) == (status, STATUS, False)

    asyncio.run(scenario())


# -- The socket ----------------------------------------------------------------------------------


def test_the_socket_is_its_owners_alone_and_gone_in_the_end(sockets: Path) -> None:
    async def scenario() -> None:
        path = sockets / f"{NETWORK}.sock"
        async with shown(sockets):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600

    asyncio.run(scenario())
    assert list(sockets.iterdir()) == []


def test_the_socket_of_an_agent_that_died_is_replaced(sockets: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(sockets / f"{NETWORK}.sock"))

    async def scenario() -> None:
        async with shown(sockets):
            assert await asyncio.to_thread(agent.status, NETWORK) == STATUS

    asyncio.run(scenario())


def test_who_asks_slowly_holds_nobody_up(sockets: Path) -> None:
    async def scenario() -> None:
        async with shown(sockets):
            reader, writer = await asyncio.open_unix_connection(sockets / f"{NETWORK}.sock")
            writer.write(b"GET /sta")

            assert await asyncio.to_thread(agent.status, NETWORK) == STATUS

            writer.close()
            assert await reader.read() == b""

    asyncio.run(scenario())


def test_connections_are_limited_and_those_that_are_done_do_not_count(sockets: Path) -> None:
    async def scenario() -> None:
        path = sockets / f"{NETWORK}.sock"
        async with shown(sockets):
            streams = [await asyncio.open_unix_connection(path) for _ in range(64)]
            async with asyncio.timeout(TIMEOUT):
                reader, writer = await asyncio.open_unix_connection(path)
                assert await reader.read() == b""
            for one in (writer, *(writer for _, writer in streams)):
                one.close()
            async with asyncio.timeout(TIMEOUT):
                for reader, _ in streams:
                    await reader.read()

            assert await asyncio.to_thread(agent.status, NETWORK) == STATUS

    asyncio.run(scenario())


# -- Metrics -------------------------------------------------------------------------------------

LINE = re.compile(r'(\w+)(?:\{((?:\w+="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (\d+(?:\.\d+)?)')


def read_metrics(text: str) -> dict[tuple[str, str], float]:
    """By name and labels; each name is explained before."""
    found, explained = {}, set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name.endswith("_total") == (kind == "counter")
            explained.add(name)
        elif not line.startswith("# HELP "):
            match = LINE.fullmatch(line)
            assert match is not None, line
            assert match[1] in explained
            found[match[1], match[2] or ""] = float(match[3])
    return found


def test_metrics_tell_what_the_status_tells(sockets: Path) -> None:
    async def scenario() -> None:
        async with shown(sockets) as one:
            one.rejected.note("neighbour n8", "not a record", "x", NOW)
            one.rejected.note("neighbour n8", "not a record", "y", NOW)
            found = read_metrics(await get(sockets / f"{NETWORK}.sock", "/metrics"))

            peer = rf'name="n\"8\\",key="{KEY}"'
            assert found == {
                ("wgpy_peer_received_bytes_total", peer): 1000,
                ("wgpy_peer_sent_bytes_total", peer): 2000,
                ("wgpy_peer_last_handshake_timestamp_seconds", peer): NOW,
                ("wgpy_peer_unanswered_seconds", peer): 0,
                ("wgpy_peer_round_trip_seconds", peer): 0,
                ("wgpy_mesh_revision", ""): (1 << 53) - 1,
                ("wgpy_mesh_admin_record_sequence", ""): 12,
                ("wgpy_mesh_members", ""): 2,
                ("wgpy_mesh_clients", ""): 0,
                ("wgpy_mesh_site_reached", 'site="office",gateway="n8"'): 1,
                ("wgpy_mesh_sites", 'state="in force"'): 1,
                ("wgpy_mesh_sites", 'state="excluded"'): 0,
                ("wgpy_mesh_relayed_datagrams_total", ""): 0,
                ("wgpy_mesh_relayed_bytes_total", ""): 0,
                ("wgpy_mesh_peers_by_relay", ""): 0,
                ("wgpy_mesh_peers_by_tls", ""): 0,
                ("wgpy_mesh_coordinator_connected", ""): 1,
                ("wgpy_mesh_withheld_records", ""): 1,
                ("wgpy_mesh_permitted_packets_total", 'source="any",destination="tag:web"'): 34,
                ("wgpy_mesh_excluded_nodes", 'reason="it was removed"'): 1,
                ("wgpy_mesh_rejected_records_total", 'source="neighbour n8",reason="not a record"'): 2,
            }

    asyncio.run(scenario())


def test_drops_are_told_by_reason(sockets: Path) -> None:
    async def scenario() -> None:
        async with shown(sockets) as one:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"hello", ("127.0.0.1", one.interface.listen_port))
            found: dict[tuple[str, str], float] = {}
            async with asyncio.timeout(TIMEOUT):
                while ("wgpy_dropped_packets_total", 'reason="unknown_type"') not in found:
                    found = read_metrics(await get(sockets / f"{NETWORK}.sock", "/metrics"))

    asyncio.run(scenario())


def test_elsewhere_there_are_metrics_and_nothing_else(sockets: Path) -> None:
    async def scenario() -> None:
        path = sockets / "metrics.sock"
        async with shown(sockets, f"unix:{path}") as one:
            assert read_metrics(await get(path, "/metrics")) != {}
            for method, target in (("GET", "/status"), ("POST", "/leave"), ("POST", "/metrics")):
                with pytest.raises(HttpError, match="there is no"):
                    await get(path, target, method)

            assert not one.left

    asyncio.run(scenario())
    assert list(sockets.iterdir()) == []


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_metrics_are_served_at_an_address(sockets: Path, address: str) -> None:
    async def scenario() -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.create_server((address, 0), family=family) as free:
            port = free.getsockname()[1]
        where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        async with shown(sockets, where):
            reader, writer = await asyncio.open_connection(address, port)
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(TIMEOUT):
                answer = await reader.read()
            writer.close()

            assert b"Content-Type: text/plain; version=0.0.4" in answer
            assert b"\nwgpy_mesh_members 2\n" in answer

    asyncio.run(scenario())


@pytest.mark.parametrize("where", ["9586", "localhost:9586", "192.0.2.1:9586", "unix:/proc/nowhere/metrics"])
def test_a_place_for_metrics_that_cannot_be_had_is_told_at_the_start(sockets: Path, where: str) -> None:
    async def scenario() -> None:
        async with node() as one:
            with pytest.raises(StartError, match=re.escape(where.removeprefix("unix:"))):
                async with local_api(one, sockets / f"{NETWORK}.sock", where):
                    raise AssertionError("it was taken")

    asyncio.run(scenario())
    assert list(sockets.iterdir()) == []
