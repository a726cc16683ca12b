"""The whole data path with its threads, and nothing of Python around it: for sanitizers to watch."""

from pathlib import Path

import pytest

from tests.fastpath.natively import FASTPATH, SANITIZERS, build, needs, run

HERE = Path(__file__).parent
CHECK = HERE / "threads_check.c"
SOURCES = [HERE / "pair.c", HERE / "flows.c", FASTPATH.parent / "_fastpath.c", *sorted(FASTPATH.glob("*.c"))]
COUNTED = "malloc", "calloc", "realloc", "aligned_alloc", "mmap"
OPTIONS = ["-pthread", *(f"-Wl,--wrap={name}" for name in COUNTED)]

RECORDS = "2000"  # of each of 16 flows, in each half
FEW = "200"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("cc", CHECK, SOURCES, tmp_path_factory.mktemp("plain"), *OPTIONS, "-O1")


@needs("cc")
def test_packets_arrive_whole_and_in_order_and_nothing_is_allocated_for_them(plain: Path) -> None:
    result = run(plain, RECORDS)

    assert result.returncode == 0, result.stdout + result.stderr
    assert "32000 records arrived" in result.stdout
    assert " 0 allocations" in result.stdout


@needs("cc")
@pytest.mark.parametrize(
    ("fault", "complaint"),
    [("allocate", "nothing is allocated for a packet"), ("disorder", "the order of a flow is kept")],
)
def test_what_is_wrong_would_be_seen(plain: Path, fault: str, complaint: str) -> None:
    result = run(plain, RECORDS, fault)  # in fewer, some event may not happen

    assert result.returncode == 1
    assert complaint in result.stderr


@needs("cc", "valgrind")
def test_nothing_depends_on_what_was_never_written(plain: Path) -> None:
    result = run("valgrind", "-q", "--error-exitcode=1", "--fair-sched=yes", plain, FEW)

    assert result.returncode == 0, result.stdout + result.stderr


@needs("clang")
def test_no_two_threads_race_and_if_they_did_it_would_be_seen(tmp_path: Path) -> None:
    program = build("clang", CHECK, SOURCES, tmp_path, *OPTIONS, "-O1", "-fsanitize=thread")

    result = run(program, RECORDS)
    with_race = run(program, FEW, "race")

    assert result.returncode == 0, result.stdout + result.stderr
    assert with_race.returncode != 0
    assert "data race" in with_race.stderr


@needs("clang")
def test_no_sanitizer_complains_and_of_a_leak_it_would(tmp_path: Path) -> None:
    program = build("clang", CHECK, SOURCES, tmp_path, *OPTIONS, *SANITIZERS)

    result = run(program, RECORDS)
    with_leak = run(program, FEW, "leak")

    assert result.returncode == 0, result.stdout + result.stderr
    assert with_leak.returncode != 0
    assert "detected memory leaks" in with_leak.stderr
