"""`wgpy bugreport` on a node of a mesh."""

import re

import pytest

from tests.integration.commands import run_wgpy
from tests.integration.hosts import Lab
from tests.integration.internet import Internet
from tests.integration.meshlab import NETWORK

pytestmark = [pytest.mark.xdist_group("bugreport")]

_KEY = re.compile(r"[A-Za-z0-9+/]{43}=")


def test_it_has_what_a_maintainer_needs_and_nothing_that_should_stay_at_home(lab: Lab) -> None:
    net = Internet.build(lab)
    hub, one = net.public("hub", 2), net.public("one", 3)
    hub.mesh("init", NETWORK, "--public", hub.outside, "--name", "hub")
    token = hub.token()
    one.join(token)
    one.ping(hub, within=20)
    secrets = {*_KEY.findall((one.folder / "node.json").read_text()), token, hub.address(), one.address()}

    said = run_wgpy(one.host, "bugreport", "--file", "/run/report.txt")
    with_addresses = run_wgpy(one.host, "bugreport", "--file", "/run/all.txt", "--with-addresses")

    assert (said.status, with_addresses.status) == (0, 0), said.output + with_addresses.output
    report, everything = (one.host.path(f"/run/{name}.txt").read_text() for name in ("report", "all"))
    for title in (
        "versions",
        f"network {NETWORK}",
        "interfaces",
        "routes, IPv4",
        "firewall",
        "/etc/os-release",
    ):
        assert f"== {title}\n" in report
        assert title in said.output
    assert "mesh0" in report
    assert not [secret for secret in (*secrets, hub.outside, one.outside) if secret in report]
    assert not _KEY.search(report)
    assert one.outside in everything
    private = one.host.run("sh", "-c", "wg show mesh0 private-key 2> /dev/null || true").strip()
    assert private not in everything.split()
    assert one.host.path("/run/report.txt").stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_written_is_said_so(lab: Lab) -> None:
    done = run_wgpy(lab.host("alone"), "bugreport", "--file", "/nowhere/report.txt")

    assert (done.status, done.output) == (
        1, "wgpy: /nowhere/report.txt cannot be written: No such file or directory.\n",
    )  # fmt: skip
