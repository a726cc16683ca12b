"""What the network is: its name, its ranges and its MTU."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from wgpy.mesh.signing import VerifyKey

from .base import Audience, Author, Kind, check_name, check_record, network_id

MIN_MTU, MAX_MTU = 1280, 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """One mesh.

    addresses: of its nodes; addresses6: a /32 for nodes and sites; pool: for mapped sites; mtu: of its
    interfaces.
    """

    network: bytes
    signer: VerifyKey
    sequence: int
    time: int
    name: str
    addresses: IPv4Network
    addresses6: IPv6Network
    pool: IPv4Network
    mtu: int

    def __post_init__(self) -> None:
        check_record(self)
        check_name(self.name)
        if self.network != network_id(self.signer):
            raise ValueError("a network's id is made from its key")
        if self.addresses6.prefixlen != 32:
            raise ValueError("a network's IPv6 prefix is a /32")
        if self.addresses.overlaps(self.pool):
            raise ValueError("a network's addresses and its pool overlap")
        if not MIN_MTU <= self.mtu <= MAX_MTU:
            raise ValueError(f"a network's MTU is {MIN_MTU} to {MAX_MTU}")


KIND: Final[Kind[Network]] = Kind(
    name="network",
    version=1,
    record=Network,
    author=Author.ADMINISTRATOR,
    audience=Audience.EVERYBODY,
    limit=1,
    subject=lambda network: b"",
    describe=lambda network: f"network {network.sequence}",
    audit=lambda network, before, name_of: f"network {network.name}",
)
