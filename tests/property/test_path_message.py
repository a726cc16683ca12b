"""What peers tell each other of their paths: a message is read as it was written, and nothing else is one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wgpy.contract.endpoint import Endpoint
from wgpy.paths.exchange import MAX_CANDIDATES, Candidate, PathKind, PathMessage

addresses = st.one_of(
    st.ip_addresses(v=4, network="198.51.100.0/24").map(str),
    st.ip_addresses(v=4, network="10.0.0.0/8").map(str),
    st.ip_addresses(v=6, network="2000::/3").map(str),
    st.ip_addresses(v=6, network="fd00::/8").map(str),
)
endpoints = st.tuples(addresses, st.integers(1, 65535)).map(lambda pair: Endpoint(*pair))
candidates = st.builds(Candidate, endpoints, st.sampled_from(PathKind))
messages = st.builds(
    PathMessage,
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 255),
    st.integers(0, 255),
    st.booleans(),
    st.booleans(),
    st.lists(candidates, max_size=MAX_CANDIDATES).map(tuple),
)


@given(messages)
def test_a_message_is_read_as_it_was_written(message: PathMessage) -> None:
    assert PathMessage.decode(message.encode()) == message


@given(st.binary(max_size=500) | st.binary(max_size=100).map(b"wgpx\1".__add__))
def test_any_bytes_are_a_message_that_is_written_so_or_refused(data: bytes) -> None:
    try:
        message = PathMessage.decode(data)
    except ValueError:
        return

    assert message.encode() == data


@given(messages, st.lists(st.tuples(st.integers(0, 400), st.integers(1, 255)), min_size=1, max_size=3))
def test_a_damaged_message_is_another_one_or_refused(
    message: PathMessage, damage: list[tuple[int, int]]
) -> None:
    data = bytearray(message.encode())
    for position, change in damage:
        data[position % len(data)] ^= change

    try:
        assert PathMessage.decode(bytes(data)).encode() == data
    except ValueError as error:
        assert str(error)  # noqa: PT017


@given(messages, st.integers(0, 400))
def test_a_message_that_is_cut_is_refused(message: PathMessage, size: int) -> None:
    data = message.encode()

    with pytest.raises(ValueError, match="."):
        PathMessage.decode(data[: size % len(data)])


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "::1",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        "169.254.0.1",
        "fe80::1",
    ],
)
def test_what_is_no_other_hosts_address_is_no_candidate(address: str) -> None:
    """Else a peer could have this host send to itself, or to everybody."""
    message = PathMessage(1, candidates=(Candidate(Endpoint(address, 1), PathKind.PUBLIC),))

    with pytest.raises(ValueError, match="not where another host is"):
        PathMessage.decode(message.encode())


def test_too_many_candidates_are_a_mistake_of_the_caller() -> None:
    many = (Candidate(Endpoint("192.0.2.1", 1), PathKind.PUBLIC),) * (MAX_CANDIDATES + 1)

    with pytest.raises(ValueError, match="at most 20"):
        PathMessage(1, candidates=many).encode()
