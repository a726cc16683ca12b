"""The table of attacks on a coordinator in SECURITY.md is what the benchmark prints."""

import re
from pathlib import Path

from benchmarks.mesh.attackers import ATTACKS
from benchmarks.mesh.attacks import HEADS

SECURITY = Path(__file__).parents[2] / "SECURITY.md"


def table() -> list[list[str]]:
    """Return the cells of the table, its head first."""
    chapter = SECURITY.read_text().partition("## Attacks on a coordinator\n")[2].partition("\n## ")[0]
    return [line[2:-2].split(" | ") for line in re.findall(r"^\| .* \|$", chapter, re.MULTILINE)]


def test_the_page_has_the_heads_and_the_attacks_of_the_benchmark() -> None:
    head, *rows = table()

    assert head == list(HEADS)
    assert [row[0] for row in rows] == list(ATTACKS)
    assert {len(row) for row in rows} == {len(HEADS)}
