"""An interface with one peer, which may translate the addresses of a site; runs on hosts until it is killed.

sitehost.py NAME KEY PORT PEER ENDPOINT ALLOWED... [-- MAPPED=REAL...]      ENDPOINT: an address, at that port
"""

import asyncio
import os
import sys
from ipaddress import ip_network

from wgpy.contract.endpoint import Endpoint
from wgpy.contract.orders import AllowedIP, SetTranslations, Translation
from wgpy.driver.interface import Interface
from wgpy.driver.settings import read_settings
from wgpy.driver.traffic import tun_offloads
from wgpy.host.tun import Tun
from wgpy.keys import PrivateKey, PublicKey
from wgpy.model import AllowedIPChange, DeviceUpdate, PeerUpdate


def _prefix(text: str) -> AllowedIP:
    network = ip_network(text)
    return AllowedIP(network.network_address.packed, network.prefixlen)


def _translation(text: str) -> Translation:
    mapped, _, real = text.partition("=")
    return Translation(_prefix(mapped), _prefix(real))


async def serve(name: str, key: str, port: str, peer: str, endpoint: str, *more: str) -> None:
    at = more.index("--") if "--" in more else len(more)
    settings = read_settings(os.environ)
    tun = Tun.open(name, vnet_header=bool(tun_offloads(settings)), queues=settings.queues())
    interface = Interface(tun, settings=settings)
    interface.start()
    update = PeerUpdate(
        PublicKey.from_base64(peer),
        endpoint=Endpoint(endpoint, int(port)),
        allowed_ips=[AllowedIPChange(_prefix(text)) for text in more[:at]],
    )
    await interface.configure(
        DeviceUpdate(
            private_key=PrivateKey.from_base64(key),
            listen_port=int(port),
            translations=SetTranslations(tuple(map(_translation, more[at + 1 :]))),
            peers=[update],
        )
    )
    print("ready", flush=True)
    await interface.wait_closed()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
