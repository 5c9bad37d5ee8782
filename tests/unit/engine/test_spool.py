import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load_file

from manymill.engine.spool import Spool, local_ref
from manymill.errors import EngineError

DTYPES = st.sampled_from([bool, "i1", "u1", "<i2", ">u2", "<i4", ">u4", "<i8", "<u8", "<f4", ">f4", "<f8"])
ARRAYS = hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), ARRAYS, max_size=4))
def test_what_is_published_is_loaded_to_the_same_values_by_us_and_by_safetensors(arrays) -> None:
    spool = Spool()
    try:
        ref, n_bytes = spool.publish(arrays)
        loaded, foreign = pickle.loads(pickle.dumps(ref)).load(), load_file(ref.path)
        assert Path(ref.path).stat().st_size == n_bytes
        assert set(loaded) == set(foreign) == set(arrays)
        for name, array in arrays.items():
            for other in (loaded[name], foreign[name]):
                np.testing.assert_array_equal(other, array, strict=False)
                assert (other.shape, other.dtype) == (array.shape, array.dtype.newbyteorder("="))
            assert loaded[name].flags.aligned
            assert not loaded[name].flags.writeable
    finally:
        spool.close()


def test_equal_arrays_are_one_file_and_others_another(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    first, written = spool.publish({"a": np.arange(4), "b": np.ones(2)})
    again, nothing = spool.publish({"b": np.ones(2), "a": np.arange(8)[::2] // 2})
    other, _ = spool.publish({"a": np.arange(4), "b": np.zeros(2)})
    assert (again, nothing) == (first, 0)
    assert written > 0
    assert other.digest != first.digest
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2


def test_what_is_withdrawn_is_gone_from_the_disk_and_can_be_published_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    ref, written = spool.publish({"a": np.arange(4)})
    held = ref.load()["a"]
    spool.withdraw(ref)
    assert not list(tmp_path.rglob("*.safetensors"))
    assert held.tolist() == [0, 1, 2, 3]
    assert spool.publish({"a": np.arange(4)}) == (ref, written)


def test_what_a_killed_driver_left_is_removed_and_what_a_living_one_has_is_not(tmp_path: Path) -> None:
    script = (
        "import os, sys, numpy as np\n"
        "from manymill.engine.spool import Spool\n"
        "Spool(sys.argv[1]).publish({'a': np.arange(5)})\n"
        "os._exit(9)\n"
    )
    living = Spool(tmp_path)
    kept, _ = living.publish({"a": np.arange(4)})
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)]).returncode == 9
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2
    other, _ = Spool(tmp_path).publish({"a": np.arange(4)})
    assert sorted(map(str, tmp_path.rglob("*.safetensors"))) == sorted([kept.path, other.path])
    living.close()
    assert not Path(kept.path).parent.exists()


def test_objects_are_refused() -> None:
    with pytest.raises(EngineError, match="'a' of dtype object"):
        Spool().publish({"a": np.array([None])})


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EngineError, match="cannot be published in"):
        Spool(tmp_path / "file").publish({"a": np.arange(4)})


def test_shared_arrays_are_the_same_memory_but_read_only() -> None:
    array = np.arange(4)
    loaded = local_ref({"a": array}).load()["a"]
    assert np.shares_memory(loaded, array)
    assert array.flags.writeable
    assert not loaded.flags.writeable
