"""A tunnel between this host and another one, which is reached by a command such as `ssh root@other`.

    left: this host, --here -------- whatever joins them -------- --there, the other host :right
              wgbench0 ================== tunnel, MTU 1420 ================== wgbench0

Nothing is in a namespace here, so what is made must not conflict with what is there, and must go when this
process ends, however it ends.

Invariant: every command, at both ends, runs below a shell that reads its own text from standard input and
then holds on to it: when that closes, because this process ended or the connection did, the shell ends the
command. That also leaves nothing to quote: whatever carries the words `sh` and standard input will do. Only
the other end of a connection that breaks without a word notices nothing; LONGEST is for that.
"""

import argparse
import dataclasses
import ipaddress
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.rows.tunnel import TUNNEL
from benchmarks.suite.implementations import Implementation
from benchmarks.suite.namespaces import INSIDE, INSIDE6, INTERFACE, PORT, Tunnel, configure, ping_through
from benchmarks.suite.record import Results
from benchmarks.suite.rounds import NotStarted, Turn
from benchmarks.suite.values import Row, Setting
from tests.integration.hosts import CommandFailed, Result, checked, eventually

LONGEST: Final = 3600  # seconds that a command may last when nobody says any more that it should end
FOLDER: Final = f"/run/{INTERFACE}"  # for keys
SOCKET: Final = f"/run/wireguard/{INTERFACE}.sock"
STREAM_PORT: Final = 5201  # iperf3's
ENDING: Final = 10  # seconds
# Its first line is the command's process, its last one the status; between them is its output.
_SHELL: Final = """{{
exec 3<&0
sh -c 'echo $$; exec "$@"' sh {command} </dev/null 3<&- &
command=$!
{{ timeout {longest} cat <&3; kill $command; sleep 2; kill -KILL $command; }} >/dev/null 2>&1 &
watcher=$!
wait $command
status=$?
kill $watcher
printf '\\nended %d\\n' $status
exit
}} 2>&1
"""
_CLEAN: Final = f"""
ip link delete {INTERFACE} 2>/dev/null
rm -rf {FOLDER} {SOCKET}
"""
_KEEP: Final = f"trap '{_CLEAN} kill $!; exit 0' TERM; sleep {LONGEST} & wait; {_CLEAN}"
# No key of ours is for anybody else to read.
_WRITE: Final = f'umask 077 && mkdir -p {FOLDER} && printf %s "$2" > "$1"'
_RANGES: Final = tuple(
    ipaddress.ip_network(f"{inside}/{length}", strict=False)
    for inside, length in ((INSIDE[0], 24), (INSIDE6[0], 64))
)
# Says in lines what an end lacks, and what conflicts with its part of a tunnel.
_CHECK: Final = f"""
for tool in ip ss wg iperf3 timeout; do
    command -v $tool >/dev/null || echo "it lacks $tool"
done
[ "$(id -u)" = 0 ] || echo "commands do not run as root there"
[ -c /dev/net/tun ] || echo "it has no /dev/net/tun: modprobe tun"
if ip link show dev {INTERFACE} >/dev/null 2>&1; then
    echo "it has an interface {INTERFACE} already"
fi
[ -z "$(ss -Hlun sport = :{PORT})" ] || echo "something listens at its UDP port {PORT}"
[ -z "$(ss -Hltn sport = :{STREAM_PORT})" ] || echo "something listens at its TCP port {STREAM_PORT}"
for range in {" ".join(map(str, _RANGES))}; do
    case $range in *:*) family=-6 ;; *) family=-4 ;; esac
    for relation in match root; do
        ip $family route show table all $relation $range
    done | grep -qvw default && echo "it has a route to $range"
done 2>/dev/null
true
"""
_LACKING: Final = 'for program; do command -v "$program" >/dev/null || echo "$program"; done'
_NEEDS_NAMESPACES: Final = ("routed",)
# The time of two hosts' processors is not one figure, nor that of one of them what its title says.
_OF_ONE_HOST: Final = ("cpu_host",)


class ConnectionLost(CommandFailed):
    """The command that reaches a host ended before the command that it ran there."""


class Unusable(Exception):
    """Nothing can be measured between the two hosts; the message has the reason and a remedy."""


@dataclass(slots=True)
class ReachedProcess:
    """A command running at an end."""

    end: "ReachedEnd"
    popen: subprocess.Popen[str]
    log: Path

    @property
    def pid(self) -> int:
        """Return the process id on that host. Raises ConnectionLost."""
        eventually(lambda: "\n" in self._text() or not self.is_running(), "a process", ENDING)
        first = self._text().partition("\n")[0]
        if not first.isdigit():
            raise ConnectionLost(self._lost())
        return int(first)

    def is_running(self) -> bool:
        return self.popen.poll() is None

    def kill(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.end.run("kill", f"-{number.value}", str(self.pid))

    def wait(self, timeout: float = 30) -> Result:
        """Wait for the end and return it; that of the connection is a status of 255, as ssh has it."""
        try:
            self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise CommandFailed(f"still running after {timeout} s: {self.log.name}") from None
        return self.result() or Result(255, self._lost())

    def result(self) -> Result | None:
        """Return the result of the command if it ended by itself."""
        output, _, status = self._text().rpartition("\nended ")
        if not status.strip().isdigit():
            return None
        number = int(status)
        return Result(128 - number if number > 128 else number, output.partition("\n")[2])

    def proc(self, file: str) -> str:
        return self.end.run("cat", f"/proc/{self.pid}/{file}")

    def close(self) -> None:
        """End the command, and wait for that."""
        assert self.popen.stdin is not None
        with suppress(OSError):
            self.popen.stdin.close()
        try:
            self.popen.wait(ENDING)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()

    def _lost(self) -> str:
        output = " ".join(self._text().split())
        return f"the connection to {self.end.name} is lost" + (f": {output}" if output else "")

    def _text(self) -> str:
        return self.log.read_text(errors="replace")


@dataclass(slots=True)
class ReachedEnd:
    """A host as it is, without namespaces of its own. prefix: the words that run a command on it."""

    name: str
    prefix: Sequence[str]
    logs: Path
    _started: list[ReachedProcess] = field(default_factory=list)

    def attempt(self, *command: str, timeout: float = 30) -> Result:
        process = self._start(command)
        try:
            process.popen.wait(timeout)
        finally:
            process.close()
        if result := process.result():
            return result
        raise ConnectionLost(process.wait().output)

    def run(self, *command: str, timeout: float = 30) -> str:
        return checked(self.name, command, self.attempt(*command, timeout=timeout))

    def start(self, *command: str) -> ReachedProcess:
        process = self._start(command)
        self._started.append(process)
        return process

    def write(self, path: str, text: str) -> str:
        kept = f"{FOLDER}/{Path(path).name}"
        self.run("sh", "-c", _WRITE, "sh", kept, text)
        return kept

    def close(self) -> None:
        """End all that was started, the last first."""
        for process in reversed(self._started):
            process.close()

    def _start(self, command: Sequence[str]) -> ReachedProcess:
        log = self.logs / f"{self.name}-{len(list(self.logs.iterdir()))}-{Path(command[0]).name}.log"
        with log.open("w") as output:
            popen = subprocess.Popen(
                [*self.prefix, "sh"],
                stdin=subprocess.PIPE, stdout=output, stderr=output, text=True,
                start_new_session=True,  # Ctrl-C is for this process, which then ends that one
            )  # fmt: skip
        assert popen.stdin is not None
        with suppress(BrokenPipeError):  # its log has the reason
            popen.stdin.write(_SHELL.format(command=shlex.join(command), longest=LONGEST))
            popen.stdin.flush()
        return ReachedProcess(self, popen, log)


# -- What is measured ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Route:
    """How two hosts are joined. prefix: reaches the other; here, there: their addresses outside."""

    prefix: tuple[str, ...]
    here: str
    there: str

    def __str__(self) -> str:
        return f"between this host, {self.here}, and that of '{shlex.join(self.prefix)}', {self.there}"

    def ends(self, logs: Path) -> tuple[ReachedEnd, ReachedEnd]:
        return ReachedEnd("this host", (), logs), ReachedEnd("the other host", self.prefix, logs)

    def tunnel(self, turn: Turn) -> Tunnel:
        """Make a fresh tunnel between the hosts, and see that a ping comes through."""
        left, right = ends = self.ends(turn.lab.logs)
        for end in ends:
            turn.lab.closing.callback(end.close)
            end.start("sh", "-c", _KEEP)
        outside = (self.here, self.there)
        daemons = (_start_daemon(turn, left, self.there), _start_daemon(turn, right, self.here))
        turn.doing = "the first ping"
        configure(turn.implementation, left, right, outside)
        ping_through(left)
        return Tunnel(left, right, left, daemons)

    def settings(self, wanted: Iterable[Setting[Any]]) -> list[Setting[Any]]:
        """Return the wanted settings that can be measured between two hosts. Raises Unusable."""
        for setting in wanted:
            if setting.name == TUNNEL.name:
                rows = tuple(_of_two(row) for row in setting.rows if row.name not in _NEEDS_NAMESPACES)
                if rows:
                    return [dataclasses.replace(setting, build=self.tunnel, rows=rows)]
        raise Unusable("none of these rows can be measured across two hosts, they need namespaces")

    def implementations(self, here: Sequence[Implementation], results: Results) -> list[Implementation]:
        """See that both ends can be used, and return the implementations that both have. Raises Unusable."""
        with tempfile.TemporaryDirectory() as logs:
            left, right = self.ends(Path(logs))
            try:
                for end in (left, right):
                    if faults := end.run("sh", "-c", _CHECK).splitlines():
                        raise Unusable(f"{end.name} cannot be used: {'; '.join(faults)}")
                lacking = right.run("sh", "-c", _LACKING, "sh", *map(_program, here)).split()
            except CommandFailed as error:
                raise Unusable(str(error)) from None
        results.left_out.append(f"what needs namespaces was left out: this was measured {self}")
        results.left_out += [
            f"{one.name} was left out: the other host has no {_program(one)}"
            for one in here
            if _program(one) in lacking
        ]
        if rulers := [one.name for one in here if not one.has_keys]:
            results.left_out.append(
                f"across two hosts there is no {', '.join(rulers)}: built for this processor"
            )
        both = [one for one in here if one.has_keys and _program(one) not in lacking]
        if not both:
            raise Unusable("; ".join(results.left_out))
        return both


def add_options(parser: argparse.ArgumentParser) -> None:
    remote = parser.add_argument_group("across two hosts")
    remote.add_argument(
        "--remote", metavar="COMMAND", type=shlex.split,
        help="command that runs another command on the other host, as root: 'ssh root@other'",
    )  # fmt: skip
    for option, whose in (("--here", "this"), ("--there", "the other")):
        remote.add_argument(
            option,
            metavar="ADDRESS",
            type=ipaddress.ip_address,
            help=f"of {whose} host, for the tunnel's packets",
        )


def read_route(options: argparse.Namespace) -> Route | None:
    """Return how to reach the other host, if there is one. Raises ValueError."""
    given = [options.remote, options.here, options.there]
    if not any(given):
        return None
    if not all(given):
        raise ValueError("--remote, --here and --there go together")
    return Route(tuple(options.remote), str(options.here), str(options.there))


def _program(one: Implementation) -> str:
    """Return the word of a command that is its program, behind `env` and what that is to set."""
    return next(word for word in one.command if word != "env" and "=" not in word)


def _of_two(row: Row[Any]) -> Row[Any]:
    kept = tuple(measure for measure in row.measures if measure.name not in _OF_ONE_HOST)
    return dataclasses.replace(row, measures=kept)


def _start_daemon(turn: Turn, end: ReachedEnd, remote: str) -> ReachedProcess:
    """Make an end that can be configured. Raises NotStarted."""
    daemon = end.start(*turn.command(remote))
    turn.daemons.append(daemon)

    def is_ready() -> bool:
        # Not by `wg` at first: it removes a socket that does not listen yet. One may be renamed later.
        if turn.implementation.is_daemon and Path(SOCKET).name not in end.run("ss", "-Hlx"):
            return False
        return end.attempt("wg", "show", INTERFACE).status == 0

    try:
        eventually(lambda: is_ready() or not daemon.is_running(), f"{INTERFACE} answers", within=10)
        if not daemon.is_running():
            raise NotStarted(f"the daemon of {end.name} ended at once: {daemon.wait()}")
    except ConnectionLost:
        raise
    except AssertionError as error:
        raise NotStarted(str(error)) from None
    return daemon
