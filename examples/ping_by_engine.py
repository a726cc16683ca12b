"""The protocol over a UDP socket of one's own, without root: pings a host behind a peer."""

import socket
import struct
import sys
from contextlib import suppress

import wgpy


def checksummed(head: bytes, at: int) -> bytes:
    total = sum(struct.unpack(f">{len(head) // 2}H", head)) % 0xFFFF  # RFC 1071
    return head[:at] + struct.pack(">H", 0xFFFF - total) + head[at + 2 :]


config, there = wgpy.config.load(sys.argv[1]), socket.inet_aton(sys.argv[2])
here = next(each.packed for each in config.addresses if each.version == 4)
head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 28, 0, 0, 64, socket.IPPROTO_ICMP, 0, here, there)
device, own = wgpy.open_device(config, wgpy.boottime()), socket.socket(type=socket.SOCK_DGRAM)
device.send(checksummed(head, 10) + checksummed(struct.pack(">BBHHH", 8, 0, 0, 1, 1), 2), wgpy.boottime())
while not (packets := device.take_packets()):
    device.advance(wgpy.boottime())
    for datagram in device.take_datagrams():
        own.sendto(datagram.data, datagram.endpoint[:2])
    own.settimeout(max(0.001, ((device.next_deadline() or 0) - wgpy.boottime()) / 1e9))
    with suppress(TimeoutError):
        data, source = own.recvfrom(65535)
        device.receive(data, wgpy.Endpoint(*source), wgpy.boottime())
own.close()
print("an answer of", socket.inet_ntoa(packets[0][12:16]))
