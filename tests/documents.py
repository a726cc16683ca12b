"""Whether what `--json` printed has the fields that `wgpy.cli.document_kinds` has for the command."""

import json
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, NotRequired, get_args, get_origin, get_type_hints, is_typeddict

from wgpy.cli.document_kinds import DOCUMENTS
from wgpy.node import document

_PLAIN: dict[Any, tuple[type, ...]] = {
    int: (int,),
    bool: (bool,),
    float: (int, float),
    NoneType: (NoneType,),
}


def checked(words: Sequence[str], said: str) -> Any:
    """Return the document that a command printed, without its version. words: of the command line."""
    found = json.loads(said)
    assert found.pop("version") == document.VERSION
    if troubles := list(differences(found, DOCUMENTS[name_of(words)], name_of(words))):
        raise AssertionError(troubles)
    return found


def name_of(words: Sequence[str]) -> str:
    """Return the name that a command line has in DOCUMENTS."""
    text = " ".join(words)
    matches = [name for name in DOCUMENTS if f"{text} ".startswith(f"{name.partition(' --')[0]} ")]
    of_option = [name for name in matches if " --" in name and f"--{name.partition(' --')[2]}" in words]
    return max(of_option or [name for name in matches if " --" not in name], key=len)


def differences(value: Any, kind: Any, where: str) -> list[str]:
    """Return where a value is not of a kind, as JSON has that."""
    if get_origin(kind) in (list, tuple) and isinstance(value, list):
        item = get_args(kind)[0]
        return [one for each in value for one in differences(each, item, f"{where}[]")]
    if get_origin(kind) is dict and isinstance(value, dict):
        item = get_args(kind)[1]
        return [one for name, each in value.items() for one in differences(each, item, f"{where}.{name}")]
    if kind is Any:
        return []
    if isinstance(kind, UnionType):
        found = [differences(value, one, where) for one in get_args(kind)]
        return [] if [] in found else found[0]
    if is_dataclass(kind) or is_typeddict(kind):
        return _differences_of_fields(value, kind, where)
    # Keys, addresses and prefixes are strings.
    return [] if type(value) in _PLAIN.get(kind, (str,)) else [f"{where} is {value!r}, and no {kind}"]


def _differences_of_fields(value: Any, kind: Any, where: str) -> list[str]:
    hints = get_type_hints(kind, include_extras=True)
    known = {one.name for one in fields(kind)} if is_dataclass(kind) else set(hints)
    needed = {name for name in known if get_origin(hints[name]) is not NotRequired}
    if not isinstance(value, dict) or not needed <= set(value) <= known:
        return [f"{where} is {value!r}, and not of {sorted(known)}"]
    kinds = get_type_hints(kind)
    return [one for name, each in value.items() for one in differences(each, kinds[name], f"{where}.{name}")]
