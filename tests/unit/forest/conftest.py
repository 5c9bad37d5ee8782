"""Workers that the tests of forests share, because starting them takes longer than most tests."""

import pytest

from manymill.engine.selection import as_engine


@pytest.fixture(scope="session")
def processes():
    with as_engine("processes:2") as engine:
        yield engine
