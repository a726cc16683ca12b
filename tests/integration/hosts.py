"""Hosts made of namespaces, and the wires between them.

Invariant: a host has its own network, mounts and process ids, and everything in it descends from one first
process, which the kernel kills when the test process dies. So nothing has a name outside, two tests can both
call their interface wg0, and a killed run leaves nothing behind: there is nothing to clean up.
"""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from ipaddress import ip_interface
from pathlib import Path
from typing import Any, Protocol

_SETUP = """
set -e
mount -t sysfs sysfs /sys
for directory in /run /var/lib; do mount -t tmpfs -o mode=755 tmpfs $directory; done
mkdir /run/netns
cp "$(readlink -f /etc/resolv.conf)" /run/resolv.conf
mount --bind /run/resolv.conf /etc/resolv.conf
for name in all default; do
    for setting in accept_dad accept_ra router_solicitations; do
        echo 0 > /proc/sys/net/ipv6/conf/$name/$setting
    done
done
ip link set lo up
# The first process: the kernel reaps orphans (a daemon that left its parent) of one that ignores their end.
echo ready
exec env --ignore-signal=CHLD sleep infinity
"""


class CommandFailed(AssertionError):
    """A command on a machine did not return what was expected; the message holds its output."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a command returned: exit status, and standard output and error together."""

    status: int
    output: str


class Process(Protocol):
    """A command running on a machine."""

    def wait(self, timeout: float = 100) -> Result: ...


class Runner(Protocol):
    """Whatever commands can be run on."""

    def run(self, *command: str, timeout: float = 100) -> str:
        """Run a command that must succeed and return its output."""


class Machine(Runner, Protocol):
    """What a test sees of a host or of a guest kernel: a name, commands, files, a network card."""

    name: str

    def attempt(self, *command: str, timeout: float = 100) -> Result:
        """Run a command and return what came of it."""

    def start(self, *command: str) -> Process:
        """Start a command and return while it runs."""

    def write(self, path: str, text: str) -> str:
        """Write a file only root can read, and return its path."""

    def namespace(self) -> int:
        """Return the process whose network namespace takes this machine's end of a wire."""

    def plug(self, card: str) -> None:
        """Make a wire's end that has arrived in the namespace this machine's network card."""


def eventually(holds: Callable[[], bool], what: str, within: float = 60, every: float = 0.02) -> None:
    """Wait until something holds, asked every so many seconds; fail with `what` after `within` seconds."""
    end = time.monotonic() + within
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(f"not within {within} s: {what}")
        time.sleep(every)


def checked(machine: str, command: Sequence[str], result: Result) -> str:
    """Return the output of a command that succeeded, else raise CommandFailed."""
    if result.status != 0:
        raise CommandFailed(f"{machine}: {shlex.join(command)} returned {result.status}\n{result.output}")
    return result.output


@dataclass(slots=True)
class HostProcess:
    """A command running on a host; `pid` as this process sees it."""

    popen: subprocess.Popen[str]
    log: Path
    _pid: int = 0

    @property
    def pid(self) -> int:
        """The command itself, below the nsenter that carried it into the namespaces."""
        if not self._pid:
            children = Path(f"/proc/{self.popen.pid}/task/{self.popen.pid}/children")
            eventually(lambda: children.read_text() != "", f"a process below {self.popen.pid}")
            self._pid = int(children.read_text().split()[0])
        return self._pid

    def is_running(self) -> bool:
        return self.popen.poll() is None

    def kill(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send the command a signal."""
        os.kill(self.pid, number)
        if number is signal.SIGCONT:
            self.popen.send_signal(number)  # nsenter stops with its command

    def proc(self, file: str) -> str:
        """Return what a file of its folder in /proc says. Raises OSError."""
        return Path(f"/proc/{self.pid}/{file}").read_text()

    def wait(self, timeout: float = 100) -> Result:
        """Wait for the end and return it; a death by signal is its negative number."""
        try:
            status = self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise CommandFailed(f"still running after {timeout} s: {self.popen.args!r}") from None
        return Result(status, self.log.read_text(errors="replace"))


@dataclass(slots=True)
class Host:
    """A machine made of namespaces of this kernel."""

    name: str
    logs: Path
    _root: subprocess.Popen[str]
    _pid: int
    _started: list[HostProcess] = field(default_factory=list)

    @classmethod
    def boot(cls, name: str, logs: Path, setup: str = _SETUP) -> "Host":
        """Make the namespaces; the host is there when this returns.

        setup: what its first process does first, in sh; it prints a line, "ready", and then never ends.
        """
        unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc"]
        root = subprocess.Popen(
            [*unshare, "--", "sh", "-c", setup],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
            preexec_fn=die_with_parent,
            start_new_session=True,  # Ctrl-C is for who booted it, and who then powers it off
        )  # fmt: skip
        assert root.stdout is not None
        if root.stdout.readline() != "ready\n":
            raise CommandFailed(f"{name}: no namespaces (exit status {root.wait()})")
        pid = int(Path(f"/proc/{root.pid}/task/{root.pid}/children").read_text())
        return cls(name, logs, root, pid)

    def power_off(self) -> None:
        """End every process of the host, and with them its namespaces."""
        self._root.kill()  # unshare: --kill-child takes the first process with it, that one all others
        self._root.wait()
        assert self._root.stdout is not None
        self._root.stdout.close()
        for process in self._started:
            process.popen.wait(10)

    def path(self, path: str) -> Path:
        """Return a file of this host as a path that can be opened from outside."""
        return Path(f"/proc/{self._pid}/root{path}")

    def attempt(self, *command: str, timeout: float = 100) -> Result:
        done = subprocess.run(
            self._inside(command), timeout=timeout, text=True, errors="replace",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return Result(done.returncode, done.stdout)

    def run(self, *command: str, timeout: float = 100) -> str:
        return checked(self.name, command, self.attempt(*command, timeout=timeout))

    def start(self, *command: str, stdin: int = subprocess.DEVNULL, stdout: int | None = None) -> HostProcess:
        log = self.logs / f"{self.name}-{len(self._started)}-{Path(command[0]).name}.log"
        with log.open("w") as output:
            popen = subprocess.Popen(
                self._inside(command), stdin=stdin, stdout=stdout or output, stderr=output, text=True
            )
        process = HostProcess(popen, log)
        self._started.append(process)
        return process

    def popen(self, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a command whose input and output are the caller's. options: of Popen."""
        return subprocess.Popen(self._inside(command), **options)

    def write(self, path: str, text: str) -> str:
        file = self.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(text)
        return path

    def namespace(self) -> int:
        return self._pid

    def plug(self, card: str) -> None:
        self.run("ip", "link", "set", card, "up")

    def processes(self, name: str) -> list[int]:
        """Return the pids, as seen from outside, of this host's processes whose command line holds `name`."""
        mine = Path(f"/proc/{self._pid}/ns/pid").readlink()
        found = []
        for directory in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # gone in the meantime
                command = (directory / "cmdline").read_text()
                if (directory / "ns/pid").readlink() == mine and name in command:
                    found.append(int(directory.name))
        return found

    def _inside(self, command: Sequence[str]) -> list[str]:
        return ["nsenter", f"--target={self._pid}", "--net", "--mount", "--pid", "--", *command]


def heed_interrupts() -> None:
    """For a child: undo what a shell does to jobs in the background, these tests among them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that forked it ends, however it ends."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def adopt_orphans() -> None:
    """Have the kernel make this process the parent of those below it whose own parent ends."""
    import ctypes

    ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER


def connect(one: Machine, card: str, other: Machine, other_card: str) -> None:
    """Lay a wire between two machines' network cards."""
    subprocess.run(
        ["ip", "link", "add", "name", card, "netns", str(one.namespace()), "type", "veth",
         "peer", "name", other_card, "netns", str(other.namespace())],
        check=True,
    )  # fmt: skip
    one.plug(card)
    other.plug(other_card)


def hand_over(card: str, giver: Host, taker: Host) -> None:
    """Move a network card to another host's network namespace."""
    network = f"--net=/proc/{giver.namespace()}/ns/net"
    subprocess.run(
        ["nsenter", network, "ip", "link", "set", card, "netns", str(taker.namespace())], check=True
    )


def add_addresses(machine: Runner, card: str, *addresses: str) -> None:
    """Give a network card addresses with prefix lengths, usable at once."""
    for address in addresses:
        machine.run("ip", "address", "add", address, "dev", card, *(["nodad"] if ":" in address else []))


def put_behind(router: "Host", host: "Host", *addresses: str) -> None:
    """Connect a host to a router, which has the first address of each network, and the way to all others.

    addresses: of the host, with prefix lengths.
    """
    card = f"to-{host.name}"
    connect(router, card, host, "eth0")
    for address in map(ip_interface, addresses):
        first = address.network[1]
        add_addresses(router, card, f"{first}/{address.network.prefixlen}")
        add_addresses(host, "eth0", str(address))
        host.run("ip", f"-{address.version}", "route", "add", "default", "via", str(first))


@dataclass(slots=True)
class Lab:
    """Everything one test powers on."""

    logs: Path
    closing: ExitStack = field(default_factory=ExitStack)

    def host(self, name: str) -> Host:
        """Boot a host that lives until the end of the test."""
        host = Host.boot(name, self.logs)
        self.closing.callback(host.power_off)
        return host

    def power_off(self) -> None:
        self.closing.close()
