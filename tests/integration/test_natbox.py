"""Our NATs of other kinds than Linux': what they do with real datagrams is what their kind says."""

import json
import signal
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.integration import natclient
from tests.integration.hosts import Host, HostProcess, Lab, add_addresses, connect, eventually, put_behind
from tests.integration.topologies import put_nat

SERVERS = "203.0.113.2", "203.0.113.3"
ADDRESS = "203.0.113.101"
PROGRAM = Path(natclient.__file__)


def behind(lab: Lab, kind: str) -> tuple[Host, HostProcess]:
    """Return a host behind a NAT of this kind, which reaches both servers, and the NAT."""
    host, router, server = lab.host("host"), lab.host("router"), lab.host("server")
    connect(router, "wan", server, "eth0")
    add_addresses(router, "wan", "203.0.113.1/24")
    add_addresses(server, "eth0", *(f"{address}/24" for address in SERVERS))
    put_behind(router, host, "192.168.1.2/24")
    box = put_nat(router, "wan", "192.168.1.0/24", ADDRESS, kind)
    for own, other in (SERVERS, SERVERS[::-1]):
        serving = server.start(sys.executable, str(PROGRAM), "serve", own, other)
        eventually(lambda log=serving.log: "ready" in log.read_text(), "the server serves")  # type: ignore[misc]
    return host, box


def tried(host: Host, *port: str) -> Any:
    """port: that it asks from; none for any."""
    return json.loads(host.run(sys.executable, str(PROGRAM), "try", *SERVERS, *port))


@pytest.mark.parametrize(
    ("kind", "mappings", "heard"),
    [
        ("FULL_CONE", 1, ["asked", "helper", "port"]),
        ("ADDRESS_RESTRICTED", 1, ["asked", "port"]),
        ("PORT_RESTRICTED", 1, ["asked"]),
        ("SYMMETRIC_COUNTING", 3, ["asked"]),
        ("SYMMETRIC_RANDOM", 3, ["asked"]),
    ],
)
def test_a_nat_maps_and_filters_as_its_kind_says(
    lab: Lab, kind: str, mappings: int, heard: list[str]
) -> None:
    host, _ = behind(lab, kind)

    found = tried(host)

    assert all(seen.startswith(f"{ADDRESS}:") for seen in found["seen"])
    assert len(set(found["seen"])) == mappings
    assert found["heard"] == heard
    ports = [int(seen.rpartition(":")[2]) for seen in found["seen"]]
    is_counting = [later - earlier for earlier, later in pairwise(ports)] == [1, 1]
    assert is_counting == (kind == "SYMMETRIC_COUNTING")


def test_at_a_signal_it_forgets_all(lab: Lab) -> None:
    host, box = behind(lab, "FULL_CONE")
    before, again = (set(tried(host, "9000")["seen"]) for _ in range(2))

    box.kill(signal.SIGHUP)

    after = set(tried(host, "9000")["seen"])
    assert before == again
    assert len(after) == 1
    assert before != after


def test_what_is_no_udp_passes_from_the_same_address(lab: Lab) -> None:
    host, _ = behind(lab, "SYMMETRIC_RANDOM")

    assert host.attempt("ping", "-n", "-c", "1", "-W", "5", SERVERS[0]).status == 0
