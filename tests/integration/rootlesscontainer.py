"""A rootless container of an ordinary user, made as podman does: namespaces, and a program as its network.

container                                    host                        right
root of its own user namespace               an ordinary user            the peer of `tunnelworld`
its TAP ════ slirp4netns or pasta, which sends by sockets of the host ── eth0

Another container may be behind a bridge of that one. `start_by_podman` has podman itself make them.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.integration.hosts import Host, HostProcess, Result, eventually
from tests.integration.ordinaryuser import USER, attempt_as_user, start_as_user
from tests.integration.tunnelworld import World

# {pid}: of a process in the container, in the numbers of its host.
NETWORKS: Final = {
    "slirp4netns": "slirp4netns --configure --mtu=65520 --disable-host-loopback {pid} tap0",
    "pasta": "pasta --foreground --config-net --no-map-gw -t none -u none -T none -U none {pid}",
}
_PID: Final = "/run/user/container.pid"
_BRIDGED_PID: Final = "/run/user/bridged.pid"
_BRIDGE: Final = """
ip link add bridge0 type bridge
ip address add 10.89.0.1/24 dev bridge0
ip link set bridge0 up
ip link add veth0 master bridge0 type veth peer name eth0 netns {pid}
ip link set veth0 up
echo 1 > /proc/sys/net/ipv4/ip_forward
nft add table ip nat
nft add chain ip nat out '{{ type nat hook postrouting priority srcnat; }}'
nft add rule ip nat out ip saddr 10.89.0.0/24 oifname != bridge0 masquerade
exec nsenter --net --target={pid} sh -ec '
    ip link set lo up
    ip link set eth0 up
    ip address add 10.89.0.2/24 dev eth0
    ip route add default via 10.89.0.1
'
"""
# Over this machine's programs, without an image. crun takes no cgroups of both versions at once.
_ROOT: Final = "/run/user/root"
_PODMAN_SETUP: Final = f"""
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount --make-rshared /
setpriv --reuid={USER} --regid={USER} --clear-groups sh -ec '
    mkdir {_ROOT} /run/user/home /run/user/podman
    cd {_ROOT}
    mkdir dev etc home proc run sys tmp usr var
    ln -s usr/bin usr/lib usr/lib64 usr/sbin .
'
"""
_FOLDERS: Final = dict.fromkeys(map(str, (sys.base_prefix, sys.prefix, Path(__file__).parents[2], "/usr")))
_PODMAN: Final = (
    *("env", "HOME=/run/user/home", "XDG_RUNTIME_DIR=/run/user/podman"),
    *("podman", "--cgroup-manager=cgroupfs", "--log-level=fatal", "run", "--rm", "--cgroups=disabled"),
    *(f"--volume={folder}:{folder}:ro" for folder in _FOLDERS),
    *("--volume=/run/user:/run/user", "--workdir=/run/user", "--device=/dev/net/tun"),
)
_CONTAINER: Final = f"echo $$ > {_PID}; exec sleep infinity"


@dataclass(slots=True)
class Container:
    host: Host
    enter: Sequence[str]

    @classmethod
    def start(cls, world: World, network: str) -> "Container":
        """Start it on the left host of a world; skips a test whose network is not installed."""
        host = world.left
        if host.attempt("sh", "-c", f"command -v {network}").status:
            pytest.skip(f"{network} is not here: apt-get install slirp4netns passt")
        host.run("ip", "route", "replace", "default", "via", "10.10.0.2")  # pasta wants to know the way out
        host.attempt("rm", _PID)
        start_as_user(
            host, "unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-c", _CONTAINER
        )
        eventually(lambda: host.path(_PID).exists() and host.path(_PID).read_text() != "", "it has begun")
        pid = host.path(_PID).read_text().strip()
        enter = ("nsenter", "--preserve-credentials", "--user", "--net", "--mount", f"--target={pid}")
        container = cls(host, (*enter, "env", "--chdir=/run/user"))
        container.attempt("ip", "link", "set", "lo", "up")
        start_as_user(host, *NETWORKS[network].format(pid=pid).split())
        eventually(lambda: "default" in container.attempt("ip", "route").output, "it has a network")
        return container

    def behind_bridge(self) -> "Container":
        """Start one behind a bridge in this one, as of `podman network create`, with podman's mark."""
        self.host.run("touch", "/run/.containerenv")
        self.host.attempt("rm", _BRIDGED_PID)
        self.launch("unshare", "--net", "sh", "-c", f"echo $$ > {_BRIDGED_PID}; exec sleep infinity")
        path = self.host.path(_BRIDGED_PID)
        eventually(lambda: path.exists() and path.read_text() != "", "it has begun")
        pid = path.read_text().strip()
        self.run("sh", "-ec", _BRIDGE.format(pid=pid))
        *nsenter, env, folder = self.enter
        return Container(self.host, (*nsenter, "nsenter", "--net", f"--target={pid}", env, folder))

    def attempt(self, *command: str) -> Result:
        return attempt_as_user(self.host, *self.enter, *command)

    def run(self, *command: str) -> str:
        done = self.attempt(*command)
        assert done.status == 0, done.output
        return done.output

    def launch(self, *command: str) -> HostProcess:
        """Start a command that goes on."""
        return start_as_user(self.host, *self.enter, *command)


def start_by_podman(world: World, network: str) -> Container:
    """Return one that podman makes on the left host for each command; skips a test if podman makes none."""
    host = world.left
    if not host.path(_ROOT).exists():
        host.run("sh", "-ec", _PODMAN_SETUP)
    host.run("ip", "route", "replace", "default", "via", "10.10.0.2")
    container = Container(host, (*_PODMAN, f"--network={network}", "--rootfs", _ROOT))
    tried = container.attempt("true")
    if tried.status:
        pytest.skip(f"ROOTLESS PODMAN WAS NOT TRIED with {network}: {tried.output}")
    return container
