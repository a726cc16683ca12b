"""A node behind a router that maps ports: others dial it, also from behind a NAT that is symmetric.

web  192.168.10.2 ── lan │ web-nat  44.128.0.10, miniupnpd      ──┐
                                                                 ├── net ── hub 44.128.0.2, coordinator
away 192.168.20.2 ── lan │ away-nat 44.128.0.20, random ports    ──┘

The public network is one that routers take for public. web sends no keepalives, and its router soon forgets,
so only the mapping leads to it.
"""

import re
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.integration.hosts import Host, HostProcess, Lab, eventually
from tests.integration.internet import Internet
from tests.integration.meshlab import NETWORK, PORT, Node
from wgpy.host import upnp
from wgpy.node.network_check import PortMapping

pytestmark = [pytest.mark.xdist_group("mesh_port_mapping"), pytest.mark.slow]

_WITHIN = 60.0  # seconds: hosts are slow where many tests run
_FORGETTING = 3  # seconds
_OUTSIDE = "44.128.0.10"
_TABLE = """\
table inet upnp {
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname lan accept
    jump miniupnpd
  }
  chain in {
    type filter hook input priority 0; policy drop;
    ct state established accept
    iifname lan accept
  }
  chain prerouting {
    type nat hook prerouting priority -100;
    jump prerouting_miniupnpd
  }
  chain postrouting {
    type nat hook postrouting priority 100;
    oifname wan meta nfproto ipv4 masquerade
    jump postrouting_miniupnpd
  }
  chain miniupnpd {
  }
  chain prerouting_miniupnpd {
  }
  chain postrouting_miniupnpd {
  }
}
"""
_CONFIGURATION = """\
ext_ifname=wan
listening_ip=lan
http_port=5000
enable_natpmp={pcp}
enable_upnp={upnp}
min_lifetime=120
max_lifetime=86400
system_uptime=no
uuid=12345678-0000-0000-0000-00000000abcd
upnp_table_name=upnp
upnp_nat_table_name=upnp
upnp_forward_chain=miniupnpd
upnp_nat_chain=prerouting_miniupnpd
upnp_nat_postrouting_chain=postrouting_miniupnpd
{verdict} 1024-65535 192.168.0.0/16 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
"""


@dataclass(slots=True)
class Router:
    """A router with miniupnpd."""

    host: Host
    daemon: HostProcess | None = field(default=None)

    def serve(self, *, pcp: bool = True, upnp: bool = True, refuses: bool = False) -> None:
        """Start with no mapping, as after a reboot."""
        self.end()
        self.host.attempt("nft", "delete", "table", "inet", "upnp")
        self.host.run("nft", "-f", self.host.write("/run/table.nft", _TABLE))
        text = _CONFIGURATION.format(
            pcp="yes" if pcp else "no", upnp="yes" if upnp else "no", verdict="deny" if refuses else "allow"
        )
        file = self.host.write("/run/miniupnpd.conf", text)
        self.daemon = self.host.start("miniupnpd", "-d", "-f", file, "-P", "/run/miniupnpd.pid")

    def end(self) -> None:
        if self.daemon:
            self.daemon.kill(signal.SIGKILL)
            self.daemon.wait()
            self.daemon = None

    def mapped(self) -> dict[int, int]:
        """Return the ports of web that are mapped, by those outside."""
        rules = self.host.run("nft", "list", "chain", "inet", "upnp", "prerouting_miniupnpd")
        found = re.findall(r"dport (\d+) .*dnat ip to 192\.168\.10\.2:(\d+)", rules)
        return {int(outside): int(inside) for outside, inside in found}


@dataclass(frozen=True, slots=True)
class World:
    hub: Node
    web: Node
    away: Node
    router: Router

    def mapping(self) -> PortMapping:
        return self.web.status().port_mapping


@pytest.fixture(scope="module")
def world(module_lab: Lab) -> World:
    net = Internet.build(module_lab, "44.128.0")
    hub = net.public("hub", 2)
    (web, host), (away, random) = net.behind_router("web", 10), net.behind_nat("away", 20)
    random.run("nft", "flush chain ip nat out; add rule ip nat out oifname wan masquerade fully-random")
    timeouts = [f"net.netfilter.nf_conntrack_udp_timeout{kind}={_FORGETTING}" for kind in ("", "_stream")]
    host.run("sysctl", "-qw", "net.ipv4.ip_forward=1", *timeouts)
    router = Router(host)
    router.serve()
    hub.mesh("init", NETWORK, "--public", hub.outside, "--name", "hub")
    web.join(hub.token(), "--keepalive", "off")
    away.join(hub.token())
    return World(hub, web, away, router)


def mapped_by(world: World, protocol: str) -> Callable[[], bool]:
    return lambda: world.mapping().protocol == protocol


def restart(node: Node) -> None:
    node.kill()
    node.start()


def test_others_dial_a_node_by_its_mapping(world: World) -> None:
    eventually(mapped_by(world, "PCP"), "web has a mapping", _WITHIN)
    assert world.mapping().endpoint == f"{_OUTSIDE}:{PORT}"
    assert world.router.mapped() == {PORT: PORT}

    for node in (world.hub, world.away):
        forget()
        assert node.ping(world.web, within=20) > 0
        assert reached(node, world.web) == (f"{_OUTSIDE}:{PORT}", "")


def test_commands_say_what_the_router_offers_and_maps(world: World) -> None:
    found = world.web.ask("netcheck")["router"]
    said = world.web.mesh("netcheck")

    assert (found["address"], set(found["offers"].values())) == ("192.168.10.1", {""})
    assert re.search(r"^router +192\.168\.10\.1 offers PCP, NAT-PMP, UPnP$", said, re.MULTILINE)
    assert re.search(rf"^port mapping +{re.escape(_OUTSIDE)}:{PORT} by PCP, until 2", said, re.MULTILINE)
    assert f"port mapping: {_OUTSIDE}:{PORT} by PCP, until 2" in world.web.mesh("status")
    assert "not needed, as this host is behind no NAT" in world.hub.mesh("netcheck")


def test_a_router_that_reboots_is_asked_again(world: World) -> None:
    world.router.serve()

    eventually(lambda: world.router.mapped() == {PORT: PORT}, "the mapping is there again", _WITHIN)
    forget()
    assert world.hub.ping(world.web, within=20) > 0


def test_a_host_that_pauses_gives_its_mapping_back(world: World) -> None:
    world.web.mesh("down")
    assert world.router.mapped() == {}

    world.web.mesh("up", "--no-port-mapping")
    assert world.mapping() == PortMapping(trouble="not asked for, as --no-port-mapping says")
    assert world.router.mapped() == {}

    world.web.mesh("down")
    world.web.mesh("up", "--port-mapping")
    eventually(mapped_by(world, "PCP"), "the mapping is there again", _WITHIN)


def test_a_router_without_pcp_is_asked_by_nat_pmp(world: World) -> None:
    world.web.kill()
    world.router.serve()
    world.router.host.run("nft", "insert rule inet upnp in udp dport 5351 @th,64,8 2 drop")  # version 2
    world.web.start()

    eventually(mapped_by(world, "NAT-PMP"), "web has a mapping", _WITHIN)
    assert world.router.mapped() == {PORT: PORT}


def test_a_router_with_upnp_alone_gives_another_port_if_this_one_is_taken(world: World) -> None:
    world.web.kill()
    world.router.serve(pcp=False)
    take(world, "192.168.10.3")
    world.web.start()

    eventually(mapped_by(world, "UPnP"), "web has a mapping", _WITHIN)
    ((outside, inside),) = world.router.mapped().items()
    assert inside == PORT
    assert outside != PORT
    assert world.mapping().endpoint == f"{_OUTSIDE}:{outside}"
    forget()
    eventually(lambda: world.hub.reaches(world.web), "hub dials web", _WITHIN)
    assert f"{_OUTSIDE}:{outside}" in world.hub.why("web")["findings"]["UDP"]["text"]

    world.web.mesh("down")
    assert world.router.mapped() == {}
    world.web.mesh("up")


def test_a_router_that_refuses_says_why(world: World) -> None:
    world.web.kill()
    world.router.serve(refuses=True)
    world.web.start()

    why = "the router 192.168.10.1 grants no port mapping: it "
    eventually(lambda: world.mapping().trouble.startswith(why), "web says why", _WITHIN)
    assert not world.mapping().endpoint


def test_a_router_that_is_silent_holds_nothing_up(world: World) -> None:
    world.web.kill()
    world.router.end()
    world.router.host.run("nft", "insert rule inet upnp in iifname lan udp dport { 5351, 1900 } drop")
    world.web.start()

    eventually(lambda: world.web.reaches(world.hub), "web reaches hub meanwhile", _WITHIN)
    why = "the router 192.168.10.1 grants no port mapping: it answers by none of PCP, NAT-PMP, UPnP"
    eventually(lambda: world.mapping().trouble == why, "web says why", _WITHIN)
    assert "192.168.10.1 offers no port mapping\n" in world.web.mesh("netcheck")


def test_a_node_that_leaves_gives_its_mapping_back(world: World) -> None:
    world.router.serve()
    restart(world.web)
    eventually(lambda: world.router.mapped() == {PORT: PORT}, "web has a mapping", _WITHIN)

    world.web.mesh("leave")

    assert world.router.mapped() == {}


def take(world: World, address: str) -> None:
    """Have another host of the LAN, which has this address, map PORT to itself."""
    world.web.host.run("ip", "address", "add", f"{address}/24", "dev", "eth0")
    asked = (
        "map",
        "http://192.168.10.1:5000/rootDesc.xml",
        "192.168.10.1",
        address,
        "4000",
        "7200",
        str(PORT),
    )
    assert f'"port": {PORT}' in world.web.host.run(sys.executable, "-I", upnp.__file__, "60", *asked)
    world.web.host.run("ip", "address", "delete", f"{address}/24", "dev", "eth0")


def reached(one: Node, other: Node) -> tuple[str, str]:
    """Return at which endpoint, or by which relay, one node reaches another."""
    (peer,) = (peer for peer in one.status().peers if peer.name == other.name)
    return peer.endpoint, peer.relay


def forget() -> None:
    """Wait until the router before web has forgotten all but its mappings."""
    time.sleep(_FORGETTING + 1)
