"""`wgpy up` and `wgpy down` on real hosts: a file becomes a tunnel, and `down` or a failure leaves no trace.

left                                        right
wg0   10.20.0.1/24 fd20::1/64               wg0   10.20.0.2/24 fd20::2/64
eth0  10.10.0.1/24 fd10::1/64  ───────────  eth0  10.10.0.2/24 fd10::2/64
"""

import json
import os
import shlex
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.hosts import Host, HostProcess, Lab, Result, add_addresses, connect, eventually
from tests.integration.peers import key_pair

_WGPY = str(Path(sys.executable).parent / "wgpy")
_FILE = "/run/wg0.conf"


@dataclass(slots=True)
class Side:
    """A host on which `wgpy` is used with one file."""

    host: Host
    daemon: str
    address: int  # last part of all its addresses
    private_key: str
    public_key: str

    def write(
        self, *interface: str, peer: "Side | None" = None, allowed: str = "10.20.0.0/24, fd20::/64"
    ) -> None:
        """Write the file: its own key and addresses, more lines, and perhaps a peer."""
        lines = [
            "[Interface]",
            f"PrivateKey = {self.private_key}",
            "ListenPort = 51820",
            f"Address = 10.20.0.{self.address}/24, fd20::{self.address}/64",
            *interface,
        ]
        if peer:
            lines += ["[Peer]", f"PublicKey = {peer.public_key}", f"AllowedIPs = {allowed}"]
            lines += [f"Endpoint = 10.10.0.{peer.address}:51820"]
        self.host.write(_FILE, "\n".join([*lines, ""]))

    def command(self, *arguments: str) -> list[str]:
        path = "PATH=/run/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return ["env", f"WG_QUICK_USERSPACE_IMPLEMENTATION={self.daemon}", path, _WGPY, *arguments]

    def wgpy(self, *arguments: str) -> str:
        return self.host.run(*self.command(*arguments))

    def attempt(self, *arguments: str) -> Result:
        return self.host.attempt(*self.command(*arguments))

    def start(self, *arguments: str) -> HostProcess:
        return self.host.start(*self.command(*arguments))

    def network(self) -> list[str]:
        """All that `up` may change."""
        commands = (
            "ip -brief link show",
            "ip -4 rule",
            "ip -6 rule",
            "ip -4 route show table all",
            "ip -6 route show table all",
            "nft list ruleset",
            "ls -A /run/wireguard",
            "sysctl net.ipv4.conf.all.src_valid_mark",
        )
        return [self.host.attempt("sh", "-c", f"{command} 2>/dev/null | sort").output for command in commands]

    def pings(self, address: str) -> bool:
        return self.host.attempt("ping", "-n", "-c", "1", "-W", "5", address).status == 0


@pytest.fixture
def left(lab: Lab, program: str) -> Side:
    return _side(lab, program, "left", 1)


@pytest.fixture
def right(lab: Lab, program: str, left: Side) -> Side:
    side = _side(lab, program, "right", 2)
    connect(left.host, "eth0", side.host, "eth0")
    for one in (left, side):
        add_addresses(one.host, "eth0", f"10.10.0.{one.address}/24", f"fd10::{one.address}/64")
    return side


def _side(lab: Lab, program: str, name: str, address: int) -> Side:
    return Side(lab.host(name), program, address, *key_pair())


def test_two_files_make_a_tunnel_and_down_leaves_no_trace(left: Side, right: Side) -> None:
    before = left.network()
    left.write(peer=right)
    right.write(peer=left)

    assert left.wgpy("up", _FILE) == "wg0 is up with 10.20.0.1/24, fd20::1/64, MTU 1420 and 1 peer.\n"
    right.wgpy("up", _FILE)

    assert left.pings("10.20.0.2")
    assert left.pings("fd20::2")
    shown = left.wgpy("show", "wg0")
    assert right.public_key in shown
    assert "latest handshake: " in shown
    state = json.loads(left.wgpy("show", "--json"))["wg0"]
    assert state["peers"][0]["endpoint"] == "10.10.0.2:51820"
    assert left.private_key not in json.dumps(state)

    assert left.wgpy("down", _FILE) == ""
    assert left.network() == before


@pytest.mark.parametrize("rp_filter", [0, 1])
def test_a_default_route_carries_all_but_the_tunnel_itself(left: Side, right: Side, rp_filter: int) -> None:
    for name in ("all", "eth0"):
        left.host.run("sysctl", "-qw", f"net.ipv4.conf.{name}.rp_filter={rp_filter}")
    left.host.run("ip", "route", "add", "default", "via", "10.10.0.2")
    # Only right's wg0 accepts what left sends from its addresses in the tunnel.
    add_addresses(right.host, "lo", "203.0.113.7/32", "2001:db8::7/128")
    before = left.network()
    left.write(peer=right, allowed="0.0.0.0/0, ::/0")
    right.write(peer=left, allowed="10.20.0.1/32, fd20::1/128")
    right.wgpy("up", _FILE)

    left.wgpy("up", _FILE)

    assert left.pings("203.0.113.7")
    assert left.pings("2001:db8::7")
    assert "dev wg0" in left.host.run("ip", "route", "get", "203.0.113.7")
    assert "dev eth0" in left.host.run("ip", "route", "get", "10.10.0.2"), "routes but the default one stay"

    left.wgpy("down", _FILE)
    # src_valid_mark stays: others may have come to rely on it.
    assert left.network()[:-1] == before[:-1]


@pytest.mark.parametrize("first_down", ["wg0", "wg1"])
def test_two_full_tunnels_are_up_at_once(left: Side, right: Side, first_down: str) -> None:
    left.host.run("sysctl", "-qw", "net.ipv4.conf.eth0.rp_filter=1")
    left.host.run("ip", "route", "add", "default", "via", "10.10.0.2")
    # Both peers are behind the default route, as on the Internet.
    add_addresses(right.host, "lo", "198.51.100.1/32", "198.51.100.2/32", "203.0.113.7/32")
    before = left.network()
    peers = {"wg0": "198.51.100.1:51820", "wg1": "198.51.100.2:51821"}
    keys = {name: (key_pair(), key_pair()) for name in peers}
    for number, (name, endpoint) in enumerate(peers.items()):
        (own, _), (other, _) = keys[name]
        address, port = f"10.2{number}.0", 51820 + number
        left.host.write(
            f"/run/{name}.conf", _file(own, f"{address}.1/24", keys[name][1][1], "0.0.0.0/0", endpoint)
        )
        theirs = _file(other, f"{address}.2/24", keys[name][0][1], f"{address}.0/24", "", port)
        right.host.write(f"/run/{name}.conf", theirs)
        right.wgpy("up", f"/run/{name}.conf")
        left.wgpy("up", f"/run/{name}.conf")

    assert left.pings("203.0.113.7")
    assert left.pings("10.20.0.2"), "the first tunnel"
    assert left.pings("10.21.0.2"), "the second tunnel"
    for name in peers:
        sent = json.loads(left.wgpy("show", name, "--json"))[name]["peers"][0]["tx_bytes"]
        assert sent < 20_000, "no datagram goes round"

    left.wgpy("down", first_down)
    assert left.host.run("sysctl", "-n", "net.ipv4.conf.all.src_valid_mark") == "1\n"
    assert left.pings("203.0.113.7")
    for name in peers.keys() - {first_down}:
        left.wgpy("down", name)
    assert left.network() == before


def _file(
    private_key: str, address: str, peer: str, allowed: str, endpoint: str = "", port: int | None = None
) -> str:
    lines = [
        "[Interface]",
        f"PrivateKey = {private_key}",
        f"Address = {address}",
        *([f"ListenPort = {port}"] if port else []),
        "[Peer]",
        f"PublicKey = {peer}",
        f"AllowedIPs = {allowed}",
        *([f"Endpoint = {endpoint}"] if endpoint else []),
    ]
    return "\n".join([*lines, ""])


@pytest.mark.parametrize("table", ["Table = off", ""])
@pytest.mark.parametrize("is_killed", [False, True])
def test_down_keeps_the_rules_of_a_tunnel_with_the_same_mark(
    left: Side, right: Side, table: str, is_killed: bool
) -> None:
    left.write("FwMark = 51820", peer=right, allowed="0.0.0.0/0")
    left.wgpy("up", _FILE)
    rules = left.host.run("ip", "rule")
    running = set(left.host.processes(Path(left.daemon).name))
    own, (_, other) = key_pair()[0], key_pair()
    text = _file(own, "10.30.0.1/24", other, "0.0.0.0/0" if table else "10.31.0.0/24")
    left.host.write("/run/wg1.conf", text.replace("[Peer]", f"FwMark = 51820\n{table}\n[Peer]"))
    left.wgpy("up", "/run/wg1.conf")
    if is_killed:
        for pid in set(left.host.processes(Path(left.daemon).name)) - running:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: left.host.attempt("ip", "link", "show", "wg1").status != 0, "the link has gone")

    left.wgpy("down", "wg1")

    assert left.host.run("ip", "rule") == rules


def test_down_keeps_rules_that_hooks_remove(left: Side, right: Side) -> None:
    rule = "not fwmark 51820 table 51820"
    hooks = (f"PostUp = ip rule add {rule}", f"PostDown = ip rule delete {rule}")
    left.write("FwMark = 51820", "Table = 51820", *hooks, peer=right, allowed="0.0.0.0/0")
    before = left.network()
    left.wgpy("up", _FILE)

    left.wgpy("down", _FILE)

    assert left.network() == before


@pytest.mark.parametrize("allowed", ["0.0.0.0/0, ::/0", "192.0.2.0/24"])
@pytest.mark.parametrize("mark", ["", "FwMark = 77"])
def test_down_removes_what_a_killed_daemon_left(left: Side, right: Side, allowed: str, mark: str) -> None:
    before = left.network()
    left.write(mark, "PostDown = touch /run/hook", peer=right, allowed=allowed)
    left.wgpy("up", _FILE)
    for pid in left.host.processes(Path(left.daemon).name):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: left.host.attempt("ip", "link", "show", "wg0").status != 0, "the link has gone")

    said = left.wgpy("down", "wg0")

    assert said.startswith("wgpy: warning: the daemon of wg0 has ended by itself; ")
    assert left.host.path("/run/hook").exists()
    assert left.network()[:-2] == before[:-2]
    assert left.network()[-1] == before[-1]
    assert left.attempt("down", "wg0").status == 1


def test_up_after_a_killed_daemon_begins_anew(left: Side, right: Side) -> None:
    left.write(peer=right, allowed="0.0.0.0/0")
    left.wgpy("up", _FILE)
    up = left.network()
    for pid in left.host.processes(Path(left.daemon).name):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: left.host.attempt("ip", "link", "show", "wg0").status != 0, "the link has gone")

    left.wgpy("up", _FILE)

    again = left.network()
    assert [again[1], again[5]] == [up[1], up[5]], "rules and firewall are there once"


def test_down_by_name_finds_the_file_that_is_up(left: Side, right: Side) -> None:
    before = left.network()
    left.write("PostDown = touch /run/hook", peer=right)
    left.host.run("sh", "-c", f"cd /run && exec {shlex.join(left.command('up', './wg0.conf'))}")

    left.wgpy("down", "wg0")

    assert left.host.path("/run/hook").exists()
    assert left.network() == before


@pytest.mark.parametrize("verb", ["down", "reload", "save"])
def test_a_user_who_is_not_root_is_told_so(left: Side, verb: str) -> None:
    left.write()
    left.wgpy("up", _FILE)
    # Another user may not be allowed to read the interpreter, so the user changes after the imports.
    program = "import os, sys; from wgpy.cli.main import main; os.setuid(65534); sys.exit(main(sys.argv[1:]))"

    result = left.host.attempt(sys.executable, "-c", program, verb, "wg0")

    assert result == Result(1, f"wgpy: only root may change the network; try `sudo wgpy {verb} …`.\n")


def test_what_is_probably_not_meant_is_warned_of(left: Side, right: Side) -> None:
    left.write(peer=left)
    assert "warning: one peer has this host's own key" in left.wgpy("up", _FILE)


def test_a_full_tunnel_comes_up_where_the_first_preference_is_taken(left: Side, right: Side) -> None:
    for family in ("-4", "-6"):
        left.host.run("ip", family, "rule", "add", "table", "9", "preference", "1")
    before = left.network()
    left.write(peer=right, allowed="0.0.0.0/0, ::/0")

    left.wgpy("up", _FILE)

    assert "dev wg0" in left.host.run("ip", "route", "get", "203.0.113.7")
    assert "dev eth0" in left.host.run("ip", "route", "get", "10.10.0.2"), "routes but the default one stay"
    assert "dev wg0" in left.host.run("ip", "route", "get", "2001:db8::7")
    left.wgpy("down", _FILE)
    assert left.network() == before


@pytest.mark.parametrize(("allowed", "warns"), [("::/0", False), ("0.0.0.0/0", True)])
def test_a_full_tunnel_comes_up_where_sysctls_are_read_only(
    left: Side, right: Side, allowed: str, warns: bool
) -> None:
    left.host.run("mount", "--bind", "-o", "ro", "/proc/sys", "/proc/sys")
    left.write(peer=right, allowed=allowed)

    said = left.wgpy("up", _FILE)

    assert ("src_valid_mark cannot be changed" in said) is warns
    assert "dev wg0" in left.host.run(
        "ip", "route", "get", "2001:db8::7" if ":" in allowed else "203.0.113.7"
    )


def test_a_table_that_the_host_does_not_know_is_a_sentence(left: Side, right: Side) -> None:
    before = left.network()
    left.write("Table = of", peer=right)

    result = left.attempt("up", _FILE)

    assert result.status == 1
    assert "table of` failed: " in result.output
    assert len(result.output.splitlines()) == 1
    assert left.network() == before


def test_nobody_reaches_the_address_of_a_full_tunnel_from_outside(left: Side, right: Side) -> None:
    left.write(peer=right, allowed="0.0.0.0/0")
    left.wgpy("up", _FILE)
    right.host.run("ip", "route", "add", "10.20.0.1/32", "via", "10.10.0.1")

    assert right.pings("10.10.0.1")
    assert not right.pings("10.20.0.1")
    left.host.run("nft", "flush", "ruleset")
    assert right.pings("10.20.0.1"), "it was the firewall that kept it out"


def test_the_mtu_fits_the_route_to_the_peer(left: Side, right: Side) -> None:
    left.host.run("ip", "link", "set", "eth0", "mtu", "1400")
    left.write(peer=right)

    left.wgpy("up", _FILE)

    assert "mtu 1320" in left.host.run("ip", "link", "show", "wg0")


def test_routes_may_go_into_a_table_or_nowhere(left: Side, right: Side) -> None:
    left.write("Table = 77", "MTU = 1280", peer=right, allowed="192.0.2.0/24, 0.0.0.0/0")
    left.wgpy("up", _FILE)
    assert len(left.host.run("ip", "route", "show", "table", "77").splitlines()) == 2
    assert "mtu 1280" in left.host.run("ip", "link", "show", "wg0")
    left.wgpy("down", _FILE)

    left.write("Table = off", peer=right, allowed="192.0.2.0/24, 0.0.0.0/0")
    left.wgpy("up", _FILE)
    assert "192.0.2.0/24" not in left.host.run("ip", "route", "show", "table", "all")


def test_hooks_run_in_their_order_and_know_the_interface(left: Side) -> None:
    hooks = ("PreUp", "PostUp", "PreDown", "PostDown")
    left.write(
        *(f"{name} = echo {name} %i $(ip -brief link show %i 2>&1 | wc -w) >> /run/hooks" for name in hooks)
    )

    left.wgpy("up", _FILE)
    left.wgpy("down", _FILE)

    said = left.host.path("/run/hooks").read_text().splitlines()
    assert [line.rsplit(" ", 1)[0] for line in said] == [f"{name} wg0" for name in hooks]


def test_saveconfig_writes_what_the_interface_is_now(left: Side, right: Side) -> None:
    left.write("SaveConfig = true", "PostDown = true", peer=right)
    left.wgpy("up", _FILE)
    other = key_pair()[1]
    left.host.run("wg", "set", "wg0", "listen-port", "4000", "peer", other, "allowed-ips", "192.0.2.1/32")

    left.wgpy("down", _FILE)

    saved = left.host.path(_FILE)
    text = saved.read_text()
    assert saved.stat().st_mode & 0o077 == 0
    for expected in (
        "ListenPort = 4000",
        other,
        right.public_key,
        "10.20.0.1/24",
        "fd20::1/64",
        "PostDown = true",
    ):
        assert expected in text
    left.wgpy("up", _FILE)


def test_reload_brings_a_changed_file_in_without_a_break(left: Side, right: Side) -> None:
    left.write("ListenPort = 4000", peer=right, allowed="10.20.0.0/24, fd20::/64, 192.0.2.0/24")
    right.write(peer=left)
    left.wgpy("up", _FILE)
    right.wgpy("up", _FILE)
    assert left.pings("10.20.0.2")
    handshake = left.host.run("wg", "show", "wg0", "latest-handshakes")
    left.write(
        "ListenPort = 4000",
        "Address = 10.22.0.1/24",
        peer=right,
        allowed="10.20.0.0/24, fd20::/64, 198.51.100.0/24",
    )

    assert left.wgpy("reload", "wg0") == f"wg0 has what {_FILE} says.\n"

    routes = left.host.run("ip", "route")
    assert "198.51.100.0/24 dev wg0" in routes
    assert "192.0.2.0/24" not in routes
    assert "10.22.0.1/24" in left.host.run("ip", "address", "show", "dev", "wg0")
    assert left.pings("10.20.0.2")
    assert left.host.run("wg", "show", "wg0", "latest-handshakes") == handshake
    other = key_pair()[1]
    left.host.run("sh", "-c", f"printf '[Peer]\nPublicKey = {other}\n' >> {_FILE}")
    left.wgpy("reload", "wg0")
    assert other in left.wgpy("show", "wg0")
    left.write("ListenPort = 4000", peer=right)
    left.wgpy("reload", "wg0")
    assert other not in left.wgpy("show", "wg0")
    assert "10.22.0.1" not in left.host.run("ip", "address", "show", "dev", "wg0")
    assert left.host.run("wg", "show", "wg0", "latest-handshakes") == handshake


def test_reload_makes_a_full_tunnel_and_ends_it(left: Side, right: Side) -> None:
    before = left.network()
    left.write(peer=right, allowed="0.0.0.0/0")
    left.wgpy("up", _FILE)
    full = left.network()
    left.wgpy("down", _FILE)
    left.write(peer=right)
    left.wgpy("up", _FILE)
    narrow = left.network()

    left.write(peer=right, allowed="0.0.0.0/0")
    left.wgpy("reload", _FILE)
    assert left.network() == full
    left.wgpy("reload", _FILE)
    assert left.network() == full
    left.write(peer=right)
    left.wgpy("reload", _FILE)
    assert left.network() == narrow
    left.wgpy("down", _FILE)
    assert left.network() == before


def test_a_reload_that_is_refused_changes_nothing(left: Side, right: Side) -> None:
    left.host.run("ip", "route", "add", "198.51.100.0/24", "via", "10.10.0.2")
    left.write(peer=right)
    left.wgpy("up", _FILE)
    before = left.network(), left.wgpy("show", "wg0")
    left.write("Address = 10.22.0.1/24", peer=right, allowed="192.0.2.0/24, 198.51.100.0/24")

    result = left.attempt("reload", _FILE)

    assert result.status == 1
    assert "`ip route add 198.51.100.0/24 dev wg0` failed: File exists" in result.output
    assert (left.network(), left.wgpy("show", "wg0")) == before


def test_save_writes_what_the_interface_is_now(left: Side, right: Side) -> None:
    left.write(peer=right)
    left.wgpy("up", _FILE)
    left.host.run("wg", "set", "wg0", "listen-port", "4000")

    assert left.wgpy("save", "wg0") == ""

    assert "ListenPort = 4000" in left.host.path(_FILE).read_text()
    left.wgpy("down", "wg0")
    assert left.attempt("save", _FILE) == (
        Result(1, f"wgpy: wg0 is not up; `wgpy up {_FILE}` brings it up.\n")
    )


def test_resolvconf_is_told_the_servers(left: Side) -> None:
    # It writes down how it is called, as no Debian host has it from the start.
    left.host.write(
        "/run/bin/resolvconf", '#!/bin/sh\n{ echo "$@"; [ "$1" = -d ] || cat; } >> /run/resolvconf\n'
    )
    left.host.run("chmod", "755", "/run/bin/resolvconf")
    left.write("DNS = 10.20.0.9, corp.example")

    left.wgpy("up", _FILE)
    left.wgpy("down", _FILE)

    assert left.host.path("/run/resolvconf").read_text().splitlines() == [
        "-a wg0 -m 0 -x",
        "nameserver 10.20.0.9",
        "search corp.example",
        "-d wg0 -f",
    ]


# -- failures ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "allowed", "says"),
    [
        ("PreUp = false", "0.0.0.0/0", "the PreUp command `false` failed with exit status 1"),
        ("PostUp = exit 7", "0.0.0.0/0, ::/0", "the PostUp command `exit 7` failed with exit status 7"),
        ("PostUp = false", "192.0.2.0/24", "the PostUp command `false` failed"),
        ("Address = 10.20.0.1/24", "0.0.0.0/0", "`ip address add 10.20.0.1/24 dev wg0` failed: "),
        (
            "FwMark = 7\nTable = main",
            "10.10.0.0/24, 192.0.2.0/24",
            "`ip route add 10.10.0.0/24 dev wg0 table main` failed: File exists",
        ),
    ],
)
def test_whatever_fails_all_before_it_is_undone(
    left: Side, right: Side, line: str, allowed: str, says: str
) -> None:
    before = left.network()
    left.write(line, peer=right, allowed=allowed)

    result = left.attempt("up", _FILE)

    assert result.status == 1
    assert result.output.startswith(f"wgpy: {says}")
    assert len(result.output.splitlines()) == 1
    assert left.network() == before
    eventually(lambda: left.host.processes(Path(left.daemon).name) == [], "the daemon has ended")


def test_an_up_that_is_stopped_is_undone(left: Side, right: Side) -> None:
    before = left.network()
    left.write("PostUp = touch /run/waiting; exec sleep 60", peer=right, allowed="0.0.0.0/0")
    process = left.start("up", _FILE)
    eventually(left.host.path("/run/waiting").exists, "PostUp runs", within=20)

    process.kill(signal.SIGTERM)

    assert process.wait(20).status == 128 + signal.SIGTERM
    assert left.network() == before


def test_each_misuse_is_one_sentence(left: Side) -> None:
    left.write()
    assert left.attempt("down", _FILE) == Result(1, "wgpy: wg0 is not up.\n")
    left.wgpy("up", _FILE)
    again = left.attempt("up", _FILE)
    assert again == Result(1, f"wgpy: wg0 is already up; `wgpy down {_FILE}` takes it down.\n")
    left.wgpy("down", _FILE)
    left.host.run("ip", "link", "add", "wg0", "type", "veth")
    assert left.attempt("up", _FILE) == (
        Result(1, "wgpy: a network interface wg0 exists that is not wgpy's; choose another name.\n")
    )


def test_a_daemon_that_does_not_start_says_why(left: Side) -> None:
    left.write()
    left.host.run("mount", "--bind", "/dev/null", "/dev/net/tun")

    result = left.attempt("up", _FILE)

    assert result.status == 1
    assert result.output.startswith("wgpy: the daemon of wg0 did not start: ")
    assert len(result.output.splitlines()) == 1


def test_an_interface_that_is_not_up_cannot_be_shown(left: Side) -> None:
    assert left.attempt("show", "wg9") == Result(1, "wgpy: there is no interface wg9 that a daemon serves.\n")
    assert left.attempt("show").status == 0
