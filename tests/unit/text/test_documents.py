"""Arrow columns of text are read without a copy."""

import numpy as np
import pyarrow as pa
import pytest

from manymill._core import Hasher, MatrixBuilder, TextColumn, TextSource
from manymill.errors import RowError, SchemaError
from manymill.text.documents import text_columns

TEXTS = ["one two", "", "ünïcödé 你好 and more than twelve bytes", "four", "four"]
KINDS = [pa.string(), pa.large_string(), pa.string_view()]
DICTIONARY = pa.dictionary(pa.int8(), pa.string())


def hashed(source):
    builder = MatrixBuilder(
        Hasher(), 1000, alternate_sign=True, binary=False, norm=None, dtype="float64", n_threads=1
    )
    builder.work(source)
    return [array.tolist() for array in builder.finish()]


def of_strings(texts):
    return hashed(TextSource.of_items(texts, str))


def of_columns(array):
    return hashed(TextSource.of_columns(text_columns(array)))


def as_kind(texts, kind):
    return pa.array(texts, type=kind)


@pytest.mark.parametrize("kind", [*KINDS, DICTIONARY], ids=str)
def test_every_kind_of_text_column_is_read(kind):
    assert of_columns(as_kind(TEXTS, kind)) == of_strings(TEXTS)


@pytest.mark.parametrize("kind", [*KINDS, DICTIONARY], ids=str)
def test_slices_and_chunks_keep_their_place(kind):
    whole = as_kind(TEXTS, kind)
    column = pa.chunked_array([whole[1:3], whole[3:3], whole[3:]])
    assert [len(chunk) for chunk in text_columns(column)] == [2, 0, 2]
    assert of_columns(column) == of_strings(TEXTS[1:])


class Json(pa.ExtensionType):
    def __init__(self):
        super().__init__(pa.string(), "manymill.tests.json")

    def __arrow_ext_serialize__(self):
        return b""


def test_columns_of_extension_types_are_those_of_their_storage():
    texts = ["{}", '{"one": 2}']
    assert of_columns(pa.ExtensionArray.from_storage(Json(), pa.array(texts))) == of_strings(texts)


@pytest.mark.parametrize("kind", [pa.string(), pa.string_view(), DICTIONARY], ids=str)
def test_a_null_is_an_error_that_names_its_position(kind):
    column = pa.chunked_array([as_kind(texts, kind) for texts in (["one", "two"], ["three", None])])
    with pytest.raises(RowError, match="document 3 is null"):
        text_columns(column)


def test_a_dictionary_may_hold_a_null_that_no_document_has():
    words = pa.array(["one", None, "two"])
    assert of_columns(pa.DictionaryArray.from_arrays([2, 0], words)) == of_strings(["two", "one"])
    with pytest.raises(RowError, match="document 1 is null"):
        text_columns(pa.DictionaryArray.from_arrays([2, 1], words))


@pytest.mark.parametrize(
    "column", [pa.array([1, 2]), pa.array([["a"]]), pa.array([True]), pa.array([1])[:0], pa.array([b"a"])]
)
def test_a_column_that_is_no_text_is_an_error(column):
    with pytest.raises(SchemaError, match="not string"):
        text_columns(column)


@pytest.mark.parametrize(
    "column",
    [
        TextColumn.with_offsets(np.zeros(3, np.uint8), np.array([0, 4], np.int32)),
        TextColumn.with_offsets(np.zeros(3, np.uint8), np.array([2, 1], np.int64)),
        TextColumn.of_views(np.array([13, 0, 1, 0], np.int32).view(np.uint8), [np.zeros(9, np.uint8)]),
        TextColumn.with_offsets(np.zeros(3, np.uint8), np.zeros(2, np.int32)).taken(np.ones(1, np.uint32)),
    ],
)
def test_columns_that_point_outside_of_their_memory_are_refused(column):
    with pytest.raises(ValueError, match="document 0"):
        hashed(TextSource.of_columns([column]))


def test_text_that_is_no_utf_8_is_an_error_that_names_the_document():
    broken = pa.Array.from_buffers(pa.string(), 2, pa.array([b"two", b"thr\xff"]).buffers())
    column = pa.chunked_array([pa.array(["one"]), broken])
    with pytest.raises(ValueError, match="document 2 is not UTF-8 at its byte 3"):
        of_columns(column)
