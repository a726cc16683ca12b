#!/bin/sh
# Linux 6.18.44, 2026-11-29.
#
# A program attached to a SO_REUSEPORT group chooses among its UDP sockets only as long as the option is still set on
# them. Clearing it after bind, as one may to keep others from joining, leaves all sockets bound and their group in
# place, and every datagram goes to one of them. And a close moves the last socket of the group into the place that is free, so that
# an index which was right before names another socket.
#
# Seen (the program says 0, then 0, then 1 of three):
#   option set: socket 0
#   option cleared: always socket 2
#   first of three closed, 0 chosen: socket 2
set -eu
seen=$(python3 - << 'PYTHON'
import ctypes, select, socket, struct

def group(count, index):
    """Sockets of one port, of which a classic BPF program chooses the one at index."""
    sockets, port = [], 0
    for _ in range(count):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind(("127.0.0.1", port))
        port = one.getsockname()[1]
        sockets.append(one)
    choose(sockets[0], index)
    return sockets, port

def choose(one, index):
    code = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, index))  # return index
    one.setsockopt(socket.SOL_SOCKET, 51, struct.pack("HxxxxxxP", 1, ctypes.addressof(code)))  # SO_ATTACH_REUSEPORT_CBPF

def reached(sockets, port):
    """The numbers of those that get twenty datagrams from twenty ports."""
    for _ in range(20):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"x", ("127.0.0.1", port))
    hit = set()
    while ready := select.select([one for one in sockets if one.fileno() >= 0], [], [], 0.2)[0]:
        for one in ready:
            one.recv(1)
            hit.add(sockets.index(one))
    return ", ".join(map(str, sorted(hit)))

sockets, port = group(3, 0)
print("option set: socket", reached(sockets, port))
for one in sockets:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
print("option cleared: always socket", reached(sockets, port))
sockets, port = group(3, 0)
sockets[0].close()
print("first of three closed, 0 chosen: socket", reached(sockets, port))
PYTHON
)
echo "$seen"
[ "$seen" = 'option set: socket 0
option cleared: always socket 2
first of three closed, 0 chosen: socket 2' ]
