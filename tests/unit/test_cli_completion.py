"""`wgpy completion`: each shell completes the command line, asked as itself."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wgpy.cli.command import Argument, Command
from wgpy.cli.completion import SHELLS

TIMEOUT = 60  # seconds


def script(shell: str) -> str:
    wgpy = [sys.executable, "-m", "wgpy.cli.main", "completion", shell]
    return subprocess.run(wgpy, capture_output=True, text=True, check=True).stdout


def need(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"this host has no {shell}: apt-get install {shell}")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_names_all_commands_and_options(shell: str) -> None:
    for word in ("genkey", "pubkey", "genpsk", "show", "up", "down", "show-keys", "verbose", "mesh", "uses"):
        assert word in script(shell)


def test_the_words_of_an_option_are_no_arguments() -> None:
    option, argument = (Argument((name,), {"choices": (name.strip("-"),)}) for name in ("--color", "change"))

    assert Command("status", None, "", "", (option, argument)).choices() == ["change"]


CANDIDATES = [
    ("wgpy gen", {"genkey", "genpsk"}),
    ("wgpy me", {"mesh"}),
    ("wgpy mesh re", {"relay", "remove", "rename", "revoke"}),
    ("wgpy mesh revoke --", {"--help", "--json", "--key", "--network", "--trust-clock"}),
    ("wgpy show --", {"--counters", "--help", "--json", "--show-keys", "--watch"}),
    ("wgpy completion f", {"fish"}),
    ("wgpy mesh route a", {"add"}),
]


@pytest.mark.parametrize(("line", "expected"), CANDIDATES)
def test_bash_completes(line: str, expected: set[str]) -> None:
    words = line.split()
    ask = f'COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _wgpy; printf "%s\\n" "${{COMPREPLY[@]}}"'

    done = subprocess.run(["bash", "-c", script("bash") + ask], capture_output=True, text=True, check=True)

    assert set(done.stdout.split()) == expected


@pytest.mark.parametrize(("line", "expected"), CANDIDATES)
def test_fish_completes(line: str, expected: set[str]) -> None:
    need("fish")
    ask = f'complete -C "{line}"'

    done = subprocess.run(
        ["fish", "--no-config", "-c", script("fish") + ask], capture_output=True, text=True, check=True
    )

    assert {offer.split("\t")[0] for offer in done.stdout.splitlines()} == expected


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("wgpy genk", "wgpy genkey"),
        ("wgpy mesh tok", "wgpy mesh token"),
        ("wgpy mesh token --exp", "wgpy mesh token --expires"),
        ("wgpy show --sh", "wgpy show --show-keys"),
        ("wgpy show al", "wgpy show all"),
        ("wgpy completion f", "wgpy completion fish"),
        ("wgpy mesh route rem", "wgpy mesh route remove"),
    ],
)
def test_zsh_completes(line: str, completed: str, tmp_path: Path) -> None:
    need("zsh")
    file = tmp_path / "completion"
    file.write_text(script("zsh"))
    terminal, inner = pty.openpty()
    zsh = subprocess.Popen(
        ["zsh", "-f", "-i"], stdin=inner, stdout=inner, stderr=inner, env={**os.environ, "TERM": "dumb"}
    )
    os.close(inner)
    try:
        os.write(terminal, f"autoload -Uz compinit; compinit -D; . {file}; echo re''ady\n".encode())
        read_until(terminal, "ready")
        os.write(terminal, f"{line}\t".encode())
        read_until(terminal, completed)
    finally:
        zsh.kill()
        zsh.wait()
        os.close(terminal)


def read_until(terminal: int, expected: str) -> None:
    output, end = "", time.monotonic() + TIMEOUT
    while expected not in output:
        assert time.monotonic() < end, f"no {expected!r} in {output!r}"
        if select.select([terminal], [], [], 0.1)[0]:
            output += os.read(terminal, 4096).decode(errors="replace")
