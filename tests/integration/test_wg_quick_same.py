"""`wgpy up` makes of a file what wg-quick makes of it, or the difference is in README's table.

Each file goes through Debian's wg-quick with wireguard-go on one host, and through `wgpy up` on another. Both
hosts are alike:

quick                              ours
lo    127.0.0.1                    lo    127.0.0.1
eth0  10.10.0.1/24 fd10::1/64      eth0  10.10.0.1/24 fd10::1/64   (a wire between both, without traffic)
      default via 10.10.0.2              default via 10.10.0.2

What the kernel has between `up` and `down`, and after `down`, is compared: addresses, MTU, routes, rules,
firewall, the settings of WireGuard, and in one log the hooks and the calls of a stub resolvconf.
"""

import json
import random
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.integration.hosts import Host, Lab, add_addresses, connect
from tests.integration.peers import key_pair

pytestmark = pytest.mark.xdist_group("wg-quick")

_WGPY = str(Path(sys.executable).parent / "wgpy")
_FILE = "/run/wg0.conf"
_PRIVATE, _OWN = key_pair()
_KEYS = [key_pair()[1] for _ in range(4)]
_LOG = "echo %i ${ADDRESSES[*]} mtu=$MTU table=$TABLE dns=${DNS[*]} $(ip -brief link show %i 2>&1 | wc -w)"
_RESOLVCONF = '#!/bin/sh\n{ echo "resolvconf $@"; [ "$1" = -d ] || cat; } >> /run/log\n'
_STATE = """
ip -json address show dev wg0 2>/dev/null || echo '[]'
for family in 4 6; do ip -json -N -$family rule; ip -json -N -$family route show table all; done
echo
wg showconf wg0 2>/dev/null
sysctl -n net.ipv4.conf.all.src_valid_mark
nft list ruleset
ls -A /run/wireguard
"""


def file(*interface: str, peers: tuple[str, ...] = ()) -> str:
    """Return a file with a key. peers: the lines of each, without its key."""
    sections = [f"[Peer]\nPublicKey = {key}\n{text}\n" for key, text in zip(_KEYS, peers, strict=False)]
    return "\n".join(["[Interface]", f"PrivateKey = {_PRIVATE}", *interface, "", *sections])


HOOKS = [
    f"{name} = echo {name} >> /run/log; {_LOG} >> /run/log" for name in ("PostUp", "PreDown", "PostDown")
]
EMPTY = [f"{name} =" for name in ("PreUp", "PostUp", "PreDown", "PostDown")]

FILES = {
    # The forms of wg-quick's manual.
    "a site": file("Address = 10.20.0.1/24", "ListenPort = 51820", peers=("AllowedIPs = 10.20.0.2/32",)),
    "several subnets": file(
        "Address = 10.20.0.1/24, fd20::1/64",
        "Address = 10.21.0.1/16",
        "ListenPort = 51820",
        peers=("AllowedIPs = 10.20.0.0/25, 192.0.2.0/24", "AllowedIPs = fd20::/64, 2001:db8:1::/48"),
    ),
    "all traffic": file(
        "Address = 10.20.0.1/32, fd20::1/128",
        "DNS = 10.20.0.9, fd20::9, corp.example",
        *HOOKS,
        peers=("AllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = 10.10.0.2:51820\nPersistentKeepalive = 25",),
    ),
    "all of one family": file("Address = 10.20.0.1/24, fd20::1/64", peers=("AllowedIPs = 0.0.0.0/0",)),
    "all of IPv6": file("Address = 10.20.0.1/24, fd20::1/64", peers=("AllowedIPs = ::/0",)),
    "all with a mark": file(
        "Address = 10.20.0.1/24",
        "FwMark = 0x4d2",
        peers=("AllowedIPs = 0.0.0.0/0, 192.0.2.0/24", "AllowedIPs = 198.51.100.0/24"),
    ),
    "halves instead of all": file("Address = 10.20.0.1/24", peers=("AllowedIPs = 0.0.0.0/1, 128.0.0.0/1",)),
    "a table": file("Address = 10.20.0.1/24", "Table = 1234", peers=("AllowedIPs = 0.0.0.0/0, fd20::/64",)),
    "a table by name": file("Address = 10.20.0.1/24", "Table = uplink", peers=("AllowedIPs = 0.0.0.0/0",)),
    "a table in hexadecimal": file(
        "Address = 10.20.0.1/24", "Table = 0x4d2", "MTU = 0x578", peers=("AllowedIPs = 10.0.0.0/8",)
    ),
    "the main table": file("Address = 10.20.0.1/24", "Table = main", peers=("AllowedIPs = 192.0.2.0/24",)),
    "table zero": file("Address = 10.20.0.1/24", "Table = 0", peers=("AllowedIPs = 192.0.2.0/24",)),
    "no routes": file("Address = 10.20.0.1/24", "Table = off", peers=("AllowedIPs = 0.0.0.0/0",)),
    # The forms that generators write.
    "empty hooks": file(
        *EMPTY, "Address = 10.8.0.1/24", "ListenPort = 51820", peers=("AllowedIPs = 10.8.0.2/32",)
    ),
    "empty MTU and table": file(
        "Address = 10.8.0.1/24", "MTU =", "Table =", "DNS =", peers=("AllowedIPs = ::/0",)
    ),
    "automatic table": file(
        "Address = 10.252.1.0/24",
        "MTU = 1450",
        "Table = auto",
        "SaveConfig = false",
        peers=("AllowedIPs = 10.252.1.1/32\nPersistentKeepalive = 15",),
    ),
    "lines of Windows": file("Address = 10.20.0.1/24", *HOOKS, peers=("AllowedIPs = 0.0.0.0/0",)).replace(
        "\n", "\r\n"
    ),
    "a comment in Latin-1": "# caf\udce9\n" + file("Address = 10.20.0.1/24 # \udce9\udcff"),
    "names in capitals": file("ADDRESS = 10.20.0.1/24", "mtu = 1300", "LISTENPORT = 7").replace(
        "[Interface]", "[INTERFACE]"
    ),
    "blanks within": file("Address = 10.20.0.1/24", "Listen Port = 5 3")
    + f"[ Peer ]\nPublic Key = {_KEYS[0][:9]} {_KEYS[0][9:]}\nAllowedIPs = 10.9.0.0 / 08 , fd09:: /16\n",
    "endpoints as wg takes them": file(
        "Address = 10.20.0.1/24",
        peers=(
            "Endpoint = fd10::2:51820",
            "Endpoint = [10.10.0.2]:domain",
            "Endpoint = 10.10.2:53",
            "Endpoint = 10.10.0.2 : 5 3",
        ),
    ),
    "hooks with variables": file(
        "Address = 10.20.0.1, fd20::1/64",
        "PostUp = echo $INTERFACE ${ADDRESSES[1]} ${#ADDRESSES[@]} $CONFIG_FILE $SAVE_CONFIG >> /run/log",
        "PostUp = cmd ip -6 rule add from ${ADDRESSES[1]%/*} table 77 preference 900",
        "PreDown = cmd ip -6 rule delete from ${ADDRESSES[1]%/*} table 77 preference 900",
        *HOOKS,
    ),
    "one peer twice": file("Address = 10.20.0.1/24", peers=("Endpoint = 10.10.0.2:7\nAllowedIPs = ::/0",))
    + f"[Peer]\nPublicKey = {_KEYS[0]}\nAllowedIPs = 10.7.0.0/16\n",
    "one prefix for two peers": file(
        "Address = 10.20.0.1/24", peers=("AllowedIPs = 10.9.0.0/16", "AllowedIPs = 10.9.0.0/16, fe80::/64")
    ),
    "only search domains": file("Address = 10.20.0.1/24", "DNS = corp.example"),
    "nothing but a key": file(),
}


@dataclass(slots=True)
class Side:
    """A host with one of the two programs."""

    host: Host
    command: tuple[str, ...]
    before: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.before = self.state()

    def run(self, verb: str) -> bool:
        result = self.host.attempt(*self.command, verb, _FILE)
        print(f"{self.host.name} {verb}: {result.output}")  # pytest shows it with a failing test
        return result.status == 0

    def state(self) -> dict[str, Any]:
        return _read(self.host.run("sh", "-c", _STATE))

    def pass_through(self, text: str) -> dict[str, Any]:
        """Bring the file up and take it down; return all that could be seen of that."""
        self.host.path("/run/log").write_text("")
        self.host.path(_FILE).write_bytes(text.encode(errors="surrogateescape"))
        seen: dict[str, Any] = {"up": self.run("up"), "while": self.state()}
        if seen["up"]:
            seen["down"] = self.run("down")
        seen["after"] = self.state()
        seen["log"] = self.host.path("/run/log").read_text()
        return seen


@pytest.fixture(scope="module")
def sides(module_lab: Lab, program: str) -> tuple[Side, Side]:
    quick, ours = module_lab.host("quick"), module_lab.host("ours")
    if quick.attempt("ip", "link", "add", "probe", "type", "wireguard").status == 0:
        pytest.skip("this host's kernel has WireGuard, so wg-quick does not use wireguard-go")
    connect(quick, "eth0", ours, "eth0")
    path = "PATH=/run/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    for host in (quick, ours):
        add_addresses(host, "eth0", "10.10.0.1/24", "fd10::1/64")
        host.run("ip", "route", "add", "default", "via", "10.10.0.2")
        host.write("/run/bin/resolvconf", _RESOLVCONF)
        host.run("chmod", "755", "/run/bin/resolvconf")
        # A name of the tunnel's own table: wg-quick's `down` then leaves its rules behind.
        named = "51820 vpn\n" if host is ours else ""
        host.write("/run/rt_tables", f"255 local\n254 main\n253 default\n77 uplink\n{named}")
        host.run("mount", "--bind", "/run/rt_tables", "/etc/iproute2/rt_tables")
        host.run("mkdir", "-p", "/run/wireguard")
        host.write(_FILE, "")
    return (
        Side(quick, ("env", path, "/usr/bin/wg-quick")),
        Side(ours, ("env", f"WG_QUICK_USERSPACE_IMPLEMENTATION={program}", path, _WGPY)),
    )


@pytest.mark.parametrize("name", FILES)
def test_a_file_becomes_what_wg_quick_makes_of_it(sides: tuple[Side, Side], name: str) -> None:
    _assert_same(sides, FILES[name])


@pytest.mark.parametrize("number", range(6))
def test_a_random_file_becomes_what_wg_quick_makes_of_it(
    sides: tuple[Side, Side], seed: int, number: int
) -> None:
    _assert_same(sides, _random_file(random.Random(seed + number)))


def _assert_same(sides: tuple[Side, Side], text: str) -> None:
    with ThreadPoolExecutor() as both:
        quick, ours = both.map(lambda side: side.pass_through(text), sides)
    assert (ours["up"], ours.get("down")) == (quick["up"], quick.get("down")), text
    assert ours["while"] == quick["while"], text
    assert ours["log"] == quick["log"], text
    assert ours["after"] == sides[1].before


def _random_file(source: random.Random) -> str:
    """Return a file with a few of everything that both programs take."""

    def some(*lines: str) -> list[str]:
        return [line for line in lines if source.random() < 0.4]

    def prefix() -> str:
        four = f"10.{source.randrange(30)}.{source.randrange(4)}.0/{source.choice([8, 16, 20, 24, 32])}"
        six = f"fd{source.randrange(10, 30)}::{source.randrange(4)}/{source.choice([16, 48, 64, 128])}"
        return source.choice([four, four, six, six, "0.0.0.0/0", "::/0"])

    interface = [
        f"Address = 10.{source.randrange(20, 30)}.0.1/{source.choice([16, 24, 32])}",
        *some(f"Address = fd{source.randrange(20, 30)}::1/{source.choice([48, 64, 128])}"),
        *some("ListenPort = 4000", "FwMark = 78", "MTU = 1300", "DNS = 10.20.0.9", *HOOKS, *EMPTY),
        *source.choice([[], [], ["Table = auto"], ["Table = 99"], ["Table = off"]]),
    ]
    source.shuffle(interface)
    count = source.randrange(4)
    allowed = [", ".join(prefix() for _ in range(source.randrange(1, 4))) for _ in range(count)]
    return file(*interface, peers=tuple(f"AllowedIPs = {prefixes}" for prefixes in allowed))


# -- what the kernel has, in a form that both programs share ------------------------------------------


def _read(output: str) -> dict[str, Any]:
    documents, _, rest = output.partition("\n\n")
    link, *families = (json.loads(line) for line in re.split(r"(?<=[\]}])\n(?=\[)", documents))
    wg, _, nft = re.split(r"^([01])$", rest, maxsplit=1, flags=re.MULTILINE)
    return {
        "addresses": [(one["local"], one["prefixlen"]) for info in link for one in _global(info)],
        "mtu": [(info["mtu"], "UP" in info["flags"]) for info in link],
        "rules": [[_rule(rule) for rule in rules] for rules in families[::2]],
        "routes": [sorted(filter(None, map(_route, routes))) for routes in families[1::2]],
        "wg": sorted(_settings(wg)),
        "firewall": set(_firewall(nft)),
    }


def _global(info: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (one for one in info["addr_info"] if one["scope"] != "link")


def _rule(rule: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in sorted(rule.items()))


def _route(route: dict[str, Any]) -> str | None:
    """Leave out what Linux makes of a link-local address, which is random."""
    if route["dst"].startswith(("fe80:", "ff00:", "multicast")) and route.get("table", "254") in (
        "255",
        "254",
    ):
        return None
    keys = ("dst", "dev", "table", "type", "gateway", "metric", "protocol")
    return " ".join(f"{key}={route.get(key)}" for key in keys)


def _settings(text: str) -> Iterator[str]:
    """Return each peer as one line; a port that was not asked for is random."""
    for section in text.split("[Peer]"):
        lines = [
            f"AllowedIPs = {sorted(line.partition('=')[2].replace(' ', '').split(','))}"
            if line.startswith("AllowedIPs")
            else line
            for line in filter(None, section.splitlines())
            if not re.match(r"ListenPort = [0-9]{5}$", line)
        ]
        yield " ".join(sorted(lines))


def _firewall(text: str) -> Iterator[str]:
    """Return the rules, without their tables: whose marks are restored is in README's table."""
    chain = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("chain "):
            chain = line.split()[1]
        elif "daddr" in line and "fe80:" not in line:
            yield f"{chain}: {line}"
        elif "meta l4proto udp" in line and "ct mark set" in line:
            yield re.sub(".*mark (0x[0-9a-f]+).*", r"marks \1", line)
