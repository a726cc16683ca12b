"""A zone to ask, and who asks it: dnspython, which writes the questions and reads the answers."""

from collections.abc import Sequence
from ipaddress import IPv4Network, ip_address, ip_network

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from wgpy.address import Address
from wgpy.dns.responder import respond
from wgpy.dns.zone import Zone

WEB1 = (ip_address("100.80.3.4"), ip_address("fd12:3456::7"))
OLD = (ip_address("100.80.0.9"),)


THERE, HERE = IPv4Network("192.168.1.0/24"), IPv4Network("100.96.4.0/24")


class MappedSite:
    """THERE, which the mesh knows as HERE."""

    def mapped(self, real: Address) -> Address | None:
        return HERE[int(real) & 255] if real in THERE else None

    def real(self, mapped: Address) -> Address | None:
        return THERE[int(mapped) & 255] if mapped in HERE else None


def zone() -> Zone:
    """prod.mesh, with a node of one family and one of both, and a site."""
    ranges = (ip_network("100.80.0.0/16"), ip_network("100.96.0.0/12"), ip_network("fd12:3456::/32"))
    return Zone.of("prod", "web1", {"web1": WEB1, "old": OLD}, ranges, {"office": MappedSite()})


def question(name: str, rrtype: str = "A", *, payload: int | None = None) -> bytes:
    """payload: of EDNS, which is not used without it."""
    edns = False if payload is None else 0
    return dns.message.make_query(name, rrtype, use_edns=edns, payload=payload or 0).to_wire()


def ask(name: str, rrtype: str = "A", of: Zone | None = None) -> tuple[str, list[str]]:
    """Return the result and the records of the answer."""
    reply = answered(question(name, rrtype), of or zone())
    return dns.rcode.to_text(reply.rcode()), [str(one) for record in reply.answer for one in record]


def answered(data: bytes, of: Zone, *, by_tcp: bool = False) -> dns.message.Message:
    """Return the answer to a question that is the zone's."""
    answer = respond(of, data, by_tcp=by_tcp)
    assert isinstance(answer, bytes)
    return dns.message.from_wire(answer)


def owners(records: Sequence[object]) -> list[str]:
    return [str(record).split()[0] for record in records]
