"""Arrow columns of text in the layout of the core."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from manymill.errors import RowError, SchemaError
from manymill.text.documents import arrow_documents

TEXTS = ["one two", "", "ünïcödé 你好", "four"]


def read(documents):
    return [bytes(data[a:b]).decode() for data, offsets in documents for a, b in pairwise(offsets)]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())], ids=str
)
def test_every_kind_of_text_column_is_read(kind):
    assert read(arrow_documents(pa.array(TEXTS).cast(kind))) == TEXTS


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()], ids=str)
def test_bytes_are_taken_as_they_are(kind):
    assert read(arrow_documents(pa.array([text.encode() for text in TEXTS]).cast(kind))) == TEXTS


def test_slices_and_chunks_keep_their_place():
    column = pa.chunked_array(
        [pa.array(TEXTS)[1:3], pa.array(TEXTS, pa.string())[3:], pa.array([], pa.string())]
    )
    documents = arrow_documents(column)
    assert [len(offsets) - 1 for _, offsets in documents] == [2, 1, 0]
    assert read(documents) == TEXTS[1:]


def test_text_is_not_copied():
    column = pa.array(TEXTS)
    (data, offsets), *_ = arrow_documents(column)
    assert (data.dtype, offsets.dtype) == (np.uint8, np.int64)
    assert data.ctypes.data == column.buffers()[2].address


def test_a_null_is_an_error_that_names_its_position():
    column = pa.chunked_array([["one", "two"], ["three", None]])
    with pytest.raises(RowError, match="document 3 is null"):
        arrow_documents(column)


@pytest.mark.parametrize("column", [pa.array(["one", None]), pa.array(["one", None]).cast(pa.string_view())])
def test_a_null_is_the_document_given_for_it(column):
    assert read(arrow_documents(column, null="")) == ["one", ""]


def test_a_column_of_nulls_alone_is_a_column_of_that_document():
    assert read(arrow_documents(pa.nulls(2), null="none")) == ["none", "none"]


@pytest.mark.parametrize("column", [pa.array([1, 2]), pa.array([["a"]]), pa.array([True])])
def test_a_column_that_is_no_text_is_an_error(column):
    with pytest.raises(SchemaError, match="not text"):
        arrow_documents(column)
