"""Documents as objects of Python."""

import pyarrow as pa
import pytest

from manymill.errors import RowError
from manymill.text.documents import objects


@pytest.mark.parametrize("documents", [["a", "b"], [b"a", b"b"]])
def test_arrow_columns_become_python_objects(documents):
    assert list(objects(pa.array(documents))) == documents
    assert list(objects(pa.chunked_array([[item] for item in documents]))) == documents


def test_a_null_is_an_error_when_it_is_met():
    documents = iter(objects(pa.array(["a", None])))
    assert next(documents) == "a"
    with pytest.raises(RowError, match="document 1 is null"):
        next(documents)


@pytest.mark.parametrize("X", [["a"], ("a",), iter("a")], ids=type)
def test_what_is_an_iterable_of_objects_stays_as_it_is(X):
    assert objects(X) is X
