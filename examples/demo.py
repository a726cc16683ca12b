"""Five hosts at five sites become one network: the commands as an operator runs them, then a picture.

Everything lives in namespaces made for the demo, so it needs no root where the system lets anybody make
user namespaces, and nothing of it is left when it ends.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from itertools import permutations
from pathlib import Path

from examples.picture import Node, draw
from examples.transfer import SIZE
from examples.world import DemoError, Host, go_behind_nat, go_online, internet, run

NODES = (
    Node("hub", "data centre", "203.0.113.10", role="coordinator"),
    Node("web", "cloud one", "198.51.100.20"),
    Node("db", "cloud two", "192.0.2.30"),
    Node("desk", "office", "203.0.113.40", inside="192.168.1.10"),
    Node("sensor", "edge site", "198.51.100.50", inside="192.168.1.10"),
)
HUB, REMOVED, SENDER, RECEIVER = "hub", "db", "desk", "sensor"
PORT = 51820  # of WireGuard, UDP
REMOVAL_TIMEOUT = 10.0  # seconds
TRANSFER = (sys.executable, "-I", str(Path(__file__).with_name("transfer.py")))

Hosts = Mapping[str, Host]


def main() -> int:
    parser = argparse.ArgumentParser(description="Five hosts at five sites become one network.")
    # How the demo calls itself again, inside of its namespaces.
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        if options.inside:
            demonstrate()
        else:
            enter_namespaces()
    except (OSError, DemoError) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def enter_namespaces() -> None:
    """Execute this program again as root of new namespaces, whose processes end with it. Does not return."""
    unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() != 0:
        unshare += ["--user", "--map-root-user"]
        if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
            raise DemoError("/dev/net/tun is missing or not open to you here; run the demo as root")
    try:
        run(*unshare, "true")
    except DemoError as error:
        raise DemoError(f"this host lets you make no namespaces ({error}); run the demo as root") from None
    os.execvp("unshare", [*unshare, sys.executable, "-m", "examples.demo", "--inside"])


# -- The story -----------------------------------------------------------------------------------


def demonstrate() -> None:
    begin = time.monotonic()
    os.environ["COLUMNS"] = str(shutil.get_terminal_size((100, 0)).columns)  # for what commands print
    announce("Five hosts at five sites, two behind NATs that map one port")
    hosts = build()
    for node in NODES:
        behind = f", behind NAT as {node.inside}" if node.inside else ""
        print(f"  {node.name:7} {node.site:12} {node.public}{behind}")

    announce("On the first host, `init` makes the network: its coordinator and its first node")
    run_shown(hosts[HUB], "wgpy", "mesh", "init", "demo", "--public", NODES[0].public)

    announce("A token admits the other hosts")
    token = find_token(run_shown(hosts[HUB], "wgpy", "mesh", "token", "--uses", "4"))

    announce("One command on each of the other hosts")
    for name in [node.name for node in NODES if node.name != HUB]:
        run_shown(hosts[name], "wgpy", "mesh", "join", token)

    announce("Each node reaches every other node by mesh address, IPv4 and IPv6")
    addresses = {name: mesh_addresses(host) for name, host in hosts.items()}
    round_trips = ping_everybody(hosts, addresses)

    announce(
        f"One TCP connection from the office to the edge site, through both routers: {SIZE // 2**20} MiB"
    )
    rate = transfer(hosts[SENDER], hosts[RECEIVER], addresses[RECEIVER][0])

    announce("The holder of the network's key removes a node")
    run_shown(hosts[HUB], "wgpy", "mesh", "remove", REMOVED)
    await_silence(hosts, addresses[REMOVED])

    announce("The status of a node")
    run_shown(hosts[SENDER], "wgpy", "mesh", "status")

    announce(f"The network. The round trips are from before {REMOVED} was removed")
    first = {name: address for name, (address, _) in addresses.items()}
    print(f"\n{draw(NODES, first, round_trips, (SENDER, RECEIVER, rate), REMOVED)}")
    announce(f"Done in {time.monotonic() - begin:.0f} s; the namespaces are gone")


def build() -> dict[str, Host]:
    """Make the hosts, as drawn at the end."""
    net = internet()
    hosts = {node.name: Host.boot(node.name) for node in NODES}
    for node in NODES:
        if node.inside:
            go_behind_nat(hosts[node.name], node.inside, node.public, PORT, net)
        else:
            go_online(hosts[node.name], "eth0", node.public, net)
    return hosts


def find_token(text: str) -> str:
    found = re.search(r"wgpy1_[\w-]+", text)
    if found is None:
        raise DemoError(f"there is no token in: {text}")
    return found[0]


def mesh_addresses(host: Host) -> tuple[str, str]:
    (link,) = json.loads(host.run("ip", "-json", "address", "show", "dev", "mesh0", "scope", "global"))
    found = {address["family"]: str(address["local"]) for address in link["addr_info"]}
    return found["inet"], found["inet6"]


def ping_everybody(hosts: Hosts, addresses: Mapping[str, tuple[str, str]]) -> dict[tuple[str, str], float]:
    """Return the round trips by IPv4 in milliseconds. Raises DemoError if somebody does not answer."""
    round_trips = {}
    for source, target in permutations(hosts, 2):
        round_trips[source, target], _ = (ping(hosts[source], address) for address in addresses[target])
    for source in hosts:
        print(f"  {source:7} reaches {', '.join(target for target in hosts if target != source)}")
    return round_trips


def ping(host: Host, address: str) -> float:
    """Return the round trip in milliseconds; the first makes the session, and does not count."""
    output = host.run("ping", "-n", "-c", "5", "-i", "0.01", "-W", "5", address)
    return min(float(time) for time in re.findall(r"time=([\d.]+)", output))


def await_silence(hosts: Hosts, addresses: tuple[str, str]) -> None:
    """Wait until nobody reaches the removed node. Raises DemoError."""
    begin = time.monotonic()
    others = [host for name, host in hosts.items() if name != REMOVED]
    while any(reaches(host, address) for host in others for address in addresses):
        if time.monotonic() - begin > REMOVAL_TIMEOUT:
            raise DemoError(f"{REMOVED} is still reached {REMOVAL_TIMEOUT:.0f} s after it was removed")
    print(f"  {', '.join(host.name for host in others)}: none reaches {REMOVED} any more")


def reaches(host: Host, address: str) -> bool:
    try:
        host.run("ping", "-n", "-c", "1", "-W", "0.3", address)
    except DemoError:
        return False
    return True


# -- One connection ------------------------------------------------------------------------------


def transfer(sender: Host, receiver: Host, address: str) -> float:
    """Send random bytes; fail unless both ends compute the same hash; return Mbit/s."""
    with subprocess.Popen(
        receiver.inside(*TRANSFER, "receive", address), stdout=subprocess.PIPE, text=True
    ) as process:
        sent, seconds = sender.run(*TRANSFER, "send", address).split()
        received = process.communicate()[0].strip()
    if sent != received:
        raise DemoError(f"{sender.name} sent {sent}, {receiver.name} received {received}")
    rate = SIZE * 8 / float(seconds) / 1e6
    print(f"  arrived whole, SHA-256 {sent[:16]}…, in {float(seconds):.1f} s: {rate:.0f} Mbit/s")
    return rate


# -- Telling --------------------------------------------------------------------------------------


def announce(sentence: str) -> None:
    print(f"\n* {sentence}", flush=True)


def run_shown(host: Host, program: str, *arguments: str) -> str:
    """Run a program of this installation on a host; print the command and its output, and return that."""
    print(f"\n  {host.name}# {short(' '.join((program, *arguments)))}", flush=True)
    output = host.run(str(Path(sys.executable).parent / program), *arguments)
    print("".join(f"    {short(line)}".rstrip() + "\n" for line in output.splitlines()), end="", flush=True)
    return output


def short(text: str) -> str:
    """A token is long, and here nobody copies it."""
    return re.sub(r"(wgpy1_[\w-]{8})[\w-]+", r"\1…", text)


if __name__ == "__main__":
    sys.exit(main())
