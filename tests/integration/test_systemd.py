"""The Debian package on a host of systemd: installed, its units, an upgrade, and purged.

What `build.py` makes for this host is installed by dpkg, beside Debian's own libraries. The coordinator alone
has those of the Python that runs these tests, as Debian 12 has none that are new enough. All tests are on one
host, in their order: the last purges the package.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import clone
from tests.integration import systemdhost
from tests.integration.hosts import Host, Lab, add_addresses, connect, eventually
from tests.integration.meshlab import Node
from tests.integration.systemdhost import LIBRARIES, WRITTEN

BUILD = "daemon/deploy/packages/build.py"
NETWORK = "lab"
UNIT = f"wgpyd-mesh@{NETWORK}"
DROP_IN = f"[Service]\nEnvironment=PYTHONPATH={LIBRARIES}\n"
TIMEOUT = 400.0  # seconds for dpkg, which has Python compile all modules, on a busy host
NEXT = "99.0"  # a version that is newer than all
LIKE_THIS_PYTHON = f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"

pytestmark = [
    pytest.mark.timeout(900),  # the package is built first
    pytest.mark.xdist_group("systemd"),
    pytest.mark.skipif(not (clone.ROOT / BUILD).exists(), reason="the clone is not there"),
]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if missing := systemdhost.missing():
        pytest.skip(f"SYSTEMD WAS NOT TRIED: this host lacks {missing}")
    folder = tmp_path_factory.mktemp("dist")
    build = clone.copy_to(tmp_path_factory.mktemp("clone")) / BUILD
    done = subprocess.run([sys.executable, build, folder, "native"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.deb"))


@pytest.fixture(scope="module")
def newer(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same package, as the next version."""
    folder = tmp_path_factory.mktemp("newer")
    subprocess.run(["dpkg-deb", "-R", package, folder / "root"], check=True)
    control = folder / "root/DEBIAN/control"
    control.write_text(re.sub("^Version: .*", f"Version: {NEXT}", control.read_text(), flags=re.MULTILINE))
    subprocess.run(["dpkg-deb", "-b", folder / "root", folder / "wgpy.deb"], check=True)
    return folder / "wgpy.deb"


@pytest.fixture(scope="module")
def host(module_lab: Lab, package: Path) -> Host:
    """A host of systemd with the package."""
    host = systemdhost.boot(module_lab, "debian")
    install(host, package)
    return host


@pytest.fixture(scope="module")
def mesh(module_lab: Lab, host: Host) -> tuple[Host, Node]:
    """The host as a mesh's coordinator and first node, by its units, and another node without systemd."""
    if host.attempt("/usr/bin/python3", "-c", LIKE_THIS_PYTHON).status != 0:
        pytest.skip("Debian's Python cannot have the libraries of the one that runs these tests")
    peer = Node("peer", module_lab.host("peer"), "10.10.0.2", "")
    connect(host, "eth0", peer.host, "eth0")
    add_addresses(host, "eth0", "10.10.0.1/24")
    add_addresses(peer.host, "eth0", "10.10.0.2/24")
    host.write("/etc/systemd/system/wgmesh@.service.d/libraries.conf", DROP_IN)
    host.run("systemctl", "daemon-reload")
    wgpy(host, "mesh", "init", NETWORK, "--public", "10.10.0.1", "--name", "hub")
    peer.join(json.loads(wgpy(host, "mesh", "token", "--json"))["token"])
    return host, peer


def test_a_tunnel_is_a_service(host: Host) -> None:
    key = wgpy(host, "genkey")
    host.write("/etc/wireguard/wg0.conf", f"[Interface]\nPrivateKey = {key}\nAddress = 10.9.0.1/24\n")

    host.run("systemctl", "enable", "--now", "wgpy@wg0")

    assert addresses(host, "wg0") == ["10.9.0.1"]
    daemon = host.processes("wgpyd")
    host.write("/etc/wireguard/wg0.conf", f"[Interface]\nPrivateKey = {key}\nAddress = 10.9.0.2/24\n")
    host.run("systemctl", "reload", "wgpy@wg0")
    assert addresses(host, "wg0") == ["10.9.0.2"]
    assert host.processes("wgpyd") == daemon
    host.run("systemctl", "restart", "wgpy@wg0")
    assert addresses(host, "wg0") == ["10.9.0.2"]
    assert host.processes("wgpyd") != daemon
    host.run("systemctl", "disable", "--now", "wgpy@wg0")
    assert host.attempt("ip", "link", "show", "wg0").status != 0


def test_a_node_and_its_coordinator_are_services(mesh: tuple[Host, Node]) -> None:
    host, peer = mesh
    assert show(host, UNIT, "ActiveState") == show(host, f"wgmesh@{NETWORK}", "ActiveState") == "active"
    assert host.run("systemctl", "is-enabled", UNIT, f"wgmesh@{NETWORK}").split() == ["enabled"] * 2
    peer.host.run("ping", "-c", "1", "-W", "10", of_mesh(host))

    host.run("rm", "-f", "/bin/kill")  # as where procps is not installed
    host.run("systemctl", "reload", f"wgmesh@{NETWORK}")
    host.run("systemctl", "restart", f"wgmesh@{NETWORK}")
    eventually(lambda: peer.status().connected, "the peer has its coordinator back")
    index = card(host)["ifindex"]
    host.run("systemctl", "restart", UNIT)
    peer.host.run("ping", "-c", "1", "-W", "10", of_mesh(host))
    assert card(host)["ifindex"] == index


def test_a_reload_hands_over_to_a_new_main_process_and_no_ping_is_lost(mesh: tuple[Host, Node]) -> None:
    host, peer = mesh
    former = show(host, UNIT, "MainPID")
    pings = peer.host.start("ping", "-i", "0.02", "-c", "200", "-W", "20", of_mesh(host))

    host.run("systemctl", "reload", UNIT)

    eventually(lambda: show(host, UNIT, "MainPID") not in {former, "0"}, "another process is the main one")
    assert " 200 received" in pings.wait().output
    assert show(host, UNIT, "ActiveState") == "active"


def test_a_node_that_is_killed_has_its_interface_from_the_store_and_no_packet_is_refused(
    mesh: tuple[Host, Node],
) -> None:
    host, peer = mesh
    index, stored = card(host)["ifindex"], int(show(host, UNIT, "NFileDescriptorStore"))
    assert stored > 0

    host.run("systemctl", "kill", "--signal=KILL", UNIT)
    said = host.run("ping", "-c", "40", "-i", "0.5", "-W", "20", peer.address())

    assert "nreachable" not in said
    assert show(host, UNIT, "NRestarts") == "1"
    assert (card(host)["ifindex"], int(show(host, UNIT, "NFileDescriptorStore"))) == (index, stored)


def test_an_upgrade_is_no_break_for_a_node(mesh: tuple[Host, Node], newer: Path) -> None:
    host, peer = mesh
    former = show(host, UNIT, "MainPID")
    coordinator = show(host, f"wgmesh@{NETWORK}", "MainPID")
    pings = peer.host.start("ping", "-i", "0.1", "-c", "100", "-W", "30", of_mesh(host))

    install(host, newer)

    eventually(lambda: show(host, UNIT, "MainPID") not in {former, "0"}, "another process is the main one")
    assert " 100 received" in pings.wait().output
    assert show(host, f"wgmesh@{NETWORK}", "MainPID") != coordinator
    assert host.run("dpkg-query", "-W", "-f", "${Version}", "wgpy") == NEXT


def test_a_purge_leaves_nothing(module_lab: Lab, mesh: tuple[Host, Node]) -> None:
    host, _ = mesh
    host.write("/etc/wireguard/wg0.conf", f"[Interface]\nPrivateKey = {wgpy(host, 'genkey')}\n")
    host.run("systemctl", "enable", "--now", "wgpy@wg0")

    host.run("dpkg", "--purge", "--no-triggers", "wgpy", timeout=TIMEOUT)

    assert [found["ifname"] for found in json.loads(host.run("ip", "-json", "link"))] == ["lo", "eth0"]
    assert host.processes("wgpyd") == host.processes("wgmesh") == []
    assert host.run("nft", "list", "ruleset") == ""
    assert host.run("ip", "rule") == module_lab.host("another").run("ip", "rule")
    found = host.run(
        "find", WRITTEN, "/etc/systemd/system", "-name", "*wg*", "!", "-type", "c"
    )  # c: a deletion
    assert {*found.split()} == {f"{WRITTEN}/etc/wireguard/wg0.conf", "/etc/systemd/system/wgmesh@.service.d"}


def install(host: Host, package: Path) -> None:
    """Install it without triggers: that of man-db reads all pages of this machine."""
    copy = host.path(f"/run/{package.name}")
    shutil.copyfile(package, copy)
    done = host.attempt("dpkg", "-i", "--no-triggers", f"/run/{package.name}", timeout=TIMEOUT)
    copy.unlink()
    if "dependency problems" in done.output:
        pytest.skip(f"SYSTEMD WAS NOT TRIED: this host lacks packages of Debian:\n{done.output}")
    assert done.status == 0, done.output


def wgpy(host: Host, *arguments: str) -> str:
    """Run the installed command, which must succeed, and return what it says."""
    return host.run("env", f"PYTHONPATH={LIBRARIES}", "/usr/bin/wgpy", *arguments).strip()


def show(host: Host, unit: str, name: str) -> str:
    """Return a property of a unit, see org.freedesktop.systemd1(5)."""
    return host.run("systemctl", "show", "--value", f"--property={name}", unit).strip()


def card(host: Host) -> dict[str, int]:
    (found,) = json.loads(host.run("ip", "-json", "address", "show", "dev", "mesh0"))
    return dict(found)


def addresses(host: Host, name: str) -> list[str]:
    """Return those of IPv4 that an interface has."""
    (found,) = json.loads(host.run("ip", "-json", "-4", "address", "show", "dev", name))
    return [one["local"] for one in found["addr_info"]]


def of_mesh(host: Host) -> str:
    return addresses(host, "mesh0")[0]
