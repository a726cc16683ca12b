"""The last lines of `./run test`."""

import subprocess
import sys
from pathlib import Path

SUMMARY = Path(__file__).parents[1] / "summary.py"

FAILURE, ERROR, SKIPPED = "<failure/>", "<error/>", "<skipped/>"


def report(folder: Path, name: str, **outcomes: str) -> Path:
    """What pytest reports of these tests: what stands within each one's element."""
    cases = "".join(
        f'<testcase classname="tests.a" name="{test}">{outcome}</testcase>'
        for test, outcome in outcomes.items()
    )
    path = folder / name
    path.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    return path


def summary(steps: str, *reports: Path) -> list[str]:
    run = subprocess.run(
        [sys.executable, SUMMARY, steps, *reports], text=True, capture_output=True, check=True
    )
    return run.stdout.splitlines()


def test_it_counts_the_tests_of_all_reports(tmp_path: Path) -> None:
    parts = report(tmp_path, "parts.xml", test_one="", test_two="", test_three=SKIPPED)
    newest = report(tmp_path, "newest.xml", test_one="", test_two=FAILURE)

    assert summary("; the newest Python", parts, newest) == ["3 passed, 1 failed, 1 skipped"]


def test_a_failed_step_without_a_failed_test_counts_as_one(tmp_path: Path) -> None:
    parts = report(tmp_path, "parts.xml", test_one="", test_two=ERROR)

    assert summary("; ruff; tests of the parts", parts) == ["1 passed, 2 failed, 0 skipped"]
    assert summary("; ruff", tmp_path / "*.xml") == ["0 passed, 1 failed, 0 skipped"]


def test_what_passed_alone_is_named_and_what_failed_again_or_was_not_repeated_failed(tmp_path: Path) -> None:
    waits = report(tmp_path, "waits.xml", test_one=FAILURE, test_two="")
    others = report(
        tmp_path,
        "integration.xml",
        **{"test_three[x@y]@a group, of x": ERROR},
        test_four=FAILURE,
        test_five=FAILURE,
    )
    parts = report(tmp_path, "parts.xml", test_six=FAILURE)
    again = report(
        tmp_path, "again-integration.xml", test_one="", **{"test_three[x@y]": ""}, test_four=FAILURE
    )
    again_parts = report(tmp_path, "again-parts.xml", test_six="")

    assert summary("; tests that failed, once more, alone", again, again_parts, others, parts, waits) == [
        "FAILED BESIDE OTHER TESTS, AND PASSED ALONE: tests.a::test_one",
        "FAILED BESIDE OTHER TESTS, AND PASSED ALONE: tests.a::test_three[x@y]",
        "FAILED BESIDE OTHER TESTS, AND PASSED ALONE: tests.a::test_six",
        "4 passed, 2 failed, 0 skipped",
    ]


def test_a_test_that_failed_and_could_not_end_either_counts_once(tmp_path: Path) -> None:
    path = report(tmp_path, "parts.xml", test_one=FAILURE)
    path.write_text(
        path.read_text().replace(
            "</testsuite>", '<testcase classname="tests.a" name="test_one"><error/></testcase></testsuite>', 1
        )
    )

    assert summary("; tests of the parts", path) == ["0 passed, 1 failed, 0 skipped"]
