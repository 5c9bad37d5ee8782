"""Caches: an entry is complete or absent, whatever happens to its files or to its writers."""

import json
import os
import pickle
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manymill.storage.cache import Cache

NAME, OTHER = "a" * 32, "b" * 40 + "-words-1-2"
CONTENT = {"sizes": bytes(range(200)) * 50, "codes": b"\x01\x00" * 3000, "empty": b""}
FACTS = {"classes": ["ä", "\udcff", "[{"], "n_rows": 3}

# Writes, finds and trims in children that end, or whose calls fail, at the n-th call of the system's functions.
TORTURE = """
import errno, json, os, shutil, sys
from pathlib import Path
from manymill.storage.cache import Cache

folder, way = Path(sys.argv[1]), sys.argv[2]
CALLS = ["open", "write", "fsync", "rename", "replace", "unlink", "rmdir", "mkdir", "utime", "lstat", "stat", "close"]
DATA = [bytes([n]) * 3000 for n in range(4)]

def write(cache, n):
    found = cache.find(f"{n:032x}")
    if found is None:
        with cache.writing(f"{n:032x}") as writer:
            writer.append("data", memoryview(DATA[n]))
            writer.facts["n"] = n
        found = cache.find(f"{n:032x}")
    if found is not None:  # a call that failed may have kept it from being named
        assert found[1] == {"n": n}
        assert found[0].path("data").read_bytes() == DATA[n]

def work():
    cache = Cache("tests", folder, 10_000)
    for n in range(4):
        write(cache, n)
        cache.release()
    cache.close()

def child(at):
    count = 0
    def counted(function):
        def call(*arguments, **named):
            nonlocal count
            count += 1
            if count == at:
                if way == "kill":
                    os._exit(9)
                raise OSError(errno.ENOSPC, "No space left on device")
            return function(*arguments, **named)
        return call
    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))
    try:
        work()
    except OSError as error:
        os._exit(8 if error.errno == errno.ENOSPC else 7)
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(7)
    os._exit(0 if count < at else 5)

codes = {}
for at in range(1, 2000):
    pid = os.fork()
    if pid == 0:
        child(at)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    codes[code] = codes.get(code, 0) + 1
    if code == 0:
        break
    if at % 5 == 0:
        pid = os.fork()
        if pid == 0:
            try:
                work()
                os._exit(0)
            except BaseException:
                import traceback
                traceback.print_exc()
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, at
        shutil.rmtree(folder) if at % 3 == 0 else None
work()
print(json.dumps(codes))
print(sorted(path.name for path in folder.rglob("*.partial")), sorted(map(str, folder.rglob("in-use-*"))))
"""

CROWD = """
import os, random, sys
from pathlib import Path
from manymill.storage.cache import Cache

random = random.Random(int(sys.argv[2]))
for step in range(40):
    cache, n = Cache("tests", Path(sys.argv[1]), 9000), random.randrange(6)
    name, data = f"{n:032x}", bytes([n]) * 3000
    found = cache.find(name)
    if found is None:
        with cache.writing(name) as writer:
            writer.append("data", memoryview(data))
            if random.random() < 0.02:
                os._exit(9)
        found = cache.find(name)
    cache.trim()
    assert found[0].path("data").read_bytes() == data
    if random.random() < 0.02:
        os._exit(9)
    cache.close()
"""


def write(cache, name=NAME, content=CONTENT):
    with cache.writing(name) as writer:
        writer.facts.update(FACTS)
        for file, data in content.items():
            writer.append(file, memoryview(data[:100]))
            writer.append(file, memoryview(data[100:]))


def check(found, content=CONTENT):
    assert found is not None
    assert found[1] == FACTS
    assert {name: found[0].path(name).read_bytes() for name in content} == content


def damage(path, kind, place, bit):
    data = bytearray(path.read_bytes())
    at = int(place * len(data))
    if kind == "zero":
        data[at:] = bytes(len(data) - at)
    elif kind == "flip" and data:
        data[min(at, len(data) - 1)] ^= 1 << bit
    elif kind == "cut":
        del data[at:]
    elif kind == "grow":
        data += bytes(1 + bit)
    elif kind == "swap" and data:
        data[at:], data[:at] = data[:at], data[at:]
    path.unlink()
    if kind == "link":
        path.symlink_to("sizes" if path.name != "sizes" else "codes")
    elif kind == "folder":
        path.mkdir()
    elif kind != "delete":
        path.write_bytes(data)


def test_what_was_written_is_found_with_its_facts(tmp_path):
    write(Cache("tests", tmp_path))
    check(Cache("tests", tmp_path).find(NAME))
    assert Cache("tests", tmp_path).find(OTHER) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    st.sampled_from([*CONTENT, "about.json"]),
    st.sampled_from(["zero", "flip", "cut", "grow", "swap", "delete", "link", "folder"]),
    st.floats(0, 1),
    st.integers(0, 7),
)
def test_no_damage_is_believed_and_what_is_damaged_is_made_again(
    tmp_path_factory, caplog, name, kind, place, bit
):
    folder = tmp_path_factory.mktemp("cache")
    write(Cache("tests", folder))
    path = folder / NAME / name
    before = path.read_bytes()
    damage(path, kind, place, bit)
    unchanged = path.is_file() and not path.is_symlink() and path.read_bytes() == before
    caplog.clear()
    cache = Cache("tests", folder)
    found = cache.find(NAME)
    assert (found is not None) == unchanged
    assert bool(caplog.text) != unchanged
    if not unchanged:
        assert "made again" in caplog.text
        write(cache)
        found = cache.find(NAME)
    check(found)
    cache.close()
    assert sorted(path.name for path in folder.iterdir()) == [NAME, "lock"]


@pytest.mark.parametrize("kind", ["file", "link", "empty"])
def test_what_stands_in_the_place_of_an_entry_makes_room_for_it(tmp_path, kind):
    cache, elsewhere = Cache("tests", tmp_path / "cache"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "about.json").write_text("{}")
    write(cache, OTHER)
    place = cache.folder / NAME
    {"file": place.touch, "link": lambda: place.symlink_to(elsewhere), "empty": place.mkdir}[kind]()
    assert cache.find(NAME) is None
    write(cache)
    check(cache.find(NAME))
    assert [path.name for path in elsewhere.iterdir()] == ["about.json"]


def test_an_entry_under_the_name_of_another_is_not_believed(tmp_path):
    cache = Cache("tests", tmp_path)
    write(cache)
    cache.close()
    os.rename(tmp_path / NAME, tmp_path / OTHER)
    assert cache.find(OTHER) is None


def test_a_wrong_bit_is_found_where_no_time_of_the_file_says_so(tmp_path):
    write(Cache("tests", tmp_path))
    path = tmp_path / NAME / "codes"
    times = path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    with open(path, "r+b") as file:  # the same inode
        file.write(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    script = "import sys, pathlib; from manymill.storage.cache import Cache\n"
    script += f"print(Cache('tests', pathlib.Path(sys.argv[1])).find({NAME!r}))"
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True)
    assert done.stdout == "None\n"
    assert "codes does not match its checksum" in done.stderr


def test_entries_that_several_threads_check_are_checked_to_the_last_block(tmp_path, caplog):
    block = bytes(range(256)) * (1 << 14)
    cache = Cache("tests", tmp_path)
    with cache.writing(NAME) as writer:
        for _ in range(17):
            writer.append("data", memoryview(block))
        writer.append("data", memoryview(b"end"))
    os.utime(tmp_path / NAME / "data")  # looks changed, and is not
    assert Cache("tests", tmp_path).find(NAME) is not None
    with open(tmp_path / NAME / "data", "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"!")
    assert Cache("tests", tmp_path).find(NAME) is None
    assert f"after byte {17 << 22:,}" in caplog.text


def test_an_entry_that_was_pickled_is_checked_again_if_its_files_change(tmp_path):
    cache = Cache("tests", tmp_path)
    write(cache)
    entry = pickle.loads(pickle.dumps(cache.find(NAME)[0]))
    assert entry.path("codes").read_bytes() == CONTENT["codes"]
    os.utime(tmp_path / NAME / "codes", (0, 0))
    assert entry.path("codes").read_bytes() == CONTENT["codes"]
    damage(tmp_path / NAME / "codes", "zero", 0.5, 0)
    with pytest.raises(OSError, match="codes does not match its checksum"):
        entry.path("sizes")


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    cache = Cache("tests", tmp_path)

    def fail():
        with cache.writing(NAME) as writer:
            writer.append("data", memoryview(b"half"))
            raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        fail()
    assert cache.find(NAME) is None
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_things_in_the_folder_that_are_not_of_a_cache_stay(tmp_path):
    theirs = {
        "notes.txt": None,
        "books": "page",
        "video.partial": "half",
        "d" * 32: "photo",  # as other tools name folders
        "e" * 32 + ".txt": None,
    }
    for name, inside in theirs.items():
        if inside is None:
            (tmp_path / name).touch()
        else:
            (tmp_path / name).mkdir()
            (tmp_path / name / inside).touch()
    (tmp_path / ("f" * 32)).symlink_to(tmp_path / "books")
    cache = Cache("tests", tmp_path, limit_bytes=0)
    write(cache)
    cache.close()
    assert {path.name for path in tmp_path.iterdir()} == {*theirs, "f" * 32, "lock"}
    assert all((tmp_path / name / inside).exists() for name, inside in theirs.items() if inside)


def test_a_cache_is_discarded_with_its_folder_unless_another_uses_it(tmp_path):
    first, second = Cache("tests", tmp_path / "cache"), Cache("tests", tmp_path / "cache")
    mine, theirs = first.scratch(), second.scratch()
    first.discard()
    assert theirs.is_dir()
    assert not mine.exists()
    second.discard()
    assert not list(tmp_path.iterdir())
    assert first.scratch().is_dir()


def test_a_folder_that_others_can_write_to_is_refused(tmp_path):
    cache = Cache("tests", tmp_path / "cache")
    write(cache)
    cache.folder.chmod(0o777)
    for use in (lambda: cache.find(NAME), lambda: write(cache, OTHER)):
        with pytest.raises(OSError, match="that only this user can write to"):
            use()


@pytest.mark.parametrize("way", ["kill", "fail"])
def test_after_every_call_that_ends_or_fails_the_cache_is_whole(tmp_path, way):
    done = subprocess.run(
        [sys.executable, "-c", TORTURE, str(tmp_path / "cache"), way], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    codes, left = done.stdout.splitlines()
    codes = {int(code): count for code, count in json.loads(codes).items()}
    assert set(codes) <= ({0, 9} if way == "kill" else {0, 5, 8}), done.stderr
    assert sum(codes.values()) > 100
    assert left == "[] []"


def test_processes_that_write_use_remove_and_are_killed_at_once_always_find_what_they_hold(tmp_path):
    script = [sys.executable, "-c", CROWD, str(tmp_path / "cache")]
    crowd = [subprocess.Popen([*script, str(seed)], stderr=subprocess.PIPE) for seed in range(6)]
    errors = [process.communicate()[1].decode() for process in crowd]
    assert {process.returncode for process in crowd} <= {0, 9}, errors
    assert not any("damaged" in error for error in errors)
    Cache("tests", tmp_path / "cache").trim()
    assert not list(tmp_path.rglob("*.partial"))
    assert not list(tmp_path.rglob("in-use-*"))
