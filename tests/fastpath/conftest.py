"""The parts are compiled once a session."""

import shutil

import pytest

from tests.fastpath.parts import Parts


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler here")
    return Parts(tmp_path_factory.mktemp("parts"))
