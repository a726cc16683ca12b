"""What all tests share: their marks, Hypothesis' profiles, and the seed of this run."""

import os
import random
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# A deadline per example fails on busy machines and says nothing about the code.
settings.register_profile("default", deadline=None, print_blob=True)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# Whoever started this, as nohup or a shell in its background, may have had signals ignored. So would programs
# that tests start, which are to end by them.
for _number, _handler in (
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGQUIT, signal.SIG_DFL),
    (signal.SIGINT, signal.default_int_handler),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)

_NOT_COVERED = [Path(__file__).parent / name for name in ("mesh", "dns")]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--seed",
        type=int,
        help="repeat a run whose `seed` this was; without it every run draws a new one",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "no_cover: pytest-cov does not measure this test, if it is there")
    # Workers of pytest-xdist get the options of their controller, and so its seed.
    if config.option.seed is None:
        config.option.seed = random.SystemRandom().randrange(2**32)


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed: {config.option.seed} (repeat with --seed {config.option.seed})"


@pytest.hookimpl(trylast=True)  # Hypothesis marks its own before
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("root") and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root"))
        # What a random test reaches is no coverage to rely on, and to measure it takes as long as the test.
        # What the mesh's tests reach of engine and data path, others test.
        is_random = item.get_closest_marker("hypothesis") or "seed" in getattr(item, "fixturenames", ())
        if is_random or any(item.path.is_relative_to(folder) for folder in _NOT_COVERED):
            item.add_marker("no_cover")


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A number for this run's randomness, the same in all its tests; printed in the header and on failure."""
    value: int = request.config.option.seed
    print(f"seed: {value}")  # pytest shows it with a failing test
    return value
