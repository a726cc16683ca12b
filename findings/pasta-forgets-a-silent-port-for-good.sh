#!/bin/sh
# pasta of passt 0.0~git20230309.7c7625d-1 (Debian 12), Linux 6.18.44, 2026-11-29. Needs root, python3, iproute2 and util-linux.
#
# A rootless container's network keeps a UDP socket of the host for each port of the container, and closes one that was silent
# for 180 seconds. A good guess is that the next datagram opens another one, as a NAT makes another mapping, and as slirp4netns
# does. This pasta does not: from that port nothing passes any more, in neither direction, however often it is tried, while a
# port that was never used works at once. So a daemon whose port is fixed is lost for good after three silent minutes; it has to
# send something more often than that, or to bind anew.
#
# Seen (it takes 200 seconds):
#   the port answers: 1
#   after 185 s of silence: 0
#   and once more: 0
#   another port: 1
set -eu
folder=$(mktemp -d)
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq download passt=0.0~git20230309.7c7625d-1 > /dev/null 2>&1
dpkg-deb -x passt_*.deb .
cat > peer.py <<'PYTHON'
import socket

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
    own.bind(("192.0.2.2", 5000))
    while True:
        own.sendto(*own.recvfrom(100))
PYTHON
cat > client.py <<'PYTHON'
import socket
import time


def answers(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind(("0.0.0.0", port))
        own.settimeout(3)
        own.sendto(b"hello", ("192.0.2.2", 5000))
        try:
            return len(own.recv(100)) // 5
        except TimeoutError:
            return 0


print("the port answers:", answers(51820))
time.sleep(185)
print("after 185 s of silence:", answers(51820))
print("and once more:", answers(51820))
print("another port:", answers(51821))
PYTHON
cat > host.sh <<'SHELL'
unshare --net sleep infinity &
peer=$!
sleep 1
ip link add eth0 type veth peer name eth0 netns "$peer"
ip address add 192.0.2.1/24 dev eth0
ip link set eth0 up
ip route add default via 192.0.2.2
nsenter --net --target "$peer" sh -c 'ip address add 192.0.2.2/24 dev eth0; ip link set eth0 up'
nsenter --net --target "$peer" python3 peer.py &
mount -t tmpfs -o mode=755 tmpfs /dev/net
mknod -m 666 /dev/net/tun c 10 200
user='setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --'
$user unshare --user --map-root-user --net sleep infinity &
container=$!
sleep 1
$user ./usr/bin/pasta --foreground --config-net --no-map-gw -t none -u none -T none -U none "$container" > /dev/null 2>&1 &
sleep 2
$user nsenter --preserve-credentials --user --net --target "$container" python3 client.py
SHELL
seen=$(unshare --net --mount --pid --fork --kill-child --mount-proc sh host.sh)
echo "$seen"
[ "$seen" = "the port answers: 1
after 185 s of silence: 0
and once more: 0
another port: 1" ]
