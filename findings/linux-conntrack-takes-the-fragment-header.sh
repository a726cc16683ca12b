#!/bin/sh
# Linux 6.18.44, nftables 1.0.6 (Debian 12), 2026-11-29. Needs user namespaces, or root.
#
# An IPv6 packet that is whole may still have a fragment header ("atomic fragment", RFC 6946), as a translator by RFC 6145 gives
# it to packets that may be fragmented. A router hands it on as it came, but without that header as soon as one rule looks at the
# state of connections: tracking joins fragments, an atomic one too. The identification is gone then, and who compares what two
# translators make of a packet, one of them in the kernel, finds a difference although both are right.
#
# Seen:
#   no rule: next header 44
#   ct state: next header 17
set -eu
for program in ip nft python3; do
    command -v "$program" > /dev/null || { echo "$program is not installed: apt-get install iproute2 nftables python3"; exit 1; }
done
seen=$(unshare -rn sh -c '
    for card in one two; do
        ip link add name $card type veth peer name far-$card
        ip link set far-$card up
    done
    ip link set one address 02:00:00:00:00:01 up
    ip link set two up
    ip address add 2001:db8:1::1/64 dev one nodad
    ip address add 2001:db8:2::1/64 dev two nodad
    ip neighbour add 2001:db8:2::2 lladdr 02:00:00:00:00:02 dev two
    echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
    tell() {
        python3 - "$1" << "END"
import socket, struct, sys, time
def address(text): return socket.inet_pton(socket.AF_INET6, text)
udp = struct.pack(">HHHH", 1000, 1001, 8, 0)
fragment = struct.pack(">BBHI", 17, 0, 0, 0x1234)
head = struct.pack(">IHBB", 6 << 28, len(fragment + udp), 44, 64)
packet = head + address("2001:db8:1::2") + address("2001:db8:2::2") + fragment + udp
frame = bytes.fromhex("020000000001") + bytes.fromhex("020000000003") + b"\x86\xdd" + packet
sender, receiver = (socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x86DD) for _ in range(2))
receiver.bind(("far-two", 0x86DD))
receiver.settimeout(1)
sender.bind(("far-one", 0x86DD))
for _ in range(20):
    sender.send(frame)
    try:
        while True:
            came = receiver.recv(2000)
            if came[14 + 24 : 14 + 40] == address("2001:db8:2::2") and came[20] in (17, 44):
                print(f"{sys.argv[1]}: next header {came[20]}")
                sys.exit()
    except TimeoutError:
        pass
END
    }
    tell "no rule"
    nft "add table ip6 t; add chain ip6 t f { type filter hook forward priority 0; }; add rule ip6 t f ct state established accept"
    tell "ct state"')
echo "$seen"
[ "$seen" = "no rule: next header 44
ct state: next header 17" ]
