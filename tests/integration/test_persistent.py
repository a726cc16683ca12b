"""A persistent interface outlives its daemon, with all that stands on it; the next daemon takes it over."""

import json
import signal
from collections.abc import Sequence
from typing import Any

import pytest

from tests.integration.hosts import Host, HostProcess, Lab, connect, eventually
from tests.integration.peers import wait_until_listening

_NEIGHBOUR = "02:00:00:00:00:09"


def start(host: Host, program: str, *options: str, interface: str = "wg0") -> HostProcess:
    process = host.start("env", "LOG_LEVEL=verbose", program, "-f", "--persistent", *options, "wg0")
    wait_until_listening(host, interface, process)
    return process


def furnish(host: Host) -> None:
    """Give the interface addresses, a route, and a VXLAN as flannel makes it."""
    for line in (
        "address add 10.9.0.1/16 dev wg0",
        "address add fd09::1/32 dev wg0 nodad",
        "link set wg0 up mtu 1380",
        "route add 10.42.0.0/24 dev wg0",
        "route add fd42::/64 dev wg0",
        "link add flannel.1 type vxlan id 1 dev wg0 local 10.9.0.1 dstport 8472 nolearning",
        "address add 10.43.1.0/32 dev flannel.1",
        "link set flannel.1 up",
        f"neighbour add 10.43.2.0 lladdr {_NEIGHBOUR} dev flannel.1",
        "route add 10.43.2.0/24 via 10.43.2.0 dev flannel.1 onlink",
    ):
        host.run("ip", *line.split())
    host.run("bridge", "fdb", "add", _NEIGHBOUR, "dev", "flannel.1", "dst", "10.9.0.2")


def kept(host: Host) -> dict[str, Any]:
    """Return what must not change while the daemon is away: addresses, routes and what stands on it."""
    return {
        "links": [
            (link["ifindex"], link["ifname"], link.get("address"), link["mtu"], addresses(link))
            for name in ("wg0", "flannel.1")
            for link in ask(host, "address", "show", "dev", name)
        ],
        "routes": [
            sorted((route["dst"], route["dev"]) for route in ask(host, version, "route", "show"))
            for version in ("-4", "-6")
        ],
        "neighbours": ask(host, "neighbour", "show", "dev", "flannel.1"),
        "fdb": host.run("bridge", "fdb", "show", "dev", "flannel.1"),
    }


def addresses(link: dict[str, Any]) -> list[str]:
    return sorted(found["local"] for found in link["addr_info"])


def ask(host: Host, *arguments: str) -> list[Any]:
    found: list[Any] = json.loads(host.run("ip", "-json", *arguments))
    return found


def way(host: Host, address: str) -> str:
    """Return the interface that packets to an address leave by."""
    return str(ask(host, "route", "get", address)[0]["dev"])


def exists(host: Host, name: str) -> bool:
    return host.attempt("ip", "link", "show", "dev", name).status == 0


def add_default_routes(lab: Lab, host: Host) -> None:
    """Give packets another way, in the clear."""
    connect(host, "eth0", lab.host("router"), "eth0")
    for line in (
        "address add 192.0.2.1/24 dev eth0",
        "route add default via 192.0.2.2",
        "-6 address add 2001:db8::1/64 dev eth0 nodad",
        "-6 route add default via 2001:db8::2",
    ):
        host.run("ip", *line.split())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
def test_nothing_on_it_changes_and_nothing_leaves_elsewhere_while_its_daemon_is_away(
    lab: Lab, program: str, number: signal.Signals
) -> None:
    host = lab.host("host")
    add_default_routes(lab, host)
    for version in ("ipv4", "ipv6"):
        host.run("sysctl", "-qw", f"net.{version}.conf.default.ignore_routes_with_linkdown=1")
    process = start(host, program)
    furnish(host)
    before = kept(host)

    process.kill(number)
    process.wait()

    assert kept(host) == before
    assert [way(host, address) for address in ("10.42.0.7", "fd42::7", "10.9.0.2")] == ["wg0"] * 3
    start(host, program)
    assert kept(host) == before


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("--offload=all",), ("--offload=none",)),
        (("--offload=none",), ("--offload=all",)),
        (("--offload=all",), ("--datapath=portable",)),
        (("--workers=2",), ("--workers=3",)),
        (("--workers=3", "--offload=all"), ("--workers=2", "--offload=none")),
    ],
)
def test_the_next_daemon_takes_it_over_with_other_parameters(
    lab: Lab, program: str, first: Sequence[str], second: Sequence[str]
) -> None:
    host = lab.host("host")
    process = start(host, program, *first)
    furnish(host)
    before = kept(host)
    process.kill(signal.SIGKILL)
    process.wait()

    start(host, program, *second)

    assert kept(host) == before
    host.attempt("ping", "-c", "1", "-W", "1", "10.42.0.7")
    drops = host.run("ip", "-s", "-json", "link", "show", "dev", "wg0")
    assert json.loads(drops)[0]["stats64"]["tx"]["packets"] > 0, "the new daemon reads packets"


@pytest.mark.parametrize(("first", "second"), [("1", "2"), ("2", "1")])
def test_it_is_made_anew_if_it_cannot_have_so_many_queues(
    lab: Lab, program: str, first: str, second: str
) -> None:
    host = lab.host("host")
    process = start(host, program, f"--workers={first}")
    furnish(host)
    process.kill(signal.SIGKILL)
    process.wait()

    again = start(host, program, f"--workers={second}")

    assert exists(host, "wg0")
    assert not exists(host, "flannel.1")
    assert "wg0 has another number of queues now" in again.log.read_text()


def test_it_is_gone_when_its_link_is_deleted_with_or_without_a_daemon(lab: Lab, program: str) -> None:
    host = lab.host("host")
    process = start(host, program)
    host.run("ip", "link", "delete", "wg0")
    assert process.wait(5).status == 0
    assert not exists(host, "wg0")
    process = start(host, program)
    process.kill(signal.SIGKILL)
    process.wait()

    host.run("ip", "link", "delete", "wg0")

    start(host, program)


def test_the_next_daemon_finds_it_under_its_new_name(lab: Lab, program: str) -> None:
    host = lab.host("host")
    process = start(host, program)
    furnish(host)
    host.run("ip", "link", "set", "wg0", "name", "wg9")
    eventually(host.path("/run/wireguard/wg9.sock").exists, "the socket is renamed")
    process.kill(signal.SIGTERM)
    process.wait()

    start(host, program, interface="wg9")

    assert way(host, "10.42.0.7") == "wg9"
    assert not exists(host, "wg0")


def test_in_another_namespace_it_goes_with_its_daemon(lab: Lab, program: str) -> None:
    host = lab.host("host")
    host.run("ip", "netns", "add", "away")
    process = start(host, program)
    host.run("ip", "link", "set", "wg0", "netns", "away")

    process.kill(signal.SIGTERM)

    assert process.wait().status == 0
    assert host.attempt("ip", "-n", "away", "link", "show", "wg0").status != 0


@pytest.mark.parametrize(
    "others",
    ["ip link add wg0 type bridge", "ip tuntap add mode tun wg0", "ip tuntap add mode tun wg0 multi_queue"],
)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_interface_of_another_is_left_alone_with_one_sentence(
    lab: Lab, program: str, others: str, workers: str
) -> None:
    host = lab.host("host")
    host.run(*others.split())
    before = host.run("ip", "-details", "link", "show", "dev", "wg0")

    refused = host.attempt(program, "-f", "--persistent", f"--workers={workers}", "wg0")

    assert refused.status == 1
    assert refused.output == (
        "wgpyd: the interface wg0 exists already and is not its own: delete it (ip link delete wg0), "
        "or use another name\n"
    )
    assert host.run("ip", "-details", "link", "show", "dev", "wg0") == before


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_daemon_does_not_take_it_from_the_first(lab: Lab, program: str, workers: str) -> None:
    host = lab.host("host")
    process = start(host, program, f"--workers={workers}")

    second = host.attempt(program, "-f", "--persistent", f"--workers={workers}", "wg0")

    assert second.status == 1
    assert second.output == (
        "wgpyd: another process holds the interface of `wgpyd --persistent wg0`: end it first\n"
    )
    assert process.is_running()
    assert host.run("wg", "show", "wg0", "listen-port").strip().isdecimal()
