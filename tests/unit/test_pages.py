"""What the pages of the clone show and refer to is true."""

import re
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[2]
_FOUND = re.findall(r"```python\n(.*?)```", (PAGES / "README.md").read_text(), re.DOTALL)
# What needs a peer is run by tests/integration/test_tunnel.py.
EXAMPLES = [example for example in _FOUND if "wgpy.Tunnel(" not in example]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.splitlines()[0])
def test_an_example_runs(example: str) -> None:
    exec(compile(example, "README.md", "exec"), {})


def test_the_configuration_example_prints_the_line_and_a_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = (example for example in EXAMPLES if "ConfigError" in example)

    exec(compile(example, "README.md", "exec"), {})

    assert capsys.readouterr().out.startswith("wg0.conf, line 2: ")


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.name)
def test_every_link_to_a_file_of_the_clone_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text())

    assert not [link for link in links if not (PAGES / link).exists()]


def test_every_stop_of_the_drawings_is_a_file_that_is_there() -> None:
    text = (PAGES / "ARCHITECTURE.md").read_text()
    drawings = "".join(re.findall(r"```\n(.*?)```", text, re.DOTALL))
    stops = re.findall(r"wgpy/[\w/]+\.py", drawings)

    assert len(stops) > 20
    assert not [stop for stop in stops if not (PAGES / stop).is_file()]
