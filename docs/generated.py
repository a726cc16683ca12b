"""What Sphinx generates beside the pages that are written: those of commands, of what `--help` prints."""

import re
import shutil
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from textwrap import dedent
from typing import Final

import fields
import helptext
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.logging import getLogger
from sphinx.util.typing import ExtensionMetadata

import wgpy

_LOG: Final = getLogger(__name__)
_FIRST_PAGE: Final = '<!doctype html><meta http-equiv="refresh" content="0; url=docs/index.html">\n'

_CODE: Final = re.compile(r"(`[^`]*`)")
_MARKUP: Final = re.compile(r"([\\*_<>\[\]#|])")


def setup(app: Sphinx) -> ExtensionMetadata:
    app.connect("source-read", _complete)
    app.connect("env-check-consistency", _check_names)
    app.connect("build-finished", _finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _complete(_app: Sphinx, name: str, source: list[str]) -> None:
    """Add to a page what is generated for it."""
    if name == "docs/reference/json":
        source[0] += "\n".join(("", *fields.write()))
    for page in helptext.PAGES:
        if name == f"docs/reference/{page.name}":
            source[0] += "\n".join(("", *write(page)))


def _check_names(_app: Sphinx, environment: BuildEnvironment) -> None:
    """Have each public name on a page."""
    described = {name.rpartition(".")[2] for name in environment.domains.python_domain.objects}
    for name in sorted({*wgpy.__all__} - described - {"__version__"}):
        _LOG.warning("no page describes wgpy.%s", name)


def _finish(app: Sphinx, error: Exception | None) -> None:
    """Copy those of HTML within pages, which Sphinx does not know; and lead to the first page."""
    if not error:
        Path(app.outdir, "index.html").write_text(_FIRST_PAGE)
    for picture in () if error else Path(app.srcdir).glob("benchmarks/latest/**/*.svg"):
        place = Path(app.outdir) / picture.relative_to(app.srcdir)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picture, place)


def write(page: helptext.Page) -> Iterator[str]:
    """Give the lines of a page, as Markdown without its title."""
    own, *below = helptext.read(page)
    yield from _described(own)
    for found in below:
        yield from (f"## {' '.join(found.command)}", "", *_described(found))


def _described(found: helptext.Help) -> Iterator[str]:
    yield from _block(found.usage)
    for part in found.parts:
        if not part.heading:  # sentences, and examples that are indented
            yield from _paragraphs(part.text)
            continue
        if part.items:
            yield from (f"**{part.heading.capitalize()}**", "")
        for item in part.items:
            yield from (f"`{item.term}`", f": {_escaped(' '.join(item.lines))}", "")
        yield from _paragraphs(part.text)


def _paragraphs(text: str) -> Iterator[str]:
    """Give sentences as such, and what is indented as it is."""
    for is_indented, lines in groupby(text.splitlines(), lambda line: line.startswith(" ")):
        if is_indented:
            yield from ("", *_block(dedent("\n".join(lines))))
        else:
            yield from map(_escaped, lines)
    yield ""


def _block(text: str) -> Iterator[str]:
    yield from ("```text", text, "```", "")


def _escaped(text: str) -> str:
    return "".join(part if part.startswith("`") else _MARKUP.sub(r"\\\1", part) for part in _CODE.split(text))
