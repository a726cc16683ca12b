"""A name server on the loopback interface, and those that it asks."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import cast

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import pytest

from tests.dns.zones import question, zone
from wgpy.address import Address
from wgpy.dns.message import Labels, read_query
from wgpy.dns.zone import Zone
from wgpyd.agent.forwarder import Forwarder, Server
from wgpyd.agent.name_server import Forward, NameServer

HOST, PEER, CLIENT, OTHER = "127.0.0.1", "127.0.0.2", "127.0.0.4", "127.0.0.3"  # who asks; OTHER is nobody
TIMEOUT = 20.0  # seconds
ELSEWHERE = "home.example.net"

Ask = Callable[..., Awaitable[dns.message.Message]]


@dataclass
class Known:
    """HOST may know everything, PEER and CLIENT one node."""

    def zone_for(self, asker: Address) -> Zone | None:
        less = zone().only({b"old"}, ())
        views = {HOST: zone(), PEER: less, CLIENT: less}
        return views.get(str(asker))

    def is_local(self, asker: Address) -> bool:
        return str(asker) == HOST

    def may_ask_others(self, asker: Address, name: Labels) -> bool:
        return str(asker) in (HOST, CLIENT)


class Upstream(asyncio.DatagramProtocol):
    """A name server that answers what a test says. seen: what it was asked; sources: by which sockets."""

    def __init__(self, answer: Callable[[dns.message.Message], bytes]) -> None:
        self.answer = answer
        self.seen: list[dns.message.Message] = []
        self.sources: set[tuple[str, int]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def close(self) -> None:
        self._transport.close()

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        self.seen.append(dns.message.from_wire(data))
        self.sources.add(source)
        self._transport.sendto(self.answer(self.seen[-1]), source)

    async def serve(self) -> Server:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: self, local_addr=(HOST, 0)
        )
        return Server(HOST, port=transport.get_extra_info("sockname")[1])


def saying(rcode: dns.rcode.Rcode, *addresses: str) -> Callable[[dns.message.Message], bytes]:
    def answer(query: dns.message.Message) -> bytes:
        response = dns.message.make_response(query)
        response.set_rcode(rcode)
        for address in addresses:
            response.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", address))
        return response.to_wire()

    return answer


YES = saying(dns.rcode.NOERROR, "192.0.2.7")
NO = saying(dns.rcode.NXDOMAIN)


def asking(servers: Callable[[], list[Server]]) -> Forward:
    """Ask these, whoever asks."""
    forwarder = Forwarder(servers)
    return lambda data, query, _, by_tcp: forwarder.ask(data, query, by_tcp)


def free_port() -> int:
    """A port that is free by UDP and TCP."""
    while True:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
            socket.socket() as tcp,
            suppress(OSError),  # another process has it by TCP
        ):
            udp.bind((HOST, 0))
            tcp.bind(udp.getsockname())
            return int(udp.getsockname()[1])


def with_servers(
    *upstreams: Upstream, servers: Callable[[int], list[Server]] | None = None
) -> Callable[[Callable[[Ask, int], Awaitable[None]]], Callable[[], None]]:
    """Make a test of what a server that asks others answers. servers: instead, by its own port."""

    def decorate(scenario: Callable[[Ask, int], Awaitable[None]]) -> Callable[[], None]:
        async def play() -> None:
            port = free_port()
            found = servers(port) if servers else [await upstream.serve() for upstream in upstreams]
            server = NameServer(Known(), asking(lambda: found), port)
            await server.listen([ip_address(HOST)])

            async def ask(
                name: str, of: str = HOST, way: str = "udp", kind: str = "A"
            ) -> dns.message.Message:
                query = dns.message.make_query(name, kind)
                exchange = getattr(dns.asyncquery, way)
                answer = await exchange(query, HOST, TIMEOUT, port, source=of)
                assert isinstance(answer, dns.message.Message)
                return answer

            try:
                async with asyncio.timeout(2 * TIMEOUT):
                    await scenario(ask, port)
            finally:
                await server.close()
                for upstream in upstreams if not servers else ():
                    upstream.close()
                await asyncio.sleep(0)

        return lambda: asyncio.run(play())

    return decorate


@pytest.mark.parametrize("way", ["udp", "tcp"])
def test_names_of_the_mesh_are_answered_by_udp_and_tcp(way: str) -> None:
    @with_servers()
    async def scenario(ask: Ask, port: int) -> None:
        assert str((await ask("web1.prod.mesh", way=way)).answer[0][0]) == "100.80.3.4"
        assert (await ask("web2.prod.mesh", way=way)).rcode() == dns.rcode.NXDOMAIN

    scenario()


@with_servers()
async def test_a_peer_learns_what_it_may_know(ask: Ask, port: int) -> None:
    assert (await ask("old.prod.mesh", PEER)).rcode() == dns.rcode.NOERROR
    assert (await ask("web1.prod.mesh", PEER)).rcode() == dns.rcode.NXDOMAIN


@with_servers()
async def test_who_is_not_known_is_refused(ask: Ask, port: int) -> None:
    for way in ("udp", "tcp"):
        assert (await ask("old.prod.mesh", OTHER, way)).rcode() == dns.rcode.REFUSED


@with_servers(Upstream(YES))
async def test_others_are_asked_for_this_host_and_its_clients_and_for_nobody_else(
    ask: Ask, port: int
) -> None:
    for asker in (HOST, CLIENT):
        assert str((await ask(ELSEWHERE, asker)).answer[0][0]) == "192.0.2.7"
    for asker in (PEER, OTHER):
        assert (await ask(ELSEWHERE, asker)).rcode() == dns.rcode.REFUSED


def test_questions_are_counted_by_what_came_of_them() -> None:
    async def scenario() -> None:
        upstream, port = Upstream(YES), free_port()
        there = await upstream.serve()
        server = NameServer(Known(), asking(lambda: [there]), port)
        await server.listen([ip_address(HOST)])
        for name, asker in (
            ("web1.prod.mesh", HOST), ("web2.prod.mesh", HOST), (ELSEWHERE, HOST), (ELSEWHERE, PEER),
            ("web1.prod.mesh", OTHER),
        ):  # fmt: skip
            query = dns.message.make_query(name, "A")
            await dns.asyncquery.udp(query, HOST, TIMEOUT, port, source=asker)
        await server.close()
        upstream.close()

        assert server.outcomes == {"answered": 2, "forwarded": 1, "refused": 2}

    asyncio.run(scenario())


def test_a_server_that_has_no_answer_is_followed_by_the_next() -> None:
    refusing, failing, last = (
        Upstream(saying(dns.rcode.REFUSED)),
        Upstream(saying(dns.rcode.SERVFAIL)),
        Upstream(NO),
    )

    @with_servers(refusing, failing, last, Upstream(YES))
    async def scenario(ask: Ask, port: int) -> None:
        assert (await ask(ELSEWHERE)).rcode() == dns.rcode.NXDOMAIN

    scenario()
    assert [len(one.seen) for one in (refusing, failing, last)] == [1, 1, 1]


@with_servers(servers=lambda port: [Server(HOST, port=1)])
async def test_without_any_server_there_is_an_answer_all_the_same(ask: Ask, port: int) -> None:
    assert (await ask(ELSEWHERE)).rcode() == dns.rcode.SERVFAIL
    assert (await ask(ELSEWHERE, way="tcp")).rcode() == dns.rcode.SERVFAIL


def test_an_answer_to_something_else_is_none() -> None:
    def wrong(query: dns.message.Message) -> bytes:
        query.id ^= 1
        return YES(query)

    def other_name(query: dns.message.Message) -> bytes:
        other = dns.message.make_query("evil.example.net", "A")
        other.id = query.id
        return YES(other)

    @with_servers(Upstream(wrong), Upstream(other_name), Upstream(NO))
    async def scenario(ask: Ask, port: int) -> None:
        assert (await ask(ELSEWHERE)).rcode() == dns.rcode.NXDOMAIN

    scenario()


@with_servers(servers=lambda port: [Server(HOST, port=port)])
async def test_a_server_that_leads_back_ends_the_loop_at_once(ask: Ask, port: int) -> None:
    for way in ("udp", "tcp"):
        assert (await ask(ELSEWHERE, way=way)).rcode() == dns.rcode.REFUSED


def test_another_mesh_of_this_host_is_asked_for_its_own_names_alone() -> None:
    mesh = Upstream(saying(dns.rcode.REFUSED))

    async def play() -> None:
        server = await mesh.serve()
        data = question(ELSEWHERE)
        forwarder = Forwarder(lambda: [server._replace(is_mesh=True)])
        answer = dns.message.from_wire(await forwarder.ask(data, read_query(data), False))
        assert answer.rcode() == dns.rcode.SERVFAIL
        mesh.close()

    asyncio.run(play())
    assert not mesh.seen[0].flags & dns.flags.RD


@with_servers(Upstream(YES))
async def test_a_question_without_recursion_is_answered_by_this_node_alone(ask: Ask, port: int) -> None:
    query = dns.message.make_query(ELSEWHERE, "A")
    query.flags &= ~dns.flags.RD

    answer = await dns.asyncquery.udp(query, HOST, TIMEOUT, port)

    assert answer.rcode() == dns.rcode.REFUSED


@with_servers()
async def test_several_questions_follow_each_other_on_one_connection(ask: Ask, port: int) -> None:
    reader, writer = await asyncio.open_connection(HOST, port)
    both = [question("web1.prod.mesh"), question("old.prod.mesh", "AAAA")]
    writer.write(b"".join(len(data).to_bytes(2) + data for data in both))

    for data in both:
        answer = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
        assert answer[:2] == data[:2]
    writer.close()


@with_servers()
async def test_what_is_no_question_ends_a_connection(ask: Ask, port: int) -> None:
    for rubbish in (b"\0\5abcde", b"\xff\xff", b"\0\0"):
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(rubbish)
        with suppress(ConnectionError):
            assert len(await reader.read()) <= 14
        writer.close()


@with_servers()
async def test_a_peer_has_a_few_connections_at_once(ask: Ask, port: int) -> None:
    opened = [await asyncio.open_connection(HOST, port, local_addr=(PEER, 0)) for _ in range(9)]

    reader, _ = opened[-1]
    with pytest.raises((OSError, EOFError)):
        await reader.readexactly(1)
    assert (await ask("old.prod.mesh", PEER)).rcode() == dns.rcode.NOERROR
    assert (await ask("web1.prod.mesh", way="tcp")).rcode() == dns.rcode.NOERROR
    for _, writer in opened:
        writer.close()


@with_servers()
async def test_a_flood_of_one_peer_is_answered_in_part_and_holds_up_nobody(ask: Ask, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as flood:
        flood.bind((PEER, 0))
        flood.connect((HOST, port))
        answers = 0
        for _ in range(3000):
            flood.send(question("old.prod.mesh"))
            await asyncio.sleep(0)
            try:
                answers += bool(flood.recv(512))
            except BlockingIOError:
                continue
        assert (await ask("web1.prod.mesh")).rcode() == dns.rcode.NOERROR
    assert 100 < answers < 3000


def test_an_address_that_is_not_there_is_an_error_and_nothing_is_left_open() -> None:
    async def play() -> None:
        server = NameServer(Known(), asking(list), port := free_port())
        with pytest.raises(OSError, match="Cannot assign"):
            await server.listen([ip_address(HOST), ip_address("192.0.2.1")])
        await server.listen([ip_address(HOST)])
        with pytest.raises(OSError, match="in use"):
            await NameServer(Known(), asking(list), port).listen([ip_address(HOST)])
        await server.close()

    asyncio.run(play())
