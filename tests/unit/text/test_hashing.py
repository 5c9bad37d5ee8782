"""Any number of batches gives one matrix."""

from weakref import WeakSet

import numpy as np
import pytest
from tests.reference.outcome import bits

from manymill._core import HashedBatch
from manymill.text import hashing
from manymill.text.hashing import MatrixParameters

HASHES = np.random.default_rng(0).integers(0, 2**32, 300, dtype=np.uint32)
ENDS = np.array([0, 100, 100, 140, 300])


def batch(first, last):
    return HashedBatch.from_arrays(HASHES[ENDS[first] : ENDS[last]], ENDS[first : last + 1] - ENDS[first])


def values(**kwargs):
    usual = {
        "n_features": 50,
        "alternate_sign": True,
        "binary": False,
        "norm": "l2",
        "dtype": np.dtype(float),
    }
    return MatrixParameters(**{**usual, **kwargs})


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.int8])
@pytest.mark.parametrize("norm", ["l1", None])
def test_parts_give_the_matrix_of_the_whole(dtype, norm):
    to = values(dtype=np.dtype(dtype), norm=norm)
    parts = to.matrix(to.arrays([batch(0, 1), batch(1, 2), batch(2, 4)]))
    assert bits(parts) == bits(to.matrix(to.arrays([batch(0, 4)])))
    assert parts.has_canonical_format


def test_of_no_batch_there_is_no_row():
    data, indices, indptr = values(dtype=np.dtype(np.float32)).arrays([])
    assert (data.tolist(), indices.tolist(), indptr.tolist()) == ([], [], [0])
    assert (data.dtype, indices.dtype, indptr.dtype) == (np.float32, np.int32, np.int32)


class Traced:
    """A batch of which can be told whether it is still there."""

    def __init__(self, alive):
        self.inner = batch(0, 4)
        alive.add(self)

    def __getattr__(self, name):
        return getattr(self.inner, name)


def test_a_batch_is_gone_before_the_next_is_made():
    alive, counts = WeakSet(), []

    def batches():
        for _ in range(3):
            counts.append(len(alive))
            yield Traced(alive)

    assert len(values().arrays(batches())[-1]) == 13
    assert counts == [0, 0, 0]


def test_more_tokens_than_32_bits_count_make_64_bit_indices(monkeypatch):
    monkeypatch.setattr(hashing, "_LARGEST_INT32", 299)
    stacked = values().matrix(values().arrays([batch(0, 2), batch(2, 4)]))
    assert (stacked.indices.dtype, stacked.indptr.dtype) == (np.int64, np.int64)
    monkeypatch.setattr(hashing, "_LARGEST_INT32", 300)
    assert values().arrays([batch(0, 2), batch(2, 4)])[1].dtype == np.int32


def test_small_integers_wrap_around_as_they_do_in_scipy():
    many = HashedBatch.from_arrays(np.full(200, 5, np.uint32), np.array([0, 200]))
    for norm, value in [(None, 200 - 256), ("l1", -1.0)]:
        to = values(dtype=np.dtype(np.int8), norm=norm)
        assert to.matrix(to.arrays([many])).data.tolist() == [value]


@pytest.mark.parametrize(
    ("dtype", "alternate_sign", "supported"),
    [
        ("f8", True, True),
        ("f4", False, True),
        ("i2", True, True),
        ("u4", True, False),
        ("u4", False, True),
        ("f2", False, False),
        (">f8", False, False),
        ("c16", False, False),
        ("?", False, False),
    ],
)
def test_types_whose_sums_are_exact_are_supported(dtype, alternate_sign, supported):
    assert MatrixParameters.supports(np.dtype(dtype), alternate_sign=alternate_sign) == supported
