"""The form of what `--json` prints: one object, with the version of its fields."""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final

VERSION: Final = 1  # to be raised when a field goes, or comes to mean something else; not when one is added


def text(document: Mapping[str, Any]) -> str:
    """Return a document as it is printed. Values of dataclasses are objects, keys and addresses strings."""
    return json.dumps({"version": VERSION, **document}, indent=2, default=_plain)


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return str(value)
