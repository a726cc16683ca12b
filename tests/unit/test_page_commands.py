"""Every command of ours that a page shows is one, and every example in Python is typed."""

import contextlib
import io
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import wgmesh.main
import wgpy.cli.main
import wgpyd.options
from wgpy.cli.command import Command
from wgpyd.errors import StartError

CLONE = Path(__file__).parents[2]
PAGES = sorted([*CLONE.glob("*.md"), *CLONE.glob("docs/**/*.md"), *CLONE.glob("benchmarks/**/*.md")])
PLACES = {  # what a reader puts something else in the place of
    "KEY": "YsGQ2ny8jh2MlQcuX+UFwxsLhzMJZ5gLT2VaIpnXHhE=",
}
_PROGRAM = re.compile(r"(?:.*/)?(wgpy|wgpyd|wgmesh)$")
_PREFIXES = re.compile(r"sudo|exec|--preserve-env=.*|[A-Z_]+=.*|[a-z0-9]+\$|\$")
_BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_NOT_TYPED = re.compile(r"^(?!\$ ).*", re.MULTILINE)  # of a block that shows answers, too
_ENDS = re.compile(r"[|&;()<>]+")


def blocks(page: Path, *languages: str) -> Iterator[str]:
    """Give the blocks of a page in some languages."""
    for language, block in re.findall(
        r"^```([^\n]*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE
    ):
        if language in languages:
            yield block


def shown() -> Iterator[tuple[str, str]]:
    """Give each page's name, and a command of ours in its blocks for shells."""
    for page in PAGES:
        texts = [
            *blocks(page, "sh"),
            *(re.sub(r"^(?!\$ ).*", "", one, flags=re.MULTILINE) for one in blocks(page, "")),
        ]
        for line in "\n".join(texts).replace("\\\n", "").splitlines():
            for command in commands(line):
                yield str(page.relative_to(CLONE)), shlex.join(command)


def commands(line: str) -> Iterator[list[str]]:
    """Give the commands of ours in a line of a shell."""
    for inner in re.findall(r"\$\(([^()]*)\)", line):
        yield from commands(inner)
    reader = shlex.shlex(re.sub(r"\$\([^()]*\)", "100.64.0.1", line), posix=True, punctuation_chars="|&;()<>")
    reader.whitespace_split = True
    try:
        words = list(reader)
    except ValueError:
        return  # of a drawing, or of a list in which a string goes on
    command: list[str] = []
    for word in [*words, ";"]:
        if not _ENDS.fullmatch(word):
            command.append(word)
            continue
        while command and _PREFIXES.fullmatch(command[0]):
            command.pop(0)
        if command and _PROGRAM.fullmatch(command[0]):
            yield command
        command = []


COMMANDS = sorted(set(shown()))


def test_pages_show_many_commands() -> None:
    assert len(COMMANDS) > 80
    assert {re.split(r"[/ ]", text)[0] for _, text in COMMANDS} >= {"wgpy", "wgpyd"}


@pytest.mark.parametrize(("page", "text"), COMMANDS)
def test_a_command_of_a_page_is_one(page: str, text: str) -> None:
    program, *arguments = shlex.split(text)
    arguments = [PLACES.get(argument, argument) for argument in arguments]

    assert not refusal(Path(program).name, arguments), page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_command_within_a_sentence_has_the_name_and_the_options_of_one(page: Path) -> None:
    named = re.findall(r"(?<!`)`(?:sudo )?wgpy ([a-z][^`]*)`(?!`)", page.read_text())

    assert not [words for words in named if unknown(wgpy.cli.main.COMMANDS, words.split())]


def test_examples_in_python_are_typed(tmp_path: Path) -> None:
    found = [block for page in PAGES for block in blocks(page, "python")]
    for number, block in enumerate(found):
        (tmp_path / f"example{number}.py").write_text(block)

    mypy = [sys.executable, "-m", "mypy", "--strict", "--config-file", "pyproject.toml", str(tmp_path)]
    done = subprocess.run(mypy, cwd=CLONE, capture_output=True, text=True)

    assert len(found) > 5
    assert done.returncode == 0, done.stdout


# -- Helpers -------------------------------------------------------------------------------------


def unknown(among: Sequence[Command], words: Sequence[str]) -> bool:
    """Return whether there is no such command, or it has no such option. words: also the pages' PLACES."""
    name, *rest = words[0].split("|")[0], *words[1:]
    found = next((command for command in among if command.name == name), None)
    if found is None:
        return True
    if found.commands and rest and rest[0][0].islower():
        return unknown(found.commands, rest)
    if name == "exec":
        rest = rest[: rest.index("--")] if "--" in rest else rest
    options = re.findall(r"--[a-z0-9-]+", " ".join(rest))
    return not {*options} <= {*found.options(), *(name for one in found.arguments for name in one.names)}


def refusal(program: str, arguments: Sequence[str]) -> str:
    """Return what a program says of a command line, "" if it takes it."""
    readers: dict[str, Callable[[Sequence[str]], object]] = {
        "wgpy": wgpy.cli.main.reader().parse_args,
        "wgmesh": wgmesh.main.reader().parse_args,
        "wgpyd": lambda words: wgpyd.options.read_options(words, {}),
    }
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            readers[program](arguments)
        except StartError as error:
            return str(error)
        except SystemExit as end:
            return said.getvalue() if end.code else ""
    return ""
