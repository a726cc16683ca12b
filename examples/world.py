"""Hosts made of namespaces, and the internet between them: no process outside can see them.

Invariant: a host lives as long as its first process, and that as long as the demo, so nothing of it is left.
"""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

_FIRST_PROCESS = """
set -e
mount -t sysfs sysfs /sys
for folder in /run /var/lib; do mount -t tmpfs tmpfs $folder; done
cat /etc/resolv.conf > /run/resolv.conf
mount --bind /run/resolv.conf /etc/resolv.conf
hostname "$1"
ip link set lo up
echo ready
exec sleep infinity
"""
_NAT = """
table ip nat {
    chain out {
        type nat hook postrouting priority 100
        oifname "wan" masquerade PORTS
    }
    chain in {
        type filter hook input priority 0
        iifname "wan" drop
    }
}
"""


class DemoError(Exception):
    """A sentence for the person who runs the demo."""


@dataclass(frozen=True, slots=True)
class Host:
    """A host. pid: of its first process, whose namespaces it is."""

    name: str
    pid: int

    @classmethod
    def boot(cls, name: str) -> "Host":
        """Return when it is up. Raises DemoError."""
        first = subprocess.Popen(
            ["unshare", "--net", "--mount", "--uts", "sh", "-c", _FIRST_PROCESS, "sh", name],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert first.stdout is not None
        assert first.stderr is not None
        if first.stdout.readline() != "ready\n":
            raise DemoError(f"no namespaces for {name}: {first.stderr.read().strip()}")
        return cls(name, first.pid)

    def inside(self, *command: str) -> list[str]:
        """Return the command that runs a command there."""
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", "--uts", "--", *command]

    def run(self, *command: str, stdin: str = "") -> str:
        """Return what a command prints. Raises DemoError with its words if it fails."""
        return _output(self.inside(*command), f"{self.name}# {' '.join(command)}", stdin)

    def ip(self, *arguments: str) -> None:
        self.run("ip", *arguments)


def run(*command: str) -> str:
    """Return what a command prints. Raises DemoError with its words if it fails."""
    return _output(command, " ".join(command), "")


def _output(command: Sequence[str], shown: str, stdin: str) -> str:
    done = subprocess.run(
        command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        raise DemoError(f"{shown}: {done.stdout.strip() or f'exit status {done.returncode}'}")
    return done.stdout.strip()


def internet() -> Host:
    """What all places are plugged into. Everybody there hears everybody, which is enough of it."""
    host = Host.boot("internet")
    host.ip("link", "add", "net0", "type", "bridge")
    host.ip("link", "set", "net0", "up")
    return host


def go_online(host: Host, card: str, address: str, net: Host) -> None:
    """Plug a network card into the internet, with a public address."""
    far = f"to-{host.name}"
    _connect(host, card, net, far)
    net.ip("link", "set", far, "master", "net0")
    host.ip("address", "add", f"{address}/32", "dev", card)
    host.ip("route", "add", "default", "dev", card)


def go_behind_nat(host: Host, inside: str, public: str, net: Host, *, is_symmetric: bool) -> Host:
    """Put a host behind a router of its own, which lets nothing in by itself; return it.

    inside: in a /24; is_symmetric: whether the NAT takes another port for each destination.
    """
    router = Host.boot(f"nat-{host.name}")
    go_online(router, "wan", public, net)
    router.ip("link", "add", "lan", "type", "bridge")
    router.ip("link", "set", "lan", "up")
    router.ip("address", "add", f"{_gateway(inside)}/24", "dev", "lan")
    go_inside(host, inside, router)
    router.run("tee", "/proc/sys/net/ipv4/ip_forward", stdin="1")
    router.run("nft", "-f", "-", stdin=_NAT.replace("PORTS", "fully-random" if is_symmetric else ""))
    return router


def go_inside(host: Host, inside: str, router: Host) -> None:
    """Plug a host into the network of a router. inside: its address there, in a /24."""
    far = f"to-{host.name}"
    _connect(host, "eth0", router, far)
    router.ip("link", "set", far, "master", "lan")
    host.ip("address", "add", f"{inside}/24", "dev", "eth0")
    host.ip("route", "add", "default", "via", _gateway(inside))


def _gateway(inside: str) -> str:
    return inside.rpartition(".")[0] + ".1"


def _connect(one: Host, card: str, other: Host, other_card: str) -> None:
    run(
        *("ip", "link", "add", "name", card, "netns", str(one.pid), "type", "veth"),
        *("peer", "name", other_card, "netns", str(other.pid)),
    )
    one.ip("link", "set", card, "up")
    other.ip("link", "set", other_card, "up")
