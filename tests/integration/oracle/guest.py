"""A User-mode Linux guest: the kernel's WireGuard as a machine of a test.

    test's wire ── eth0 ┐
                        bridge0      the guest's host (namespaces, see hosts.py)
    guest's card ─ tap0 ┘
         │
    eth0 (vec0), wg0                 the guest

The guest's root is the host's file system, read-only, so it runs the same `wg`, `ip` and `python3`. Its first
process reads one shell command a line and answers with the output and a last line `<EOT> status`.
"""

import base64
import os
import select
import shlex
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.hosts import CommandFailed, Host, Lab, Result, checked

_HERE = Path(__file__).parent
_END = b"\x04 "  # begins the line that ends an answer
_BOOT_SECONDS = 60


def kernel() -> Path:
    """Return the guest's kernel; builds it, in minutes, when there is none yet. Raises CommandFailed."""
    build = [str(_HERE / "build.sh")]
    done = subprocess.run(build, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return Path(checked("build", build, Result(done.returncode, done.stdout or done.stderr)).strip())


@dataclass(slots=True)
class GuestProcess:
    """A command running in the background of a guest."""

    guest: "Guest"
    job: str

    def wait(self, timeout: float = 30) -> Result:
        end = time.monotonic() + timeout
        while self.guest.attempt("test", "-e", f"{self.job}.status").status != 0:
            if time.monotonic() > end:
                raise CommandFailed(f"{self.guest.name}: still running after {timeout} s: {self.job}")
            time.sleep(0.1)
        output = self.guest.run("cat", f"{self.job}.output")
        return Result(int(self.guest.run("cat", f"{self.job}.status")), output)


@dataclass(slots=True)
class Guest:
    """A machine with a kernel of its own."""

    name: str
    _host: Host
    _input: int  # descriptors of the channel, closed with the lab
    _output: int
    _jobs: list[str] = field(default_factory=list)

    @classmethod
    def boot(cls, lab: Lab, name: str, kernel: Path) -> "Guest":
        """Boot the kernel on a host of its own, with a network card that waits to be plugged in."""
        host = lab.host(name)
        host.run("ip", "link", "add", "name", "bridge0", "type", "bridge")
        host.run("ip", "tuntap", "add", "tap0", "mode", "tap")
        host.run("ip", "link", "set", "tap0", "master", "bridge0", "up")
        host.run("ip", "link", "set", "bridge0", "up")
        inside_in, outside_in = os.pipe()
        outside_out, inside_out = os.pipe()
        host.start(
            "env", "TMPDIR=/dev/shm", str(kernel), "mem=96M",
            "root=none", "rootfstype=hostfs", "rootflags=/", "ro", f"init={_HERE / 'init.sh'}",
            "con0=fd:0,fd:1", "con=null", "uml_dir=/run", "umid=guest", "panic=-1",
            "console=stderr0", "loglevel=8", "wireguard.dyndbg=+p",
            "vec0:transport=tap,ifname=tap0,depth=128",
            stdin=inside_in, stdout=inside_out,
        )  # fmt: skip
        os.close(inside_in)
        os.close(inside_out)
        lab.closing.callback(os.close, outside_in)
        lab.closing.callback(os.close, outside_out)
        guest = cls(name, host, outside_in, outside_out)
        guest._answer(_BOOT_SECONDS)
        guest.run("ip", "link", "set", "vec0", "name", "eth0")
        guest.run("ip", "link", "set", "eth0", "up")
        return guest

    def attempt(self, *command: str, timeout: float = 30) -> Result:
        return self._shell(shlex.join(command), timeout)

    def run(self, *command: str, timeout: float = 30) -> str:
        return checked(self.name, command, self.attempt(*command, timeout=timeout))

    def start(self, *command: str) -> GuestProcess:
        job = f"/run/job{len(self._jobs)}"
        self._jobs.append(job)
        shell = f"{shlex.join(command)} > {job}.output 2>&1; echo $? > {job}.tmp; mv {job}.tmp {job}.status"
        self._shell(f"({shell}) < /dev/null > /dev/null 2>&1 &", 5)
        return GuestProcess(self, job)

    def write(self, path: str, text: str) -> str:
        encoded = base64.b64encode(text.encode()).decode()
        result = self._shell(f"umask 077; echo {encoded} | base64 -d > {shlex.quote(path)}", 5)
        checked(self.name, ["write", path], result)
        return path

    def namespace(self) -> int:
        return self._host.namespace()

    def plug(self, card: str) -> None:
        self._host.run("ip", "link", "set", card, "master", "bridge0", "up")

    def _shell(self, line: str, timeout: float) -> Result:
        if "\n" in line:
            raise ValueError("the channel carries one line a command; write() files with more")
        os.write(self._input, line.encode() + b"\n")
        return self._answer(timeout)

    def _answer(self, timeout: float) -> Result:
        """Read up to the line that ends an answer."""
        end = time.monotonic() + timeout
        answer = b""
        while not answer.endswith(b"\n") or _END not in answer:
            if not select.select([self._output], [], [], max(0, end - time.monotonic()))[0]:
                raise CommandFailed(f"{self.name}: no end of the answer in {timeout} s: {answer!r}")
            data = os.read(self._output, 65536)
            if not data:
                raise CommandFailed(f"{self.name}: the guest died; see its log")
            answer += data
        output, _, status = answer.rpartition(_END)
        return Result(int(status), output.decode(errors="replace"))
