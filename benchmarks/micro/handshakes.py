"""Handshakes per second on one core, as initiator, as responder and under load, through the engine's face.

    python -m benchmarks.micro.handshakes [--peers 200] [--rounds 5]

One device with one identity meets many peers, each an engine of its own; the two roles are timed apart.
Everything a real handshake costs is in it: macs, index table, TAI64N, sessions and actions; sockets are not.
Under load the same first messages come without mac2, each from an address of its own, and get cookies.
"""

import argparse
import os
import statistics
import time

from wgpy.engine.actions import SendDatagram
from wgpy.engine.constants import COOKIE_REPLY_SIZE, SECOND, UNDER_LOAD_DEPTH
from wgpy.engine.device import Device
from wgpy.engine.endpoint import Endpoint
from wgpy.engine.events import KeyNeeded, PeerActivity

HUB = Endpoint("192.0.2.1", 51820)
START = 1000 * SECOND


def _device() -> Device:
    device = Device(random=os.urandom, wall_clock=time.time_ns, activity=lambda _: PeerActivity())
    device.set_private_key(os.urandom(32), START)
    device.up(START)
    return device


def _sent(device: Device) -> bytes:
    (datagram,) = (action.data for action in device.take_actions() if isinstance(action, SendDatagram))
    return datagram


def _time_round(hub: Device, spokes: list[Device], now: int) -> tuple[float, float]:
    """Seconds the spokes together took as initiators, and the hub as responder."""
    initiating = responding = 0.0
    for number, spoke in enumerate(spokes):
        address = Endpoint("198.51.100.1", number + 1)
        began = time.process_time()
        spoke.receive_event(KeyNeeded(1), now)
        initiation = _sent(spoke)
        initiated = time.process_time()
        hub.receive_datagram(initiation, address, now)
        response = _sent(hub)
        responded = time.process_time()
        spoke.receive_datagram(response, HUB, now)
        spoke.take_actions()
        initiating += initiated - began + time.process_time() - responded
        responding += responded - initiated
    return initiating, responding


def _time_cookies(hub: Device, spokes: list[Device], now: int) -> float:
    """Seconds the hub took to answer each spoke's first message with a cookie reply."""
    replying = 0.0
    for number, spoke in enumerate(spokes):
        address = Endpoint(f"10.128.{number >> 8 & 255}.{number & 255}", 1024, 0, "198.51.100.1", 2)
        spoke.receive_event(KeyNeeded(1), now)
        initiation = _sent(spoke)
        began = time.process_time()
        hub.receive_datagram(initiation, address, now, queued=UNDER_LOAD_DEPTH)
        reply = _sent(hub)
        replying += time.process_time() - began
        assert len(reply) == COOKIE_REPLY_SIZE
    return replying


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--peers", type=int, default=200, help="handshakes in a round (default: %(default)s)")
    parser.add_argument(
        "--rounds", type=int, default=5, help="rounds; the median counts (default: %(default)s)"
    )
    options = parser.parse_args()

    hub = _device()
    spokes = [_device() for _ in range(options.peers)]
    for spoke in spokes:
        assert spoke.public_key and hub.public_key
        hub.add_peer(spoke.public_key)
        spoke.set_endpoint(spoke.add_peer(hub.public_key), HUB, START)
        spoke.take_actions()
    hub.take_actions()
    _time_round(hub, spokes, START)  # computes the static-static secrets, as each peer's first handshake does
    times = [START + 6 * number * SECOND for number in range(1, 2 * options.rounds + 1)]
    rounds = [_time_round(hub, spokes, now) for now in times[: options.rounds]]
    initiating, responding = zip(*rounds, strict=True)
    replying = [_time_cookies(hub, spokes, now) for now in times[options.rounds :]]
    for what, seconds in (
        ("handshakes/s as initiator", initiating),
        ("handshakes/s as responder", responding),
        ("cookie replies/s under load", replying),
    ):
        rates = sorted(options.peers / spent for spent in seconds)
        print(
            f"{statistics.median(rates):,.0f} {what} on one core "
            f"(median of {options.rounds}, {rates[0]:,.0f} to {rates[-1]:,.0f})"
        )


if __name__ == "__main__":
    main()
