"""What is read from JSON means the same on every host, and is what was written."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wgpy.address import Prefix
from wgpy.contract.endpoint import Endpoint
from wgpy.mesh import codec
from wgpy.mesh.codec import MAX_NUMBER


@dataclass(frozen=True, slots=True)
class Value:
    number: int
    text: str
    flag: bool
    data: bytes
    address: IPv4Address
    address6: IPv6Address
    network: IPv4Network
    network6: IPv6Network
    prefix: Prefix
    places: tuple[Endpoint, ...]


def plain6(number: int) -> IPv6Address:
    """An address that is not a mapped IPv4 one."""
    address = IPv6Address(number)
    return IPv6Address(1) if address.ipv4_mapped else address


ADDRESSES = st.integers(0, (1 << 32) - 1).map(IPv4Address)
ADDRESSES6 = st.integers(0, (1 << 128) - 1).map(plain6)
NETWORKS = st.tuples(ADDRESSES, st.integers(0, 32)).map(lambda pair: IPv4Network(pair, strict=False))
NETWORKS6 = st.tuples(ADDRESSES6, st.integers(0, 128)).map(lambda pair: IPv6Network(pair, strict=False))
HOSTS = (ADDRESSES | ADDRESSES6).filter(
    lambda address: (
        not (address.is_multicast or address.is_unspecified or address == IPv4Address("255.255.255.255"))
    )
)
PLACES = st.tuples(HOSTS.map(str), st.integers(1, 65535)).map(lambda pair: Endpoint(*pair))
VALUES = st.builds(
    Value,
    st.integers(0, MAX_NUMBER), st.text(), st.booleans(), st.binary(), ADDRESSES, ADDRESSES6,
    NETWORKS, NETWORKS6, NETWORKS | NETWORKS6, st.lists(PLACES, max_size=3).map(tuple),
)  # fmt: skip
GOOD = codec.write(
    Value(
        1, "", True, b"", IPv4Address(1), IPv6Address(1), IPv4Network("10.0.0.0/8"), IPv6Network("fd00::/8"),
        IPv4Network("10.0.0.0/8"), (Endpoint("192.0.2.1", 1),),
    )
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(VALUES)
def test_what_was_written_is_read(value: Value) -> None:
    assert codec.read(Value, codec.write(value)) == value


@given(st.sampled_from(sorted(GOOD)), JSON)
def test_any_other_json_is_a_value_or_refused(name: str, other: Any) -> None:
    try:
        value = codec.read(Value, {**GOOD, name: other})
    except (ValueError, TypeError, KeyError):
        return
    assert codec.read(Value, codec.write(value)) == value


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("places", ["[fe80::1%eth0]:5"]),
        ("places", ["[fe80::1%" + "é" * 70 + "]:5"]),
        ("places", ["[::ffff:192.0.2.1]:5"]),
        ("places", ["192.0.2.1:0"]),
        ("places", ["localhost:5"]),
        ("address6", "fe80::1%eth0"),
        ("address6", "192.0.2.1"),
        ("address", "fd00::1"),
        ("network6", "fe80::%eth0/64"),
        ("network", "fd00::/8"),
        ("prefix", "::ffff:192.0.2.0/120"),
        ("prefix", "10.0.0.1/8"),
        ("number", -1),
        ("number", MAX_NUMBER + 1),
        ("number", True),
    ],
)
def test_what_another_host_would_take_for_something_else_is_refused(name: str, said: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        codec.read(Value, {**GOOD, name: said})
