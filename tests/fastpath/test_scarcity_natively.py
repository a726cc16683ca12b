"""What cannot be had (memory, a lock, a descriptor) is reported, and nothing is left of what was begun."""

from pathlib import Path

from tests.fastpath.natively import FASTPATH, SANITIZERS, build, needs, run

CHECK = Path(__file__).with_name("scarcity_check.c")
SOURCES = [FASTPATH.parent / "_fastpath.c", *sorted(FASTPATH.glob("*.c"))]
SCARCE = (
    "malloc",
    "calloc",
    "realloc",
    "aligned_alloc",
    "pthread_mutex_init",
    "eventfd",
    "timerfd_create",
    "epoll_create1",
)
OPTIONS = ["-pthread", *(f"-Wl,--wrap={name}" for name in SCARCE)]


@needs("clang")
def test_whatever_is_refused_is_reported_and_nothing_is_left_behind(tmp_path: Path) -> None:
    result = run(build("clang", CHECK, SOURCES, tmp_path, *OPTIONS, *SANITIZERS))

    assert result.returncode == 0, result.stdout + result.stderr
    assert "refusals" in result.stdout
