"""The page of JSON, of the types in `wgpy.cli.document_kinds` and their docstrings."""

import re
from collections.abc import Iterator
from dataclasses import is_dataclass
from types import NoneType, UnionType
from typing import Any, Final, NotRequired, get_args, get_origin, get_type_hints, is_typeddict

from wgpy.cli.document_kinds import DOCUMENTS

_NAMES: Final = {int: "number", float: "number", bool: "true or false", str: "string", Any: "any"}


def write() -> Iterator[str]:
    """Give the lines of the page, as Markdown without its beginning."""
    types: dict[str, Any] = {}
    for command, kind in DOCUMENTS.items():
        yield from (f"## {command}", "")
        for each in get_args(kind) if isinstance(kind, UnionType) else (kind,):
            yield from _table(each, types)
    yield from ("## Types", "")
    written: set[str] = set()
    while names := sorted(types.keys() - written):
        for name in names:
            written.add(name)
            yield from (f"### {name}", "", *_table(types[name], types))


def _table(kind: Any, types: dict[str, Any]) -> Iterator[str]:
    """types: by name, to which those are added that fields have."""
    hints = get_type_hints(kind, include_extras=True)
    summary, meanings = read(kind.__doc__ or "", hints)
    yield from (summary, "") if summary and not is_typeddict_without(kind) else ()
    yield from ("| Field | Is | |", "|---|---|---|")
    for name, hint in hints.items():
        yield f"| `{name}` | {_shown(hint, types)} | {meanings.get(name, '')} |"
    yield ""


def is_typeddict_without(kind: Any) -> bool:
    """Return whether it has the docstring of TypedDict itself, as it has none."""
    return is_typeddict(kind) and kind.__doc__ == dict.__doc__


def read(text: str, names: Any) -> tuple[str, dict[str, str]]:
    """Return what a docstring says of all, and of each field: `name, other: meaning; …`."""
    any_of = "|".join(sorted(names, key=len, reverse=True))
    heads = re.compile(rf"(?:^|(?<=[.;:,] ))((?:{any_of})(?:, (?:{any_of}))*): ")
    before, *found = heads.split(" ".join(text.split()))
    meanings: dict[str, str] = {}
    for head, meaning in zip(found[::2], found[1::2], strict=True):
        meanings |= dict.fromkeys(head.split(", "), meaning.strip().rstrip(".;,:"))
    return before.strip(), meanings


def _shown(hint: Any, types: dict[str, Any]) -> str:
    """Return how JSON has a type."""
    if get_origin(hint) is NotRequired:
        return f"{_shown(get_args(hint)[0], types)}, or absent"
    if get_origin(hint) in (list, tuple):
        return f"list of {_shown(get_args(hint)[0], types)}"
    if get_origin(hint) is dict:
        return f"object, by name: {_shown(get_args(hint)[1], types)}"
    if isinstance(hint, UnionType) and NoneType in get_args(hint):
        (other,) = (one for one in get_args(hint) if one is not NoneType)
        return f"{_shown(other, types)}, or null"
    if is_dataclass(hint) or is_typeddict(hint):
        types[hint.__name__] = hint
        return f"[{hint.__name__}](#{hint.__name__.lower()})"
    return _NAMES.get(hint, "string")  # keys, addresses and prefixes
