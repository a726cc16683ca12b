"""`wgpy mesh` without a mesh: its arguments."""

import os
import re
import subprocess
import sys
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.mesh_statuses import KEYS
from wgpy.address import HostPort
from wgpy.cli.command import Command
from wgpy.cli.mesh import argument_types as types
from wgpy.cli.mesh.commands import MESH
from wgpy.cli.mesh.membership import clean_name
from wgpy.cli.mesh.token_input import read_invitation
from wgpy.mesh.invitation import Invitation
from wgpy.mesh.signing import SigningKey

COMMANDS = [
    f"{command.name} {part.name}".rstrip()
    for command in MESH.commands
    for part in command.commands or (Command("", None, "", ""),)
]


def wgpy(*arguments: str, text: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wgpy.cli.main", "mesh", *arguments],
        input=text, capture_output=True, text=True, env={**os.environ, **environment},
    )  # fmt: skip


# -- the command line --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"), [("7d", 604_800), ("24h", 86_400), ("90m", 5400), ("1s", 1), ("2w", 1_209_600)]
)
def test_a_span_of_time_has_a_unit(text: str, seconds: int) -> None:
    assert types.duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("vpn.example.com", HostPort("vpn.example.com", 51820)),
        ("vpn.example.com:443", HostPort("vpn.example.com", 443)),
        ("192.0.2.1:1", HostPort("192.0.2.1", 1)),
        ("2001:db8::1", HostPort("2001:db8::1", 51820)),
        ("[2001:db8::1]:443", HostPort("2001:db8::1", 443)),
        ("[2001:db8::1]", HostPort("2001:db8::1", 51820)),
    ],
)
def test_a_host_may_have_a_port(text: str, where: HostPort) -> None:
    assert types.host_port(text) == where


@pytest.mark.parametrize("text", ["4w", "30d", "24d", "90m", "1s", "25h"])
def test_a_span_of_time_is_shown_as_it_is_given(text: str) -> None:
    assert types.duration_text(types.duration(text)) == text


@pytest.mark.parametrize(
    ("text", "selector"),
    [("any", "any"), ("web-1", "node:web-1"), ("node:any", "node:any"), ("tag:k8s", "tag:k8s")],
)
def test_a_rule_means_a_node_a_tag_or_anybody(text: str, selector: str) -> None:
    assert types.selector(text) == selector


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (types.duration, "7"), (types.duration, "d"), (types.duration, "-7d"), (types.duration, "0d"),
        (types.duration, "7y"),
        (types.name, "Web"), (types.name, "-web"), (types.name, ""), (types.name, "a" * 64),
        (types.port, "0"), (types.port, "65536"), (types.port, "x"), (types.mtu, "1279"),
        (types.prefix, "10.42.3.1/24"), (types.prefix, "web"), (types.route, "web"), (types.grant, "web"),
        (types.prefix4, "fd00::/32"), (types.prefix4, "10.0.0.0/31"), (types.selector, "user:bob"),
        (types.selector, ":web"),
        (types.selector, "tag:"), (types.interface, "sixteen-letters-"), (types.interface, "a/b"),
        (types.host_port, ""), (types.host_port, "host:"), (types.host_port, "host:0"),
        (types.host_port, "a b"), (types.host_port, "[web]:1"), (types.host_port, "2001:db8::x"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_with_the_text_itself(read: Callable[[str], Any], text: str) -> None:
    with pytest.raises(ArgumentTypeError, match=r"^`"):
        read(text)


@pytest.mark.parametrize(
    ("arguments", "routes"),
    [
        (("token", "--routes"), ("0.0.0.0/1", "::/1", "128.0.0.0/1")),
        (("join", "--routes"), ("0.0.0.0/0", "::/0", "128.0.0.0/1")),
        (("init", "prod", "--public=a", "--routes"), ("0.0.0.0/0", "::/0", "128.0.0.0/1")),
        (("approve", "web1"), ("0.0.0.0/1", "::/1", "128.0.0.0/1")),
    ],
)
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_default_route_is_announced_by_no_command_and_no_part_of_one_is_allowed(
    arguments: tuple[str, ...], routes: tuple[str, ...], which: int
) -> None:
    route = routes[which]
    done = wgpy(*arguments, route)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{route} cannot be announced: it is a default route or a large part of one" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_and_an_answer_for_programs(command: str) -> None:
    done = wgpy(*command.split(), "--help")
    assert done.returncode == 0
    assert f"usage: wgpy mesh {command}" in done.stdout
    assert "--json" in done.stdout


@pytest.mark.parametrize(
    "arguments", [("fly",), ("init", "prod"), ("token", "--expires", "7"), ("allow", "a"), ("join", "a", "b")]
)
def test_a_wrong_command_line_is_status_2_and_a_sentence(arguments: tuple[str, ...]) -> None:
    done = wgpy(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.search(r"; see `wgpy( mesh)?( \w+)? --help`\.\n$", done.stderr)
    assert len(done.stderr.splitlines()) == 1


def test_watching_is_not_for_programs() -> None:
    done = wgpy("status", "--watch", "--json")

    assert done.returncode == 2
    assert "give one of them" in done.stderr


def test_no_command_shows_the_help() -> None:
    done = wgpy()
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: wgpy mesh" in done.stderr


# -- tokens ------------------------------------------------------------------------------------------


INVITATION = Invitation(SigningKey(bytes(range(32))), KEYS[0], bytes(range(32)), "https://vpn.example.com")


def given(**arguments: str) -> Namespace:
    return Namespace(**{"token": None, "token_file": None, **arguments})


def test_a_token_is_read_from_argument_file_or_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "token"
    path.write_text(INVITATION.text() + "\n")

    assert read_invitation(given(token=INVITATION.text())) == INVITATION
    assert read_invitation(given(token_file=str(path))) == INVITATION
    monkeypatch.setenv("WGPY_TOKEN", INVITATION.text())
    assert read_invitation(given()) == INVITATION
    assert "WGPY_TOKEN" not in os.environ, "what is started from here does not get it"


@pytest.mark.parametrize(
    ("arguments", "text", "says"),
    [
        ((), "", "there is no token: give one as an argument, with --token-file or in WGPY_TOKEN"),
        (("hello",), "", "a token begins with wgpy1_"),
        (("wgpy1_hello",), "", "the token is damaged: copy all of it, from `wgpy1_` to its end"),
        (("--token-file", "-"), "", "there is no token in standard input"),
        (("--token-file", "-"), INVITATION.text()[:-3], "the token is damaged"),
        (("--token-file", "/nowhere/token"), "", "/nowhere/token cannot be read: No such file or directory"),
    ],
)
def test_without_a_good_token_join_says_what_is_wrong(
    arguments: tuple[str, ...], text: str, says: str
) -> None:
    done = wgpy("join", *arguments, text=text)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"wgpy: {says}")
    assert len(done.stderr.splitlines()) == 1


def test_a_token_that_is_given_twice_is_a_wrong_command_line() -> None:
    done = wgpy("join", "wgpy1_x", "--token-file", "-", text="")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "wgpy: give the token once: as an argument or with --token-file.\n"


@pytest.mark.parametrize(
    ("hostname", "name"),
    [
        ("web1", "web1"),
        ("Web_1.example.com", "web-1"),
        ("--x--", "x"),
        ("", "node"),
        ("é", "node"),
        ("a" * 80, "a" * 60),
        ("a" * 59 + "-b", "a" * 59),
    ],
)
def test_a_node_is_named_after_its_host(hostname: str, name: str) -> None:
    assert clean_name(hostname) == name
