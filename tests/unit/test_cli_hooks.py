"""Hooks as scripts: what a hook of wg-quick may use, in bash and in a shell without arrays."""

import subprocess
from pathlib import Path

import pytest

from wgpy.cli import hooks
from wgpy.config import parse

CONFIG = parse("""\
[Interface]
Address = 10.0.0.1/24, fd00::1/64
DNS = 10.0.0.9, corp.example
MTU = 1400
Table = 7
ListenPort = 5
PostUp = echo it's
""")
GIVEN = hooks.variables("wg0", Path("/etc/wireguard/wg0.conf"), CONFIG)


def run(command: str, shell: str = "bash") -> subprocess.CompletedProcess[str]:
    script = hooks.script(command, GIVEN, bash=shell == "bash")
    return subprocess.run([shell, "-c", script], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("shell", ["bash", "sh"])
@pytest.mark.parametrize(
    ("command", "prints"),
    [
        ("echo %i $INTERFACE", "wg0 wg0"),
        ("echo $CONFIG_FILE $MTU $TABLE $SAVE_CONFIG", "/etc/wireguard/wg0.conf 1400 7 0"),
        ("for one in $WG_CONFIG; do echo $one; break; done", "[Interface]"),
        ("cmd echo one; echo two", "one\ntwo"),
        ("echo $(echo in | cat) \"a  b\" 'it'", "in a  b it"),
        ("echo $POST_UP", "echo it's"),
    ],
)
def test_a_hook_sees_wg_quicks_variables(shell: str, command: str, prints: str) -> None:
    assert run(command, shell).stdout == prints + "\n"


def test_in_bash_lists_are_arrays() -> None:
    assert run("echo ${ADDRESSES[1]} ${#DNS[@]} ${DNS_SEARCH[0]} ${#PRE_UP[@]}").stdout == (
        "fd00::1/64 1 corp.example 0\n"
    )


def test_without_arrays_a_list_is_words() -> None:
    assert run("for one in $ADDRESSES; do echo $one; done", "sh").stdout == "10.0.0.1/24\nfd00::1/64\n"


@pytest.mark.parametrize("shell", ["bash", "sh"])
@pytest.mark.parametrize(("command", "status"), [("false; echo late", 1), ("exit 7", 7), ("die no", 1)])
def test_a_command_that_fails_ends_the_hook(shell: str, command: str, status: int) -> None:
    done = run(command, shell)
    assert (done.returncode, done.stdout) == (status, "")


def test_in_bash_a_pipe_fails_with_any_of_its_commands() -> None:
    assert run("false | true").returncode == 1
