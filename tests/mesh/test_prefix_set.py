"""A set of prefixes answers as the prefixes themselves do."""

from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from wgpy.address import Prefix
from wgpy.mesh.prefix_set import Prefixes, complement


def some_prefixes() -> st.SearchStrategy[Prefix]:
    """Few enough addresses that they often overlap."""
    lengths = st.integers(0, 4) | st.integers(28, 32)
    four = st.builds(
        lambda address, length: IPv4Network((address >> (32 - length) << (32 - length), length)),
        st.sampled_from([0, 0xF0000000, 0xFFFFFFFF, 0xFFFFFFF1, 0x0A000001]),
        lengths,
    )
    return four | four.map(lambda prefix: IPv6Network((int(prefix.network_address) << 96, prefix.prefixlen)))


@given(st.lists(some_prefixes(), max_size=6), some_prefixes())
def test_a_set_of_prefixes_says_what_they_say_one_by_one(present: list[Prefix], asked: Prefix) -> None:
    same = [prefix for prefix in present if prefix.version == asked.version]
    prefixes = Prefixes(present)

    assert prefixes.overlap(asked) == any(prefix.overlaps(asked) for prefix in same)
    assert prefixes.cover(asked) == any(asked.subnet_of(prefix) for prefix in same)  # type: ignore[arg-type]


@given(st.lists(some_prefixes(), max_size=6), some_prefixes())
def test_what_no_prefix_has_and_what_they_have_is_everything_without_overlaps(
    present: list[Prefix], asked: Prefix
) -> None:
    rest = list(complement(present))

    assert not any(map(Prefixes(present).overlap, rest))
    known: list[Any] = [prefix for prefix in (*present, *rest) if prefix.version == asked.version]
    assert sum(prefix.num_addresses for prefix in collapse_addresses(known)) == 1 << asked.max_prefixlen
