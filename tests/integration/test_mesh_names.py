"""Endpoints by name, with a name server that changes its mind.

web                  router (dnsmasq)                        hub (coordinator)
eth0 10.10.1.2/24 ── web 10.10.1.1/24 │ hub 10.10.0.1/24 ── eth0 10.10.0.2/24, later 10.10.0.3/24
"""

import signal
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.integration.hosts import Host, HostProcess, Lab, add_addresses, eventually, put_behind
from tests.integration.meshlab import NETWORK, Node
from tests.integration.topologies import move
from wgpyd.agent.endpoints import PAUSE, RECHECK_TIME

_NAME = "home.example.net"
_OTHER = "web.example.net"
_HOSTS = "/run/hosts"


@dataclass(slots=True)
class Scene:
    hub: Node
    web: Node
    router: Host
    dns: HostProcess | None = None
    names: dict[str, str] = field(default_factory=dict)

    def name(self, address: str, name: str = _NAME) -> None:
        """Have a name mean an address from now on."""
        self.names[name] = address
        self.router.write(_HOSTS, "".join(f"{where} {what}\n" for what, where in self.names.items()))
        if self.dns is None:
            self.serve_names()
        else:
            self.dns.kill(signal.SIGHUP)

    def serve_names(self) -> None:
        options = ("--keep-in-foreground", "--no-resolv", "--no-hosts", f"--addn-hosts={_HOSTS}")
        self.dns = self.router.start("dnsmasq", *options, "--user=root", "--pid-file=/run/dnsmasq.pid")


@pytest.fixture
def scene(lab: Lab) -> Scene:
    """Three hosts that ask the router for names; the hub is called by one, and has a network."""
    hub, web, router = lab.host("hub"), lab.host("web"), lab.host("router")
    for host, number in ((hub, 0), (web, 1)):
        put_behind(router, host, f"10.10.{number}.2/24")
        host.write("/run/resolv.conf", f"nameserver 10.10.{number}.1\noptions timeout:1 attempts:1\n")
        host.run("mount", "--bind", "/run/resolv.conf", "/etc/resolv.conf")
    router.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    scene = Scene(Node("hub", hub, "10.10.0.2", ""), Node("web", web, "10.10.1.2", ""), router)
    scene.name("10.10.0.2")
    eventually(lambda: hub.attempt("getent", "hosts", _NAME).status == 0, "names are served")
    scene.hub.mesh("init", NETWORK, "--public", _NAME, "--name", "hub")
    return scene


def test_a_host_that_moved_publishes_what_its_name_means_then(scene: Scene) -> None:
    scene.web.join(scene.hub.token())
    assert scene.hub.status().hosts == (f"{_NAME}:51820",)
    assert _endpoints_of_hub(scene) == ("10.10.0.2:51820",)

    scene.name("10.10.0.3")
    move(scene.hub.host, "eth0", "10.10.0.2/24", "10.10.0.3/24")
    scene.hub.host.run("ip", "route", "replace", "default", "via", "10.10.0.1")

    eventually(
        lambda: scene.hub.status().endpoints == ("10.10.0.3:51820",),
        "the name is resolved",
        within=PAUSE + 10,
    )
    eventually(lambda: _published(scene.hub) == ["10.10.0.3:51820"], "it is published")


def test_a_name_that_is_not_served_keeps_its_address_and_is_a_warning(scene: Scene) -> None:
    assert scene.dns is not None
    scene.dns.kill()
    scene.dns.wait()

    add_addresses(scene.hub.host, "eth0", "10.10.0.9/24")

    eventually(lambda: "cannot be resolved" in scene.hub.mesh("status"), "it is shown", within=PAUSE + 10)
    assert "10.10.0.2:51820" in scene.hub.status().endpoints
    assert scene.hub.is_ready()


def test_an_endpoint_is_changed_without_leaving(scene: Scene) -> None:
    scene.web.join(scene.hub.token())
    scene.name("10.10.0.77", _OTHER)
    eventually(lambda: scene.web.host.attempt("getent", "hosts", _OTHER).status == 0, "it is served")

    said = scene.web.mesh("endpoint", f"{_OTHER}:4000", "203.0.113.5")

    assert said == f"This node is reached at {_OTHER}:4000, 203.0.113.5:51820.\n"
    known = ("10.10.0.77:4000", "203.0.113.5:51820", "10.10.1.2:51820")
    eventually(lambda: scene.hub.status().peers[0].endpoints == known, "hub knows")
    assert f"reached at {_OTHER}:4000, 203.0.113.5:51820" in scene.web.mesh("status")

    scene.web.mesh("endpoint", "auto")
    eventually(lambda: scene.hub.status().peers[0].endpoints == ("10.10.1.2:51820",), "hub knows that, too")
    wrong = scene.web.attempt("endpoint", "hoem.example.net")
    assert (wrong.status, "hoem.example.net:51820 cannot be resolved" in wrong.output) == (1, True)
    assert scene.web.status().hosts == ()


def test_a_node_joins_by_a_name_that_is_not_there_yet(scene: Scene) -> None:
    said = scene.web.join(scene.hub.token(), "--endpoint", "shop.example.net:4000")

    assert "shop.example.net:4000 cannot be resolved" in said
    assert scene.web.status().hosts == ("shop.example.net:4000",)


@pytest.mark.slow
def test_a_name_of_a_nat_is_looked_up_although_nothing_happens_here(scene: Scene) -> None:
    """As of a host behind a NAT whose own address changes: the host sees nothing of that."""
    scene.web.join(scene.hub.token())
    scene.name("10.10.0.77", _OTHER)
    eventually(lambda: scene.web.host.attempt("getent", "hosts", _OTHER).status == 0, "it is served")
    scene.web.mesh("endpoint", f"{_OTHER}:4000")
    time.sleep(PAUSE)
    scene.name("10.10.0.78", _OTHER)

    eventually(
        lambda: "10.10.0.78:4000" in scene.hub.status().peers[0].endpoints,
        "hub knows",
        within=RECHECK_TIME + PAUSE,
    )


def _published(hub: Node) -> Any:
    """The endpoints of the hub as its coordinator has them."""
    return next(node["endpoints"] for node in hub.ask("node-list")["nodes"] if node["name"] == hub.name)


def _endpoints_of_hub(scene: Scene) -> tuple[str, ...]:
    return scene.web.status().peers[0].endpoints
