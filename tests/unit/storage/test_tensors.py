"""Arrays on disk are read back unchanged, and other bytes are refused."""

import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from safetensors.numpy import load_file

from manymill.errors import EngineError
from manymill.storage.tensors import arrays_in, lay_out, mapped, read_arrays, write_arrays

DTYPES = [
    "bool",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float32",
    "float64",
]
ARRAYS = st.dictionaries(
    st.text(max_size=4),
    arrays_of.arrays(st.sampled_from(DTYPES), arrays_of.array_shapes(min_dims=0, min_side=0, max_side=3)),
    max_size=4,
)


def bytes_of(arrays, folder):
    file = lay_out(arrays)
    file.write(folder / "partial", folder / "target")
    return (folder / "target").read_bytes()


def as_array(data):
    return np.frombuffer(data, np.uint8)


@given(ARRAYS)
def test_arrays_are_read_back_as_they_were(arrays):
    file = lay_out(arrays)
    data = b"".join([file._header, *(array.tobytes() for array in file._arrays.values())])
    read = arrays_in(as_array(data))
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)
        assert (read[name].dtype, read[name].shape) == (array.dtype.newbyteorder("<"), array.shape)
        assert read[name].flags.aligned


def test_what_is_written_is_what_the_library_reads(tmp_path):
    arrays = {"a": np.arange(6, dtype=np.int32).reshape(2, 3), "b": np.float64([1.5])}
    write_arrays(tmp_path / "a.safetensors", arrays)
    read = load_file(tmp_path / "a.safetensors")
    assert all((read[name] == array).all() for name, array in arrays.items())


@given(st.data())
def test_a_file_that_was_changed_is_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("arrays") / "a.safetensors"
    checksum = write_arrays(path, {"a": np.arange(5, dtype=np.int32), "b": np.ones((2, 2))})
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.safetensors does not match its checksum"):
        read_arrays(path, checksum)
    try:  # without the checksum a number may differ, and nothing else
        arrays = arrays_in(as_array(bytes(content)))
    except ValueError:
        return
    assert {(array.dtype.name, array.shape) for array in arrays.values()} <= {
        ("int32", (5,)), ("uint32", (5,)), ("float32", (5,)),
        ("float64", (2, 2)), ("int64", (2, 2)), ("uint64", (2, 2)),
    }  # fmt: skip


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "header",
    [
        [], 5, None, "a", {"a": 1}, {"a": {}},
        {"a": {**ENTRY, "dtype": "F99"}}, {"a": {**ENTRY, "dtype": []}},
        {"a": {**ENTRY, "shape": [-2]}}, {"a": {**ENTRY, "shape": ["2"]}}, {"a": {**ENTRY, "shape": 2}},
        {"a": {**ENTRY, "shape": [2**62, 8]}}, {"a": {**ENTRY, "shape": [10**30]}},
        {"a": {**ENTRY, "data_offsets": [8, 0]}}, {"a": {**ENTRY, "data_offsets": [0, 4]}},
        {"a": {**ENTRY, "more": 1}}, {"a": ENTRY, "b": ENTRY}, {"__metadata__": {"x": "y"}, "a": ENTRY},
    ],
    ids=str,
)  # fmt: skip
def test_a_header_that_lies_is_refused(header):
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % 64)
    with pytest.raises(ValueError, match=r"header|short|bytes too many"):
        arrays_in(as_array(len(text).to_bytes(8, "little") + text + bytes(8)))


@pytest.mark.parametrize("data", [b"", b"\0" * 8, b"\xff" * 100, b"\x10" + b"\0" * 7], ids=repr)
def test_what_is_no_file_of_arrays_is_refused(data):
    with pytest.raises(ValueError, match="header"):
        arrays_in(as_array(data))


def test_arrays_that_are_not_aligned_are_refused():
    from manymill.storage.tensors import header_of

    header = header_of({"a": ("uint8", [1]), "b": ("float64", [1])})
    with pytest.raises(ValueError, match="gaps"):
        arrays_in(as_array(header + bytes(9)))


def test_a_cut_file_is_not_mapped(tmp_path):
    data = bytes_of({"a": np.arange(100)}, tmp_path)
    (tmp_path / "target").write_bytes(data[:-1])
    with pytest.raises(EngineError, match="target is not the file of arrays"):
        mapped(str(tmp_path / "target"))


def test_a_link_is_not_read(tmp_path):
    checksum = write_arrays(tmp_path / "a.safetensors", {"a": np.arange(3)})
    (tmp_path / "b.safetensors").symlink_to(tmp_path / "a.safetensors")
    with pytest.raises(OSError, match=r".+"):
        read_arrays(tmp_path / "b.safetensors", checksum)


def test_a_file_that_has_its_name_is_on_the_disk(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *given, real=real, name=name: (calls.append(name), real(*given))[1]
        )
    lay_out({"a": np.arange(3)}).write(tmp_path / "partial", tmp_path / "target")
    assert calls == ["fsync", "replace", "fsync"]
