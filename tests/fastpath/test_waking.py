"""What wakes the driver of the C data path at once, and what may wait a second."""

import select

import pytest

from tests.datapath.kinds import DATA_PATHS, PEER, DataPathUnderTest, with_peer, with_session
from tests.datapath.packets import ipv4
from tests.datapath.remote import HOME, LOCAL_HOST, NOW, REMOTE_HOST, Remote
from wgpy.contract.events import DataReceived, DataSent

if "native" not in DATA_PATHS:
    pytest.skip("the C data path is not built, or there is no C compiler", allow_module_level=True)

from tests.datapath.native import NativeUnderTest

OUT, IN = ipv4(LOCAL_HOST, REMOTE_HOST), ipv4(REMOTE_HOST, LOCAL_HOST)


def ready(path: DataPathUnderTest) -> NativeUnderTest:
    """The same, with nothing left to tell."""
    assert isinstance(path, NativeUnderTest)
    path.path.acknowledge()
    return path


def wakes(path: NativeUnderTest, within: float = 0) -> bool:
    path.settle()
    return bool(select.select([path.path.fileno()], [], [], within)[0])


def test_a_packet_that_needs_a_key_wakes_at_once() -> None:
    path = ready(with_peer(NativeUnderTest))

    path.send_packet(OUT, NOW)

    assert wakes(path)


def test_a_talk_wakes_a_second_later_however_often_it_turns() -> None:
    remote = Remote()
    path = ready(with_session(NativeUnderTest, remote))

    for _ in range(3):
        path.send_packet(OUT, NOW)
        path.receive_datagram(remote.seal(IN), HOME, NOW)
        assert not wakes(path)

    assert wakes(path, within=5)
    path.path.acknowledge()
    assert set(path.take_events()) >= {DataSent(PEER), DataReceived(PEER)}
    assert not wakes(path)


def test_what_is_urgent_does_not_wait_for_what_is_not() -> None:
    remote = Remote()
    path = ready(with_session(NativeUnderTest, remote))
    path.send_packet(OUT, NOW)
    assert not wakes(path)

    path.receive_datagram(remote.seal(), HOME._replace(port=9), NOW)

    assert wakes(path)
