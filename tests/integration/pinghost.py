"""An interface whose port also answers our ping, and what asks it or floods it; runs on hosts.

pinghost.py answer NAME KEY PORT PEER ALLOWED             until it is killed
pinghost.py ask NAME KEY PORT PEER ALLOWED REMOTE COUNT   every 100 ms; prints how many were answered
pinghost.py silence KEY PEER REMOTE PORT SECONDS…         try such silences side by side; prints what came
pinghost.py flood ADDRESS PORT SECONDS KEY PEER           10,000 datagrams a second, half of them questions
pinghost.py lend NAME KEY PORT PEER ALLOWED REMOTE INSIDE  a socket to `borrow`, in namespaces of its own
pinghost.py borrow DESCRIPTOR NAME KEY PORT PEER ALLOWED REMOTE INSIDE    and ping the peer from there
pinghost.py adopt DESCRIPTOR MARK                         what a socket of others allows here
"""

import asyncio
import os
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from ipaddress import ip_network

from wgpy.contract.endpoint import Endpoint
from wgpy.contract.errors import StateError
from wgpy.contract.orders import AllowedIP
from wgpy.driver.interface import Interface
from wgpy.driver.settings import read_settings
from wgpy.driver.traffic import tun_offloads
from wgpy.host.bootclock import boottime
from wgpy.host.tun import Tun
from wgpy.keys import PrivateKey, PublicKey
from wgpy.model import AllowedIPChange, DeviceUpdate, PeerUpdate
from wgpy.paths.discovery import MAGIC, Discovery
from wgpy.transport import Transport
from wgpy.transport.udp import adopt_udp
from wgpyd.agent.mapping_lifetime import try_silence

_BURST = 100


async def _open(
    name: str,
    key: str,
    port: str,
    peer: str,
    allowed: str,
    remote: str = "",
    transport: Transport | None = None,
) -> Interface:
    settings = read_settings(os.environ)
    tun = Tun.open(name, vnet_header=bool(tun_offloads(settings)), queues=settings.queues())
    interface = Interface(tun, transport=transport, settings=settings)
    interface.start()
    network = ip_network(allowed)
    update = PeerUpdate(
        PublicKey.from_base64(peer),
        endpoint=Endpoint(remote, int(port)) if remote else None,
        allowed_ips=[AllowedIPChange(AllowedIP(network.network_address.packed, network.prefixlen))],
    )
    await interface.configure(
        DeviceUpdate(private_key=PrivateKey.from_base64(key), listen_port=int(port), peers=[update])
    )
    return interface


def _public(peer: str) -> bytes:
    return bytes(PublicKey.from_base64(peer))


def _discovery(key: str, peer: str) -> Discovery:
    discovery = Discovery(bytes(PrivateKey.from_base64(key)), os.urandom)
    discovery.set_peers([_public(peer)])
    return discovery


async def answer(name: str, key: str, port: str, peer: str, allowed: str) -> None:
    interface = await _open(name, key, port, peer, allowed)
    interface.register_reader(MAGIC, _discovery(key, peer).receive)
    print("ready", flush=True)
    await interface.wait_closed()


async def ask(name: str, key: str, port: str, peer: str, allowed: str, remote: str, count: str) -> None:
    interface = await _open(name, key, port, peer, allowed, remote)
    discovery = _discovery(key, peer)
    interface.register_reader(MAGIC, discovery.receive)
    print("ready", flush=True)
    there = Endpoint(remote, int(port))
    answers = []
    for _ in range(int(count)):
        interface.send_foreign(discovery.ask(_public(peer), there, boottime()), there)
        await asyncio.sleep(0.1)
        answers += discovery.take_answers()
    await asyncio.sleep(1)
    answers += discovery.take_answers()
    slowest = max((answer.round_trip for answer in answers), default=0)
    print(f"{len(answers)} answered, the slowest after {slowest / 1e6:.1f} ms", flush=True)
    await interface.wait_closed()


async def flood(address: str, port: str, seconds: str, key: str, peer: str) -> None:
    question = _discovery(key, peer).ask(_public(peer), Endpoint(address, int(port)), 0)
    end = time.monotonic() + float(seconds)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        print("flooding", flush=True)
        while time.monotonic() < end:
            for number in range(_BURST):
                udp.sendto(question if number % 2 else b"rubbish", (address, int(port)))
            await asyncio.sleep(0.01)


async def silence(key: str, peer: str, remote: str, port: str, *seconds: str) -> None:
    ends = PrivateKey.from_base64(key), 0, PublicKey.from_base64(peer), Endpoint(remote, int(port))
    outcomes = await asyncio.gather(*(try_silence(*ends, int(each)) for each in seconds))
    print(*(outcome.name for outcome in outcomes))


async def lend(name: str, key: str, port: str, *arguments: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as udp:
        udp.bind(("", int(port)))
        udp.set_inheritable(True)
        unshare = ["unshare", "--user", "--map-root-user", "--net", sys.executable, __file__]
        os.execvp(unshare[0], [*unshare, "borrow", str(udp.fileno()), name, key, port, *arguments])


async def borrow(
    descriptor: str, name: str, key: str, port: str, peer: str, allowed: str, remote: str, inside: str
) -> None:
    transport = adopt_udp([int(descriptor)])
    interface = await _open(name, key, port, peer, allowed, remote, transport)
    for command in (
        ("ip", "address", "add", inside, "dev", name),
        ("ip", "link", "set", name, "up"),
        ("ping", "-n", "-c", "3", "-W", "5", allowed.partition("/")[0]),
    ):
        await (await asyncio.create_subprocess_exec(*command)).wait()
    interface.close()


async def adopt(descriptor: str, mark: str) -> None:
    transport = adopt_udp([int(descriptor)])
    try:
        transport.set_mark(int(mark))
        print(f"mark {transport.mark}")
    except StateError as error:
        print(error)
    print("routed here" if transport.is_routed_here else "routed elsewhere")
    transport.send(b"hello", Endpoint("127.0.0.1", transport.port), 0)


COMMANDS: dict[str, Callable[..., Coroutine[None, None, None]]] = {
    "answer": answer,
    "ask": ask,
    "flood": flood,
    "silence": silence,
    "lend": lend,
    "borrow": borrow,
    "adopt": adopt,
}

if __name__ == "__main__":
    command, *rest = sys.argv[1:]
    asyncio.run(COMMANDS[command](*rest))
