"""A rootless container of an ordinary user, made as podman does: namespaces, and a program as its network.

container                                    host                        right
root of its own user namespace               an ordinary user            the peer of `tunnelworld`
its TAP ════ slirp4netns or pasta, which sends by sockets of the host ── eth0
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pytest

from tests.integration.hosts import Host, HostProcess, Result, eventually
from tests.integration.ordinaryuser import attempt_as_user, start_as_user
from tests.integration.tunnelworld import World

# {pid}: of a process in the container, in the numbers of its host.
NETWORKS: Final = {
    "slirp4netns": "slirp4netns --configure --mtu=65520 --disable-host-loopback {pid} tap0",
    "pasta": "pasta --foreground --config-net --no-map-gw -t none -u none -T none -U none {pid}",
}
_PID: Final = "/run/user/container.pid"
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

    def attempt(self, *command: str) -> Result:
        return attempt_as_user(self.host, *self.enter, *command)

    def run(self, *command: str) -> str:
        done = self.attempt(*command)
        assert done.status == 0, done.output
        return done.output

    def launch(self, *command: str) -> HostProcess:
        """Start a command that goes on."""
        return start_as_user(self.host, *self.enter, *command)
