"""What all tests have in common: arrays that outlive engines are kept where the tests' own files are."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def store_of_the_tests(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MANYMILL_STORE", str(tmp_path_factory.mktemp("arrays")))
        yield
