"""A client: a device with any WireGuard app, which enters the network by gateways.

A client has one address of each family at each of its gateways, and a file for each. So a node knows by the
address which gateway leads to a client, and need not know by which one that has entered.
"""

import base64
import binascii
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from wgpy.address import Prefix, parse_host_port
from wgpy.keys import PublicKey
from wgpy.mesh.signing import VerifyKey

from .base import NAME, Audience, Author, Kind, NameOf, check_count, check_name, check_record

_CLIENT: Final = "client:"
_PADDING: Final = "===="  # of 32 bytes in base32, RFC 4648
_SELECTED: Final = ("node", "tag", "site", "client")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingress:
    """How a client enters by a gateway.

    gateway: its identity; address, address6: of the client there. The others are what the client's file says:
    key: of the gateway; endpoint: of the gateway, HOST:PORT; prefixes: what leads into the tunnel; names:
    whether the gateway is its server of names.
    """

    gateway: VerifyKey
    address: IPv4Address
    address6: IPv6Address
    key: PublicKey
    endpoint: str
    prefixes: tuple[Prefix, ...]
    names: bool

    def __post_init__(self) -> None:
        check_count(self.prefixes, "prefixes")
        parse_host_port(self.endpoint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A device, which its WireGuard key identifies.

    destinations: selectors of what it may begin to, sorted; none if rules alone say that; expires: Unix
    seconds, 0 for never; removed: whether it is a client no more.
    """

    network: bytes
    signer: VerifyKey
    sequence: int
    time: int
    key: PublicKey
    name: str
    ingresses: tuple[Ingress, ...]
    destinations: tuple[str, ...]
    expires: int
    removed: bool

    def __post_init__(self) -> None:
        check_record(self)
        check_name(self.name)
        check_count(self.ingresses, "gateways")
        check_count(self.destinations, "destinations")
        if not self.key:
            raise ValueError("a client has a WireGuard key")
        for selector in self.destinations:
            kind, _, name = selector.partition(":")
            if selector != "any" and not (kind in _SELECTED and NAME.fullmatch(name)):
                raise ValueError(f"{selector!r} selects no destination")

    @property
    def selectors(self) -> list[str]:
        """What selects it in a rule: `any` does not if it has destinations of its own."""
        return [client_selector(self.key), *(() if self.destinations else ("any",))]

    def is_valid_at(self, now: int) -> bool:
        """now: Unix seconds."""
        return not self.removed and (not self.expires or now < self.expires)


def client_selector(key: PublicKey) -> str:
    """Return the selector of the client with a WireGuard key."""
    return _CLIENT + base64.b32encode(bytes(key)).decode().rstrip("=").lower()


def client_key_of(selector: str) -> PublicKey | None:
    """Return whose selector it is; None if it is not that of a client."""
    if not selector.startswith(_CLIENT):
        return None
    try:
        key = PublicKey(base64.b32decode(selector.removeprefix(_CLIENT).upper() + _PADDING))
    except (binascii.Error, ValueError):
        return None
    return key if client_selector(key) == selector else None  # it has one spelling


def _audit(client: Client, before: Client | None, name_of: NameOf) -> str:
    if client.removed:
        return f"removal of client {client.name}"
    gateways = ", ".join(name_of(ingress.gateway) for ingress in client.ingresses)
    return f"client {client.name} by {gateways or 'no gateway'}"


KIND: Final[Kind[Client]] = Kind(
    name="client",
    version=1,
    record=Client,
    author=Author.ADMINISTRATOR,
    audience=Audience.EVERYBODY,
    limit=100_000,
    subject=lambda client: bytes(client.key),
    describe=lambda client: f"client {client.sequence}",
    audit=_audit,
)
