"""Shared arrays load to the same values, and nothing is written twice."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from manymill.engine.array_store import ArrayStore
from manymill.engine.base import Engine
from manymill.engine.shared_arrays import mapped_array, share, worth_sharing, writable
from manymill.engine.threads import ThreadEngine
from manymill.errors import EngineError

LARGE = np.arange(300_000.0).reshape(300, 1000)
DTYPES = st.sampled_from([bool, "i1", "<i4", ">u4", "<i8", "<f4", ">f4", "<f8"])
ARRAYS = hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))


class Elsewhere(Engine):
    """Workers that nothing is asked of."""

    def submit(self, function, /, *arguments, key=None):
        raise AssertionError

    def _end(self, cancel):
        pass


@pytest.fixture(params=["the store", "the spool"])
def engine(request, tmp_path):
    with Elsewhere(1, tmp_path / "spool") as engine:
        if request.param == "the store":
            engine.store = ArrayStore(tmp_path / "store")
        yield engine


@pytest.fixture
def stored(tmp_path):
    with Elsewhere(1) as engine:
        engine.store = ArrayStore(tmp_path / "store")
        yield engine


def loaded(shared):
    return pickle.loads(pickle.dumps(shared)).load()


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), ARRAYS, max_size=4), st.booleans())
def test_what_is_shared_is_loaded_to_the_same_values_and_order(tmp_path_factory, arrays, transpose):
    given_ = {name: array.T if transpose else array for name, array in arrays.items()}
    with (
        Elsewhere(1) as engine,
        share(engine, given_, store=ArrayStore(tmp_path_factory.mktemp("s"))) as shared,
    ):
        for name, array in loaded(shared).items():
            np.testing.assert_array_equal(array, given_[name])
            assert (array.dtype, array.shape) == (given_[name].dtype.newbyteorder("="), given_[name].shape)
            assert array.flags.f_contiguous >= given_[name].flags.f_contiguous
            assert not array.flags.writeable
        assert set(shared.load()) == set(given_)


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_matrix", "csr_array", "csc_array"])
def test_sparse_matrices_come_back_as_views(engine, kind):
    matrix = getattr(sparse, kind)(np.eye(5)[[0, 3, 3, 1]])
    got = loaded(share(engine, {"X": matrix}))["X"]
    assert type(got) is type(matrix)
    assert (got.toarray() == matrix.toarray()).all()
    assert not got.data.flags.owndata


def test_indices_without_order_are_sorted_before_they_are_shared(engine):
    matrix = sparse.csr_matrix((np.array([1.0, 2.0]), np.array([4, 1]), np.array([0, 2])), shape=(1, 5))
    got = loaded(share(engine, {"X": matrix}))["X"]
    assert got.indices.tolist() == [1, 4]
    assert (got.toarray() == matrix.toarray()).all()


def test_a_large_array_is_found_again_whatever_it_is_shared_with(stored):
    first = share(stored, {"X": LARGE, "y": np.zeros(300)})
    second = share(stored, {"data": LARGE, "y": np.ones(300)})
    assert first.bytes_written > LARGE.nbytes
    assert 0 < second.bytes_written < 10_000
    assert share(stored, {"X": LARGE, "y": np.zeros(300)}).bytes_written == 0
    assert stored.bytes_out == first.bytes_written + second.bytes_written


def test_another_engine_finds_what_one_before_it_wrote(stored, tmp_path):
    share(stored, {"X": LARGE, "y": np.zeros(300)}).close()
    stored.close()
    with Elsewhere(1) as other:
        assert share(other, {"X": LARGE, "y": np.zeros(300)}, store=stored.store).bytes_written == 0


def test_threads_have_the_arrays_themselves_and_nothing_is_written(tmp_path):
    with ThreadEngine(1) as engine:
        shared = share(engine, {"X": LARGE}, store=ArrayStore(tmp_path / "store"))
        assert shared.load()["X"] is LARGE
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_map_of_a_file_stays_where_it_is(engine, tmp_path, order):
    np.save(tmp_path / "X.npy", np.asarray(LARGE, order=order))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    part = mapped[100:] if order == "C" else mapped[:, 100:]
    shared = share(engine, {"X": part})
    got = loaded(shared)["X"]
    assert shared.bytes_written == 0
    assert (got == part).all()
    assert (got.flags.c_contiguous, got.flags.f_contiguous) == (order == "C", order == "F")


def test_a_file_that_was_changed_is_refused(engine, tmp_path):
    np.save(tmp_path / "X.npy", LARGE)
    shared = share(engine, {"X": np.load(tmp_path / "X.npy", mmap_mode="r")})
    with open(tmp_path / "X.npy", "ab") as file:
        file.write(b"more")
    with pytest.raises(EngineError, match=r"X\.npy was changed"):
        shared.load()


def test_a_file_that_is_gone_is_told(engine, tmp_path):
    np.save(tmp_path / "X.npy", LARGE)
    shared = share(engine, {"X": np.load(tmp_path / "X.npy", mmap_mode="r")})
    (tmp_path / "X.npy").unlink()
    with pytest.raises(EngineError, match=r"X\.npy cannot be read on this worker"):
        shared.load()


def test_what_was_written_to_a_copy_on_write_map_is_shared_too(engine, tmp_path):
    np.save(tmp_path / "X.npy", LARGE)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="c")
    mapped[0] = -1
    assert (loaded(share(engine, {"X": mapped}))["X"][0] == -1).all()


def test_an_array_of_the_store_is_held_when_it_is_shared_again(stored):
    first = share(stored, {"X": LARGE})
    again = share(stored, {"X": first.load()["X"]})
    first.close()
    ArrayStore(stored.store.folder, limit=0).put([{"X": -LARGE}]).close()
    assert again.bytes_written == 0
    assert (loaded(again)["X"] == LARGE).all()


def test_closing_lets_go(stored):
    with share(stored, {"X": LARGE}):
        assert list(stored.store.folder.glob("*/in-use-*"))
    assert not list(stored.store.folder.glob("*/in-use-*"))


def test_only_numbers_are_worth_sharing():
    assert worth_sharing(LARGE)
    assert not worth_sharing(np.full(10_000, "word"))
    assert not worth_sharing(LARGE[0, :3])


def test_a_writable_view_of_a_map_copies_nothing_and_leaves_the_file(tmp_path):
    np.save(tmp_path / "X.npy", np.asfortranarray(LARGE))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    view = writable(mapped)
    view[0, 0] = 7
    assert mapped[0, 0] == 0
    assert view.flags.f_contiguous
    assert mapped_array(view) is None
