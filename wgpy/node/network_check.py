"""What a host's network allows, as its agent found out and tells commands."""

from typing import Any, Final

from wgpy.contract.lazy_dataclass import dataclass

NO_ANSWER: Final = "it does not answer"  # of a router


@dataclass(frozen=True, slots=True)
class PortMapping:
    """What the router before a host maps to its node.

    endpoint: outside, "" for none; protocol: by which it was granted; until: Unix seconds; trouble: why there
    is none, a sentence, "" while it is asked for.
    """

    endpoint: str = ""
    protocol: str = ""
    until: int = 0
    trouble: str = ""


NO_MAPPING: Final = PortMapping()


@dataclass(frozen=True, slots=True)
class RelayCheck:
    """Whether a relay answered a question at an endpoint. milliseconds: the round trip, None for none."""

    name: str
    endpoint: str
    milliseconds: float | None


@dataclass(frozen=True, slots=True)
class RouterCheck:
    """The router before this host. address: "" if none is asked.

    offers: by protocol, why it maps no ports so, "" if it may; mapping: that is there now.
    """

    address: str
    offers: dict[str, str]
    mapping: PortMapping


@dataclass(frozen=True, slots=True)
class NetworkCheck:
    """What a host's network allows.

    nats: what a NAT does, in words, by version of IP; by_connection: whether datagrams go by a connection to
    the coordinator, as no UDP passes; trouble: why they do not, "" if there is none; filtered: whether a
    firewall lets nothing in that was not asked for; nat64: the prefix of the NAT64 by which a host with IPv6
    alone reaches IPv4, "" for none; pinhole: what the router's firewall lets in by IPv6.
    """

    relays: tuple[RelayCheck, ...]
    nats: dict[str, str]
    by_connection: bool
    trouble: str
    router: RouterCheck
    filtered: bool = False
    nat64: str = ""
    pinhole: PortMapping = NO_MAPPING


def read_check(found: Any) -> NetworkCheck:
    """Read what `dataclasses.asdict` made of it. Raises ValueError, TypeError and KeyError."""
    relays, router = tuple(RelayCheck(**one) for one in found["relays"]), found["router"]
    asked = RouterCheck(**{**router, "mapping": PortMapping(**router["mapping"])})
    pinhole = PortMapping(**found.get("pinhole", {}))
    return NetworkCheck(**{**found, "relays": relays, "router": asked, "pinhole": pinhole})
