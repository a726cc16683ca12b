"""Devices made of configurations, without sockets and clock, and the example that connects two of them."""

import subprocess
import sys
from pathlib import Path

import pytest

import wgpy
from wgpy.testing import InnerPacket

_EXAMPLES = Path(__file__).parents[2] / "examples"
NOW = 10**12
ALICE, BOB = wgpy.PrivateKey(b"\x11" * 32), wgpy.PrivateKey(b"\x22" * 32)
AT_ALICE, AT_BOB = wgpy.Endpoint("192.0.2.1", 1), wgpy.Endpoint("192.0.2.2", 2)


def test_a_device_of_a_file_reaches_its_peer() -> None:
    text = file(ALICE, BOB, "Endpoint = 192.0.2.2:2").replace("[Peer]", "MTU = 901\n[Peer]")
    alice = wgpy.open_device(wgpy.config.parse(text), NOW)
    bob = wgpy.open_device(wgpy.config.parse(file(BOB, ALICE)), NOW)
    packet = InnerPacket("10.0.0.1", "10.0.0.2", number=1, size=901).encode()

    alice.send(packet, NOW)
    sizes = []
    for sender, source, receiver in [(alice, AT_ALICE, bob), (bob, AT_BOB, alice), (alice, AT_ALICE, bob)]:
        sender.advance(NOW)
        for datagram in sender.take_datagrams():
            sizes.append(len(datagram.data))
            receiver.receive(datagram.data, source, NOW)

    assert bob.take_packets() == [packet]
    assert sizes == [148, 92, 901 + 32]  # no padding beyond the MTU
    assert bob.status().peers[0].endpoint == AT_ALICE


def test_what_is_due_is_done_as_time_advances() -> None:
    alice = wgpy.open_device(wgpy.config.parse(file(ALICE, BOB, "Endpoint = 192.0.2.2:2")), NOW)
    alice.send(InnerPacket("10.0.0.1", "10.0.0.2", number=1).encode(), NOW)
    alice.advance(NOW)
    (first,) = alice.take_datagrams()

    deadline = alice.next_deadline()
    assert deadline is not None
    alice.advance(deadline)

    (again,) = alice.take_datagrams()
    assert (len(again.data), again.endpoint) == (len(first.data), AT_BOB)
    assert again.data != first.data


def test_a_device_that_is_down_says_nothing() -> None:
    alice = wgpy.open_device(wgpy.config.parse(file(ALICE, BOB, "Endpoint = 192.0.2.2:2")), NOW)

    alice.down()
    alice.send(InnerPacket("10.0.0.1", "10.0.0.2", number=1).encode(), NOW)
    alice.advance(NOW)

    assert alice.take_datagrams() == []


def test_an_endpoint_by_name_is_the_callers_to_resolve() -> None:
    config = wgpy.config.parse(file(ALICE, BOB, "Endpoint = vpn.example.net:51820"))

    with pytest.raises(wgpy.InputError, match="vpn.example.net:51820 is a name: resolve it"):
        wgpy.open_device(config, NOW)


@pytest.mark.skipif(not _EXAMPLES.exists(), reason="the clone is not there")
def test_the_example_carries_a_packet_over_a_socketpair_in_less_than_30_lines() -> None:
    example = _EXAMPLES / "socketpair.py"

    done = subprocess.run([sys.executable, "-W", "error", example], capture_output=True, text=True)

    assert (done.stdout, done.stderr) == ("Bob has a packet of 28 bytes\n", "")
    assert len(example.read_text().splitlines()) < 30


# -- Helpers -------------------------------------------------------------------------------------


def file(own: wgpy.PrivateKey, peer: wgpy.PrivateKey, *lines: str) -> str:
    interface = ["[Interface]", f"PrivateKey = {own.base64()}"]
    return "\n".join(
        [*interface, "[Peer]", f"PublicKey = {peer.public_key()}", "AllowedIPs = 0.0.0.0/0", *lines]
    )
