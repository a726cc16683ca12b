"""An update whose peers are let go as they are added, so that its memory does not stay beside theirs."""

from wgpy import AllowedIP, AllowedIPChange, Device, DeviceUpdate, Endpoint, PeerUpdate, PortableDataPath
from wgpy.device_update import apply_update
from wgpy.keys import PublicKey

ALICE, BOB = PublicKey(b"\xaa" * 32), PublicKey(b"\xbb" * 32)
HERE = Endpoint("192.0.2.1", 51820)
PREFIX = AllowedIP("10.0.0.1/32")


def test_each_peer_is_taken_out_in_order_and_the_update_means_the_same() -> None:
    device = Device(PortableDataPath(), random=bytes, wall_clock=lambda: 0)
    peers = [PeerUpdate(ALICE, allowed_ips=[AllowedIPChange(PREFIX)]), PeerUpdate(BOB, endpoint=HERE)]

    steps = apply_update(device, DeviceUpdate(peers=peers), lambda: 0, take_apart=True)

    assert {(len(device.engine.peers), len(peers)) for _ in steps} == {(1, 1), (2, 0)}
    assert list(device.engine.peers) == [bytes(ALICE), bytes(BOB)]
    assert device.allowed_ips(device.engine.peers[bytes(ALICE)]) == [PREFIX]
    assert device.engine.peers[bytes(BOB)].endpoint == HERE


def test_an_update_that_is_kept_stays_as_it_is() -> None:
    device = Device(PortableDataPath(), random=bytes, wall_clock=lambda: 0)
    peers = [PeerUpdate(ALICE)]

    for _ in apply_update(device, DeviceUpdate(peers=peers), lambda: 0):
        pass

    assert peers == [PeerUpdate(ALICE)]
