#!/bin/sh
# Linux 6.18.44, Python 3.11.7, 2026-11-28. Needs user namespaces, or root.
#
# Whoever polls for a server on the same host, at a port from the range of ephemeral ports, may find one before it is there: the
# kernel can choose the awaited port as the source port, and then the connection is with itself (TCP's simultaneous open). What
# is sent comes back, and the server cannot have its port, while the connection lasts and, after a close, in TIME_WAIT; that its
# SO_REUSEADDR does not help here is because who polled did not set it. Here the range is that port alone.
#
# Seen:
#   connected from 127.0.0.1:40000 to 127.0.0.1:40000
#   what was sent is received: hello
#   server meanwhile: EADDRINUSE
#   after the close: TIME_WAIT
#   server then: EADDRINUSE
set -eu
command -v ip > /dev/null || { echo "ip is not installed: apt-get install iproute2"; exit 1; }
program=$(mktemp)
trap 'rm -f "$program"' EXIT
cat > "$program" << 'PYTHON'
import errno
import socket

ADDRESS = ("127.0.0.1", 40000)


def serve() -> str:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(ADDRESS)
            server.listen()
        except OSError as error:
            return errno.errorcode[error.errno]
    return "listens"


with socket.create_connection(ADDRESS) as client:
    ends = ["{}:{}".format(*end) for end in (client.getsockname(), client.getpeername())]
    print("connected from {} to {}".format(*ends))
    client.sendall(b"hello")
    print("what was sent is received:", client.recv(5).decode())
    print("server meanwhile:", serve())
states = [line.split()[3] for line in open("/proc/net/tcp").readlines()[1:]]
print("after the close:", *(state.replace("06", "TIME_WAIT") for state in states))
print("server then:", serve())
PYTHON
seen=$(unshare -rn sh -c '
    ip link set lo up
    echo 40000 40000 > /proc/sys/net/ipv4/ip_local_port_range
    exec python3 "$1"' sh "$program")
echo "$seen"
[ "$seen" = "connected from 127.0.0.1:40000 to 127.0.0.1:40000
what was sent is received: hello
server meanwhile: EADDRINUSE
after the close: TIME_WAIT
server then: EADDRINUSE" ]
