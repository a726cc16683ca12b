"""Local indices: random, and never two owners for one."""

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
