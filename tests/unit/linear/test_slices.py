import numpy as np
import pytest

from manymill import Dataset
from manymill.data.reader import read, windows
from manymill.linear.row_stream import SLICE_BYTES, Rows, whole
from manymill.linear.state import ClassIndex, ClassWeights

TEXTS = [f"text {i} " * (1 + i % 9) for i in range(400)]
LABELS = ["ab"[i % 4 == 0] for i in range(400)]
INDEX = ClassIndex(["a", "b"])


def batches(weights=None, texts=TEXTS, labels=LABELS):
    return list(read(Dataset.from_memory(texts, labels, weights).plan(block_bytes=2000), keyed=True))


def rows(**more):
    return Rows(next(windows(batches(**more), window_bytes=10**9, seed=0, pass_number=0)), INDEX)


def texts_of(part):
    """The texts of a slice."""
    found = []
    for chunk, row in zip(part.chunk_of, part.row_of, strict=True):
        data, offsets = part.documents[chunk]
        found.append(data[offsets[row] : offsets[row + 1]].tobytes().decode())
    return found


def everything(all_rows):
    return np.ones(len(all_rows.classes), np.bool_)


def test_every_chosen_row_is_in_one_slice_with_its_class_and_weight():
    weights = np.arange(400, dtype=np.float32)
    all_rows = rows(weights=weights)
    found = [
        (text, int(code), float(weight))
        for part in all_rows.slices(everything(all_rows))
        for text, code, weight in zip(texts_of(part), part.classes, part.weights, strict=True)
    ]
    assert len(batches()) > 1
    assert sorted(found) == sorted(zip(TEXTS, ["ab".index(label) for label in LABELS], weights, strict=True))


def test_slices_are_about_as_long_as_they_should_be():
    texts = ["x" * 10_000] * 1000
    all_rows = rows(texts=texts, labels=["a", "b"] * 500)
    sizes = [sum(map(len, texts_of(part))) for part in all_rows.slices(everything(all_rows))]
    assert sum(sizes) == 10**7
    assert max(sizes) <= SLICE_BYTES + 10_000


def test_no_row_chosen_is_no_slice():
    assert list(rows().slices(np.zeros(400, np.bool_))) == []


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_about_the_share_is_held_out(share):
    assert rows().held_out(share).mean() == pytest.approx(share, abs=0.08)


def test_equal_texts_are_held_out_together_whatever_their_order():
    all_rows = rows(texts=TEXTS[:40] * 10, labels=LABELS)
    held = all_rows.held_out(0.3)
    inside = {text for part in all_rows.slices(held) for text in texts_of(part)}
    outside = {text for part in all_rows.slices(~held) for text in texts_of(part)}
    assert inside
    assert not inside & outside


def test_what_is_held_out_at_a_small_share_is_held_out_at_a_larger_one():
    all_rows = rows()
    assert (all_rows.held_out(0.2) >= all_rows.held_out(0.1)).all()


def test_weights_of_classes_multiply_those_of_rows():
    all_rows = rows(weights=np.full(400, 2.0))
    all_rows.weigh(ClassWeights({"b": 3.0}), INDEX, everything(all_rows), count=True)
    for part in all_rows.slices(everything(all_rows)):
        assert part.weights.tolist() == np.where(part.classes == 1, 6.0, 2.0).tolist()


def test_without_weights_there_are_none():
    all_rows = rows()
    all_rows.weigh(ClassWeights(None), INDEX, everything(all_rows), count=True)
    assert all(part.weights is None for part in all_rows.slices(everything(all_rows)))


def test_a_whole_batch_keeps_its_order_and_without_an_index_knows_no_class():
    batch = batches()[0]
    assert texts_of(whole(batch, INDEX)) == batch.texts()
    assert set(whole(batch, None).classes.tolist()) == {-1}
