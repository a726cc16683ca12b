"""The four messages: decode(encode(m)) is m, and decode accepts exactly what encode gives."""

from hypothesis import given
from hypothesis import strategies as st

from wgpy.contract.drops import DropReason
from wgpy.contract.errors import DatagramError
from wgpy.contract.messages import (
    CookieReply,
    HandshakeInitiation,
    HandshakeResponse,
    Message,
    TransportData,
    decode,
    message_type,
)

# Restated from the whitepaper, section 5.4.
SIZES = {1: 148, 2: 92, 3: 64}

index = st.integers(0, 2**32 - 1)


def field(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size)


messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(HandshakeInitiation, index, field(32), field(48), field(28), field(16), field(16)),
    st.builds(HandshakeResponse, index, index, field(32), field(16), field(16), field(16)),
    st.builds(CookieReply, index, field(24), field(32)),
    st.builds(TransportData, index, st.integers(0, 2**64 - 1), st.binary(min_size=16, max_size=200)),
)


def datagrams() -> st.SearchStrategy[bytes]:
    """Random bytes, many of which begin as a message does and have nearly its size."""

    def headed(kind: int, reserved: bytes, size: int) -> st.SearchStrategy[bytes]:
        header = bytes([kind]) + reserved
        return field(max(0, size - 4)).map(lambda body: (header + body)[:size])

    near = st.sampled_from([0, 3, 4, 15, 16, 31, 32, 63, 64, 65, 91, 92, 93, 147, 148, 149])
    reserved = st.just(bytes(3)) | field(3)
    return st.binary(max_size=200) | st.builds(headed, st.integers(0, 5), reserved, near).flatmap(lambda s: s)


@given(messages)
def test_a_message_survives_the_wire(message: Message) -> None:
    assert decode(message.encode()) == message


@given(messages)
def test_a_message_has_the_size_and_type_of_the_whitepaper(message: Message) -> None:
    data = message.encode()
    kind = data[0]
    assert len(data) == SIZES.get(kind, len(data))
    assert data[1:4] == bytes(3)
    assert message_type(data) == kind


@given(datagrams())
def test_what_is_accepted_encodes_to_the_same_bytes(data: bytes) -> None:
    try:
        message = decode(data)
    except DatagramError:
        return
    assert message.encode() == data


@given(datagrams())
def test_what_is_refused_is_malformed_or_of_no_known_type(data: bytes) -> None:
    try:
        decode(data)
    except DatagramError as error:
        reason = error.reason
    else:
        return
    assert reason is (DropReason.UNKNOWN_TYPE if message_type(data) is None else DropReason.MALFORMED)


@given(messages, st.data())
def test_a_message_cut_short_is_refused(message: Message, data: st.DataObject) -> None:
    whole = message.encode()
    # Transport data is of any length from 32 bytes on.
    shortest = 31 if isinstance(message, TransportData) else len(whole) - 1
    cut = whole[: data.draw(st.integers(0, shortest))]
    try:
        decode(cut)
    except DatagramError:
        return
    raise AssertionError(f"{len(cut)} bytes were accepted")
