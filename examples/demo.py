"""Five hosts at five places become one network: the commands as an operator runs them, then a picture.

Two of them are gateways of sites with the same addresses, and a phone enters as a client.

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
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from examples.output import announce, find_token, show_command, show_output
from examples.picture import Node, PeerPath, draw
from examples.transfer import SIZE
from examples.world import DemoError, Host, go_behind_nat, go_inside, go_online, internet, run

NODES = (
    Node("hub", "data centre", "203.0.113.10", role="coordinator"),
    Node("web", "cloud one", "198.51.100.20"),
    Node("db", "cloud two", "192.0.2.30"),
    Node("desk", "office", "203.0.113.40", inside="192.168.1.10"),
    Node("sensor", "edge site", "198.51.100.50", inside="192.168.1.10", is_symmetric=True),
)
HUB, REMOVED, SENDER, RECEIVER, VISITOR = "hub", "db", "desk", "sensor", "web"
SITES = {"office": ("desk", "printer"), "plant": ("sensor", "camera")}  # the gateway, and a host in it
LAN, IN_LAN = "192.168.1.0/24", "192.168.1.20"  # of both sites, and of the host in each
PHONE = "203.0.113.60"
REMOVAL_TIMEOUT = 10.0  # seconds
ANSWER_TIMEOUT = 20.0  # seconds
PAUSE = 0.5  # seconds between looks at what paths there are
PATHS_TIMEOUT = 10.0  # seconds, after which what paths there are is shown
TRANSFER = (sys.executable, "-I", str(Path(__file__).with_name("transfer.py")))

Hosts = Mapping[str, Host]


def main() -> int:
    parser = argparse.ArgumentParser(description="Five hosts at five places become one network.")
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
    announce("Five hosts at five places, two behind NATs that let nothing in")
    hosts, net = build()
    for node in NODES:
        ports = "another port for each destination" if node.is_symmetric else "the same port for all"
        behind = f", behind a NAT as {node.inside}: {ports}" if node.inside else ""
        print(f"  {node.name:7} {node.site:12} {node.public}{behind}")

    announce("On the first host, `init` makes the network: its coordinator and its first node")
    run_shown(hosts[HUB], "wgpy", "mesh", "init", "demo", "--public", NODES[0].public)

    announce("A token admits the other hosts")
    token = find_token(run_shown(hosts[HUB], "wgpy", "mesh", "token", "--uses", "4", "--routes", LAN))

    announce("One command on each of the other hosts")
    for name in [node.name for node in NODES if node.name != HUB]:
        run_shown(hosts[name], "wgpy", "mesh", "join", token)

    announce("Each node reaches every other node by mesh address, IPv4 and IPv6")
    addresses = {name: mesh_addresses(host) for name, host in hosts.items()}
    ping_everybody(hosts, addresses)

    announce("Directly where the NATs allow it, else by the first host, which is a relay and opens nothing")
    paths = find_paths(hosts, addresses)

    announce(f"One TCP connection from the office to the edge site, through both NATs: {SIZE // 2**20} MiB")
    rate = transfer(hosts[SENDER], hosts[RECEIVER], addresses[RECEIVER][0])

    announce(f"Two hosts become gateways of what is around them, which is {LAN} in both places")
    sites = {gateway: add_site(hosts[gateway], name) for name, (gateway, _) in SITES.items()}
    reach_sites(hosts[VISITOR], sites)

    announce("A phone, which has any WireGuard app, gets a file and enters by the first host")
    let_in(hosts[HUB], net, addresses[VISITOR][0])

    announce("The holder of the network's key removes a node")
    run_shown(hosts[HUB], "wgpy", "mesh", "remove", REMOVED)
    await_silence(hosts, addresses[REMOVED])

    announce("The status of a node")
    run_shown(hosts[SENDER], "wgpy", "mesh", "status")

    announce(f"The network. The paths are from before {REMOVED} was removed")
    first = {name: address for name, (address, _) in addresses.items()}
    shown = {gateway: (name, str(sites[gateway])) for name, (gateway, _) in SITES.items()}
    print(f"\n{draw(NODES, first, shown, paths, (SENDER, RECEIVER, rate), REMOVED)}")
    announce(f"Done in {time.monotonic() - begin:.0f} s; the namespaces are gone")


def build() -> tuple[dict[str, Host], Host]:
    """Make the hosts, as drawn at the end, and what is behind routers; return them and the internet."""
    net = internet()
    hosts = {node.name: Host.boot(node.name) for node in NODES}
    beside = dict(SITES.values())
    for node in NODES:
        if node.inside:
            router = go_behind_nat(
                hosts[node.name], node.inside, node.public, net, is_symmetric=node.is_symmetric
            )
            go_inside(Host.boot(beside[node.name]), IN_LAN, router)
        else:
            go_online(hosts[node.name], "eth0", node.public, net)
    return hosts, net


def mesh_addresses(host: Host) -> tuple[str, str]:
    (link,) = json.loads(host.run("ip", "-json", "address", "show", "dev", "mesh0", "scope", "global"))
    found = {address["family"]: str(address["local"]) for address in link["addr_info"]}
    return found["inet"], found["inet6"]


def ping_everybody(hosts: Hosts, addresses: Mapping[str, tuple[str, str]]) -> None:
    """Raises DemoError if somebody does not answer."""
    for source in hosts:
        others = [target for target in hosts if target != source]
        for address in [address for target in others for address in addresses[target]]:
            ping(hosts[source], address)
        print(f"  {source:7} reaches {', '.join(others)}")


def find_paths(hosts: Hosts, addresses: Mapping[str, tuple[str, str]]) -> dict[tuple[str, str], PeerPath]:
    """Return how each reaches each other one, once all are direct but the one of both behind NATs."""
    begin = time.monotonic()
    relays = found_relays(hosts)
    while any(relay for pair, relay in relays.items() if not is_behind_nats(pair)):
        if time.monotonic() - begin > PATHS_TIMEOUT:
            break
        time.sleep(PAUSE)
        for source, target in relays:
            reaches(hosts[source], addresses[target][0])
        relays = found_relays(hosts)
    for (source, target), relay in relays.items():
        if relay and source < target:
            print(f"  {source} and {target}: by {relay}")
    return {
        (source, target): PeerPath(ping(hosts[source], addresses[target][0]), relay)
        for (source, target), relay in relays.items()
    }


def found_relays(hosts: Hosts) -> dict[tuple[str, str], str]:
    """Return by which relay each node reaches each other one, "" for directly."""
    wgpy = str(Path(sys.executable).parent / "wgpy")
    return {
        (source, peer["name"]): str(peer["relay"])
        for source, host in hosts.items()
        for peer in json.loads(host.run(wgpy, "mesh", "status", "--json"))["networks"]["demo"]["peers"]
    }


def is_behind_nats(pair: tuple[str, str]) -> bool:
    return all(node.inside for node in NODES if node.name in pair)


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


# -- Sites and clients ----------------------------------------------------------------------------


def add_site(gateway: Host, name: str) -> IPv4Network:
    """Return how a site is reached."""
    said = run_shown(gateway, "wgpy", "mesh", "site", "add", name, LAN, "--firewall")
    found = re.search(r"reached as ([\d./]+\d)", said)
    if found is None:
        raise DemoError(f"it is not said how {name} is reached: {said}")
    return IPv4Network(found[1])


def reach_sites(host: Host, sites: Mapping[str, IPv4Network]) -> None:
    """Ping the host in each site, by the address that it has in the mesh. Raises DemoError."""
    offset = int(IPv4Address(IN_LAN)) - int(IPv4Network(LAN).network_address)
    for name, (gateway, inside) in SITES.items():
        address = str(sites[gateway][offset])
        await_answer(host, address)
        print(f"  {host.name} reaches {inside}, which is {IN_LAN} in {name}, as {address}")


def let_in(gateway: Host, net: Host, address: str) -> None:
    """Make a client, and let it reach a node."""
    phone = Host.boot("phone")
    go_online(phone, "wlan0", PHONE, net)
    file = "/run/phone.conf"
    run_shown(gateway, "wgpy", "mesh", "client", "add", "phone", "--to", VISITOR, "--no-dns", "--out", file)
    phone.run("sh", "-c", f"umask 77; cat > {file}", stdin=gateway.run("cat", file))
    run_shown(phone, "wgpy", "up", file)
    await_answer(phone, address)
    print(f"  {phone.name} reaches {VISITOR} as {address}")


def await_answer(host: Host, address: str) -> None:
    """Wait until an address answers. Raises DemoError."""
    begin = time.monotonic()
    while not reaches(host, address):
        if time.monotonic() - begin > ANSWER_TIMEOUT:
            raise DemoError(f"{host.name} does not reach {address} within {ANSWER_TIMEOUT:.0f} s")


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


# -- Output ---------------------------------------------------------------------------------------


def run_shown(host: Host, program: str, *arguments: str) -> str:
    """Run a program of this installation on a host; print the command and its output, and return that."""
    show_command(host.name, program, *arguments)
    output = host.run(str(Path(sys.executable).parent / program), *arguments)
    show_output(output)
    return output


if __name__ == "__main__":
    sys.exit(main())
