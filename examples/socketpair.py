"""WireGuard over a socketpair: no interface, no root, no event loop."""

import socket

import wgpy
from wgpy.testing import InnerPacket

ANYWHERE = wgpy.HostPort("192.0.2.1", 51820)  # over a socketpair, addresses mean nothing
KEYS = wgpy.PrivateKey.generate(), wgpy.PrivateKey.generate()


def open_device(own: wgpy.PrivateKey, peer: wgpy.PrivateKey) -> wgpy.PortableDevice:
    other = wgpy.PeerConfig(peer.public_key(), None, (wgpy.AllowedIP("0.0.0.0/0"),), ANYWHERE)
    return wgpy.open_device(wgpy.Config(own, peers=(other,)), wgpy.boottime())


alice, bob = open_device(*KEYS), open_device(*reversed(KEYS))
ends = dict(zip((alice, bob), socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM), strict=True))
alice.send(InnerPacket("10.0.0.1", "10.0.0.2", number=1).encode(), wgpy.boottime())
while not (packets := bob.take_packets()):
    for sender, receiver in ((alice, bob), (bob, alice)):  # initiation, response, packet
        sender.advance(wgpy.boottime())
        for datagram in sender.take_datagrams():
            ends[sender].send(datagram.data)
            receiver.receive(ends[receiver].recv(2048), wgpy.Endpoint(*ANYWHERE), wgpy.boottime())
print(f"Bob has a packet of {len(packets[0])} bytes")
for end in ends.values():
    end.close()
