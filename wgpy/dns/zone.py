"""The names of a network: NODE.NETWORK.mesh, the hosts of sites, and reverse look-ups. Pure.

Invariant: a name that exists is NOERROR for every type, with no records where it has none of that type: with
NXDOMAIN for AAAA, musl fails the whole look-up. What does not exist is NXDOMAIN; both with the zone's SOA, so
that they are remembered no longer than it says. RFC 2308
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Final, Protocol, Self

from wgpy.address import Address, Prefix
from wgpy.contract.lazy_dataclass import dataclass

from .addresses import dashed, read_dashed, read_reverse, reverse_name, reverse_zones, zone_length
from .message import (
    ANY_CLASS,
    IN,
    REFUSED,
    Answer,
    Labels,
    Query,
    Rcode,
    Record,
    Type,
    write_name,
)

TOP: Final = b"mesh"  # a network's domain is below it
TTL: Final = 60  # seconds
NEGATIVE_TTL: Final = 5  # seconds: a node may join at any time
_REFRESH: Final = b"".join(value.to_bytes(4) for value in (3600, 600, 86400, NEGATIVE_TTL))
_SERIAL: Final = bytes(4)  # nobody copies the zone
_TRANSFERS: Final = (Type.AXFR, Type.IXFR)
_QUERY: Final = 0  # an opcode
_TYPES: Final = {4: Type.A, 6: Type.AAAA}


def domain_of(network: str) -> str:
    """Return the domain of a network's names."""
    return f"{network}.{TOP.decode()}"


def apexes(network: str, ranges: Iterable[Prefix]) -> Iterator[Labels]:
    """Give the domain of a network, and those of reverse look-ups."""
    return chain(((network.encode(), TOP),), *map(reverse_zones, ranges))


class Site(Protocol):
    """Hosts that are called by their addresses. A method returns None for an address that is not its own."""

    def mapped(self, real: Address) -> Address | None:
        """Return the address by which the mesh knows a host."""

    def real(self, mapped: Address) -> Address | None:
        """Return the address that a host has itself."""


@dataclass(frozen=True, slots=True)
class Zone:
    """What a node answers.

    domain: (NETWORK, mesh); server: the label of the node that answers; hosts: addresses by label; ranges:
    the prefixes whose reverse names are answered; sites: by label; labels: of hosts, by address; served: the
    labels of sites whose own name servers answer the names below them, save those of addresses.
    """

    domain: Labels
    server: bytes
    hosts: Mapping[bytes, tuple[Address, ...]]
    ranges: tuple[Prefix, ...]
    sites: Mapping[bytes, Site]
    labels: Mapping[Address, bytes]
    served: frozenset[bytes] = frozenset()

    @classmethod
    def of(
        cls,
        network: str,
        server: str,
        hosts: Mapping[str, tuple[Address, ...]],
        ranges: tuple[Prefix, ...],
        sites: Mapping[str, Site] | None = None,
        served: Iterable[str] = (),
    ) -> Self:
        """Make the zone of a network, whose names are labels in lower case."""
        by_label = {name.encode(): addresses for name, addresses in hosts.items()}
        labels = {address: label for label, addresses in by_label.items() for address in addresses}
        sites_by_label = {name.encode(): site for name, site in (sites or {}).items()}
        return cls(
            (network.encode(), TOP), server.encode(), by_label, ranges, sites_by_label, labels,
            frozenset(map(str.encode, served)),
        )  # fmt: skip

    def only(self, hosts: Collection[bytes], sites: Collection[bytes]) -> Self:
        """Return the zone for somebody who may know these."""
        return replace(
            self,
            hosts={label: addresses for label, addresses in self.hosts.items() if label in hosts},
            sites={label: site for label, site in self.sites.items() if label in sites},
        )

    def with_sites(self, sites: Mapping[bytes, Site]) -> Self:
        """Return the zone with other sites of some labels."""
        return replace(self, sites={**self.sites, **sites})

    def answer(self, query: Query) -> Answer | None:
        """None for a question that others may be asked."""
        if query.opcode != _QUERY:
            return Answer(Rcode.NOTIMP, is_own=False)
        if query.edns and query.edns.version:
            return Answer(Rcode.BADVERS, is_own=False)
        apex = self._apex(query.name)
        if apex is None or self.is_served(query.name):
            return None
        if query.type in _TRANSFERS or query.rrclass not in (IN, ANY_CLASS):
            return REFUSED
        return self._answer(query, apex)

    def is_served(self, name: Labels) -> bool:
        """Return whether a site's own name server answers a name, as it is below the site's."""
        *below, label = name[: -len(self.domain)] or (b"",)
        if name[-len(self.domain) :] != self.domain or label not in self.served or label not in self.sites:
            return False
        return len(below) > 1 or (bool(below) and read_dashed(below[0]) is None)

    def _apex(self, name: Labels) -> Labels | None:
        """Return the apex of the zone that a name is in."""
        if name[-len(self.domain) :] == self.domain:
            return self.domain
        reverse = read_reverse(name)
        if reverse is None:
            return None
        address, length = reverse.prefix.network_address, reverse.prefix.prefixlen
        for one in self.ranges:
            if one.version == address.version and length >= zone_length(one) and address in one:
                return reverse_name(address, zone_length(one))
        return None

    def _answer(self, query: Query, apex: Labels) -> Answer:
        found = self._records(query.name, apex)
        soa = self._soa(apex)
        if found is None:
            return Answer(Rcode.NXDOMAIN, (), (soa,))
        records = [record for record in found if query.type in (record.type, Type.ANY)]
        return Answer(Rcode.NOERROR, records, () if records else (soa,))

    def _records(self, name: Labels, apex: Labels) -> list[Record] | None:
        """Return all of a name, None if there is no such name."""
        records = self._forward(name) if apex == self.domain else self._backward(name)
        if name != apex:
            return records
        server = Record(apex, Type.NS, TTL, write_name((self.server, *self.domain)))
        return [self._soa(apex), server, *(records or ())]

    def _forward(self, name: Labels) -> list[Record] | None:
        addresses = self._addresses(name[: -len(self.domain)])
        if addresses is None:
            return None
        return [Record(name, _TYPES[one.version], TTL, one.packed) for one in addresses]

    def _addresses(self, name: Labels) -> tuple[Address, ...] | None:
        """name: within the domain."""
        match name:
            case (label,):
                return self.hosts.get(label, () if label in self.sites else None)
            case (host, label) if label in self.sites:
                real = read_dashed(host)
                mapped = self.sites[label].mapped(real) if real else None
                return (mapped,) if mapped else None
            case _:
                return None

    def _backward(self, name: Labels) -> list[Record] | None:
        reverse = read_reverse(name)
        if reverse is None or not reverse.is_exact:
            return None
        if reverse.prefix.num_addresses > 1:  # there may be names below it
            return []
        owner = self._owner(reverse.prefix.network_address)
        return None if owner is None else [Record(name, Type.PTR, TTL, write_name(owner))]

    def _owner(self, address: Address) -> Labels | None:
        host = self.labels.get(address)
        if host is not None and host in self.hosts:
            return (host, *self.domain)
        for label, site in self.sites.items():
            if real := site.real(address):
                return (dashed(real), label, *self.domain)
        return None

    def _soa(self, apex: Labels) -> Record:
        data = write_name((self.server, *self.domain)) + write_name((b"hostmaster", *self.domain))
        return Record(apex, Type.SOA, NEGATIVE_TTL, data + _SERIAL + _REFRESH)
