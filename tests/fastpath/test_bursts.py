"""Behind many datagrams of UDP few are received at once: their receiver's socket has little room."""

from dataclasses import replace
from functools import partial
from ipaddress import ip_address

import pytest

from tests.datapath.kinds import DATA_PATHS, with_session
from tests.datapath.remote import HOME, LOCAL_HOST, NOW, REMOTE_HOST, Remote
from tests.fastpath.superpackets import UDP, Packet, segments

if "native" not in DATA_PATHS:
    pytest.skip("the C data path is not built, or there is no C compiler", allow_module_level=True)

from tests.datapath.native import ALL_OFFLOADS, Call, NativeUnderTest

SIZE = 1000  # bytes of payload of a packet
JOINED = 60  # packets in a superdatagram
ANY = Packet(source=ip_address(REMOTE_HOST).packed, destination=ip_address(LOCAL_HOST).packed)
STREAM = replace(ANY, payload=bytes(JOINED * SIZE))
MANY = replace(STREAM, protocol=UDP)
FEW = replace(MANY, payload=bytes(2 * SIZE))


class Receiver:
    """A data path with a session and all offloads, and the remote end of it."""

    def __init__(self) -> None:
        self._remote = Remote()
        path = with_session(partial(NativeUnderTest, offloads=ALL_OFFLOADS), self._remote)
        assert isinstance(path, NativeUnderTest)
        self._path = path
        self._now = NOW

    def system_calls(self, *superdatagrams: Packet) -> int:
        """How many it takes to receive these, which lie in the socket together."""
        before = self._path.world.calls(Call.RECVMMSG)
        self._now += 1
        packets = [segment for packet in superdatagrams for segment in segments(packet, SIZE)]
        for packet in packets:
            self._path.receive_datagram(self._remote.seal(packet), HOME, self._now)
        assert self._path.take_packets() == packets
        return self._path.world.calls(Call.RECVMMSG) - before


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


def test_behind_many_datagrams_few_are_received_at_once(receiver: Receiver) -> None:
    receiver.system_calls(MANY)

    assert receiver.system_calls(*[MANY] * 6) >= 3


@pytest.mark.parametrize("other", [STREAM, FEW], ids=["a stream of TCP", "few datagrams"])
def test_behind_anything_else_as_many_as_ever_are(receiver: Receiver, other: Packet) -> None:
    receiver.system_calls(MANY)
    receiver.system_calls(other)

    assert receiver.system_calls(*[STREAM] * 6) <= 2
