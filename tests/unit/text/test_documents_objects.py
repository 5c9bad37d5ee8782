"""Documents as Python objects."""

import pyarrow as pa
import pytest

from manymill.errors import RowError
from manymill.text.documents import iterate_documents


@pytest.mark.parametrize("documents", [["a", "b"], [b"a", b"b"]])
def test_arrow_columns_become_python_objects(documents):
    assert list(iterate_documents(pa.array(documents))) == documents
    assert list(iterate_documents(pa.chunked_array([[item] for item in documents]))) == documents


def test_a_null_is_an_error_when_it_is_met():
    documents = iter(iterate_documents(pa.array(["a", None])))
    assert next(documents) == "a"
    with pytest.raises(RowError, match="document 1 is null"):
        next(documents)


@pytest.mark.parametrize("X", [["a"], ("a",), iter("a")], ids=type)
def test_what_is_an_iterable_of_objects_stays_as_it_is(X):
    assert iterate_documents(X) is X
