"""Hosts resolve the names of their network, beside those that they resolved before.

web                  router (dnsmasq)                        hub (coordinator)
eth0 10.10.1.2/24 ── web 10.10.1.1/24 │ hub 10.10.0.1/24 ── eth0 10.10.0.2/24
"""

import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.hosts import Host, Lab, eventually, put_behind
from tests.integration.meshlab import NETWORK, Node, program

_ELSEWHERE = "home.example.net"
_OPTIONS = "options timeout:2 attempts:1\n"
_ASK = """
import sys, dns.message, dns.query, dns.rcode
server, name, kind, way = sys.argv[1:]
answer = getattr(dns.query, way)(dns.message.make_query(name, kind), server, timeout=10)
print(dns.rcode.to_text(answer.rcode()), *(one for found in answer.answer for one in found))
"""


@dataclass(slots=True)
class Scene:
    """resolv_conf: of web, before it joined."""

    hub: Node
    web: Node
    router: Host
    resolv_conf: str

    def join(self, *options: str) -> str:
        return self.web.join(self.hub.token(), *options)


@pytest.fixture
def scene(lab: Lab) -> Scene:
    """Two hosts that ask the router for names; the hub has a network."""
    hub, web, router = lab.host("hub"), lab.host("web"), lab.host("router")
    for host, number in ((hub, 0), (web, 1)):
        put_behind(router, host, f"10.10.{number}.2/24")
        host.write("/etc/resolv.conf", f"nameserver 10.10.{number}.1\n{_OPTIONS}")
    router.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    router.write("/run/hosts", f"10.10.0.2 {_ELSEWHERE}\n")
    options = ("--keep-in-foreground", "--no-resolv", "--no-hosts", "--addn-hosts=/run/hosts")
    router.start("dnsmasq", *options, "--user=root", "--pid-file=/run/dnsmasq.pid")
    eventually(lambda: resolves(web, _ELSEWHERE) == ["10.10.0.2"], "names are served")
    scene = Scene(Node("hub", hub, "10.10.0.2", ""), Node("web", web, "10.10.1.2", ""), router, read(web))
    scene.hub.mesh("init", NETWORK, "--public", scene.hub.inside, "--name", "hub")
    return scene


def test_after_a_join_names_of_nodes_are_resolved_both_ways(scene: Scene) -> None:
    scene.join()

    for one, other in ((scene.hub, scene.web), (scene.web, scene.hub)):
        name = f"{other.name}.{NETWORK}.mesh"
        wait_until_resolved(one, name)
        assert set(resolves(one.host, name)) == {other.address(4), other.address(6)}
        for family in (4, 6):
            assert one.host.run("getent", "hosts", other.address(family)).split()[1] == name
        assert not resolves(one.host, f"nobody.{NETWORK}.mesh")
        assert resolves(one.host, _ELSEWHERE) == ["10.10.0.2"]
    assert f"NODE.{NETWORK}.mesh, by /etc/resolv.conf" in scene.web.mesh("status")


@pytest.mark.parametrize("end", ["down", "leave"])
def test_down_and_leave_take_the_resolver_back_as_it_was(scene: Scene, end: str) -> None:
    scene.join()
    assert read(scene.web.host) != scene.resolv_conf

    scene.web.mesh(end)

    assert read(scene.web.host) == scene.resolv_conf


def test_an_end_of_the_daemon_takes_the_resolver_back_and_a_start_tells_it_again(scene: Scene) -> None:
    scene.join()
    told = read(scene.web.host)
    (pid,) = scene.web.agents()

    scene.web.host.run("kill", str(inner_pid(pid)))
    eventually(lambda: not scene.web.agents(), "the daemon has ended")

    assert read(scene.web.host) == scene.resolv_conf
    scene.web.start()
    eventually(lambda: read(scene.web.host) == told, "it is told again")


def test_after_a_crash_other_names_are_resolved_and_down_or_a_start_mend_the_rest(scene: Scene) -> None:
    scene.join()
    told = read(scene.web.host)

    scene.web.kill()

    assert resolves(scene.web.host, _ELSEWHERE) == ["10.10.0.2"]
    assert read(scene.web.host) == told
    again = scene.web.start()
    name = f"hub.{NETWORK}.mesh"
    wait_until_resolved(scene.web, name)
    assert read(scene.web.host) == told
    again.kill(signal.SIGKILL)
    again.wait()
    scene.web.mesh("down")
    assert read(scene.web.host) == scene.resolv_conf


def test_what_another_program_writes_stays_and_ours_comes_again(scene: Scene) -> None:
    scene.join()
    other = f"# of a DHCP client\n{scene.resolv_conf}"

    scene.web.host.write("/etc/resolv.conf", other)

    eventually(
        lambda: read(scene.web.host).endswith(other) and read(scene.web.host) != other, "it is told again"
    )
    scene.web.mesh("down")
    assert read(scene.web.host) == other


def test_a_host_whose_resolver_is_left_alone_serves_names_all_the_same(scene: Scene) -> None:
    scene.join("--no-dns")

    assert read(scene.web.host) == scene.resolv_conf
    assert "which this host does not resolve" in scene.web.mesh("status")
    eventually(lambda: ask(scene.web, scene.web, "hub").startswith("NOERROR"), "it serves")
    scene.web.mesh("down")
    scene.web.mesh("up", "--dns")
    eventually(lambda: read(scene.web.host) != scene.resolv_conf, "its resolver is told")


def test_a_port_that_is_taken_is_said_and_the_resolver_left_alone(scene: Scene) -> None:
    taker = scene.web.host.start("nc", "-u", "-l", "-k", "-s", "0.0.0.0", "-p", "53")
    eventually(lambda: ":53 " in scene.web.host.run("ss", "-lun"), "the port is taken")

    scene.join()

    (warning,) = scene.web.status().warnings
    assert warning == "names are not served: port 53 of this node cannot be used: Address already in use"
    assert read(scene.web.host) == scene.resolv_conf
    assert scene.web.reaches(scene.hub, within=5)
    taker.kill()


@pytest.mark.parametrize("way", ["udp", "tcp"])
def test_a_peer_is_told_names_and_asks_nobody_else_by_a_node(scene: Scene, way: str) -> None:
    scene.join()
    address = scene.web.address()

    eventually(lambda: ask(scene.hub, scene.web, "web", way) == f"NOERROR {address}\n", "it is told")

    assert ask(scene.hub, scene.web, "nobody", way) == "NXDOMAIN\n"
    assert ask(scene.hub, scene.web, _ELSEWHERE, way) == "REFUSED\n"
    assert ask(scene.web, scene.web, _ELSEWHERE, way) == "NOERROR 10.10.0.2\n"


def test_who_is_no_peer_is_told_nothing(scene: Scene) -> None:
    scene.join()
    scene.router.run("ip", "route", "add", scene.web.address(), "via", "10.10.1.2")

    asked = scene.router.run(
        sys.executable, "-c", _ASK, scene.web.address(), f"web.{NETWORK}.mesh", "A", "udp"
    )

    assert asked == "REFUSED\n"


def test_two_networks_of_one_host_resolve_each_the_names_of_its_own(scene: Scene) -> None:
    scene.join()
    made = scene.web.ask("init", "other", "--public", f"{scene.web.inside}:4000", "--name", "web")
    scene.hub.mesh("join", made["token"], "--name", "boss")

    for name in (
        f"web.{NETWORK}.mesh",
        f"hub.{NETWORK}.mesh",
        "web.other.mesh",
        "boss.other.mesh",
        _ELSEWHERE,
    ):
        for node in (scene.hub, scene.web):
            wait_until_resolved(node, name)
    scene.web.mesh("leave", "--network", "other")
    assert bool(resolves(scene.web.host, f"hub.{NETWORK}.mesh"))
    scene.web.mesh("leave", "--network", NETWORK)
    assert read(scene.web.host) == scene.resolv_conf


def test_a_file_that_another_network_namespace_uses_is_left_alone(scene: Scene) -> None:
    """As by `unshare --net`: there our name server is reached by nobody else."""
    scene.join()
    scene.web.kill()
    before = read(scene.web.host)

    said = scene.web.host.run(
        "unshare", "--net", "--mount", "sh", "-c",
        "umount /etc/resolv.conf; ip link set lo up; "
        f"{program('wgpyd')} -f --mesh={NETWORK} & pid=$!; sleep 5; "
        f"{program('wgpy')} mesh status; kill $pid; wait $pid",
    )  # fmt: skip

    assert "is not that of this network namespace alone" in said
    assert read(scene.web.host) == before


def read(host: Host) -> str:
    return host.path("/etc/resolv.conf").read_text()


def resolves(host: Host, name: str) -> list[str]:
    """Return the addresses that programs of a host get for a name."""
    found = host.attempt("getent", "ahosts", name)
    return (
        list(dict.fromkeys(line.split()[0] for line in found.output.splitlines())) if not found.status else []
    )


def wait_until_resolved(node: Node, name: str) -> None:
    eventually(lambda: bool(resolves(node.host, name)), f"{node.name} resolves {name}")


def ask(asker: Node, server: Node, name: str, way: str = "udp") -> str:
    """Ask a node for an IPv4 address, and return what it says. name: of a node, or with a dot any."""
    full = name if "." in name else f"{name}.{NETWORK}.mesh"
    return asker.host.run(sys.executable, "-c", _ASK, server.address(), full, "A", way)


def inner_pid(pid: int) -> int:
    """Return the id that a process has inside of its host."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[-1]) for line in lines if line.startswith("NSpid:"))
