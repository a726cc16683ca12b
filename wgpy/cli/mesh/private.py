"""Addresses that mean something only inside of a network of somebody."""

from ipaddress import ip_network
from typing import Final

from wgpy.address import Address

_PRIVATE: Final = tuple(
    map(ip_network, ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
)


def is_private(address: Address) -> bool:
    return any(address in prefix for prefix in _PRIVATE)
