import copy
import pickle

import pytest

from manymill import errors

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.ManymillError)
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("again", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy])
def test_an_error_survives_the_way_between_processes(kind, again) -> None:
    error = kind("The file is gone", "bring it back")
    error.add_note("while reading")
    back = again(error)
    assert type(back) is kind
    assert (str(back), back.what, back.hint) == (str(error), "The file is gone", "bring it back")
    assert back.__notes__ == ["while reading"]
