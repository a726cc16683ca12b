"""Where a peer is reached, and from which of our addresses.

As in the kernel's `struct endpoint`, the local half belongs to it: an answer leaves from the address
that was contacted. The engine only compares endpoints, and reads address and port for the cookie and
the rate limit; resolving and formatting is the drivers' business.
"""

from ipaddress import IPv6Address
from typing import NamedTuple


class Endpoint(NamedTuple):
    """A remote UDP address, and the local address that it contacted.

    address: numeric, in the form the kernel prints (RFC 5952 for IPv6), without a zone; port: 0 to 65535;
    scope_id: the interface index of a link-local IPv6 address, else 0;
    local_address, local_interface: source address and interface index to send from, "" and 0 if the
    kernel is to choose.
    """

    address: str
    port: int
    scope_id: int = 0
    local_address: str = ""
    local_interface: int = 0

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.address

    def without_source(self) -> "Endpoint":
        """The same remote end, with the choice of our own address left to the kernel."""
        return Endpoint(self.address, self.port, self.scope_id)

    def packed(self) -> bytes:
        """Address and port as bytes, 6 or 18 long: what a cookie covers. Whitepaper 5.4.7."""
        if self.is_ipv6:
            return IPv6Address(self.address).packed + self.port.to_bytes(2, "big")
        # By hand, as every message of a flood needs it: a quarter of the time of ipaddress.
        return bytes(map(int, self.address.split("."))) + self.port.to_bytes(2, "big")

    def network(self) -> bytes:
        """What has one budget, as one host may have all of it: an IPv4 address, or an IPv6 /64."""
        return self.packed()[:8] if self.is_ipv6 else self.packed()[:4]

    def __str__(self) -> str:
        """As `wg` prints and reads it: 192.0.2.1:51820, [2001:db8::1]:51820, [fe80::1%3]:51820."""
        if not self.is_ipv6:
            return f"{self.address}:{self.port}"
        zone = f"%{self.scope_id}" if self.scope_id else ""
        return f"[{self.address}{zone}]:{self.port}"
