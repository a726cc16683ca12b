"""`wgpy mesh page` in a real browser, on a host of five nodes, and what becomes of them meanwhile.

dev   203.0.113.20 ──┐                 ┌── gw1 203.0.113.31 ──┐
hub   203.0.113.2  ──┼─ net 203.0.113 ─┤                      ├── the same prefix behind both, 10.5.0.0/24
edge  NAT .10      ──┘                 └── gw2 203.0.113.32 ──┘

The hub coordinates and relays. Dev, at whose page we look, hears nothing of edge's NAT until that is mended.
"""

import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.browser import DESKTOP, PHONE, Browser, missing
from tests.integration.hosts import Lab, eventually
from tests.integration.internet import Internet
from tests.integration.meshlab import NETWORK, Node, program
from tests.integration.terminal import Terminal

pytestmark = [
    pytest.mark.xdist_group("mesh_page"),
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing()), reason=f"THE PAGE WAS NOT TESTED: apt-get install {missing()}"),
]

_CLONE = Path(__file__).parents[2]
_WITHIN = 60.0  # seconds: hosts are slow where many tests run
_PREFIX, _BEHIND = "10.5.0.0/24", "10.5.0.7"
_CUT = (
    "add table ip cut; add chain ip cut in { type filter hook prerouting priority -300; }; add rule ip cut in"
)


_NOBODY = 65534
# Stands for xdg-open: writes who it is, what it is to open and what that holds.
_OPENER = """\
#!/bin/sh
{ id -u; echo "$@"; stat -c '%a %u' "$1"; cat "$1"; echo end; } > /run/desktop/opened
"""


@dataclass(frozen=True, slots=True)
class World:
    hub: Node
    dev: Node
    edge: Node
    gateways: tuple[Node, Node]

    def mapped(self) -> str:
        """What the mesh calls a host behind the gateways."""
        (site,) = self.dev.status().sites
        return str(site.mapped[0].network_address + 7)


@pytest.fixture(scope="module")
def world(module_lab: Lab) -> World:
    net = Internet.build(module_lab)
    hub, dev = net.public("hub", 2), net.public("dev", 20)
    first, second = net.public("gw1", 31), net.public("gw2", 32)
    edge, _ = net.behind_nat("edge", 10)
    dev.host.run("nft", f"{_CUT} ip saddr 203.0.113.10 udp dport 1-65535 drop")
    hub.mesh("init", NETWORK, "--public", hub.outside, "--name", "hub")
    for node, tag in ((dev, "desk"), (edge, "sensor")):
        node.join(hub.token("--tag", tag))
    for gateway in (first, second):
        gateway.host.run("ip", "link", "add", "lan", "type", "bridge")
        gateway.host.run("ip", "link", "set", "lan", "up")
        gateway.host.run("ip", "address", "add", f"{_BEHIND}/24", "dev", "lan")
        gateway.join(hub.token("--routes", _PREFIX, "--tag", "gateway"))
        gateway.mesh("site", "add", "plant", _PREFIX, "--mapped", "--firewall")
    hub.mesh("allow", "tag:desk", "any", "--yes")
    hub.mesh("allow", "tag:sensor", "tag:desk:443/tcp")
    found = World(hub, dev, edge, (first, second))
    eventually(
        lambda: len(dev.status().peers) == 4 and len(dev.status().sites) == 1, "dev knows all", _WITHIN
    )
    for node in (hub, edge, first):
        dev.ping(node, within=20)
    return found


@pytest.fixture(scope="module")
def link(world: World) -> Iterator[str]:
    """The link to dev's page, while the command runs."""
    with Terminal(world.dev.host, program("wgpy"), "mesh", "page") as terminal:
        shown = terminal.shows("Ctrl-C ends")
        found = re.search(r"http://127\.0\.0\.1:\d+/login\?token=\S+", shown)
        assert found, shown
        yield found[0]
        terminal.types("\x03")
        assert terminal.ends() == 0


@pytest.fixture(scope="module")
def browser(world: World) -> Iterator[Browser]:
    with Browser(world.dev.host) as found:
        yield found


def test_it_shows_each_node_and_how_that_is_reached(world: World, browser: Browser, link: str) -> None:
    browser.open(link)

    browser.shows("#title", "lab, as dev knows it")
    assert "token" not in str(browser.evaluate("return location.href"))
    for name in ("hub", "edge", "gw1", "gw2", "site plant"):
        browser.shows("#list", name)
    browser.shows("#counts", "1 by a relay")
    assert browser.complaints() == []


def test_a_relayed_path_becomes_direct_before_ones_eyes(
    world: World, browser: Browser, link: str, tmp_path: Path
) -> None:
    browser.open(link, dark=True)
    browser.shows("#list", "edge")
    browser.click(f'button[data-end="node:{_identity(world, "edge")}"]')
    browser.shows("#details", "edge ")
    browser.shows("#details", "by a relay")
    browser.photograph(tmp_path / "relayed-dark.png")
    world.dev.host.run("nft", "delete table ip cut")
    eventually(
        lambda: world.dev.reaches(world.edge) and not _relay(world, "edge"), "edge is direct", 2 * _WITHIN
    )

    browser.shows("#details h2", "direct")
    browser.photograph(tmp_path / "direct-dark.png")


@pytest.mark.parametrize(("size", "dark"), [(DESKTOP, False), (DESKTOP, True), (PHONE, False)])
def test_nothing_serious_keeps_people_from_using_it(
    world: World, browser: Browser, link: str, tmp_path: Path, size: tuple[int, int], dark: bool
) -> None:
    browser.open(link, size, dark=dark)
    for tab in ("nodes", "why", "rules", "records"):
        browser.click(f"#tab-{tab}")
        browser.shows(f"#{tab}", "")
        assert browser.barriers() == []
        browser.photograph(tmp_path / f"{tab}-{size[0]}-{dark}.png")
    assert browser.evaluate("return document.documentElement.scrollWidth <= innerWidth")


def test_rules_are_a_table_of_who_may_begin_to_whom(world: World, browser: Browser, link: str) -> None:
    browser.open(link)
    browser.shows("#title", "lab")
    browser.click("#tab-rules")

    browser.shows("#rule-list", "sudo wgpy mesh disallow tag:sensor tag:desk:443/tcp")
    browser.shows("#matrix", "443/tcp, rule 2")


def test_it_tells_why_something_is_reachable(world: World, browser: Browser, link: str) -> None:
    browser.open(link)
    browser.shows("#title", "lab")
    browser.click("#tab-why")
    browser.types("#to", "hub\n")

    browser.shows("#answer", "hub is reachable.")

    browser.evaluate(
        "document.getElementById('from').value = arguments[0]", f"node:{_identity(world, 'edge')}"
    )
    browser.evaluate("document.getElementById('to').value = 'dev'")
    browser.click("#question button")
    browser.shows("#answer", "443/tcp, rule 2")
    assert "sudo wgpy mesh why dev" in browser.text("#answer")


def test_an_end_is_asked_about_from_its_details(world: World, browser: Browser, link: str) -> None:
    browser.open(link)
    browser.shows("#list", "hub")
    browser.click(f'button[data-end="node:{_identity(world, "hub")}"]')
    browser.shows("#details", "Why is hub reachable or not?")
    browser.click("button[data-why=hub]")

    browser.shows("#answer", "hub is reachable.")


def test_the_keyboard_alone_is_enough(world: World, browser: Browser, link: str) -> None:
    browser.open(link)
    browser.shows("#list", "gw2")
    browser.types("body", "/")
    browser.types("#search", "gw2")
    browser.shows("#list", "gw2")
    eventually(lambda: "gw1" not in browser.text("#list"), "the list has what was searched for", _WITHIN)
    browser.evaluate("document.querySelector('#list button[data-end]').focus()")
    browser.types("#list button[data-end]", "\n")

    browser.shows("#details", "gw2 ")


def test_the_map_is_drawn_in_the_terminal_and_in_a_file(world: World, tmp_path: Path) -> None:
    drawn = world.dev.mesh("map")
    world.dev.mesh("map", "--svg", str(tmp_path / "map.svg"))

    assert re.search(r"^dev, this node +100\.\d", drawn)
    assert re.search(r"─ gw1 .*\n.*─ site plant +\d", drawn)
    assert "<svg" in (tmp_path / "map.svg").read_text()
    assert world.dev.attempt("map", "--dot", "/nowhere/map").output == (
        "wgpy: /nowhere/map cannot be written: No such file or directory.\n"
    )


def test_when_a_gateway_dies_it_is_seen(world: World, browser: Browser, link: str, tmp_path: Path) -> None:
    browser.open(link)
    browser.shows("#list", "plant")
    browser.click('button[data-end="site:plant"]')
    browser.shows("#details", "gw1")
    world.gateways[0].switch_off()

    def is_moved() -> bool:
        world.dev.host.attempt("ping", "-n", "-c", "1", "-W", "1", world.mapped())
        return world.dev.status().sites[0].used == "gw2"

    eventually(is_moved, "dev uses the other gateway", 2 * _WITHIN)
    browser.shows("#details dl", "in use\ngw2")
    world.dev.host.start("ping", "-n", "-c", "60", _address(world, "gw1"))
    browser.shows("#counts", "1 no answer")
    browser.shows("#details", "a gateway is away")
    browser.shows("#remarks", "gw1 has not answered for")
    for scheme in ("light", "dark"):
        browser.open(link, dark=scheme == "dark")
        browser.shows("#counts", "1 no answer")
        browser.click('button[data-end="site:plant"]')
        browser.shows("#details", "gw2")
        browser.photograph(tmp_path / f"{scheme}.png")


def test_a_node_that_is_removed_is_gone_from_the_map_and_said_to_be_no_member(
    world: World, browser: Browser, link: str
) -> None:
    browser.open(link)
    browser.shows("#list", "edge")
    identity = _identity(world, "edge")
    world.hub.mesh("remove", "edge")

    browser.shows("#remarks", "edge is no member")
    browser.click(f'button[data-end="former:{identity}"]')
    browser.shows("#details", "no member")


def test_a_name_with_markup_is_text(world: World, browser: Browser, link: str) -> None:
    browser.open(link)
    browser.shows("#title", "lab")
    browser.click("#tab-why")
    browser.types("#to", "<img src=x onerror=alert(1)>\n")

    browser.shows("#answer", "<img src=x onerror=alert(1)>")
    assert browser.evaluate("return document.querySelectorAll('#panel img').length") == 0


def test_the_holder_of_the_networks_key_sees_tokens_and_the_audit_log(world: World) -> None:
    with Terminal(world.hub.host, program("wgpy"), "mesh", "page", "--json") as terminal:
        found = re.search(r"http://127\.0\.0\.1:\d+/login\?token=[\w-]+", terminal.shows("}"))
        assert found
        jar = ("--cookie", "/run/jar", "--cookie-jar", "/run/jar")
        world.hub.host.run("curl", "-s", "-S", *jar, found[0])
        records = json.loads(
            world.hub.host.run("curl", "-s", "-S", *jar, re.sub("login.*", "records", found[0]))
        )

    assert "used up" in {token["state"] for token in records["tokens"]}
    assert records["audit"][0]["told"]
    assert records["audit"][0]["from"]


def test_on_a_desktop_the_user_of_sudo_has_it_opened_and_nobody_else_sees_the_link(world: World) -> None:
    host = world.dev.host
    host.run("mkdir", "-m", "777", "/run/desktop")
    host.write("/run/desktop/xdg-open", _OPENER)
    host.run("chmod", "755", "/run/desktop/xdg-open")
    environment = ("DISPLAY=:0", f"SUDO_UID={_NOBODY}", f"PATH=/run/desktop:{os.environ['PATH']}")
    with Terminal(host, "env", *environment, program("wgpy"), "mesh", "page") as terminal:
        terminal.shows("Ctrl-C ends")
        opened = host.path("/run/desktop/opened")
        eventually(lambda: opened.exists() and "end" in opened.read_text(), "the page is opened", _WITHIN)
        terminal.types("\x03")
        assert terminal.ends() == 0

    user, arguments, mode, page = opened.read_text().splitlines()[:4]
    assert user == str(_NOBODY)
    assert "token" not in arguments
    assert mode == f"600 {_NOBODY}"
    assert re.search(r"url=http://127\.0\.0\.1:\d+/login\?token=", page)
    assert not host.path(arguments).exists()


def test_a_network_of_500_nodes_is_drawn_and_stays_alive(
    world: World, browser: Browser, tmp_path: Path
) -> None:
    server = world.dev.host.start(
        "env", f"PYTHONPATH={_CLONE}", sys.executable, "-m", "tests.integration.pagehost", "500"
    )
    eventually(lambda: "login" in server.log.read_text(), "the page of a large network is served", _WITHIN)

    browser.open(server.log.read_text().split()[0])

    browser.shows("#counts", "215 direct")
    eventually(lambda: _rows(browser) == 501, "all stand in the list", _WITHIN)
    browser.shows("#list", "/s")  # as a second state has come
    browser.types("#search", "n499")
    eventually(lambda: _rows(browser) == 1, "one is found", _WITHIN)
    browser.photograph(tmp_path / "large.png")


def test_when_the_command_ends_the_page_says_so(world: World, browser: Browser) -> None:
    with Terminal(
        world.dev.host, program("wgpy"), "mesh", "page", "--listen", world.dev.address()
    ) as terminal:
        found = re.search(r"http://\S+", terminal.shows("Ctrl-C ends"))
        assert found
        browser.open(found[0])
        browser.shows("#title", "lab")
        terminal.types("\x03")
        assert terminal.ends() == 0

    browser.shows("#connection", "`wgpy mesh page` has ended.")


def _rows(browser: Browser) -> int:
    return int(browser.evaluate("return document.querySelectorAll('#list tbody tr').length"))


def _identity(world: World, name: str) -> str:
    return str(next(peer.identity for peer in world.dev.status().peers if peer.name == name))


def _relay(world: World, name: str) -> str:
    return next(peer.relay for peer in world.dev.status().peers if peer.name == name)


def _address(world: World, name: str) -> str:
    return str(next(peer.address for peer in world.dev.status().peers if peer.name == name))
