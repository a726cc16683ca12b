"""Kinds of access networks, and which pairs of hosts in them can have a direct path."""

from typing import Final

KINDS: Final = (
    "public", "full cone", "address-restricted", "port-restricted", "Linux", "Linux, input open",
    "carrier-grade", "firewall", "counting", "random", "IPv6 only", "both versions", "UDP blocked",
    "NAT64",
)  # fmt: skip
# D: direct. R: by a relay. One row and one column for each of KINDS, in this order.
EXPECTED: Final = """
    D D D D D D D D D D R D R D
    D D D D D D D D D D R D R D
    D D D D D D D D D D R D R D
    D D D D D D D D D R R D R D
    D D D D D D D D D R R D R D
    D D D D D D D D D R R D R D
    D D D D D D D D D R R D R D
    D D D D D D D D D R R D R D
    D D D D D D D D D R R D R D
    D D D R R R R R R R R R R R
    R R R R R R R R R R D D R D
    D D D D D D D D D R D D R D
    R R R R R R R R R R R R R R
    D D D D D D D D D R D D R D
"""


def expected(left: str, right: str) -> bool:
    row = EXPECTED.split("\n")[1 + KINDS.index(left)].split()
    return row[KINDS.index(right)] == "D"
