"""What a program asks of a device is refused before anything changes, where it cannot be."""

from typing import cast

import pytest

import wgpy

NOW = 10**12
KEY = wgpy.PublicKey(b"\x51" * 32)
NO_PREFIX = wgpy.AllowedIPChange(cast(wgpy.AllowedIP, "10.0.0.0/8"))


@pytest.mark.parametrize(
    "update",
    [
        wgpy.DeviceUpdate(listen_port=65536),
        wgpy.DeviceUpdate(listen_port=-1),
        wgpy.DeviceUpdate(fwmark=2**32),
        wgpy.DeviceUpdate(fwmark=-1),
        wgpy.DeviceUpdate(peers=[wgpy.PeerUpdate(KEY, persistent_keepalive=-5)]),
        wgpy.DeviceUpdate(peers=[wgpy.PeerUpdate(KEY, persistent_keepalive=65536)]),
        wgpy.DeviceUpdate(peers=[wgpy.PeerUpdate(KEY, endpoint=wgpy.Endpoint("vpn.example.net", 1))]),
        wgpy.DeviceUpdate(peers=[wgpy.PeerUpdate(KEY, endpoint=wgpy.Endpoint("192.0.2", 1))]),
        wgpy.DeviceUpdate(peers=[wgpy.PeerUpdate(KEY, endpoint=wgpy.Endpoint("192.0.2.1", 65536))]),
        wgpy.DeviceUpdate(peers=[wgpy.PeerUpdate(KEY, endpoint=wgpy.Endpoint("fe80::g", 1))]),
        wgpy.DeviceUpdate(peers=[wgpy.PeerUpdate(KEY, candidates=[wgpy.Endpoint("::1", -1)])]),
        wgpy.DeviceUpdate(peers=[wgpy.PeerUpdate(KEY, allowed_ips=[NO_PREFIX])]),
    ],
    ids=repr,
)
def test_what_cannot_be_is_refused(update: wgpy.DeviceUpdate) -> None:
    device = wgpy.open_device(wgpy.Config(), NOW)

    with pytest.raises(wgpy.InputError, match=" is a |is no endpoint"):
        wgpy.check_update(device, update)

    assert device.status().peers == []


@pytest.mark.parametrize("endpoint", [wgpy.Endpoint("192.0.2.1", 65535), wgpy.Endpoint("fe80::1", 1, 7)])
def test_what_can_be_is_not(endpoint: wgpy.Endpoint) -> None:
    device = wgpy.open_device(wgpy.Config(), NOW)
    prefix = wgpy.AllowedIPChange(wgpy.AllowedIP("10.0.0.0/8"))
    peer = wgpy.PeerUpdate(KEY, endpoint=endpoint, persistent_keepalive=65535, allowed_ips=[prefix])

    wgpy.check_update(device, wgpy.DeviceUpdate(listen_port=65535, fwmark=2**32 - 1, peers=[peer]))
