"""Local indices: random, and never two owners for one."""

import os

import pytest

from wgpy.engine.indextable import IndexTable


def test_an_index_in_use_is_not_given_again() -> None:
    drawn = iter([b"\1\0\0\0", b"\1\0\0\0", b"\2\0\0\0"])
    indices = IndexTable(lambda _: next(drawn))

    assert [indices.allocate(7), indices.allocate(8)] == [1, 2]
    assert (indices.peer(1), indices.peer(2)) == (7, 8)


def test_a_released_index_names_nobody_and_may_be_given_again() -> None:
    indices = IndexTable(lambda size: b"\1".ljust(size, b"\0"))
    indices.release(indices.allocate(7))

    assert indices.peer(1) is None
    assert len(indices) == 0
    assert indices.allocate(8) == 1


def test_further_indices_are_of_the_block_and_none_before_was() -> None:
    indices = IndexTable(os.urandom)
    before = {indices.allocate(7) >> 16 for _ in range(1000)}

    block = indices.unused_block()
    indices.set_block(block)
    found = {indices.allocate(7) >> 16 for _ in range(1000)}
    indices.set_block(None)

    assert block not in before
    assert found == {block}
    assert {indices.allocate(7) >> 16 for _ in range(100)} != {block}


def test_there_is_no_block_beside_more_sessions_than_it_holds() -> None:
    indices = IndexTable(os.urandom)
    for _ in range(2**14 + 1):
        indices.allocate(7)

    with pytest.raises(ValueError, match="too many sessions"):
        indices.unused_block()
