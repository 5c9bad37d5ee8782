"""Windows are split into slices."""

import numpy as np
import pytest

from manymill import Dataset
from manymill.data.reader import read, windows
from manymill.linear.row_stream import SLICE_BYTES, WindowRows, all_rows
from manymill.linear.state import ClassIndex, ClassWeights

TEXTS = [f"text {i} " * (1 + i % 9) for i in range(400)]
LABELS = ["ab"[i % 4 == 0] for i in range(400)]
INDEX = ClassIndex(["a", "b"])


def batches(weights=None, texts=TEXTS, labels=LABELS):
    return list(read(Dataset.from_memory(texts, labels, weights).plan(block_bytes=2000), keyed=True))


def window_rows(**more):
    return WindowRows(next(windows(batches(**more), window_bytes=10**9, seed=0, pass_number=0)), INDEX)


def texts_of(part):
    """The texts of a slice."""
    found = []
    for chunk, row in zip(part.chunk_of, part.row_of, strict=True):
        data, offsets = part.documents[chunk]
        found.append(data[offsets[row] : offsets[row + 1]].tobytes().decode())
    return found


def everything(rows):
    return np.ones(len(rows.classes), np.bool_)


def test_every_chosen_row_is_in_one_slice_with_its_class_and_weight():
    weights = np.arange(400, dtype=np.float32)
    rows = window_rows(weights=weights)
    found = [
        (text, int(code), float(weight))
        for part in rows.slices(everything(rows))
        for text, code, weight in zip(texts_of(part), part.classes, part.weights, strict=True)
    ]
    assert len(batches()) > 1
    assert sorted(found) == sorted(zip(TEXTS, ["ab".index(label) for label in LABELS], weights, strict=True))


def test_slices_are_about_as_long_as_they_should_be():
    texts = ["x" * 10_000] * 1000
    rows = window_rows(texts=texts, labels=["a", "b"] * 500)
    sizes = [sum(map(len, texts_of(part))) for part in rows.slices(everything(rows))]
    assert sum(sizes) == 10**7
    assert max(sizes) <= SLICE_BYTES + 10_000


def test_no_row_chosen_is_no_slice():
    assert list(window_rows().slices(np.zeros(400, np.bool_))) == []


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_about_the_share_is_held_out(share):
    assert window_rows().held_out(share).mean() == pytest.approx(share, abs=0.08)


def test_equal_texts_are_held_out_together_whatever_their_order():
    rows = window_rows(texts=TEXTS[:40] * 10, labels=LABELS)
    held = rows.held_out(0.3)
    inside = {text for part in rows.slices(held) for text in texts_of(part)}
    outside = {text for part in rows.slices(~held) for text in texts_of(part)}
    assert inside
    assert not inside & outside


def test_what_is_held_out_at_a_small_share_is_held_out_at_a_larger_one():
    rows = window_rows()
    assert (rows.held_out(0.2) >= rows.held_out(0.1)).all()


def test_weights_of_classes_multiply_those_of_rows():
    rows = window_rows(weights=np.full(400, 2.0))
    rows.apply_class_weights(ClassWeights({"b": 3.0}), INDEX, everything(rows), count=True)
    for part in rows.slices(everything(rows)):
        assert part.weights.tolist() == np.where(part.classes == 1, 6.0, 2.0).tolist()


def test_without_weights_there_are_none():
    rows = window_rows()
    rows.apply_class_weights(ClassWeights(None), INDEX, everything(rows), count=True)
    assert all(part.weights is None for part in rows.slices(everything(rows)))


def test_a_whole_batch_keeps_its_order_and_without_an_index_knows_no_class():
    batch = batches()[0]
    assert texts_of(all_rows(batch, INDEX)) == batch.texts()
    assert set(all_rows(batch, None).classes.tolist()) == {-1}
