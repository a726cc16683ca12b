"""A site's own name server on the loopback interface, and what becomes of its answers."""

import asyncio
from collections.abc import Callable

import dns.flags
import dns.message
import dns.rcode
import pytest

from tests.dns.test_name_server import HOST, NO, Upstream, saying
from tests.dns.zones import MappedSite, question
from wgpy.dns.message import read_query
from wgpyd.agent.forwarder import Server
from wgpyd.agent.site_forwarder import SiteForwarder

NAME = "www.office.example"
YES = saying(dns.rcode.NOERROR, "192.168.1.10", "203.0.113.7")
FAIL = saying(dns.rcode.SERVFAIL)


async def ask(
    forwarder: SiteForwarder, *upstreams: Upstream, kind: str = "A", by_tcp: bool = False
) -> dns.message.Message:
    servers = [await upstream.serve() for upstream in upstreams]
    try:
        query = read_query(question(NAME, kind))
        async with asyncio.timeout(40):
            answer = await forwarder.ask(query, servers, MappedSite(), by_tcp)
        found = dns.message.from_wire(answer)
        assert found.id == query.id
        return found
    finally:
        for upstream in upstreams:
            upstream.close()


def asked(*upstreams: Upstream, kind: str = "A") -> dns.message.Message:
    return asyncio.run(ask(SiteForwarder(), *upstreams, kind=kind))


def shown(found: dns.message.Message) -> list[str]:
    return [str(one) for rrset in found.answer for one in rrset]


def test_the_answer_of_a_sites_server_is_rewritten() -> None:
    assert shown(asked(Upstream(YES))) == ["100.96.4.10"]


@pytest.mark.parametrize("first", [FAIL, saying(dns.rcode.REFUSED), lambda query: b"rubbish"])
def test_the_next_server_is_asked_where_one_is_of_no_use(
    first: Callable[[dns.message.Message], bytes],
) -> None:
    assert shown(asked(Upstream(first), Upstream(YES))) == ["100.96.4.10"]


def test_no_such_name_is_an_answer() -> None:
    assert asked(Upstream(NO), Upstream(YES)).rcode() == dns.rcode.NXDOMAIN


def test_without_an_answer_there_is_a_failure() -> None:
    assert asked().rcode() == dns.rcode.SERVFAIL
    assert asked(Upstream(FAIL)).rcode() == dns.rcode.SERVFAIL


def test_an_answer_with_another_id_or_to_another_question_is_not_taken() -> None:
    def forged(query: dns.message.Message) -> bytes:
        return bytes((query.id >> 8 ^ 1, query.id & 255)) + YES(query)[2:]

    def another(query: dns.message.Message) -> bytes:
        other = dns.message.make_query("bank.example", "A", id=query.id)
        return YES(other)

    assert asked(Upstream(forged), Upstream(another)).rcode() == dns.rcode.SERVFAIL


def test_a_server_is_asked_without_signatures_and_never_for_a_whole_zone() -> None:
    upstream = Upstream(YES)
    asked(upstream)
    (seen,) = upstream.seen
    assert (seen.flags, seen.ednsflags) == (dns.flags.RD, 0)

    assert asked(Upstream(YES), kind="AXFR").rcode() == dns.rcode.REFUSED


def test_a_server_that_asks_again_what_it_is_asked_is_refused_in_the_end() -> None:
    async def play() -> None:
        forwarder, upstream = SiteForwarder(), Upstream(lambda query: b"")
        server = await upstream.serve()
        query = read_query(question(NAME))
        async with asyncio.timeout(40):
            answers = await asyncio.gather(
                *(forwarder.ask(query, [server], MappedSite(), False) for _ in range(6))
            )
        upstream.close()
        codes = sorted(dns.message.from_wire(answer).rcode() for answer in answers)
        assert codes == [dns.rcode.SERVFAIL] * 4 + [dns.rcode.REFUSED] * 2
        assert len(upstream.sources) == 4

    asyncio.run(play())


def test_a_question_that_is_lost_is_sent_once_more() -> None:
    """As where a gateway has just died, by which the server was reached."""

    def lossy(query: dns.message.Message) -> bytes:
        return YES(query) if len(upstream.seen) > 2 else b""

    upstream = Upstream(lossy)
    assert shown(asked(upstream)) == ["100.96.4.10"]
    assert len({one.id for one in upstream.seen}) == 1


def test_what_is_cut_off_is_asked_again_by_tcp() -> None:
    def cut(query: dns.message.Message) -> bytes:
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.TC
        return reply.to_wire()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
        answer = YES(dns.message.from_wire(data))
        writer.write(len(answer).to_bytes(2) + answer)
        await writer.drain()
        writer.close()

    async def play() -> None:
        upstream = Upstream(cut)
        server: Server = await upstream.serve()
        async with await asyncio.start_server(serve, HOST, server.port), asyncio.timeout(40):
            query = read_query(question(NAME))
            answer = await SiteForwarder().ask(query, [server], MappedSite(), False)
        upstream.close()
        assert shown(dns.message.from_wire(answer)) == ["100.96.4.10"]

    asyncio.run(play())
