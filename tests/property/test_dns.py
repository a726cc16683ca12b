"""Whatever is asked, the zone answers with a message, no longer than it may be, or with nothing."""

import dns.message
from hypothesis import given
from hypothesis import strategies as st

from tests.dns.zones import question, zone
from wgpy.address import Address
from wgpy.dns.addresses import dashed, read_dashed, read_reverse, reverse_name
from wgpy.dns.message import Malformed, Query, read_query, write_name
from wgpy.dns.responder import respond

NAMES = ["web1.prod.mesh", "x.prod.mesh", "192-168-1-10.office.prod.mesh", "4.3.80.100.in-addr.arpa"]
ADDRESSES = st.ip_addresses(v=4) | st.ip_addresses(v=6)
labels = st.lists(st.binary(min_size=1, max_size=63), max_size=4).map(tuple)
questions = st.builds(
    question, st.sampled_from(NAMES), st.sampled_from(["A", "ANY"]), payload=st.none() | st.integers(0, 65535)
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A question with some bytes changed, inserted or cut off."""
    data = bytearray(draw(questions))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


@given(st.binary(max_size=600) | mutated(), st.booleans())
def test_any_bytes_have_an_answer_that_can_be_read_or_none(data: bytes, by_tcp: bool) -> None:
    answer = respond(zone(), data, by_tcp=by_tcp)

    if isinstance(answer, Query) or not answer:
        return
    read = dns.message.from_wire(answer)
    assert read.id == int.from_bytes(data[:2])
    assert len(answer) <= (65535 if by_tcp else 1232)


@given(mutated())
def test_what_can_be_read_says_the_same_to_another_reader(data: bytes) -> None:
    try:
        query = read_query(data)
    except Malformed:
        return
    other = dns.message.from_wire(data, ignore_trailing=True, one_rr_per_rrset=True, continue_on_error=True)
    name = other.question[0].name.to_wire()
    assert name is not None
    assert name.lower() == write_name(query.name)
    assert other.question[0].rdtype == query.type


@given(labels)
def test_a_name_that_is_written_is_read(name: tuple[bytes, ...]) -> None:
    lower = tuple(label.lower() for label in name)
    text = write_name(lower)
    data = bytes.fromhex("abcd01000001000000000000") + text + b"\0\1\0\1"

    try:
        assert read_query(data).name == lower
    except Malformed:
        assert len(text) > 255


@given(ADDRESSES)
def test_a_reverse_name_and_a_dashed_one_are_read_back(address: Address) -> None:
    whole = 32 if address.version == 4 else 128
    reverse = read_reverse(reverse_name(address, whole))

    assert reverse is not None
    assert (reverse.prefix.network_address, reverse.prefix.prefixlen, reverse.is_exact) == (
        address,
        whole,
        True,
    )
    assert read_dashed(dashed(address)) == address
