"""What a tunnel and the process inside say to each other arrives whole, with its descriptors."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wgpy.tunnel import channel

_VALUES = st.dictionaries(st.text(), st.text() | st.integers() | st.lists(st.text()))


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


@given(_VALUES)
def test_values_arrive_as_they_were_sent(values: dict[str, object]) -> None:
    one, other = socket.socketpair()
    with one, other:
        channel.send(one, values)

        assert channel.receive(other) == (values, [])


def test_an_argument_that_is_no_utf8_arrives_as_it_was(ends: tuple[socket.socket, socket.socket]) -> None:
    argument = os.fsdecode(b"\xff\n\xc3")

    channel.send(ends[0], {"arguments": [argument]})

    received = channel.receive(ends[1])
    assert received
    assert received.values == {"arguments": [argument]}


def test_a_message_that_no_buffer_holds_arrives_with_its_descriptor(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    routes = [f"10.{number >> 8}.{number & 255}.0/24" for number in range(1 << 16)]
    reading, writing = os.pipe()
    with closing(os.fdopen(reading, "rb")), os.fdopen(writing, "wb"):
        sending = threading.Thread(target=channel.send, args=(ends[0], {"routes": routes}, [reading]))
        sending.start()
        received = channel.receive(ends[1])
        sending.join()

        assert received
        assert received.values == {"routes": routes}
        (fileno,) = received.filenos
        assert os.path.samestat(os.fstat(fileno), os.fstat(reading))
        assert not os.get_inheritable(fileno)
        os.close(fileno)


def test_the_end_of_the_other_end_is_no_message(ends: tuple[socket.socket, socket.socket]) -> None:
    ends[0].sendall(b'{"half":')
    ends[0].close()

    assert channel.receive(ends[1]) is None
