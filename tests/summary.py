"""`python tests/summary.py STEPS REPORT...`: the last lines of `./run test`, from what pytest reported.

STEPS names the steps that failed ("; ruff; mypy"); one of them without a failed test counts as one. Reports
are JUnit XML; what again-*.xml say of a test that failed holds.
"""

import re
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

AGAIN = "again-"


def outcomes(report: Path) -> dict[str, str]:
    """Each test of a report: passed, failed or skipped; once, also if it failed and could not end either."""
    found: dict[str, str] = {}
    for case in ET.parse(report).getroot().iter("testcase"):
        kinds = {child.tag for child in case}
        group = r"@[^]@]*$"  # which pytest-xdist puts behind the names
        name = re.sub(group, "", f"{case.get('classname')}::{case.get('name')}")
        outcome = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        found[name] = "failed" if found.get(name) == "failed" else outcome
    return found


def main() -> None:
    steps = sys.argv[1].count(";")
    reports = {Path(path).name: outcomes(Path(path)) for path in sys.argv[2:] if Path(path).exists()}
    again: dict[str, str] = {}
    for name in [name for name in reports if name.startswith(AGAIN)]:
        again |= reports.pop(name)
    recovered = [name for name, outcome in again.items() if outcome == "passed"]
    final: list[str] = []
    failing_reports = 0
    for report in reports.values():
        ends = [
            again.get(name, outcome) if outcome == "failed" else outcome for name, outcome in report.items()
        ]
        failing_reports += "failed" in ends
        final += ends
    for name in recovered:
        print(f"FAILED BESIDE OTHER TESTS, AND PASSED ALONE: {name}")
    failed = final.count("failed") + max(0, steps - failing_reports)
    print(f"{final.count('passed')} passed, {failed} failed, {final.count('skipped')} skipped")


if __name__ == "__main__":
    main()
