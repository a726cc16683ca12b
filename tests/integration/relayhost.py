"""An interface that may relay between its peers, and who would abuse one; runs on hosts.

relayhost.py run NAME KEY PORT RATE PEER,ALLOWED,ENDPOINT,KEEPALIVE...    for each SIGUSR1 print its state
relayhost.py abuse TO PEER SOURCE COUNT    send initiations to the peer and data, from here and from SOURCE

RATE: bytes a second, 0 for no relay; PEER: a public key; ENDPOINT may be empty.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from hashlib import blake2s
from struct import pack
from typing import Final

from wgpy.address import parse_endpoint
from wgpy.contract.orders import AllowedIP
from wgpy.driver.interface import Interface
from wgpy.driver.settings import read_settings
from wgpy.driver.traffic import tun_offloads
from wgpy.host.eventloop import new_event_loop
from wgpy.host.tun import Tun
from wgpy.keys import PrivateKey, PublicKey
from wgpy.model import AllowedIPChange, DeviceUpdate, PeerUpdate

_BURST: Final = 100  # datagrams, then a moment for who receives them


def peer_update(text: str) -> PeerUpdate:
    key, allowed, endpoint, keepalive = text.split(",")
    return PeerUpdate(
        PublicKey.from_base64(key),
        endpoint=parse_endpoint(endpoint) if endpoint else None,
        allowed_ips=[AllowedIPChange(AllowedIP(socket.inet_aton(allowed), 32))],
        persistent_keepalive=int(keepalive),
    )


async def run(name: str, key: str, port: str, rate: str, *peers: str) -> None:
    settings = read_settings(os.environ)
    tun = Tun.open(name, vnet_header=bool(tun_offloads(settings)), queues=settings.queues())
    interface = Interface(tun, settings=settings)
    interface.start()
    await interface.configure(
        DeviceUpdate(
            private_key=PrivateKey.from_base64(key),
            listen_port=int(port),
            relay_rate=int(rate),
            peers=[peer_update(peer) for peer in peers],
        )
    )
    asyncio.get_running_loop().add_signal_handler(
        signal.SIGUSR1, lambda: asyncio.create_task(_report(interface))
    )
    print("ready", flush=True)
    await interface.wait_closed()


async def _report(interface: Interface) -> None:
    status = await interface.status()
    drops = {reason.value: count for reason, count in interface.counters().items()}
    endpoints = {str(peer.public_key): str(peer.endpoint) for peer in status.peers}
    print(
        json.dumps({"relayed": status.relayed._asdict(), "drops": drops, "endpoints": endpoints}), flush=True
    )


# -- Abuse ------------------------------------------------------------------------------------------


def abuse(to: str, peer: str, source: str, count: str) -> None:
    host, port = to.rsplit(":", 1)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw,
    ):
        for number in range(int(count)):
            index = int.from_bytes(os.urandom(4), "little")
            for message in (_initiation(peer, number), pack("<IIQ", 4, index, number) + bytes(100)):
                udp.sendto(message, (host, int(port)))
                raw.sendto(_spoofed(source, to, message), (host, 0))
            if number % _BURST == 0:
                udp.sendto(b"?", (host, int(port)))
                os.sched_yield()
    print("done", flush=True)


def _initiation(peer: str, number: int) -> bytes:
    body = pack("<II", 1, number) + os.urandom(108)
    key = blake2s(b"mac1----" + bytes(PublicKey.from_base64(peer))).digest()
    return body + blake2s(body, digest_size=16, key=key).digest() + bytes(16)


def _spoofed(source: str, to: str, data: bytes) -> bytes:
    """A packet whose sums the kernel fills in, or nobody looks at."""
    (from_host, from_port), (to_host, to_port) = source.rsplit(":", 1), to.rsplit(":", 1)
    udp = pack("!HHHH", int(from_port), int(to_port), 8 + len(data), 0) + data
    addresses = socket.inet_aton(from_host) + socket.inet_aton(to_host)
    return pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, socket.IPPROTO_UDP, 0) + addresses + udp


if __name__ == "__main__":
    if sys.argv[1] == "abuse":
        abuse(*sys.argv[2:])
    else:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(run(*sys.argv[2:]))
