"""Datagrams in a stream, whatever the pieces in which it arrives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wgpy.node.datagram_stream import MAX_DATAGRAM, DatagramReader, frame


@given(st.lists(st.binary(max_size=300)), st.integers(1, 50))
def test_datagrams_come_out_as_they_went_in(datagrams: list[bytes], piece: int) -> None:
    stream = b"".join(map(frame, datagrams))
    reader = DatagramReader()

    came = [
        datagram
        for begin in range(0, len(stream), piece)
        for datagram in reader.feed(stream[begin : begin + piece])
    ]

    assert came == datagrams


def test_what_is_larger_than_a_datagram_is_refused() -> None:
    frame(bytes(MAX_DATAGRAM))
    with pytest.raises(ValueError, match="at most 65507 bytes, not 65508"):
        frame(bytes(MAX_DATAGRAM + 1))
