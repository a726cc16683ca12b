#!/bin/sh
# CPython 3.11.7 and uvloop 0.23.0, 2026-11-30.
#
# asyncio turns Nagle's algorithm off for TCP, but for a socket that was made without naming its protocol it does not:
# `socket.socket(AF_INET, SOCK_STREAM)`, which a program connects itself, as to set a firewall mark before, and hands to
# `create_connection(sock=...)`. Such a socket's `proto` is 0, and asyncio compares it with IPPROTO_TCP. A request behind
# TLS's last message then waits for an acknowledgement, which the other kernel delays by 40 ms. uvloop turns it off for all.
#
# Seen, whether TCP_NODELAY is set for a connection by address, by a socket without a protocol, and by one of IPPROTO_TCP:
#   asyncio [True, False, True]
#   uvloop [True, True, True]
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet uvloop==0.23.0
cat > "$place/connections.py" << 'PYTHON'
import asyncio, socket, uvloop

async def has_nodelay(**connected):
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, **connected)
    try:
        return bool(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
    finally:
        transport.close()

async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    seen = [await has_nodelay(host=address[0], port=address[1])]
    for protocol in (0, socket.IPPROTO_TCP):
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
        connection.setblocking(False)
        await loop.sock_connect(connection, address)
        seen.append(await has_nodelay(sock=connection))
    server.close()
    return seen

print("asyncio", asyncio.run(main()))
print("uvloop", uvloop.run(main()))
PYTHON
seen=$("$place/venv/bin/python" "$place/connections.py")
echo "$seen"
[ "$seen" = 'asyncio [True, False, True]
uvloop [True, True, True]' ]
