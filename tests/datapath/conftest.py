"""This folder is one suite for every kind of data path: its tests use the interface and nothing else."""

import pytest

from tests.datapath.kinds import DATA_PATHS, DataPathUnderTest, MakeDataPath, with_session
from tests.datapath.remote import Remote


@pytest.fixture(params=DATA_PATHS)
def datapath(request: pytest.FixtureRequest) -> MakeDataPath:
    """Makes data paths of one kind."""
    return DATA_PATHS[request.param]


@pytest.fixture
def remote() -> Remote:
    """The peer's side of the one session of `path`."""
    return Remote()


@pytest.fixture
def path(datapath: MakeDataPath, remote: Remote) -> DataPathUnderTest:
    """A data path with one peer and one session."""
    return with_session(datapath, remote)
