"""The logger that imports `logging` when something is written."""

import logging
import subprocess
import sys

import pytest

from wgpy.lazy_log import LazyLog


def test_logging_is_imported_for_the_first_warning_and_is_configured_before() -> None:
    program = (
        "import sys\nfrom wgpy.lazy_log import LOG\n"
        "def configure():\n    import logging\n    logging.basicConfig(format='<%(message)s>')\n"
        "LOG.configure_later(configure)\nLOG.info('nobody asked')\n"
        "print('logging' in sys.modules)\nLOG.warning('now %d', 1)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert (ran.stdout, ran.stderr) == ("False\n", "<now 1>\n")


def test_what_is_configured_after_the_beginning_is_configured_at_once_and_each_once() -> None:
    log, done = LazyLog(), list[str]()
    log.configure_later(lambda: done.append("first"))
    log.configure_later(lambda: done.append("second"))
    assert done == []

    log.begin()
    log.begin()
    log.configure_later(lambda: done.append("third"))

    assert done == ["first", "second", "third"]


def test_each_level_reaches_the_logger(caplog: pytest.LogCaptureFixture) -> None:
    log = LazyLog()
    with caplog.at_level(logging.DEBUG, logger="wgpy"):
        log.debug("%s", "a")
        log.info("b")
        log.warning("c")
        log.error("d", exc_info=ValueError("why"))
        try:
            raise ValueError("what")
        except ValueError:
            log.exception("e")

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("DEBUG", "a"), ("INFO", "b"), ("WARNING", "c"), ("ERROR", "d"), ("ERROR", "e"),
    ]  # fmt: skip
    assert all(record.exc_info for record in caplog.records[3:])
