"""Names of a site's own domain, as the mesh calls them: those of many clusters are the same. Pure.

Invariant: a name outside of the domain stays as it is, and so does every text within a record.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from wgpy.contract.lazy_dataclass import dataclass

from .message import Labels, Query, write_name

if TYPE_CHECKING:
    from dns.message import Message
    from dns.name import Name
    from dns.rrset import RRset

_TARGETS: Final = ("target", "exchange")  # of CNAME, PTR, NS, SRV, MX, SVCB
_TYPE_AND_CLASS: Final = 4  # bytes


@dataclass(frozen=True, slots=True)
class Renaming:
    """A domain by two names. mesh: its name here; site: its name at the site."""

    mesh: Labels
    site: Labels

    def asked(self, query: Query) -> Query:
        """Return a question as the site's name server understands it. Raises ValueError for another's."""
        above = len(query.name) - len(self.mesh)
        if above < 0 or query.name[above:] != self.mesh:
            raise ValueError("a question about another domain")
        name = (*query.name[:above], *self.site)
        return replace(query, name=name, text=write_name(name) + query.text[-_TYPE_AND_CLASS:])

    def apply(self, reply: Message) -> None:
        """Call all names of an answer as the mesh does. Raises DNSException for one that is too long then."""
        for section in (reply.question, reply.answer, reply.authority):
            section[:] = [self._renamed(rrset) for rrset in section]

    def _renamed(self, rrset: RRset) -> RRset:
        from dns.rrset import RRset as Rrset  # noqa: PLC0415 - as in wgpy.dns.rewriting

        found = Rrset(self._name(rrset.name), rrset.rdclass, rrset.rdtype)
        for rdata in rrset:
            found.add(self._data(rdata), rrset.ttl)
        return found

    def _data(self, rdata: Any) -> Any:
        changes = {key: self._name(getattr(rdata, key)) for key in _TARGETS if hasattr(rdata, key)}
        return rdata.replace(**changes) if changes else rdata

    def _name(self, name: Name) -> Name:
        from dns.name import Name as DnsName  # noqa: PLC0415

        here, there = (DnsName((*labels, b"")) for labels in (self.mesh, self.site))
        return DnsName((*name.relativize(there).labels, *here.labels)) if name.is_subdomain(there) else name
