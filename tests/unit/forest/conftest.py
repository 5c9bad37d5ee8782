"""Workers that the tests of forests share: starting them costs more than most of what they do here."""

import pytest

from manymill.engine.selection import as_engine


@pytest.fixture(scope="session")
def processes():
    with as_engine("processes:2") as engine:
        yield engine
