"""Answers of a site's own name server, as the mesh may have them: its addresses become mapped ones. Pure.

Invariant: no address passes that is not of the site, no record that the question does not lead to, and
nothing that is signed: a signature would not be one of the other addresses. What the server says is
remembered for a minute at most. RFC 1035, RFC 9460
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from .message import DO, IN, MAX_PAYLOAD, QR, RA, RD, TC, Answer, Query, Rcode, Type, write_answer
from .renaming import Renaming
from .zone import TTL, Site

if TYPE_CHECKING:
    from dns.message import Message
    from dns.name import Name
    from dns.rdata import Rdata
    from dns.rrset import RRset

_ADDRESSES: Final = frozenset((Type.A, Type.AAAA))
_CNAME, _SOA, _DNAME, _SVCB, _HTTPS = 5, 6, 39, 64, 65
_SIGNED: Final = frozenset((24, 25, 30, 43, 46, 47, 48, 50, 51, 59, 60, 32768, 32769))  # DNSSEC's
# WKS, A6, APL, IPSECKEY, L32, L64, AMTRELAY
_OTHER_ADDRESSES: Final = frozenset((11, 38, 42, 45, 105, 106, 260))
_DROPPED: Final = _SIGNED | _OTHER_ADDRESSES
_MANDATORY, _HINTS = 0, (4, 6)  # of the parameters of SVCB
_MAX_RCODE: Final = 15  # without EDNS
_HEADER: Final = 12  # bytes before the question


def is_forwardable(query: Query) -> bool:
    """Return whether a site's server is asked: for one answer of one message."""
    return query.rrclass == IN and query.type not in (Type.AXFR, Type.IXFR, Type.OPT)


def rewrite(query: Query, data: bytes, site: Site, limit: int, renaming: Renaming | None = None) -> bytes:
    """Return the answer to a question, with TC and without records if it is longer than limit.

    data: the server's answer to it, of other names if there is a renaming; site: as whoever asks reaches it.
    Raises ValueError for what is none.
    """
    asked = renaming.asked(query) if renaming else query
    # Imported where it is needed: it is 14 MiB, and most nodes know no site with names.
    from dns.exception import DNSException, TooBig  # noqa: PLC0415

    if data[_HEADER : _HEADER + len(asked.text)].lower() != asked.text.lower():
        raise ValueError("a site's name server answers another question")
    found = _read(data)
    reply = _reply(query, found, site)
    try:
        if renaming is not None:
            renaming.apply(reply)
        wire = reply.to_wire(max_size=limit)
    except TooBig:
        return write_answer(query, Answer(Rcode.NOERROR, is_own=False), limit, TC | RA)
    except DNSException as error:
        raise ValueError(f"a name is none in the mesh: {error}") from None
    return wire[:_HEADER] + query.text + wire[_HEADER + len(query.text) :]  # in the letters that it had


def _read(data: bytes) -> Message:
    """Raises ValueError."""
    from dns.exception import DNSException  # noqa: PLC0415
    from dns.message import from_wire  # noqa: PLC0415

    try:
        found = from_wire(data, ignore_trailing=True)
    except (DNSException, ValueError, LookupError, ArithmeticError) as error:
        raise ValueError(f"a site's name server sends what is no answer: {error}") from None
    if found.opcode() or len(found.question) != 1:
        raise ValueError("a site's name server answers another question")
    return found


def _reply(query: Query, found: Message, site: Site) -> Message:
    from dns.message import QueryMessage  # noqa: PLC0415
    from dns.rcode import SERVFAIL  # noqa: PLC0415

    reply = QueryMessage(id=query.id)
    reply.flags = QR | RA | query.flags & RD
    reply.set_rcode(found.rcode() if found.rcode() <= _MAX_RCODE else SERVFAIL)
    reply.question = found.question
    names = _chain(found)
    reply.answer = [
        kept
        for rrset in found.answer
        if rrset.name in names or (rrset.rdtype == _DNAME and any(map(rrset.name.is_superdomain, names)))
        if (kept := _rewritten(rrset, site)) is not None
    ]
    reply.authority = [_capped(rrset, list(rrset)) for rrset in found.authority if rrset.rdtype == _SOA]
    if query.edns:
        reply.use_edns(0, DO if query.edns.wants_signatures else 0, MAX_PAYLOAD)
    return reply


def _chain(found: Message) -> set[Name]:
    """Return the name that is asked for, and those that it is an alias of."""
    aliases: dict[Any, Any] = {
        rrset.name: rrset[0].target for rrset in found.answer if rrset.rdtype == _CNAME
    }
    name, names = found.question[0].name, set[Any]()
    while name not in names:
        names.add(name)
        name = aliases.get(name, name)
    return names


def _rewritten(rrset: RRset, site: Site) -> RRset | None:
    """Return what is left of records of one name and type, None for nothing."""
    if rrset.rdclass != IN or rrset.rdtype in _DROPPED:
        return None
    left = [kept for rdata in rrset if (kept := _mapped(rdata, site)) is not None]
    return _capped(rrset, left) if left else None


def _capped(rrset: RRset, rdatas: list[Rdata]) -> RRset:
    from dns.rrset import from_rdata_list  # noqa: PLC0415

    return from_rdata_list(rrset.name, min(rrset.ttl, TTL), rdatas)


def _mapped(rdata: Any, site: Site) -> Any:
    """Return a record for the mesh, None for nothing."""
    if rdata.rdtype in _ADDRESSES:
        address = next(_addresses([rdata.address], site), None)
        return None if address is None else rdata.replace(address=address)
    return _with_hints(rdata, site) if rdata.rdtype in (_SVCB, _HTTPS) else rdata


def _with_hints(rdata: Any, site: Site) -> Any:
    """Return a service with mapped hints, or none of them; None if it cannot be used without."""
    params = dict(rdata.params)
    for key in _HINTS:
        if (hint := params.pop(key, None)) is not None and (left := [*_addresses(hint.addresses, site)]):
            params[key] = type(hint)(left)
    mandatory = params.get(_MANDATORY)
    if mandatory is not None and not all(key in params for key in mandatory.keys):
        return None
    return rdata.replace(params=params)


def _addresses(texts: list[str], site: Site) -> Iterator[str]:
    """Give those of a site as the mesh has them."""
    for text in texts:
        if (mapped := site.mapped(ip_address(text))) is not None:
            yield str(mapped)
