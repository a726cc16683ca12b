#!/bin/sh
# Linux 6.18.44, Python 3.11, 2026-11-30. Needs root.
#
# What a socket's own filter drops is counted in UDP's InErrors, beside datagrams with wrong checksums and those that a full
# buffer refused; only the latter two have counters of their own, too (InCsumErrors, RcvbufErrors). So a program that filters
# well looks like a broken network to whoever watches InErrors. A port where nobody listens counts in NoPorts instead.
#
# Seen, of three datagrams to a socket whose filter drops all:
#   InDatagrams 0, InErrors 3, InCsumErrors 0, RcvbufErrors 0, NoPorts 0
set -eu
for program in python3 unshare ip; do
    command -v "$program" > /dev/null || { echo "$program is not installed: apt-get install python3 util-linux iproute2"; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo "run this as root"; exit 1; }
# shellcheck disable=SC2016 # the inner shell is to expand nothing
seen=$(unshare --net sh -c 'ip link set lo up && exec python3 -c "$1"' sh '
import ctypes, socket, struct

SO_ATTACH_FILTER = 26
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.bind(("127.0.0.1", 0))
drop_all = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))  # return 0
receiver.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(drop_all)))
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(3):
    sender.sendto(b"well formed", receiver.getsockname())
names, values = (line.split() for line in open("/proc/net/snmp") if line.startswith("Udp:"))
counted = dict(zip(names, values))
wanted = "InDatagrams", "InErrors", "InCsumErrors", "RcvbufErrors", "NoPorts"
print(", ".join(f"{name} {counted[name]}" for name in wanted))
')
echo "Linux $(uname -r)"
echo "$seen"
[ "$seen" = "InDatagrams 0, InErrors 3, InCsumErrors 0, RcvbufErrors 0, NoPorts 0" ]
