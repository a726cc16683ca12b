#!/bin/sh
# pytest 8.4.2, pytest-xdist 3.8.0 (PyPI), 2026-11-29.
#
# With `--dist loadgroup` xdist appends "@GROUP" to the names of grouped tests, and pytest keeps these names as the
# failures to repeat. A later `--last-failed` without xdist knows no such test: of a failed and a passed one it runs both, or, with
# `--last-failed-no-failures none` and more failures beside, it silently leaves the grouped one out. A second judgement
# of failures then calls green what it never ran.
#
# Seen:
#   kept: test_a.py::test_grouped@ring, test_a.py::test_plain
#   run again: test_plain
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" -q install --disable-pip-version-check pytest==8.4.2 pytest-xdist==3.8.0
cd "$place"
cat > test_a.py << 'PYTHON'
import pytest

@pytest.mark.xdist_group("ring")
def test_grouped():
    assert False

def test_plain():
    assert False
PYTHON
venv/bin/python -m pytest -q -n 1 --dist loadgroup > first.log 2>&1 || true
kept=$(venv/bin/python -c 'import json; print(", ".join(sorted(json.load(open(".pytest_cache/v/cache/lastfailed")))))')
again=$(venv/bin/python -m pytest -q -rA --last-failed 2>&1 | grep -o '^FAILED test_a.py::[a-z_]*' | sed 's/.*:://' | tr '\n' ' ' | sed 's/ $//' || true)
seen="kept: $kept
run again: $again"
echo "$seen"
[ "$seen" = 'kept: test_a.py::test_grouped@ring, test_a.py::test_plain
run again: test_plain' ]
