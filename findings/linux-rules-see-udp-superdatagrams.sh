#!/bin/sh
# Linux 6.18.44, nftables 1.0.6 (Debian 12), 2026-11-29. Needs user namespaces, or root.
#
# A rule that drops packets above a path's size ("ip length > 1400 drop"), as laboratories write it to have a router with a small
# MTU, drops what fits as well: a program that sends by UDP_SEGMENT has its datagrams cross veth, bridge and the router's hooks
# as one packet of up to 64 KB, and the rule sees its length. Each of the datagrams is 1,000 bytes long, and none arrives, while
# the same bytes sent one by one do. "ip link set DEVICE gso_max_segs 1" at the sender's device has the kernel cut them before.
#
# Seen:
#   one by one: 3 arrive
#   by UDP_SEGMENT: 0 arrive
#   by UDP_SEGMENT, gso_max_segs 1: 3 arrive
set -eu
for program in ip nft python3; do
    command -v "$program" > /dev/null || { echo "$program is not installed: apt-get install iproute2 nftables python3"; exit 1; }
done
seen=$(unshare -rnm sh -c '
    mount -t tmpfs none /run
    ip netns add far
    ip link add near type veth peer name eth0 netns far
    ip address add 192.0.2.1/24 dev near
    ip link set near up
    ip -n far address add 192.0.2.2/24 dev eth0
    ip -n far link set eth0 up
    ip netns exec far nft "add table ip t; add chain ip t c { type filter hook input priority 0; }
                           add rule ip t c ip length > 1400 drop"
    cat > /run/sender.py << "END"
import socket, subprocess, sys
receiver = subprocess.Popen(["ip", "netns", "exec", "far", sys.executable, "-c", """
import socket
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.bind(("192.0.2.2", 4000))
print("ready", flush=True)
count = 0
one.settimeout(1)
try:
    while True:
        assert len(one.recv(65535)) == 1000
        count += 1
except TimeoutError:
    print(count)
"""], stdout=subprocess.PIPE, text=True)
receiver.stdout.readline()
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
def send(data):
    sender.sendto(data, ("192.0.2.2", 4000))
if sys.argv[1] == "one by one":
    for _ in range(3):
        send(bytes(1000))
else:
    sender.setsockopt(socket.IPPROTO_UDP, 103, 1000)  # UDP_SEGMENT
    send(bytes(3000))
print(f"{sys.argv[1]}: {receiver.stdout.readline().strip()} arrive")
END
    python3 /run/sender.py "one by one"
    python3 /run/sender.py "by UDP_SEGMENT"
    ip link set near gso_max_segs 1
    python3 /run/sender.py "by UDP_SEGMENT, gso_max_segs 1"')
echo "$seen"
[ "$seen" = "one by one: 3 arrive
by UDP_SEGMENT: 0 arrive
by UDP_SEGMENT, gso_max_segs 1: 3 arrive" ]
