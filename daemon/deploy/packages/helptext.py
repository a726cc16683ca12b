"""What `--help` of each command prints, in parts: for the man pages and for the pages of the site."""

import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from typing import Final

import wgmesh.main
import wgpy.cli.main
import wgpyd.options

_COLUMNS: Final = "96"
_HEADING: Final = re.compile(r"^([a-z]+(?: [a-z]+)?):$", re.MULTILINE)
_ITEM: Final = re.compile(r"^ {2}(\S.*?)(?: {2,}(\S.*))?$|^ {4}([a-z-]+)(?: +(\S.*))?$")
_SELF_EVIDENT: Final = re.compile(r"^  (?:COMMAND|-h, --help.*)\n?", re.MULTILINE)
_COMMAND: Final = re.compile(r"^ {4}([a-z-]+)(?: |$)", re.MULTILINE)

Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """name: of the file, without its section; command: what it describes, and its subcommands."""

    name: str
    section: int
    summary: str
    command: Words
    without: Words = ()
    see_also: Words = ()


PAGES: Final = (
    Page(
        "wgpy", 1, "WireGuard tunnels without the kernel module", ("wgpy",), without=("mesh",),
        see_also=("wgpy-mesh(1)", "wgpyd(8)", "wg(8)", "wg-quick(8)"),
    ),
    Page(
        "wgpy-mesh", 1, "many hosts as one network", ("wgpy", "mesh"),
        see_also=("wgpy(1)", "wgpyd(8)", "wgmesh(8)"),
    ),
    Page(
        "wgpyd", 8, "a WireGuard interface in userspace, and the node of a mesh", ("wgpyd",),
        see_also=("wgpy(1)", "wgpy-mesh(1)", "wg(8)", "wg-quick(8)"),
    ),
    Page(
        "wgmesh", 8, "the coordinator of a mesh", ("wgmesh",), see_also=("wgpy-mesh(1)", "wgpyd(8)"),
    ),
)  # fmt: skip
_PROGRAMS: Final[dict[str, Callable[[Sequence[str]], object]]] = {
    "wgpy": wgpy.cli.main.main,
    "wgpyd": lambda _: print(wgpyd.options.HELP, end=""),
    "wgmesh": wgmesh.main.main,
}


@dataclass(frozen=True, slots=True)
class Item:
    """An option, argument, command or variable. lines: what is said of it."""

    term: str
    lines: Words


@dataclass(frozen=True, slots=True)
class Part:
    """heading: "" for what stands before the first one; text: lines as they are, below the items."""

    heading: str
    items: tuple[Item, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Help:
    """Of one command."""

    command: Words
    usage: str
    parts: tuple[Part, ...]


def read(page: Page) -> Iterator[Help]:
    """Give the help of a page's command, and then of all below it, in their order."""
    yield from _below(page.command, page.without)


def _below(command: Words, without: Words) -> Iterator[Help]:
    text = _help_of(command)
    yield _parsed(command, text)
    _, listed, below = text.partition("\n  COMMAND\n")
    names = _COMMAND.findall(re.split(r"^\S", below, maxsplit=1, flags=re.MULTILINE)[0]) if listed else []
    for name in names:
        if name not in without:
            yield from _below((*command, name), ())


def _help_of(command: Words) -> str:
    """Return what `COMMAND --help` prints."""
    program, *rest = command
    os.environ["COLUMNS"] = _COLUMNS
    printed = io.StringIO()
    with redirect_stdout(printed), suppress(SystemExit):
        _PROGRAMS[program]([*rest, "--help"])
    return printed.getvalue()


def _parsed(command: Words, text: str) -> Help:
    usage, _, rest = text.partition("\n\n")
    before, *found = _HEADING.split(rest)
    parts = [_part(name, part) for name, part in zip(found[::2], found[1::2], strict=True)]
    return Help(command, usage.removeprefix("usage: "), (Part("", (), before.strip("\n")), *parts))


def _part(name: str, text: str) -> Part:
    items, _, below = text.strip("\n").partition("\n\n") if name != "environment" else (text, "", "")
    if name == "positional arguments":
        name = "commands" if items.startswith("  COMMAND") else "arguments"
    return Part(name, tuple(_items(_SELF_EVIDENT.sub("", items))), below.strip("\n"))


def _items(text: str) -> Iterator[Item]:
    term, lines = "", list[str]()
    for line in filter(str.strip, text.splitlines()):
        if item := _ITEM.match(line):
            if term:
                yield Item(term, tuple(lines))
            term, lines = item[1] or item[3], [found] if (found := item[2] or item[4]) else []
        else:
            lines.append(line.strip())
    if term:
        yield Item(term, tuple(lines))
