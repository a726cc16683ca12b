"""Every `--json` of a command has a document that says what is in it."""

from collections.abc import Iterator, Sequence

import pytest

import wgpy.cli.main
from tests.documents import checked, differences, name_of
from wgpy.cli.command import Command
from wgpy.cli.document_kinds import DOCUMENTS
from wgpy.cli.documents import Pause, ShownPeer
from wgpy.node import document


def test_every_command_with_json_has_a_document_and_nothing_else_has_one() -> None:
    of_commands = {name.partition(" --")[0] for name in DOCUMENTS if name.startswith("wgpy ")}
    sites = {name for name in of_commands if name.startswith("wgpy mesh site ")}
    whole = of_commands - sites | {"wgpy mesh site"}

    assert set(with_json("wgpy", wgpy.cli.main.COMMANDS)) == whole


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("wgpy mesh token --uses 3", "wgpy mesh token"),
        ("wgpy mesh token --list --all", "wgpy mesh token --list"),
        ("wgpy mesh site add office 192.168.1.0/24", "wgpy mesh site add"),
        ("wgpy show wg0 --counters", "wgpy show --counters"),
    ],
)
def test_a_command_line_has_the_document_of_its_command(words: str, name: str) -> None:
    assert name_of(words.split()) == name


@pytest.mark.parametrize(
    "said",
    [
        '{"version": 1, "network": "prod"}',
        '{"version": 1, "network": "prod", "paused": true, "since": 1}',
        '{"version": 1, "network": "prod", "paused": 1}',
        '{"version": 2, "network": "prod", "paused": true}',
    ],
)
def test_what_is_not_as_documented_is_found(said: str) -> None:
    right: Pause = {"network": "prod", "paused": True}
    assert checked(("wgpy", "mesh", "up"), document.text(right)) == right
    with pytest.raises(AssertionError):
        checked(("wgpy", "mesh", "up"), said)


def test_what_may_be_null_may_be_so_and_nothing_else() -> None:
    assert not differences(None, str | None, "")
    assert differences(None, str, "")
    assert differences({}, ShownPeer, "")


def with_json(program: str, commands: Sequence[Command]) -> Iterator[str]:
    for command in commands:
        name = f"{program} {command.name}"
        if "--json" in command.options():
            yield name
        yield from with_json(name, command.commands)
