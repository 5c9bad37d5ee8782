"""The array store: arrays are found again complete or not at all, within the limit of the disk."""

import gc
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manymill import PartitionedForestClassifier
from manymill.engine.array_store import ArrayStore
from manymill.errors import EngineError

ONE, TWO, THREE = ({"a": np.full(1000, value)} for value in (1.0, 2.0, 3.0))
FILE_BYTES = 8000 + 128
ENTRY_BYTES = FILE_BYTES + 500  # with what is written about it

DRIVER = """
import sys
import numpy as np
from manymill.engine.array_store import ArrayStore
from manymill.storage.tensors import ArrayFile

hold = ArrayStore(sys.argv[1]).put([{"a": np.full(1000, 1.0)}])
def write_half(file, partial, target, **_):
    partial.write_bytes(bytes(4000))
    print("writing", flush=True)
    sys.stdin.read()
if sys.argv[2] == "writing":
    ArrayFile.write = write_half
    ArrayStore(sys.argv[1]).put([{"a": np.full(1000, 2.0)}])
print("holding", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def store(tmp_path):
    return ArrayStore(tmp_path / "store", limit=1 << 20)


@pytest.fixture
def driver(store):
    started = []

    def start(until):
        process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(store.folder), until],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout.readline().strip() == until.encode()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def names(store, pattern="*"):
    return sorted(path.name for path in store.folder.glob(pattern) if path.name != "lock")


def test_the_same_arrays_are_written_once_whoever_holds_them(store):
    first, again = store.put([ONE, TWO]), ArrayStore(store.folder).put([TWO])
    assert (first.bytes_written, again.bytes_written) == (2 * FILE_BYTES, 0)
    assert again.refs == first.refs[1:]
    assert (again.refs[0].load()["a"] == 2).all()


def test_what_was_let_go_of_is_found_the_next_time(store):
    store.put([ONE]).close()
    assert store.put([ONE]).bytes_written == 0


def test_a_hold_that_nobody_has_any_more_is_closed(store):
    hold = store.put([ONE])
    assert list(store.folder.glob("*/in-use-*"))
    name = hold.refs[0].digest
    del hold
    gc.collect()
    assert names(store) == [name]
    assert names(store, "*/*") == ["about.json", "arrays.safetensors"]


def test_what_was_used_the_longest_ago_goes_first_and_what_is_held_stays(store):
    small = ArrayStore(store.folder, limit=2 * ENTRY_BYTES)
    held = small.put([ONE])
    small.put([TWO]).close()
    small.put([THREE]).close()
    assert small.put([ONE, THREE]).bytes_written == 0
    assert small.put([TWO]).bytes_written == FILE_BYTES
    assert (held.refs[0].load()["a"] == 1).all()


def test_what_is_larger_than_the_limit_is_there_until_it_is_let_go_of(store):
    tiny = ArrayStore(store.folder, limit=10)
    hold = tiny.put([ONE, TWO])
    assert [ref.load()["a"][0] for ref in hold.refs] == [1, 2]
    hold.close()
    assert names(store) == []


@given(st.integers(0, FILE_BYTES - 1))
def test_a_file_that_was_cut_off_is_found_and_written_again(tmp_path_factory, length):
    store = ArrayStore(tmp_path_factory.mktemp("store"))
    hold = store.put([ONE])
    os.truncate(hold.refs[0].path, length)
    with pytest.raises(EngineError, match="are damaged"):
        hold.refs[0].load()
    again = store.put([ONE])
    assert again.bytes_written == FILE_BYTES
    assert (again.refs[0].load()["a"] == 1).all()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 8 * FILE_BYTES - 1))
def test_a_wrong_bit_is_found_and_the_file_written_again(tmp_path_factory, caplog, bit):
    store = ArrayStore(tmp_path_factory.mktemp("store"))
    hold = store.put([ONE])
    data = bytearray(Path(hold.refs[0].path).read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    Path(hold.refs[0].path).write_bytes(data)
    caplog.clear()
    again = store.put([ONE])
    assert "does not match its checksum" in caplog.text
    assert again.bytes_written == FILE_BYTES
    assert again.refs[0].load()["a"].tobytes() == ONE["a"].tobytes()
    # Who has the file from before finds the new one.
    assert hold.refs[0].load()["a"].tobytes() == ONE["a"].tobytes()


def test_a_forest_over_arrays_of_which_a_part_was_zeroed_is_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("MANYMILL_STORE", str(tmp_path / "store"))
    X = np.random.default_rng(0).normal(size=(3000, 20))
    y = (X[:, 0] > 0).astype(int)

    def predictions():
        forest = PartitionedForestClassifier(n_estimators=5, random_state=0, engine="processes:1")
        return forest.fit(X, y).predict_proba(X).tobytes()

    expected = predictions()
    largest = max((tmp_path / "store").glob("*/arrays.safetensors"), key=lambda path: path.stat().st_size)
    with open(largest, "r+b") as file:
        file.seek(200_000)
        file.write(bytes(40_000))
    assert predictions() == expected


def test_a_header_of_somebody_else_is_written_over(store):
    hold = store.put([ONE])
    Path(hold.refs[0].path).write_bytes(bytes(FILE_BYTES))
    assert store.put([ONE]).bytes_written == FILE_BYTES


def test_a_driver_killed_while_it_writes_leaves_nothing_that_is_taken_for_whole(store, driver):
    process = driver("writing")
    assert len(names(store, "*.partial")) == 1
    process.send_signal(signal.SIGKILL)
    process.wait()
    hold = store.put([ONE])
    assert hold.bytes_written == 0
    hold.close()
    assert names(store) == [hold.refs[0].digest]
    assert store.put([TWO]).bytes_written == FILE_BYTES


def test_what_another_process_holds_is_not_removed_until_it_ends(store, driver):
    process, tiny = driver("holding"), ArrayStore(store.folder, limit=0)
    tiny.put([TWO]).close()
    assert len(names(store)) == 1
    process.kill()
    process.wait()
    tiny.put([TWO]).close()
    assert names(store) == []


def test_what_a_living_driver_writes_is_left_alone(store, driver):
    driver("writing")
    store.put([TWO]).close()
    assert len(names(store, "*.partial")) == 1


def test_many_at_once_with_little_room_find_what_they_hold(store):
    def hold_and_look(seed):
        small, random = ArrayStore(store.folder, limit=3 * ENTRY_BYTES), np.random.default_rng(seed)
        for value in random.integers(0, 6, 25):
            hold = small.put([{"a": np.full(1000, float(value))}])
            assert (hold.refs[0].load()["a"] == value).all()
            hold.close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(hold_and_look, range(4)))
    store.put([ONE]).close()
    assert not names(store, "*/in-use-*")
    assert not names(store, "*.partial")


def test_the_folder_is_the_users_alone(store):
    store.put([ONE]).close()
    assert store.folder.stat().st_mode & 0o777 == 0o700
    store.folder.chmod(0o777)
    with pytest.raises(EngineError, match="that only this user can write to"):
        store.put([ONE])


def test_a_link_is_not_followed(store, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    store.folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EngineError, match="that only this user can write to"):
        store.put([ONE])


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(EngineError, match="MANYMILL_STORE"):
        ArrayStore(tmp_path / "file" / "store").put([ONE])


def test_the_environment_names_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MANYMILL_STORE", str(tmp_path / "named"))
    assert ArrayStore().folder == tmp_path / "named"
    monkeypatch.delenv("MANYMILL_STORE")
    monkeypatch.setenv("MANYMILL_CACHE", str(tmp_path / "cache"))
    assert ArrayStore().folder == tmp_path / "cache" / "shared-arrays"
    monkeypatch.delenv("MANYMILL_CACHE")
    assert ArrayStore().folder.name.startswith("manymill-arrays-")


def test_another_user_who_takes_the_name_first_keeps_nobody_from_working(tmp_path):
    store = ArrayStore(parent=tmp_path)
    taken = store.folder
    taken.mkdir(mode=0o777)
    taken.chmod(0o777)
    hold = store.put([ONE])
    assert Path(hold.refs[0].path).parent.parent != taken
    assert ArrayStore(parent=tmp_path).put([ONE]).bytes_written == 0
    assert not list(taken.iterdir())
