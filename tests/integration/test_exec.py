"""`wgpy exec`: any program of an ordinary user inside a tunnel: see `tunnelworld`."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.integration.hosts import Host, HostProcess, Lab, Result, eventually
from tests.integration.ordinaryuser import AS_USER, attempt_as_user, start_as_user
from tests.integration.peers import Implementation
from tests.integration.tunnelworld import World

pytestmark = pytest.mark.xdist_group("exec")

_SLEEP = f"sleep 1000.{os.getpid()}"  # seconds, and of no other test
_EXEC = (str(Path(sys.executable).with_name("wgpy")), "exec", "./wg0.conf", "--")


@pytest.fixture(scope="module")
def world(module_lab: Lab, daemon: Implementation) -> World:
    return World.build(module_lab, daemon)


def attempt(world: World, *program: str) -> Result:
    return attempt_as_user(world.left, *_EXEC, *program)


def run(world: World, *program: str) -> str:
    done = attempt(world, *program)
    assert done.status == 0, done.output
    return done.output


def start(world: World, script: str) -> HostProcess:
    """Start a shell; return when it has said that it is ready."""
    started = start_as_user(world.left, *_EXEC, "sh", "-c", script)
    eventually(lambda: "ready" in started.log.read_text(), "the program has begun", within=60)
    return started


def nothing_is_left(host: Host) -> bool:
    return not host.processes("wgpy") and not sleepers()


def states() -> list[str]:
    """Return S for each that sleeps, T for each that is stopped. proc_pid_stat(5)"""
    found = []
    for path in sleepers():
        with suppress(OSError):  # gone in the meantime
            found += [(path / "stat").read_text().rpartition(")")[2].split()[0]]
    return found


def sleepers() -> list[Path]:
    """Return the processes inside that sleep; they have process ids of their own, so the host has none."""
    wanted = "\0".join([*_SLEEP.split(), ""])
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # gone in the meantime
            found += [path] if (path / "cmdline").read_text() == wanted else []
    return found


def test_a_program_is_inside_with_the_dns_of_the_tunnel(world: World) -> None:
    looks_up = "import socket; print(*sorted({i[4][0] for i in socket.getaddrinfo('web', 80)}))"

    assert run(world, sys.executable, "-c", looks_up).split() == ["10.20.0.2", "fd20::2"]
    assert "10.20.0.1/24" in run(world, "ip", "-4", "address", "show", "dev", "wg0")


def test_it_pings_and_has_a_localhost_and_its_own_processes_as_the_same_user(world: World) -> None:
    script = "ping -n -c 1 -W 30 10.20.0.2; ping -n -c 1 127.0.0.1; id -u; ps -e -o comm="

    done = run(world, "sh", "-c", script)

    assert done.count("1 received") == 2
    assert "65534\n" in done
    assert "sleep" not in done  # of the host's, which is not inside


def test_streams_arguments_and_environment_are_passed_on(world: World) -> None:
    program = (*AS_USER, "env", "--chdir=/run/user", "WORD=w ö", *_EXEC, "sh", "-c")
    inside = world.left.popen(
        (*program, 'cat; echo "$WORD $1" >&2; pwd', "sh", "a  b"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip

    output, errors = inside.communicate(b"to the program\n", timeout=100)

    assert (inside.returncode, output, errors.decode()) == (0, b"to the program\n/run/user\n", "w ö a  b\n")


def test_a_stream_that_is_closed_is_empty_for_the_program(world: World) -> None:
    closed = ("sh", "-c", 'exec "$@" <&-', "sh", *_EXEC)

    assert attempt_as_user(world.left, *closed, "readlink", "/proc/self/fd/0") == Result(0, "/dev/null\n")


@pytest.mark.parametrize(
    ("script", "status"), [("exit 3", 3), ("kill -TERM $$", 128 + 15), ("kill -KILL $$", 128 + 9)]
)
def test_the_exit_status_is_the_programs(world: World, script: str, status: int) -> None:
    assert attempt(world, "sh", "-c", script) == Result(status, "")


def test_a_program_that_is_not_there(world: World) -> None:
    assert attempt(world, "no-such-program") == Result(
        127, "wgpy: no-such-program cannot be run: No such file or directory.\n"
    )


def test_signals_are_passed_on_and_what_it_left_running_ends_with_it(world: World) -> None:
    inside = start(world, f"trap 'echo got; exit 7' TERM; {_SLEEP} & echo ready; wait")

    inside.kill(signal.SIGTERM)

    assert inside.wait().status == 7
    assert inside.log.read_text().splitlines()[1:] == ["got"]
    eventually(lambda: nothing_is_left(world.left), "nothing is left", within=60)


@pytest.mark.parametrize("killed", ["wgpy\0exec\0", "wgpy.tunnel.inside"], ids=["command", "inside"])
def test_nothing_is_left_if_a_process_of_it_is_killed(world: World, killed: str) -> None:
    inside = start(world, f"setsid {_SLEEP} & echo ready; {_SLEEP}")

    (pid,) = world.left.processes(killed)
    os.kill(pid, signal.SIGKILL)

    assert inside.wait().status != 0
    eventually(lambda: nothing_is_left(world.left), "nothing is left", within=60)


def test_a_shell_at_a_terminal_has_job_control_and_ctrl_c_is_its_alone(world: World) -> None:
    with at_a_terminal(world, "bash", "--norc", "-i") as terminal:
        read_until(terminal, "$ ")
        os.write(terminal, f"{_SLEEP}\n".encode())
        eventually(lambda: states() == ["S"], "it sleeps", within=60)
        os.write(terminal, b"\x1a")  # ctrl-Z
        eventually(lambda: states() == ["T"], "it is stopped", within=60)
        os.write(terminal, b"fg\n")
        eventually(lambda: states() == ["S"], "it sleeps again", within=60)
        os.write(terminal, b"\x03")
        eventually(lambda: states() == [], "it has ended", within=60)
        os.write(terminal, b"echo a''live; exit 5\n")
        read_until(terminal, "alive")


def test_what_is_missing_is_said(world: World) -> None:
    assert attempt(world) == Result(2, "wgpy: say which program to run, after `--`.\n")
    assert "cannot be read" in attempt_as_user(world.left, *_EXEC[:2], "./wg9.conf", "--", "true").output


# -- Helpers -------------------------------------------------------------------------------------


@contextmanager
def at_a_terminal(world: World, *program: str) -> Iterator[int]:
    """Start it with a terminal of its own; it is to end with 5."""
    terminal, inner = pty.openpty()
    steps = ("env", "--chdir=/run/user", "setsid", "--ctty", "--wait", *AS_USER, *_EXEC, *program)
    inside = world.left.popen(steps, stdin=inner, stdout=inner, stderr=inner)
    os.close(inner)
    try:
        yield terminal
        assert inside.wait(60) == 5
    finally:
        inside.kill()
        inside.wait()
        os.close(terminal)


def read_until(terminal: int, expected: str) -> None:
    output = ""
    while expected not in output:
        output += os.read(terminal, 1 << 16).decode(errors="replace")
