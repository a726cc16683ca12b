"""What iproute2's `ip` answers, and why it refuses. ip(8)"""

import json
import re
from typing import Any


def read_answer(stdout: str) -> list[Any]:
    """Return what `ip -json` found; an empty list if that is nothing."""
    answer = json.loads(stdout or "[]")
    return answer if isinstance(answer, list) else []


def read_failures(stderr: str) -> dict[int, str]:
    """Return which lines of `ip -batch -` failed, by index, and why; with -force there may be several."""
    failures: dict[int, str] = {}
    said: list[str] = []
    for line in stderr.splitlines():
        if found := re.fullmatch(r"Command failed -:(\d+)\s*", line):
            failures[int(found[1]) - 1] = read_reason("\n".join(said))
            said = []
        else:
            said.append(line)
    return failures


def read_reason(stderr: str) -> str:
    """Return the first line of what a tool complained."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return (
        lines[0].removeprefix("Error: ").removeprefix("RTNETLINK answers: ").rstrip(".")
        if lines
        else "no reason given"
    )
