"""Interfaces and ports of one more network on a host."""

import socket
from argparse import Namespace
from collections.abc import Iterator
from contextlib import suppress

import pytest

from wgpy.address import HostPort
from wgpy.cli.mesh import free
from wgpy.cli.mesh.argument_types import host_any_port
from wgpy.mesh.wire import GOSSIP_PORT

DEFAULT = 51820


@pytest.fixture
def taken() -> Iterator[None]:
    """The default port, by TCP: by this process, or by another already."""
    with socket.socket() as listener:
        with suppress(OSError):
            listener.bind(("127.0.0.1", DEFAULT))
            listener.listen()
        yield


def chosen(public: str, listen: str | None = None) -> int:
    arguments = Namespace(public=host_any_port(public), listen=listen and host_any_port(listen))
    found: HostPort = free.with_coordinator_port(arguments).public
    assert found.host == host_any_port(public).host
    return found.port


@pytest.mark.usefixtures("taken")
def test_a_coordinator_gets_a_free_port_where_the_default_one_is_taken() -> None:
    port = chosen("vpn.example.net")

    assert port > DEFAULT
    with socket.create_server(("", port)):
        pass


@pytest.mark.usefixtures("taken")
def test_a_coordinator_never_gets_the_port_where_nodes_compare_records() -> None:
    assert chosen("2001:db8::1") not in (DEFAULT, GOSSIP_PORT)


@pytest.mark.usefixtures("taken")
@pytest.mark.parametrize(
    ("public", "listen", "port"),
    [
        ("vpn.example.net:51820", None, DEFAULT),  # it fails then, with a sentence
        ("[2001:db8::1]:4000", None, 4000),
        ("vpn.example.net:443", "10.0.0.1:8443", 443),
        ("vpn.example.net", "10.0.0.1:8443", DEFAULT),  # a router leads from the one to the other
    ],
)
def test_a_port_that_was_asked_for_is_kept(public: str, listen: str | None, port: int) -> None:
    assert chosen(public, listen) == port
