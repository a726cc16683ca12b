"""The coordinator's port lies among those from which connections begin, so one to it can begin from it.

One host, on which a node asks for a coordinator that does not run yet, or no longer.
"""

import pytest

from tests.integration.hosts import Host, Lab, eventually
from tests.integration.meshlab import program
from wgpy.mesh.signing import SigningKey


@pytest.fixture
def host(lab: Lab) -> Host:
    host = lab.host("hub")
    key = str(SigningKey.generate().verify_key())
    host.run(program("wgmesh"), "create", "prod", key, "--public", "127.0.0.1")
    return host


_ASK = """
import asyncio, sys
from wgpy.mesh.signing import SigningKey
from wgpy.node.coordinator_client import Address, Coordinator, Unreachable

async def ask() -> None:
    try:
        async with Coordinator(Address(sys.argv[1], bytes(32)), SigningKey.generate().verify_key()):
            pass
    except Unreachable as error:
        print(error)

for _ in range(20):
    asyncio.run(ask())
"""


@pytest.mark.parametrize("address", ["127.0.0.1:51821", "[::1]:51821"])
def test_who_asks_before_it_serves_does_not_take_its_port(host: Host, address: str) -> None:
    """Where one port is all that connections begin from, each to that port connects to itself."""
    host.run("sysctl", "-qw", "net.ipv4.ip_local_port_range=51821 51821")

    asked = host.run(program("python"), "-c", _ASK, f"https://{address}")
    process = host.start(program("wgmesh"), "serve", "prod", "--listen", address)

    assert asked.count(f"https://{address} does not answer: Connection refused") == 20
    eventually(lambda: "serving" in process.log.read_text(), "it serves")
