"""requests and urllib3 through a tunnel: `python -m examples.requests_by_tunnel ./wg0.conf http://web.internal/`"""

import socket
import sys
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

import wgpy


def pool_manager(tunnel: wgpy.BlockingTunnel, **options: Any) -> urllib3.PoolManager:
    """Return one that connects by the tunnel. options: of urllib3.PoolManager."""

    def connect(connection: urllib3.connection.HTTPConnection) -> socket.socket:
        return tunnel.create_connection((connection.host, connection.port), timeout=60)

    class Connection(urllib3.connection.HTTPConnection):
        _new_conn = connect

    class TlsConnection(urllib3.connection.HTTPSConnection):
        _new_conn = connect

    class Pool(urllib3.HTTPConnectionPool):
        ConnectionCls = Connection

    class TlsPool(urllib3.HTTPSConnectionPool):
        ConnectionCls = TlsConnection

    manager = urllib3.PoolManager(**options)
    manager.pool_classes_by_scheme = {"http": Pool, "https": TlsPool}
    return manager


class TunnelAdapter(HTTPAdapter):
    """Mount it in a requests.Session."""

    def __init__(self, tunnel: wgpy.BlockingTunnel) -> None:
        self._tunnel = tunnel
        super().__init__()

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        self.poolmanager = pool_manager(
            self._tunnel, num_pools=connections, maxsize=maxsize, block=block, **options
        )


def main(config: str, url: str) -> None:
    with wgpy.Tunnel(config) as tunnel, requests.Session() as session:
        session.trust_env = False  # a proxy of the host is none inside
        for scheme in ("http://", "https://"):
            session.mount(scheme, TunnelAdapter(tunnel))
        print(session.get(url, timeout=60).text)


if __name__ == "__main__":
    main(*sys.argv[1:])
