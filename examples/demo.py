"""Five hosts in five places become one network: done as by hand, told as it happens, drawn at the end.

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

from examples.picture import Place, draw
from examples.transfer import SIZE
from examples.world import DemoError, Host, go_behind_nat, go_online, internet, run

PLACES = (
    Place("hub", "data centre", "203.0.113.10", role="coordinator"),
    Place("web", "cloud one", "198.51.100.20"),
    Place("db", "cloud two", "192.0.2.30"),
    Place("desk", "office", "203.0.113.40", inside="192.168.1.10"),
    Place("sensor", "edge site", "198.51.100.50", inside="192.168.1.10"),
)
HUB, REMOVED, SENDER, RECEIVER = "hub", "db", "desk", "sensor"
PORT = 51820  # of WireGuard, UDP
REMOVAL_TIMEOUT = 10.0  # seconds
TRANSFER = (sys.executable, "-I", str(Path(__file__).with_name("transfer.py")))

Hosts = Mapping[str, Host]


def main() -> int:
    parser = argparse.ArgumentParser(description="Five hosts in five places become one network.")
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
    """Start again as root of namespaces of our own, whose processes all end with us. Does not return."""
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
    say("Five hosts in five places, two behind routers that translate addresses (NAT) and let one port in")
    hosts = build()
    for place in PLACES:
        behind = f", behind NAT as {place.inside}" if place.inside else ""
        print(f"  {place.name:7} {place.site:12} {place.public}{behind}")

    say("On the first, a command makes the network; it is the coordinator and a node")
    told(hosts[HUB], "wgpy", "mesh", "init", "demo", "--public", PLACES[0].public)

    say("A token lets the others in")
    token = find_token(told(hosts[HUB], "wgpy", "mesh", "token", "--uses", "4"))

    say("One command on each of them")
    for name in [place.name for place in PLACES if place.name != HUB]:
        told(hosts[name], "wgpy", "mesh", "join", token)

    say("Everybody reaches everybody by mesh address, IPv4 and IPv6")
    addresses = {name: mesh_addresses(host) for name, host in hosts.items()}
    round_trips = ping_everybody(hosts, addresses)

    say(f"One TCP connection from the office to the edge site, through both routers: {SIZE // 2**20} MiB")
    rate = transfer(hosts[SENDER], hosts[RECEIVER], addresses[RECEIVER][0])

    say("One node is removed, by whoever has the network's key")
    told(hosts[HUB], "wgpy", "mesh", "remove", REMOVED)
    await_silence(hosts, addresses[REMOVED])

    say("What a node knows")
    told(hosts[SENDER], "wgpy", "mesh", "status")

    say(f"All of it. The round trips are from before {REMOVED} was removed")
    first = {name: address for name, (address, _) in addresses.items()}
    print(f"\n{draw(PLACES, first, round_trips, (SENDER, RECEIVER, rate), REMOVED)}")
    say(f"Done in {time.monotonic() - begin:.0f} s, and nothing is left of it")


def build() -> dict[str, Host]:
    """Make the hosts, as drawn at the end."""
    net = internet()
    hosts = {place.name: Host.boot(place.name) for place in PLACES}
    for place in PLACES:
        if place.inside:
            go_behind_nat(hosts[place.name], place.inside, place.public, PORT, net)
        else:
            go_online(hosts[place.name], "eth0", place.public, net)
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
    said = host.run("ping", "-n", "-c", "5", "-i", "0.01", "-W", "5", address)
    return min(float(time) for time in re.findall(r"time=([\d.]+)", said))


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
    """Send random bytes, of which both ends say the same hash, or the demo fails; Mbit/s."""
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


def say(sentence: str) -> None:
    print(f"\n* {sentence}", flush=True)


def told(host: Host, program: str, *arguments: str) -> str:
    """Run a program of this installation on a host, and print both; what it said."""
    print(f"\n  {host.name}# {short(' '.join((program, *arguments)))}", flush=True)
    said = host.run(str(Path(sys.executable).parent / program), *arguments)
    print("".join(f"    {short(line)}".rstrip() + "\n" for line in said.splitlines()), end="", flush=True)
    return said


def short(text: str) -> str:
    """A token is long, and here nobody copies it."""
    return re.sub(r"(wgpy1_[\w-]{8})[\w-]+", r"\1…", text)


if __name__ == "__main__":
    sys.exit(main())
