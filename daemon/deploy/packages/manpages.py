#!/usr/bin/env python3
"""Writes the man pages of what `--help` prints, so that nothing is said twice: man(7).

.venv/bin/python daemon/deploy/packages/manpages.py FOLDER
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import helptext

import wgpy


def main(folder: Path) -> None:
    for page in helptext.PAGES:
        (folder / f"{page.name}.{page.section}").write_text("\n".join(write(page)) + "\n")


def write(page: helptext.Page) -> Iterator[str]:
    """Give the lines of a page."""
    yield f'.TH {page.name.upper()} {page.section} "" "wgpy {wgpy.__version__}" ""'
    yield from (".SH NAME", f"{page.name} \\- {page.summary}", ".SH SYNOPSIS")
    own, *below = helptext.read(page)
    yield from (*_as_it_is(own.usage), ".SH DESCRIPTION", *_body(own, ".SH"))
    if below:
        yield ".SH THE COMMANDS IN DETAIL"
    for found in below:
        yield from (f'.SS "{_escaped(" ".join(found.command))}"', *_as_it_is(found.usage), *_body(found, ""))
    yield from (".SH SEE ALSO", ", ".join(map(_escaped, page.see_also)))


def _body(found: helptext.Help, heading: str) -> Iterator[str]:
    """heading: the macro of one, "" for a line."""
    for part in found.parts:
        if heading and part.heading and part.items:
            yield f"{heading} {part.heading.upper()}"
        yield from _list(part.items)
        yield from _as_it_is(part.text)


def _list(items: Iterable[helptext.Item]) -> Iterator[str]:
    for item in items:
        yield from (".TP", f".B {_escaped(item.term)}", *map(_escaped, item.lines))


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
