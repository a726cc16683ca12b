"""Connections to a coordinator."""

import asyncio
import socket
import ssl
from pathlib import Path

from tests.mesh.scripted import tls_identity
from wgpy.address import HostPort
from wgpy.node.connection import connect


def test_what_is_sent_waits_for_no_acknowledgement(tmp_path: Path) -> None:
    context, _ = tls_identity(tmp_path)

    async def connected() -> int:
        async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context) as server:
            port = server.sockets[0].getsockname()[1]
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
            _, writer = await connect(HostPort("127.0.0.1", port), tls, 0, "")
            made: socket.socket = writer.get_extra_info("socket")
            is_immediate = made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            writer.transport.abort()
        return is_immediate

    assert asyncio.run(connected())
