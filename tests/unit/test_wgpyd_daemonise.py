"""Going to the background: what the caller gets to know."""

import subprocess
import sys
from pathlib import Path

_SCRIPT = """
import os, sys
from wgpyd.daemonise import daemonise

def serve(ready):
    {serve}

sys.exit(daemonise(serve, keep_output={keep_output}))
"""


def run(serve: str, *, keep_output: bool = False) -> subprocess.CompletedProcess[str]:
    script = _SCRIPT.format(serve=serve, keep_output=keep_output)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)


def test_the_caller_returns_0_once_the_daemon_is_ready() -> None:
    done = run("ready(); return 0")

    assert (done.returncode, done.stderr) == (0, "")


def test_the_caller_returns_1_and_shows_why_if_it_never_was() -> None:
    done = run('print("no such thing", file=sys.stderr); return 3')

    assert (done.returncode, done.stderr) == (1, "no such thing\n")


def test_the_caller_says_so_if_the_daemon_was_killed() -> None:
    done = run("os.kill(os.getpid(), 9)")

    assert done.returncode == 1
    assert "killed by signal 9" in done.stderr


def test_a_ready_daemon_writes_nothing_any_more(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    done = run(f'ready(); print("noise", flush=True); open({str(seen)!r}, "w").close(); return 0')

    assert done.stdout == ""


def test_a_ready_daemon_goes_on_writing_if_it_was_told_to() -> None:
    done = run('ready(); print("noise", flush=True); return 0', keep_output=True)

    assert done.stdout == "noise\n"


def test_the_daemon_leaves_session_and_directory_of_the_caller() -> None:
    done = run(
        "ready(); print(os.getsid(0) == os.getpid(), os.getcwd(), flush=True); return 0", keep_output=True
    )

    assert done.stdout == "True /\n"
