#!/bin/sh
# CPython 3.11.7, http.client, 2026-11-29.
#
# `HTTPConnection.set_tunnel` sends an IPv6 literal to a proxy without brackets: "CONNECT 2001:db8::2:80". RFC 9112,
# section 3.2.3, has an authority-form there, in which such a literal stands in brackets. What a proxy reads is an address of
# eight groups or a port of its choice. A proxy that serves Python's clients must take the last colon for the port's.
# Brackets given by the caller are sent as they are.
#
# Seen:
#   plain: CONNECT 2001:db8::2:80
#   in brackets: CONNECT [2001:db8::2]:80
set -eu
seen=$(python3 - << 'PYTHON'
import http.client, socket, threading

def asked(host):
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        lines = []
        def answer():
            with proxy.accept()[0] as client:
                lines.append(client.recv(4096).split(b"\r\n")[0].decode())
                client.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
        thread = threading.Thread(target=answer)
        thread.start()
        connection = http.client.HTTPConnection("127.0.0.1", proxy.getsockname()[1])
        connection.set_tunnel(host, 80)
        try:
            connection.request("GET", "/")
        except OSError:
            pass
        thread.join()
        return " ".join(lines[0].split()[:2])

print("plain:", asked("2001:db8::2"))
print("in brackets:", asked("[2001:db8::2]"))
PYTHON
)
echo "$seen"
[ "$seen" = 'plain: CONNECT 2001:db8::2:80
in brackets: CONNECT [2001:db8::2]:80' ]
