"""The compiled hasher: hashes, hostile arrays, rows."""

import numpy as np
import pytest
from tests.reference.tokens import learner_row, token_hashes

from manymill._core import HashedBatch, Hasher, Rows

WORDS = ["the", "cat", "sat", "on", "mat"]
# The unsigned hash of each word modulo 2**20, published with the notebooks of the 2013 talk.
MODULO_2_20 = [761698, 300839, 122804, 735689, 122997]
HASH_OF_CAT = 1751422759


def arrow(*texts):
    encoded = [text.encode() for text in texts]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    return np.frombuffer(b"".join(encoded), np.uint8), offsets


def picked(*rows, chunk=0):
    return np.full(len(rows), chunk, np.uint32), np.array(rows, np.uint32)


def test_the_hash_of_cat_is_the_published_one():
    assert Hasher().hash_strings(["cat"]).hashes().tolist() == [HASH_OF_CAT]


def test_cat_is_column_9_of_10_and_sat_column_0():
    rows = Hasher().hash_strings(["cat", "sat"]).to_rows(10, value="count", norm=None)
    assert rows.arrays()[1].tolist() == [9, 0]


def test_the_words_of_the_talk_have_their_published_hashes():
    assert (Hasher().hash_strings(WORDS).hashes() % 2**20).tolist() == MODULO_2_20


def test_hashes_stand_in_order_of_appearance():
    text = "to be or not to be"
    assert Hasher().hash_strings([text]).hashes().tolist() == token_hashes(text)


def test_documents_are_read_in_the_order_picked():
    chunks = [arrow("first one", "second"), arrow("third")]
    batch = Hasher().hash_utf8(chunks, np.array([1, 0, 0], np.uint32), np.array([0, 1, 0], np.uint32))
    assert (
        batch.hashes().tolist() == Hasher().hash_strings(["third", "second", "first one"]).hashes().tolist()
    )


def test_offsets_need_not_start_at_0():
    data, offsets = arrow("skipped", "kept here", "skipped")
    assert len(Hasher().hash_utf8([(data, offsets[1:3])], *picked(0)).hashes()) == 2


@pytest.mark.parametrize("offsets", [[0, 9], [-1, 2], [2, 1], [0, 2**62], [-(2**63), 2**63 - 1]])
def test_offsets_outside_of_the_data_are_an_error(offsets):
    data = np.frombuffer(b"ab cd", np.uint8)
    with pytest.raises(ValueError, match="document 0"):
        Hasher().hash_utf8([(data, np.array(offsets, np.int64))], *picked(0))


@pytest.mark.parametrize(("chunk", "row"), [(0, 1), (1, 0), (0, 2**32 - 1), (2**32 - 1, 0)])
def test_a_row_that_does_not_exist_is_an_error(chunk, row):
    with pytest.raises(ValueError, match="does not exist"):
        Hasher().hash_utf8([arrow("text")], *picked(row, chunk=chunk))


def test_offsets_without_any_document_have_no_row():
    empty = np.empty(0, np.uint8), np.empty(0, np.int64)
    with pytest.raises(ValueError, match="does not exist"):
        Hasher().hash_utf8([empty], *picked(0))


@pytest.mark.parametrize("broken", [b"\xff", b"ab\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80"])
def test_bytes_that_are_not_utf8_are_an_error_that_names_the_place(broken):
    data = np.frombuffer(b"fine " + broken, np.uint8)
    with pytest.raises(ValueError, match=r"document 0 is not UTF-8 at its byte [57]"):
        Hasher().hash_utf8([(data, np.array([0, len(data)]))], *picked(0))


def test_a_character_cut_by_an_offset_is_an_error():
    data, _ = arrow("é")
    with pytest.raises(ValueError, match="not UTF-8"):
        Hasher().hash_utf8([(data, np.array([0, 1]))], *picked(0))


def test_broken_text_that_is_not_picked_does_no_harm():
    data = np.frombuffer(b"\xff\xfeword", np.uint8)
    assert len(Hasher().hash_utf8([(data, np.array([0, 2, 6]))], *picked(1)).hashes()) == 1


def test_lists_of_different_length_are_an_error():
    with pytest.raises(ValueError, match="chunk_of has 1 items and row_of has 2"):
        Hasher().hash_utf8([arrow("text")], np.zeros(1, np.uint32), np.zeros(2, np.uint32))


def test_an_item_that_is_no_string_is_named_by_its_position():
    with pytest.raises(TypeError, match="document 1 is no str"):
        Hasher().hash_strings(["text", 7])


def test_lone_surrogates_separate_words():
    assert Hasher().hash_strings(["ab\ud800cd"]).hashes().tolist() == token_hashes("ab cd")


@pytest.mark.parametrize("ngram_range", [(0, 1), (2, 1), (0, 0)])
def test_an_ngram_range_without_sense_is_an_error(ngram_range):
    with pytest.raises(ValueError, match="ngram_range must be"):
        Hasher(ngram_range=ngram_range)


def test_an_ngram_longer_than_the_text_is_no_token():
    assert len(Hasher(ngram_range=(5, 10**9)).hash_strings(["one two three"]).hashes()) == 0


def test_a_batch_survives_its_arrays():
    batch = Hasher().hash_strings(["one two", "", "three"])
    again = HashedBatch.from_arrays(batch.hashes(), batch.indptr())
    assert again.indptr().tolist() == [0, 2, 2, 3]
    assert again.hashes().tobytes() == batch.hashes().tobytes()


@pytest.mark.parametrize("indptr", [[], [1], [0, 1], [0, 3], [0, 2, 1, 2], [-1, 2], [0, -1, 2]])
def test_row_pointers_that_do_not_ascend_to_the_end_are_an_error(indptr):
    with pytest.raises(ValueError, match="indptr"):
        HashedBatch.from_arrays(np.zeros(2, np.uint32), np.array(indptr, np.int64))


@pytest.mark.parametrize("n_features", [0, 2**31 + 1])
def test_columns_outside_of_1_to_2_to_the_31_are_an_error(n_features):
    with pytest.raises(ValueError, match="n_features must be 1 to"):
        Hasher().hash_strings(["text"]).to_rows(n_features, value="count", norm=None)


def test_the_least_hash_is_a_column_like_any_other():
    batch = HashedBatch.from_arrays(np.array([2**31], np.uint32), np.array([0, 1]))
    data, indices, _ = batch.to_csr(1000, alternate_sign=True, binary=False, norm=None, dtype="float64")
    assert (data.tolist(), indices.tolist()) == ([-1.0], [2**31 % 1000])


@pytest.mark.parametrize("value", ["count", "log", "binary"])
@pytest.mark.parametrize("norm", ["l1", "l2", None])
def test_rows_for_the_learner_are_those_of_the_slow_twin(value, norm):
    text = "the cat and the dog and the mat " * 3 + "ein Überraschungsei für Ähnliche"
    rows = Hasher(ngram_range=(1, 2)).hash_strings([text, ""]).to_rows(50, value=value, norm=norm)
    indptr, indices, values = rows.arrays()
    expected = learner_row(token_hashes(text, (1, 2)), 50, value, norm)
    assert (indices.tolist(), indptr.tolist()) == (list(expected), [0, len(expected), len(expected)])
    np.testing.assert_allclose(values, list(expected.values()), rtol=3e-7)


def test_rows_survive_their_arrays_and_know_their_size():
    rows = Hasher().hash_strings(["one two", "three"]).to_rows(2**20, value="log", norm="l2")
    again = Rows.from_arrays(*rows.arrays())
    assert len(again) == 2
    assert again.nbytes == rows.nbytes == 3 * 8 + 3 * 8


@pytest.mark.parametrize(
    ("indptr", "indices", "n_values"),
    [([0, 1], [1, 2], 2), ([0, 2], [2, 1], 2), ([0, 2], [1, 1], 2), ([0, 2], [1, 2], 1), ([], [], 0)],
)
def test_rows_that_do_not_fit_together_are_an_error(indptr, indices, n_values):
    arrays = np.array(indptr, np.int64), np.array(indices, np.uint32), np.zeros(n_values, np.float32)
    with pytest.raises(ValueError, match=r"indptr|indices"):
        Rows.from_arrays(*arrays)


@pytest.mark.parametrize("value", ["count", "log", "binary"])
@pytest.mark.parametrize("norm", ["l1", "l2", None])
def test_rows_made_at_once_are_those_made_by_way_of_a_hashed_batch(value, norm):
    chunks = [arrow("one two one", "", "ΟΔΟΣ über " * 90), arrow("three " * 300 + "four")]
    chunk_of, row_of = np.array([1, 0, 0, 0], np.uint32), np.array([0, 2, 1, 0], np.uint32)
    hasher = Hasher(ngram_range=(1, 2))
    at_once = hasher.rows_utf8(chunks, chunk_of, row_of, 1000, value=value, norm=norm)
    two_steps = hasher.hash_utf8(chunks, chunk_of, row_of).to_rows(1000, value=value, norm=norm)
    for ours, theirs in zip(at_once.arrays(), two_steps.arrays(), strict=True):
        assert ours.tobytes() == theirs.tobytes()


def test_rows_made_at_once_refuse_what_the_two_steps_refuse():
    broken = (np.frombuffer(b"a\xff", np.uint8), np.array([0, 2]))
    with pytest.raises(ValueError, match="document 0 is not UTF-8"):
        Hasher().rows_utf8([broken], *picked(0), 1000, value="log", norm=None)
    with pytest.raises(ValueError, match="n_features"):
        Hasher().rows_utf8([arrow("text")], *picked(0), 0, value="log", norm=None)
