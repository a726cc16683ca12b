"""WireGuard interfaces on machines: wgpyd, wireguard-go or the kernel's, all of them configured by `wg`."""

import signal
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pytest

from tests.integration.hosts import Host, HostProcess, Lab, Machine, add_addresses, eventually
from tests.integration.oracle.guest import Guest

PORT = 51820
MTU = 1420


class Implementation(Protocol):
    """A kind of WireGuard."""

    def machine(self, lab: Lab, name: str) -> Machine:
        """Power on a machine that can run it."""

    def start(self, machine: Machine, interface: str) -> HostProcess | None:
        """Create the interface, and return its daemon if that is a process of its own."""

    def stop(self, machine: Machine, interface: str, process: HostProcess | None) -> None:
        """Remove the interface in the ordinary way."""


@dataclass(frozen=True, slots=True)
class Userspace:
    """A daemon with the command line of wireguard-go. environment: settings, each as NAME=value."""

    program: str
    environment: tuple[str, ...] = ()

    def machine(self, lab: Lab, name: str) -> Machine:
        return lab.host(name)

    def start(self, machine: Machine, interface: str) -> HostProcess | None:
        assert isinstance(machine, Host)
        process = machine.start("env", "LOG_LEVEL=debug", *self.environment, self.program, "-f", interface)
        wait_until_listening(machine, interface, process)
        return process

    def stop(self, machine: Machine, interface: str, process: HostProcess | None) -> None:
        assert process is not None
        process.kill(signal.SIGTERM)
        process.wait(10)


@dataclass(frozen=True, slots=True)
class Kernel:
    """The kernel's own, in a guest."""

    image: Path

    def machine(self, lab: Lab, name: str) -> Machine:
        return Guest.boot(lab, name, self.image)

    def start(self, machine: Machine, interface: str) -> HostProcess | None:
        machine.run("ip", "link", "add", interface, "type", "wireguard")
        return None

    def stop(self, machine: Machine, interface: str, process: HostProcess | None) -> None:
        machine.run("ip", "link", "delete", interface)


# For tests of `daemon`: what is chosen for it, which is the data path in C where that was built, and Python.
on_both_data_paths = pytest.mark.parametrize(
    "daemon", [(), ("WGPY_DATAPATH=portable",)], ids=["default", "portable"], indirect=True
)


def wait_until_listening(host: Host, interface: str, process: HostProcess) -> None:
    """Wait for a daemon's first answer. Not by `wg`, which removes a socket that does not listen yet."""
    path = str(host.path(f"/run/wireguard/{interface}.sock"))

    def answers() -> bool:
        with (
            socket.socket(socket.AF_UNIX) as caller,
            suppress(OSError),
        ):  # not there, not listening, or just gone
            caller.settimeout(5)
            caller.connect(path)
            caller.sendall(b"get=1\n\n")
            return caller.recv(1) != b""
        return False

    eventually(lambda: answers() or not process.is_running(), f"{interface}.sock answers", within=30)
    if not process.is_running():
        raise AssertionError(f"the daemon ended at once: {process.wait()}")


@dataclass(frozen=True, slots=True)
class Traffic:
    """What `wg show` says of a peer: UDP payload bytes, and the session's begin (s since 1970, 0: never)."""

    received: int
    sent: int
    handshake: int
    endpoint: str


@dataclass(slots=True)
class Peer:
    """One WireGuard interface `wg0`, and what others must know of it."""

    implementation: Implementation
    machine: Machine
    inside: tuple[str, ...]  # addresses in the tunnel with prefix lengths, IPv4 before IPv6
    interface: str = "wg0"
    private_key: str = field(default_factory=lambda: _wg("genkey"), repr=False)
    process: HostProcess | None = None

    @property
    def public_key(self) -> str:
        return _wg("pubkey", self.private_key)

    @property
    def host(self) -> Host:
        """The machine, of an implementation that runs on hosts."""
        assert isinstance(self.machine, Host)
        return self.machine

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses in the tunnel, without prefix lengths."""
        return tuple(address.partition("/")[0] for address in self.inside)

    def up(self) -> None:
        """Create the interface and give it its key, port, addresses and MTU."""
        self.process = self.implementation.start(self.machine, self.interface)
        key = self.machine.write("/run/private.key", self.private_key)
        self.set("private-key", key, "listen-port", str(PORT))
        self._activate()

    def down(self) -> None:
        """Remove the interface in the ordinary way."""
        self.implementation.stop(self.machine, self.interface, self.process)

    def restart(self) -> None:
        """Remove the interface, create it anew and configure it as it was."""
        saved = self.machine.run("wg", "showconf", self.interface)
        self.down()
        self.process = self.implementation.start(self.machine, self.interface)
        self.setconf(saved)
        self._activate()

    def set(self, *arguments: str) -> None:
        """Run `wg set`."""
        self.machine.run("wg", "set", self.interface, *arguments)

    def setconf(self, configuration: str, command: str = "setconf") -> None:
        """Run `wg setconf`, or another command that takes a configuration file."""
        self.machine.run("wg", command, self.interface, self.machine.write("/run/saved.conf", configuration))

    def show(self, field: str) -> list[list[str]]:
        """Run `wg show` for one field, or for `dump`, and return the words of each line."""
        output = self.machine.run("wg", "show", self.interface, field)
        return [line.split("\t") for line in output.splitlines()]

    def introduce(self, other: "Peer", endpoint: str = "", psk: str = "", keepalive: int = 0) -> None:
        """Make `other` a peer of this one, with both its addresses allowed."""
        settings = ["allowed-ips", ",".join(other.addresses)]
        if psk:
            settings += ["preshared-key", self.machine.write("/run/preshared.key", psk)]
        if endpoint:
            settings += ["endpoint", endpoint]
        if keepalive:
            settings += ["persistent-keepalive", str(keepalive)]
        self.set("peer", other.public_key, *settings)

    def traffic(self, other: "Peer") -> Traffic:
        """Return what this side counted with the other."""
        for line in self.show("dump")[1:]:
            if line[0] == other.public_key:
                return Traffic(int(line[5]), int(line[6]), int(line[4]), line[2])
        raise AssertionError(f"{self.machine.name} has no such peer")

    def ping(self, other: "Peer", *, family: int = 4, size: int = 56, within: int = 5) -> None:
        """Ping the other through the tunnel, once and in one packet; fails unless it answers."""
        self.machine.run(
            *self._ping(other, family), "-c", "1", "-W", str(within), "-M", "do", "-s", str(size)
        )

    def ping_steadily(self, other: "Peer", count: int, interval: float) -> str:
        """Ping the other many times, and return what ping says in the end."""
        stream = ("-q", "-c", str(count), "-i", str(interval))
        return self.machine.run(*self._ping(other, 4), *stream, timeout=count * interval + 30)

    def reaches(self, other: "Peer", *, within: int = 1) -> bool:
        """Return whether a ping is answered within some seconds."""
        return self.machine.attempt(*self._ping(other, 4), "-c", "1", "-W", str(within)).status == 0

    def _ping(self, other: "Peer", family: int) -> tuple[str, ...]:
        return ("ping", "-n", other.addresses[family == 6])

    def _activate(self) -> None:
        add_addresses(self.machine, self.interface, *self.inside)
        self.machine.run("ip", "link", "set", self.interface, "mtu", str(MTU), "up")


def key_pair() -> tuple[str, str]:
    """Return a new private key and its public key."""
    private = _wg("genkey")
    return private, _wg("pubkey", private)


def preshared_key() -> str:
    return _wg("genpsk")


def _wg(command: str, data: str = "") -> str:
    return subprocess.run(
        ["wg", command], input=data, stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()
