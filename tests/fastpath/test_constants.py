"""What is a constant in Python and in C is the same number.

A name that a header of C gives to an enumerator or a macro, and wgpy/contract to a number, is of one thing.
"""

import re
from itertools import chain

import pytest

from tests.fastpath.natively import FASTPATH, build, needs, run
from wgpy.contract import constants, messages

PYTHON = {
    name: value
    for name, value in chain(vars(constants).items(), vars(messages).items())
    if name.isupper() and isinstance(value, int)
}
HEADERS = {path.name: path.read_text() for path in sorted(FASTPATH.glob("*.h"))}
DEFINITION = re.compile(r"^(?:#define|enum \{|) *([A-Z][A-Z0-9_]+)[ ,]", re.MULTILINE)
SHARED = {
    name: header for header, text in HEADERS.items() for name in DEFINITION.findall(text) if name in PYTHON
}


def test_what_both_languages_name_is_found() -> None:
    assert {"MAX_FOREIGN", "TYPE_COOKIE_REPLY", "REJECT_AFTER_MESSAGES", "MAX_PEERS"} <= SHARED.keys()


@pytest.fixture(scope="module")
def in_c(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """As the compiler sees them."""
    place = tmp_path_factory.mktemp("constants")
    program = place / "constants.c"
    includes = "".join(f'#include "{header}"\n' for header in ["system.h", *sorted(set(SHARED.values()))])
    lines = "".join(f'printf("{name} %llu\\n", (unsigned long long){name});\n' for name in SHARED)
    program.write_text(f"{includes}#include <stdio.h>\nint main(void)\n{{\n{lines}}}\n")
    printed = run(build("cc", program, [], place)).stdout
    return {name: int(value) for name, value in map(str.split, printed.splitlines())}


@needs("cc")
@pytest.mark.parametrize("name", SHARED)
def test_a_constant_is_the_same_in_both_languages(name: str, in_c: dict[str, int]) -> None:
    assert in_c[name] == PYTHON[name]
