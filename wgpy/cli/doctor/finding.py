"""What a check finds, and the report of all of them. A subject gives findings; this module shows them."""

import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from wgpy.cli.colours import Colour, paint
from wgpy.cli.documents import Check, Doctor
from wgpy.cli.mesh.output import report

_WRONG: Final = 1  # exit status


class Verdict(Enum):
    """unknown: this host does not tell, or has nothing to check."""

    GOOD = "good"
    WRONG = "wrong"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """Of one setting. check: its name; found: what it is, a phrase; remedy: what to do, "" for nothing."""

    check: str
    verdict: Verdict
    found: str
    remedy: str = ""


def good(check: str, found: str) -> Finding:
    return Finding(check, Verdict.GOOD, found)


def wrong(check: str, found: str, remedy: str) -> Finding:
    return Finding(check, Verdict.WRONG, found, remedy)


def unknown(check: str, found: str) -> Finding:
    return Finding(check, Verdict.UNKNOWN, found)


def show(arguments: Namespace, network: str, interface: str, findings: Sequence[Finding]) -> None:
    """Print them, what is wrong first, and exit with 1 if anything is. network, interface: examined."""
    document: Doctor = {
        "network": network,
        "interface": interface,
        "findings": list(map(_document, findings)),
    }
    report(arguments, document, "\n".join(_lines(findings)))
    if any(finding.verdict is Verdict.WRONG for finding in findings):
        sys.stdout.flush()
        sys.exit(_WRONG)


def _document(finding: Finding) -> Check:
    return {
        "check": finding.check,
        "verdict": finding.verdict.value,
        "found": finding.found,
        "remedy": finding.remedy,
    }


_COLOURS: Final = {
    Verdict.WRONG: Colour.BAD,
    Verdict.UNKNOWN: Colour.NOTICE,
    Verdict.GOOD: Colour.GOOD,
}


def _lines(findings: Iterable[Finding]) -> Iterator[str]:
    order = list(_COLOURS)
    for finding in sorted(findings, key=lambda one: order.index(one.verdict)):
        word = paint(f"{finding.verdict.value:<7}", _COLOURS[finding.verdict])
        yield f"{word}  {finding.check}: {finding.found}"
        if finding.remedy:
            yield f"         {finding.remedy}"
