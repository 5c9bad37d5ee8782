"""Objects of the core used by several threads at once: correct or refused, never corrupted."""

import re
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from manymill._core import CsvCutter, FeatureTable, Hasher, Learner
from reference.sparse import random_rows, sparse

N_THREADS = 4
REFUSED = re.compile("one call at a time|lready .*borrowed")
TEXTS = [f"Text {i} of Many, Größe ΟΔΟΣ İ {'word ' * (i % 7)}" for i in range(400)]


def at_once(work, n_calls=40):
    """What the calls of all threads give, which start together."""
    gate = Barrier(N_THREADS)

    def calls(thread):
        gate.wait()
        return [work(thread, call) for call in range(n_calls)]

    with ThreadPoolExecutor(N_THREADS) as executor:
        return [result for results in executor.map(calls, range(N_THREADS)) for result in results]


def accepted(call):
    """Whether a call was carried out; else it was refused because of another one."""
    try:
        call()
    except RuntimeError as error:
        if not REFUSED.search(str(error)):
            raise
        return False
    return True


def test_a_learner_has_learnt_from_the_calls_that_it_took_and_from_no_other():
    X, y = random_rows(1, 300, 50, 3)
    rows, shared, alone = sparse(X), Learner(50, 3), Learner(50, 3)
    taken = sum(at_once(lambda *_: accepted(lambda: shared.learn(rows, y))))
    for _ in range(taken):
        alone.learn(rows, y)
    assert taken > 0
    assert shared.n_rows_seen == 300 * taken
    assert shared.weights(0, 50).tobytes() == alone.weights(0, 50).tobytes()


def test_one_table_maps_the_rows_of_all_threads():
    rows = sparse(random_rows(3, 300, 50, 3)[0])
    table = FeatureTable.from_arrays(50, np.arange(0, 50, 3, dtype=np.uint32), np.ones(17, np.float32))
    alone = rows.mapped(table, "l2").arrays()
    for mapped in at_once(lambda *_: rows.mapped(table, "l2").arrays()):
        assert all(np.array_equal(a, b) for a, b in zip(mapped, alone, strict=True))


def test_a_learner_is_read_by_all_and_changed_by_one():
    X, y = random_rows(2, 300, 50, 3)
    rows, learner = sparse(X), Learner(50, 3)
    calls = [
        lambda: learner.learn(rows, y),
        lambda: learner.scores(rows),
        learner.settle,
        lambda: learner.set_state(0, np.zeros((50, 3), np.float32), np.zeros(50, np.float32)),
    ]
    at_once(lambda thread, _: accepted(calls[thread]))
    assert np.isfinite(learner.weights(0, 50)).all()


def test_a_hasher_gives_each_thread_its_own():
    hasher = Hasher(ngram_range=(1, 2))
    expected = [hasher.hash_strings(TEXTS[thread:]).hashes().tobytes() for thread in range(N_THREADS)]
    found = at_once(
        lambda thread, _: hasher.hash_strings(TEXTS[thread:]).hashes().tobytes() == expected[thread]
    )
    assert all(found)


def test_a_batch_and_its_rows_are_shared():
    batch = Hasher().hash_strings(TEXTS)
    rows = batch.to_rows(1000, value="log", norm="l2")
    order = np.arange(len(TEXTS), dtype=np.uint32)[::-1]

    def both():
        matrix = batch.to_csr(1000, alternate_sign=True, binary=False, norm="l2", dtype="float64")
        return b"".join(array.tobytes() for array in [*matrix, *rows.take(order).arrays()])

    assert set(at_once(lambda *_: both())) == {both()}


def test_a_list_that_changes_meanwhile_is_hashed_as_it_was_at_some_time():
    texts = [TEXTS[0]] * 50

    def change_or_hash(thread, _):
        if thread == 0:
            texts.append(texts.pop())
            return len(texts)
        return len(Hasher().hash_strings(texts))

    assert {49, 50} >= set(at_once(change_or_hash))


def test_a_cutter_feeds_one_piece_at_a_time():
    cutter = CsvCutter(delimiter=ord(","))
    piece = b'a,"b\nc"\n' * 2000
    assert any(at_once(lambda *_: accepted(lambda: cutter.feed(piece))))
    assert not cutter.in_quotes


def test_the_table_of_characters_is_made_once_for_all_who_ask_first():
    script = """
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from manymill._core import Hasher
gate = Barrier(8)
def work(_):
    gate.wait()
    return Hasher().hash_strings(["Größe ΟΔΟΣ"]).hashes().tolist()
with ThreadPoolExecutor(8) as executor:
    first, *others = executor.map(work, range(8))
assert len(first) == 2 and all(other == first for other in others)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python has a GIL")
def test_the_core_does_not_bring_the_gil_back():
    script = "import sys, manymill._core; assert not sys._is_gil_enabled()"
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)
