"""SipHash-2-4 against the vectors of its authors: the key and the data count upwards from 0."""

import pytest

from tests.fastpath.parts import Parts

KEY = bytes(range(16))
VECTORS = {
    0: "310e0edd47db6f72",
    1: "fd67dc93c539f874",
    2: "5a4fa9d909806c0d",
    3: "2d7efbd796666785",
    4: "b7877127e09427cf",
    5: "8da699cd64557618",
    6: "cee3fe586e46c9cb",
    7: "37d1018bf50002ab",
    8: "6224939a79f5f593",
    15: "e545be4961ca29a1",
}


@pytest.mark.parametrize("length", VECTORS)
def test_a_hash_is_that_of_the_paper(parts: Parts, length: int) -> None:
    assert parts.siphash(KEY, bytes(range(length))).to_bytes(8, "little").hex() == VECTORS[length]


def test_another_key_gives_another_hash(parts: Parts) -> None:
    assert parts.siphash(KEY, b"data") != parts.siphash(KEY[::-1], b"data")
