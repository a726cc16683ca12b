"""What the kernel may refuse of what a relay forwards, and of what size that leaves."""

import errno

import pytest

from tests.datapath.kinds import DATA_PATHS, drop_counts
from tests.datapath.relayed import ALICE, BOB, HOMES, data, give_from, open_session, relay
from tests.datapath.remote import NOW
from wgpy.contract.drops import DropReason
from wgpy.contract.events import EndpointChanged
from wgpy.contract.orders import SetEndpoint

if "native" not in DATA_PATHS:
    pytest.skip("the C data path is not built, or there is no C compiler", allow_module_level=True)

from tests.datapath.native import Call, NativeUnderTest

A, B = 0xA0, 0xB0
SIZE = 1000
COUNT = 10
FOREVER = 10**6


@pytest.fixture
def path() -> NativeUnderTest:
    """With a session of Alice and Bob by it, and all offloads."""
    path = relay(DATA_PATHS["native-offloads"])
    assert isinstance(path, NativeUnderTest)
    open_session(path, ALICE, BOB, (A, B))
    return path


def forward(path: NativeUnderTest, now: int = NOW, sizes: tuple[int, ...] = (SIZE,) * COUNT) -> list[int]:
    """At one moment; returns of what size the datagrams that left were joined, 0 for one alone."""
    give_from(path, HOMES[ALICE], *(data(B, number, size) for number, size in enumerate(sizes)), now=now)
    return [size for *_, size in path.world.take_datagrams()]


def test_what_came_joined_leaves_joined(path: NativeUnderTest) -> None:
    assert forward(path) == [SIZE]
    assert forward(path, sizes=(SIZE,) * COUNT + (SIZE - 1,)) == [SIZE]


def test_no_more_than_64_datagrams_are_joined(path: NativeUnderTest) -> None:
    assert forward(path, sizes=(40,) * 150) == [40, 40, 40]
    assert not drop_counts(path)


@pytest.mark.parametrize("error", [errno.EMSGSIZE, errno.EINVAL], ids=errno.errorcode.get)
def test_an_end_that_takes_none_joined_gets_them_apart_from_then_on(
    path: NativeUnderTest, error: int
) -> None:
    path.world.fail(Call.SENDMMSG, error, count=FOREVER, joined=True)

    assert forward(path) == [0] * COUNT
    path.world.fail(Call.SENDMMSG, error, count=0)
    assert forward(path, NOW + 1) == [0] * COUNT
    path.apply(SetEndpoint(BOB, HOMES[BOB]._replace(port=9)), NOW)
    assert forward(path, NOW + 2) == [SIZE], "it says nothing of another endpoint"


def test_nothing_waits_for_room_in_the_sockets_buffer(path: NativeUnderTest) -> None:
    """The interface's own datagrams wait behind it."""
    path.world.fail(Call.SENDMMSG, errno.EAGAIN)

    assert forward(path) == []
    assert path.world.calls(Call.POLL) == 0
    assert drop_counts(path) == {DropReason.SEND_FAILED: COUNT}


def test_an_address_of_ours_that_is_gone_is_not_used_again(path: NativeUnderTest) -> None:
    path.apply(SetEndpoint(BOB, HOMES[BOB]._replace(local_address="192.0.2.9", local_interface=2)), NOW)
    path.world.fail(Call.SENDMMSG, errno.EADDRNOTAVAIL, count=2)  # joined, and the first one alone

    assert forward(path) == [0] * COUNT
    assert EndpointChanged(BOB, HOMES[BOB]) in path.take_events()
    assert forward(path, NOW + 1) == [SIZE]
