"""Sockets that were made before anybody asked for them."""

import socket

import pytest

from wgpy.tunnel.spares import MAX, Kind, SpareSockets

TCP: Kind = (socket.AF_INET, socket.SOCK_STREAM, 0)
UDP: Kind = (socket.AF_INET, socket.SOCK_DGRAM, 0)


class Factory:
    """Makes sockets, all that are asked for or `most` of them, and keeps them."""

    def __init__(self, most: int = MAX) -> None:
        self.most = most
        self.made: list[socket.socket] = []
        self.asked = 0

    def __call__(self, kind: Kind, count: int) -> list[socket.socket]:
        self.asked += 1
        made = [socket.socket(*kind) for _ in range(min(count, self.most))]
        self.made += made
        return made


def test_there_are_never_more_spares_than_sockets_that_were_asked_for() -> None:
    factory = Factory()
    spares = SpareSockets(factory)

    for number in range(1, 4 * MAX):
        spares.take(TCP).close()
        assert len(factory.made) <= 2 * number

    assert factory.asked < MAX
    spares.close()


def test_each_socket_is_of_the_kind_that_was_asked_for_and_nobody_elses() -> None:
    spares = SpareSockets(Factory())

    taken = [spares.take(kind) for kind in (TCP, UDP) * 8]

    assert [made.type for made in taken] == [socket.SOCK_STREAM, socket.SOCK_DGRAM] * 8
    assert len({made.fileno() for made in taken}) == len(taken)
    for made in taken:
        made.close()
    spares.close()


def test_closing_closes_the_spares_and_not_what_was_taken() -> None:
    factory = Factory()
    spares = SpareSockets(factory)
    taken = [spares.take(TCP) for _ in range(5)]

    spares.close()

    assert {made for made in factory.made if made.fileno() >= 0} == {*taken}
    for made in taken:
        made.close()


def test_fewer_than_were_asked_for_are_enough() -> None:
    factory = Factory(most=1)
    spares = SpareSockets(factory)

    for _ in range(5):
        spares.take(TCP).close()

    assert factory.asked == 5


def test_where_none_can_be_made_the_error_is_the_callers_and_the_next_one_is_tried() -> None:
    failing = [OSError(24, "no room")]

    def make(kind: Kind, count: int) -> list[socket.socket]:
        if failing:
            raise failing.pop()
        return [socket.socket(*kind)]

    spares = SpareSockets(make)

    with pytest.raises(OSError, match="no room"):
        spares.take(TCP)
    spares.take(TCP).close()
