"""What all tests have in common: what outlives engines and searches is kept where the tests' own files are."""

import pytest
from hypothesis import settings

# On a machine that is shared an example may take any time.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session", autouse=True)
def store_of_the_tests(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MANYMILL_STORE", str(tmp_path_factory.mktemp("arrays")))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
