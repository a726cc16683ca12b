"""What the pages of the clone show and refer to is true."""

import re
from ipaddress import ip_address
from operator import attrgetter
from pathlib import Path

import pytest

import wgpy
from wgpy.kubernetes.corefile import stub

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


@pytest.mark.parametrize(
    "name", ["fetch_page", "list_peers", "watch_handshakes", "socketpair", "ping_by_engine"]
)
def test_the_page_of_the_library_shows_examples_as_they_are(name: str) -> None:
    """What each does is for the tests of tunnels and of `wgpy.open_device`."""
    shown = re.findall(r"```python\n(.*?)```", (PAGES / "LIBRARY.md").read_text(), re.DOTALL)

    assert (PAGES / "examples" / f"{name}.py").read_text() in shown


@pytest.mark.parametrize(
    ("name", "lines"),
    [("fetch_page", 10), ("list_peers", 5), ("watch_handshakes", 5), ("ping_by_engine", 30)],
)
def test_an_example_is_short(name: str, lines: int) -> None:
    assert len((PAGES / "examples" / f"{name}.py").read_text().splitlines()) <= lines


def test_every_public_name_that_the_page_of_the_library_tells_is_there() -> None:
    names = set(re.findall(r"`wgpy\.((?:\w+\.)*\w+)", (PAGES / "LIBRARY.md").read_text()))

    assert len(names) > 10
    for name in names:
        attrgetter(name)(wgpy)


@pytest.mark.parametrize("page", [*sorted(PAGES.glob("*.md")), *sorted(PAGES.glob("docs/**/*.md"))], ids=str)
def test_every_link_to_a_file_of_the_clone_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text())

    assert not [link for link in links if not (page.parent / link).exists()]


def test_the_page_of_kubernetes_shows_the_block_for_coredns_as_it_is_written() -> None:
    block = stub("prod.mesh", [ip_address("100.80.3.4"), ip_address("100.80.3.5")])

    assert f"\n```\n{block}```\n" in (PAGES / "KUBERNETES.md").read_text()


@pytest.mark.parametrize("folder", ["tests/integration", "tests/kubernetes"])
def test_the_page_of_tests_names_every_file_that_they_share(folder: str) -> None:
    page = (PAGES / folder / "README.md").read_text()
    files = {file.name for file in (PAGES / folder).glob("*.py") if not file.name.startswith("test_")}
    shared = files - {"__init__.py", "conftest.py"}

    assert len(shared) > 10
    assert not [name for name in sorted(shared) if f"`{name}`" not in page]


def test_every_stop_of_the_drawings_is_a_file_that_is_there() -> None:
    text = (PAGES / "ARCHITECTURE.md").read_text()
    drawings = "".join(re.findall(r"```\n(.*?)```", text, re.DOTALL))
    stops = re.findall(r"wgpy/[\w/]+\.py", drawings)

    assert len(stops) > 20
    assert not [stop for stop in stops if not (PAGES / stop).is_file()]
