"""Names that stand for addresses: of reverse look-ups, and of a site's hosts. RFC 1035 3.5, RFC 3596 2.5

Pure. A host of a site is called by its address with dashes: 192-168-1-10, fd00-42--7.
"""

import re
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from itertools import takewhile
from typing import Final

from wgpy.address import Address, Prefix
from wgpy.contract.lazy_dataclass import dataclass

from .message import Labels

_DASHED: Final = re.compile(rb"[0-9]+(-[0-9]+){3}|[0-9a-f]+-[0-9a-f-]*[0-9a-f]")
_IPV4_DASHES: Final = 3


@dataclass(frozen=True, slots=True)
class _Tree:
    """One of the two below arpa. bits: of an address, that a label has; labels: the only spelling of each."""

    apex: Labels
    version: int
    bits: int
    labels: tuple[bytes, ...]

    @property
    def depth(self) -> int:
        return (32 if self.version == 4 else 128) // self.bits


_TREES: Final = (
    _Tree((b"in-addr", b"arpa"), 4, 8, tuple(b"%d" % value for value in range(256))),
    _Tree((b"ip6", b"arpa"), 6, 4, tuple(b"%x" % value for value in range(16))),
)


@dataclass(frozen=True, slots=True)
class Reverse:
    """What a name below arpa stands for. is_exact: whether nothing in the name is left over."""

    prefix: Prefix
    is_exact: bool


def read_reverse(name: Labels) -> Reverse | None:
    """Return the prefix, which is an address at the full length; None for a name elsewhere."""
    tree = next((tree for tree in _TREES if name[-2:] == tree.apex), None)
    if tree is None:
        return None
    above = name[-3::-1]
    known = [*takewhile(tree.labels.__contains__, above[: tree.depth])]
    value = 0
    for label in known:
        value = value << tree.bits | tree.labels.index(label)
    value <<= tree.bits * (tree.depth - len(known))
    address = value.to_bytes(tree.depth * tree.bits // 8)
    return Reverse(ip_network((address, len(known) * tree.bits)), len(known) == len(above))


def reverse_name(address: Address, length: int) -> Labels:
    """Return the name of an address, or of a prefix of it. length: the prefix's, of whole labels."""
    tree = _tree(address.version)
    value = int.from_bytes(address.packed)
    mask = (1 << tree.bits) - 1
    parts = (value >> tree.bits * (tree.depth - 1 - i) & mask for i in reversed(range(length // tree.bits)))
    return (*(tree.labels[part] for part in parts), *tree.apex)


def zone_length(prefix: Prefix) -> int:
    """Return the length of the prefixes of whole labels that make up a prefix: a /12 is sixteen of /16."""
    bits = _tree(prefix.version).bits
    return -(-prefix.prefixlen // bits) * bits


def reverse_zones(prefix: Prefix) -> Iterator[Labels]:
    """Give the names of the zones that make up a prefix."""
    length = zone_length(prefix)
    return (reverse_name(part.network_address, length) for part in prefix.subnets(new_prefix=length))


def _tree(version: int) -> _Tree:
    return _TREES[version == 6]


def dashed(address: Address) -> bytes:
    """Return the label of a site's host. No label begins or ends with a dash."""
    text = str(address).replace(".", "-").replace(":", "-")
    return f"{'0' * text.startswith('-')}{text}{'0' * text.endswith('-')}".encode()


def read_dashed(label: bytes) -> Address | None:
    """Return the address of a label, None for another one."""
    if not _DASHED.fullmatch(label):
        return None
    separator = "." if label.count(b"-") == _IPV4_DASHES and b"--" not in label else ":"
    try:
        return ip_address(label.decode().replace("-", separator))
    except ValueError:
        return None
