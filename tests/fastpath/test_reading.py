"""The C data path leaves packets in the TUN while another process reads them."""

import pytest

from tests.datapath.kinds import DATA_PATHS, with_session
from tests.datapath.packets import ipv4
from tests.datapath.remote import HOME, LOCAL_HOST, NOW, REMOTE_HOST, Remote

if "native" not in DATA_PATHS:
    pytest.skip("the C data path is not built, or there is no C compiler", allow_module_level=True)

from tests.datapath.native import NativeUnderTest

OUT, IN = ipv4(LOCAL_HOST, REMOTE_HOST), ipv4(REMOTE_HOST, LOCAL_HOST)


def test_packets_stay_in_the_tun_while_it_does_not_read_and_what_comes_in_passes() -> None:
    remote = Remote()
    path = with_session(NativeUnderTest, remote)
    assert isinstance(path, NativeUnderTest)

    path.path.set_reading(False)
    path.send_packet(OUT, NOW)
    path.receive_datagram(remote.seal(IN), HOME, NOW)

    assert path.take_datagrams() == []
    assert path.take_packets() == [IN]
    path.path.set_reading(True)
    path.receive_datagram(remote.seal(IN), HOME, NOW)
    assert len(path.take_datagrams()) == 1
