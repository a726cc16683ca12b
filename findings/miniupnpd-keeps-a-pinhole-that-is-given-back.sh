#!/bin/sh
# miniupnpd 2.3.1-1 with nftables (Debian 12), Linux 6.18.44, 2026-11-29. Needs root, python3, iproute2, nftables and util-linux.
#
# By PCP (RFC 6887) a host asks a router for a mapping, and gives it back with a lifetime of 0 and the same nonce, section 15. A good
# guess is that what works for IPv4 does for a pinhole in a firewall of IPv6, which the same request with an IPv6 address asks for.
# This router grants the pinhole, grants it again for the same nonce, and then refuses to take it back: result 2, "not authorized",
# as if the nonce were another one. A mapping of IPv4, asked for and given back in the same way, is gone. So a host that no longer
# wants to be reached stays open until the lifetime ends: ask for short ones.
#
# Seen:
#   IPv4: granted 0, given back 0
#   IPv6: granted 0, again 0, given back 2
#   rules for the pinhole: 1
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq download miniupnpd-nftables=2.3.1-1 > /dev/null 2>&1
dpkg-deb -x miniupnpd-nftables_*.deb .
cat > table.nft <<'NFT'
table inet upnp {
    chain in { type filter hook forward priority 0; policy accept; jump miniupnpd; }
    chain miniupnpd { }
    chain prerouting { type nat hook prerouting priority -100; jump prerouting_miniupnpd; }
    chain prerouting_miniupnpd { }
    chain postrouting { type nat hook postrouting priority 100; jump postrouting_miniupnpd; }
    chain postrouting_miniupnpd { }
}
NFT
cat > miniupnpd.conf <<'CONF'
ext_ifname=wan
listening_ip=lan
enable_natpmp=yes
enable_upnp=no
uuid=00000000-0000-4000-8000-000000000000
min_lifetime=120
max_lifetime=86400
upnp_table_name=upnp
upnp_nat_table_name=upnp
upnp_forward_chain=miniupnpd
upnp_nat_chain=prerouting_miniupnpd
upnp_nat_postrouting_chain=postrouting_miniupnpd
allow 1024-65535 0.0.0.0/0 1024-65535
CONF
cat > client.py <<'PYTHON'
import socket
import struct
from ipaddress import ip_address

NONCE = bytes(range(12))


def ask(router, own, lifetime):
    """Send MAP for UDP port 5000 and return the result code. RFC 6887, sections 7 and 11"""
    address = ip_address(own)
    inside = address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed
    anywhere = bytes(16) if address.version == 6 else bytes(10) + b"\xff\xff" + bytes(4)
    head = struct.pack("!BBHI16s", 2, 1, 0, lifetime, inside)
    request = head + struct.pack("!12sB3xHH16s", NONCE, 17, 5000, 5000, anywhere)
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.bind((own, 0))
        client.settimeout(5)
        client.sendto(request, (router, 5351))
        return client.recv(100)[3]


print("IPv4: granted %d, given back %d" % (ask("192.168.1.1", "192.168.1.2", 7200), ask("192.168.1.1", "192.168.1.2", 0)))
first, again = (ask("2001:db8:1::1", "2001:db8:1::2", 7200) for _ in range(2))
print("IPv6: granted %d, again %d, given back %d" % (first, again, ask("2001:db8:1::1", "2001:db8:1::2", 0)))
PYTHON
cat > host.sh <<'SHELL'
unshare --net sleep infinity &
client=$!
sleep 1
mount -t tmpfs tmpfs /run
ip link set lo up
ip link add lan type veth peer name eth0 netns "$client"
ip link add wan type veth peer name world
for card in lan wan world; do ip link set "$card" up; done
ip address add 192.168.1.1/24 dev lan
ip address add 2001:db8:1::1/64 dev lan nodad
ip address add 44.128.0.1/24 dev wan
ip address add 2001:db8::1/64 dev wan nodad
nsenter --net --target "$client" sh -c 'ip address add 192.168.1.2/24 dev eth0; ip address add 2001:db8:1::2/64 dev eth0 nodad
    ip link set eth0 up'
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
nft -f table.nft
./usr/sbin/miniupnpd -d -f miniupnpd.conf -P /run/miniupnpd.pid > miniupnpd.log 2>&1 &
sleep 3
nsenter --net --target "$client" python3 client.py
echo "rules for the pinhole: $(nft list chain inet upnp miniupnpd | grep -c 'dport 5000')"
SHELL
seen=$(unshare --net --mount --pid --fork --kill-child --mount-proc sh host.sh)
echo "$seen"
[ "$seen" = "IPv4: granted 0, given back 0
IPv6: granted 0, again 0, given back 2
rules for the pinhole: 1" ] || { cat miniupnpd.log; exit 1; }
