#!/usr/bin/env python3
"""Writes the man pages of what `--help` prints, so that nothing is said twice: man(7).

.venv/bin/python daemon/deploy/packages/manpages.py FOLDER
"""

import io
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import wgmesh.main
import wgpy
import wgpy.cli.main
import wgpyd.options

_COLUMNS: Final = "96"
_HEADING: Final = re.compile(r"^([a-z]+(?: [a-z]+)?):$", re.MULTILINE)
_ITEM: Final = re.compile(r"^ {2}(\S.*?)(?: {2,}(\S.*))?$|^ {4}([a-z-]+)(?: +(\S.*))?$")
_HEADINGS: Final = {"positional arguments": "COMMANDS"}  # as argparse calls them
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


def main(folder: Path) -> None:
    os.environ["COLUMNS"] = _COLUMNS
    for page in PAGES:
        (folder / f"{page.name}.{page.section}").write_text("\n".join(write(page)) + "\n")


def help_of(command: Words) -> str:
    """Return what `COMMAND --help` prints."""
    program, *rest = command
    printed = io.StringIO()
    with redirect_stdout(printed), suppress(SystemExit):
        _PROGRAMS[program]([*rest, "--help"])
    return printed.getvalue()


def write(page: Page) -> Iterator[str]:
    """Give the lines of a page."""
    yield f'.TH {page.name.upper()} {page.section} "" "wgpy {wgpy.__version__}" ""'
    yield from (".SH NAME", f"{page.name} \\- {page.summary}", ".SH SYNOPSIS")
    usage, text = _split(help_of(page.command))
    yield from (*_as_it_is(usage), ".SH DESCRIPTION", *_body(text, ".SH"))
    commands = list(_subcommands(page.command, text, page.without))
    if commands:
        yield ".SH THE COMMANDS IN DETAIL"
    for command in commands:
        usage, text = _split(help_of(command))
        yield from (f'.SS "{_escaped(" ".join(command))}"', *_as_it_is(usage), *_body(text, ""))
    yield from (".SH SEE ALSO", ", ".join(map(_escaped, page.see_also)))


def _subcommands(command: Words, text: str, without: Words) -> Iterator[Words]:
    """Give all below a command, in their order."""
    _, listed, below = text.partition("\n  COMMAND\n")
    names = _COMMAND.findall(re.split(r"^\S", below, maxsplit=1, flags=re.MULTILINE)[0]) if listed else []
    for name in names:
        if name not in without:
            yield (*command, name)
            yield from _subcommands((*command, name), help_of((*command, name)), ())


def _split(text: str) -> tuple[str, str]:
    """Return usage and the rest."""
    usage, _, rest = text.partition("\n\n")
    return usage.removeprefix("usage: "), rest


def _body(text: str, heading: str) -> Iterator[str]:
    """heading: the macro of one, "" for a line."""
    before, *parts = _HEADING.split(text)
    yield from _as_it_is(before)
    for name, part in zip(parts[::2], parts[1::2], strict=True):
        items, _, lesson = part.strip("\n").partition("\n\n") if name != "environment" else (part, "", "")
        if heading and _SELF_EVIDENT.sub("", items).strip():
            yield f"{heading} {_HEADINGS.get(name, name.upper())}"
        yield from _list(_SELF_EVIDENT.sub("", items))
        yield from _as_it_is(lesson)


def _list(items: str) -> Iterator[str]:
    for line in items.splitlines():
        item = _ITEM.match(line)
        if item:
            yield from (".TP", f".B {_escaped(item[1] or item[3])}")
        text = (item[2] or item[4]) if item else line.strip()
        yield from [_escaped(text)] if text else []


def _as_it_is(text: str) -> Iterator[str]:
    """Give a text whose lines stay."""
    if text.strip():
        yield from (".PP", ".nf", *map(_escaped, text.strip("\n").splitlines()), ".fi")


def _escaped(line: str) -> str:
    line = line.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    line = "".join(one if one.isascii() else f"\\[u{ord(one):04X}]" for one in line)
    return f"\\&{line}" if line.startswith(".") else line


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
