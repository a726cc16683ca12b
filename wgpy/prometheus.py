"""Metrics in Prometheus' text format, version 0.0.4."""

from collections.abc import Iterable, Mapping
from math import isinf
from typing import Final

from wgpy.contract.lazy_dataclass import dataclass

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_LABEL_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_HELP_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})


@dataclass(frozen=True, slots=True)
class Sample:
    """One value. labels: by which samples of a family differ; suffix: of the name, for example `_bucket`."""

    value: float
    labels: Mapping[str, str] | None = None
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """All values of one name. kind: counter, gauge or histogram; help: a sentence."""

    name: str
    kind: str
    help: str
    samples: tuple[Sample, ...]


def exposition(families: Iterable[Family]) -> bytes:
    """Return what Prometheus reads."""
    return "".join(line + "\n" for family in families for line in _lines(family)).encode()


def _lines(family: Family) -> Iterable[str]:
    yield f"# HELP {family.name} {family.help.translate(_HELP_ESCAPES)}"
    yield f"# TYPE {family.name} {family.kind}"
    for sample in family.samples:
        yield f"{family.name}{sample.suffix}{_labels(sample.labels or {})} {_number(sample.value)}"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    pairs = (f'{name}="{value.translate(_LABEL_ESCAPES)}"' for name, value in labels.items())
    return "{" + ",".join(pairs) + "}"


def _number(value: float) -> str:
    """A whole number keeps all its digits."""
    return f"{value:+}".title() if isinf(value) else str(value)
