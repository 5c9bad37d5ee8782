"""Hostile arrays through every entry of the core that takes arrays.

    PYTHONPATH=tests python -m fuzz.arrays --seconds 60

    a valid call ─► some arguments damaged (values, lengths, order, layout, type) ─► an error of Python's, or a result:
    arrays that fit each other, the same again from a copy of the arguments, the same after pickling

`make fuzz-arrays` compares the same functions with reference implementations in Rust; this module tests the layer
between them and Python.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import numpy as np

from fuzz import runner
from manymill import _core

_ERRORS = (ValueError, TypeError, OverflowError, MemoryError, FloatingPointError)
_N_FEATURES = 50
# Sizes that are asked for stay small, or are refused before memory is taken.
_COUNTS = (0, 1, 2, 3, 7, _N_FEATURES, _N_FEATURES + 1, -1, 2**31, 2**63 - 1, 2**63, -(2**63), 2**64)
_FLOATS = (0.0, -0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, 3e38, 1e-45, 1e300)


def _csr(chance: Random) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = [sorted(chance.sample(range(_N_FEATURES), chance.randrange(5))) for _ in range(4)]
    indptr = np.cumsum([0] + [len(row) for row in rows]).astype(np.int64)
    indices = np.array([feature for row in rows for feature in row], np.uint32)
    return indptr, indices, np.array([chance.choice((1, 2, 0.5)) for _ in indices], np.float32)


def _texts(chance: Random) -> tuple[np.ndarray, np.ndarray]:
    texts = [
        chance.choice(["", "two words", "naïve café", "日本語 text", "x" * 40]).encode() for _ in range(4)
    ]
    offsets = np.cumsum([0] + [len(text) for text in texts]).astype(np.int64)
    return np.frombuffer(b"".join(texts), np.uint8), offsets


def _picks(chance: Random) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(3, np.uint32), np.array([chance.randrange(4) for _ in range(3)], np.uint32)


def _learner(chance: Random) -> _core.Learner:
    learner = _core.Learner(_N_FEATURES, 3, l2=chance.choice((0.0, 1e-3)))
    learner.learn(_core.Rows.from_arrays(*_csr(chance)), np.array([0, 1, 2, 0], np.int32))
    learner.settle()
    return learner


def _sums(chance: Random) -> _core.MergeSums:
    learner = _learner(chance)
    learner.begin_changes()
    learner.learn(_core.Rows.from_arrays(*_csr(chance)), np.array([2, 1, 2, 0], np.int32))
    return _core.MergeSums.of(learner, 4, ["uniform", "mass", "magnitude"])


def _matrix(chance: Random) -> np.ndarray:
    numbers = [chance.randrange(-8, 9) / 4 for _ in range(3 * _N_FEATURES)]
    return np.array(numbers, np.float32).reshape(_N_FEATURES, 3)


_CLASSES = np.array([0, 1, 2, 0], np.int32)


def _views(chance: Random) -> tuple[np.ndarray, list[np.ndarray]]:
    """Views of Arrow: a length, and 12 bytes of text, or its beginning, its buffer and its place there."""
    buffer = b"a long text that does not fit into a view"
    views = []
    for text in (b"short", b"", buffer[:20], buffer[2:]):
        length = len(text).to_bytes(4, "little")
        place = bytes(4) + max(0, buffer.find(text)).to_bytes(4, "little")
        views.append(length + (text.ljust(12, b"\0") if len(text) <= 12 else text[:4] + place))
    return np.frombuffer(b"".join(views), np.uint8), [np.frombuffer(buffer, np.uint8)]


def _built(columns: list[_core.TextColumn]) -> Any:
    builder = _core.MatrixBuilder(
        _core.Hasher(), 64, alternate_sign=True, binary=False, norm=None, dtype="float64", n_threads=1
    )
    builder.work(_core.TextSource.of_columns(columns))
    return builder.finish()


def _with_state(learner: _core.Learner, start: int, weights: Any, sums: Any) -> Any:
    learner.set_state(start, weights, sums)
    return learner.weights(0, learner.n_features)


def _scattered(learner: _core.Learner, features: Any, weights: Any, sums: Any) -> Any:
    learner.scatter(features, weights, sums)
    found = learner.gather(features)
    assert np.array_equal(found[0], weights), "scattered weights"
    return found


def _with_intercepts(learner: _core.Learner, state: Any, n_rows: int) -> Any:
    learner.set_intercept_state(state, n_rows)
    return learner.intercept_state()


def _taught(learner: _core.Learner, rows: _core.Rows, classes: Any, weights: Any) -> Any:
    learner.learn(rows, classes, weights)
    return learner.weights(0, learner.n_features)


def _merged(sums: _core.MergeSums, learner: _core.Learner, rule: str, step: float) -> Any:
    sums.merge_into(learner, rule, step)
    return learner.weights(0, learner.n_features)


def _counted(counts: Any, rows: _core.Rows, classes: Any, weights: Any) -> Any:
    counts.add(rows, classes, weights)
    return counts.to_arrays()


def _doubled(kind: Any, arguments: tuple[Any, ...]) -> Any:
    one, other = kind.from_arrays(*arguments), kind.from_arrays(*arguments)
    one.merge(other)
    return one.to_arrays()


def _table() -> tuple[int, np.ndarray, np.ndarray]:
    return _N_FEATURES, np.arange(0, _N_FEATURES, 2, dtype=np.uint32), np.ones(_N_FEATURES // 2, np.float32)


def _tabled(counts: _core.FeatureCounts, kind: Any, min_rows: int) -> _core.FeatureTable:
    return counts.table(kind, min_rows=min_rows)


def _counts(chance: Random, by_class: bool) -> _core.FeatureCounts:
    counts = _core.FeatureCounts(_N_FEATURES, chance.choice((3, 30)), by_class=by_class)
    counts.add(_core.Rows.from_arrays(*_csr(chance)), _CLASSES)
    return counts


def _feature_sums(chance: Random) -> _core.FeatureSums:
    sums = _core.FeatureSums(_N_FEATURES, 3)
    sums.add(_core.Rows.from_arrays(*_csr(chance)), _CLASSES)
    return sums


Call = tuple[Callable[..., Any], list[Any]]


def _entries(chance: Random) -> dict[str, Callable[[], Call]]:
    """What takes arrays, each with arguments that it takes."""
    hasher = _core.Hasher()
    rows = _core.Rows.from_arrays(*_csr(chance))
    csr = {"n_features": 64, "alternate_sign": True, "binary": False, "norm": "l2", "dtype": "float32"}
    weights = np.array([1, 0, 2, 0.5], np.float32)
    changes = (np.array([1, 5], np.uint32), np.ones((2, 3), np.float32), np.ones(2, np.float32))
    return {
        "Hasher.hash_utf8": lambda: (
            lambda *a: hasher.hash_utf8([a[:2]], *a[2:]).hashes(),
            [*_texts(chance), *_picks(chance)],
        ),
        "Hasher.rows_utf8": lambda: (
            lambda *a: hasher.rows_utf8([a[:2]], *a[2:], value="log", norm="l2").arrays(),
            [*_texts(chance), *_picks(chance), 64],
        ),
        "TextColumn.with_offsets": lambda: (
            lambda *a: _built([_core.TextColumn.with_offsets(*a)]),
            list(_texts(chance)),
        ),
        "TextColumn.of_views": lambda: (
            lambda views, buffer: _built([_core.TextColumn.of_views(views, [buffer])]),
            [_views(chance)[0], _views(chance)[1][0]],
        ),
        "TextColumn.taken": lambda: (
            lambda *a: _built([_core.TextColumn.with_offsets(*a[:2]).taken(a[2])]),
            [*_texts(chance), _picks(chance)[1]],
        ),
        "svmlight_lines": lambda: (
            _core.svmlight_lines,
            [
                rows.arrays()[2],
                rows.arrays()[1].astype(np.int32),
                rows.arrays()[0],
                np.arange(4, dtype=np.int64),
            ],
        ),
        "HashedBatch.from_arrays": lambda: (
            lambda *a: _core.HashedBatch.from_arrays(*a).to_csr(**csr),
            [np.array([1, 2, 2**32 - 1, 7], np.uint32), np.array([0, 0, 3, 4], np.int64)],
        ),
        "Rows.from_arrays": lambda: (_core.Rows.from_arrays, list(_csr(chance))),
        "Rows.of_hashes": lambda: (
            lambda *a: _core.Rows.of_hashes([a[:3]], *a[3:], value="count", norm=None),
            [
                np.array([1, 2, 2**32 - 1, 7], np.uint32),
                np.array([0, 0, 1, 3], np.int64),
                np.array([0, 1, 3, 4], np.int64),
                *_picks(chance),
                64,
            ],
        ),
        "Rows.take": lambda: (rows.take, [np.array([3, 0, 0], np.uint32)]),
        "Rows.weighted": lambda: (rows.weighted, [np.ones(_N_FEATURES, np.float32), "l2"]),
        "FeatureTable.from_arrays": lambda: (_core.FeatureTable.from_arrays, list(_table())),
        "Rows.mapped": lambda: (
            lambda *a: rows.mapped(_core.FeatureTable.from_arrays(*a), "l2"),
            list(_table()),
        ),
        "Learner.learn": lambda: (
            lambda *a: _taught(_learner(Random(1)), rows, *a),
            [_CLASSES, weights],
        ),
        "Learner.set_state": lambda: (
            lambda *a: _with_state(_learner(Random(1)), *a),
            [3, np.ones((2, 3), np.float32), np.ones(2, np.float32)],
        ),
        "Learner.scatter": lambda: (lambda *a: _scattered(_learner(Random(1)), *a), list(changes)),
        "Learner.gather": lambda: (_learner(chance).gather, [changes[0]]),
        "Learner.set_intercept_state": lambda: (
            lambda *a: _with_intercepts(_learner(Random(1)), *a),
            [np.ones((2, 3), np.float32), 7],
        ),
        "Learner.weights": lambda: (_learner(chance).weights, [0, 7]),
        "Learner.accumulators": lambda: (_learner(chance).accumulators, [0, 7]),
        "score_rows": lambda: (_core.score_rows, [rows, _matrix(chance), np.zeros(3, np.float32)]),
        "MergeSums.from_changes": lambda: (
            lambda *a: _core.MergeSums.combine([_core.MergeSums.from_changes(a[:4], *a[4:])]),
            [4, True, True, True, changes[0], changes[1].ravel(), changes[2], np.ones(6, np.float32)],
        ),
        "MergeSums.from_arrays": lambda: (
            lambda *a: _core.MergeSums.from_arrays(a[:3], *a[3:]),
            _flat(_core.MergeSums.combine([_sums(chance), _sums(chance)]).__reduce__()[1]),
        ),
        "MergeSums.part": lambda: (
            _core.MergeSums.combine([_sums(chance)]).part,
            [np.arange(_N_FEATURES) % 2 == 0],
        ),
        "MergeSums.merge_into": lambda: (
            lambda *a: _merged(_core.MergeSums.combine([_sums(Random(2))]), _learner(Random(1)), "mass", *a),
            [1.0],
        ),
        "FeatureCounts.from_arrays": lambda: (
            lambda *a: _doubled(_core.FeatureCounts, a),
            list(_counts(chance, chance.random() < 0.5).__reduce__()[1]),
        ),
        "FeatureCounts.add": lambda: (
            lambda *a: _counted(_counts(Random(1), True), rows, *a),
            [_CLASSES, weights],
        ),
        "FeatureCounts.frequencies": lambda: (lambda most: _counts(Random(1), True).frequencies(most), [5]),
        "FeatureCounts.table": lambda: (
            lambda *a: _tabled(_counts(Random(1), True), *a),
            [chance.choice(("nb-idf", "nb", "idf")), 1],
        ),
        "FeatureSums.from_arrays": lambda: (
            lambda *a: _doubled(_core.FeatureSums, a),
            [_N_FEATURES, *_feature_sums(chance).to_arrays()],
        ),
        "FeatureSums.add": lambda: (
            lambda *a: _counted(_feature_sums(Random(1)), rows, *a),
            [_CLASSES, weights],
        ),
        "text_keys": lambda: (lambda *a: _core.text_keys(*a, seed=1), list(_texts(chance))),
    }


def _flat(arguments: tuple[Any, ...]) -> list[Any]:
    counts, *arrays = arguments
    return [*counts, *arrays]


def _damaged(chance: Random, value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return chance.choice(_COUNTS)
    if isinstance(value, float):
        return chance.choice(_FLOATS)
    if not isinstance(value, np.ndarray):
        return value
    array = value.copy()
    match chance.randrange(12):
        case 0 | 1 | 2 if array.size:
            array.flat[chance.randrange(array.size)] = _number(chance, array.dtype)
        case 3:
            array = array[: chance.randrange(len(array) + 1)]
        case 4:
            array = np.concatenate([array, array[:1]])
        case 5:
            array = array[::-1]
        case 6:
            array = np.repeat(array, 2, axis=0)[::2]
        case 7:
            array = np.asfortranarray(array) if array.ndim > 1 else array[:0]
        case 8:
            array = array.reshape(-1, 1) if array.ndim == 1 else array.ravel()
        case 9:
            with np.errstate(invalid="ignore", over="ignore"):
                array = array.astype(chance.choice((np.float64, np.int64, np.uint8, np.float16)))
        case 10 if array.size:
            array.flat[:] = _number(chance, array.dtype)
        case _:
            numbers = array.ravel().tolist()
            chance.shuffle(numbers)
            array = np.array(numbers, array.dtype).reshape(array.shape)
    if chance.random() < 0.1:
        array.flags.writeable = False
    return array


def _number(chance: Random, dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return np.float64(chance.choice(_FLOATS)).astype(dtype)
    if dtype.kind == "b":
        return chance.random() < 0.5
    limits = np.iinfo(dtype)
    return dtype.type(
        chance.choice((0, 1, 3, _N_FEATURES - 1, _N_FEATURES, limits.max, limits.min, limits.max // 2))
    )


def _arrays(result: Any) -> list[Any]:
    """What a result holds, as arrays."""
    if isinstance(result, tuple):
        return [array for part in result for array in _arrays(part)]
    if isinstance(result, _core.Rows | _core.FeatureTable | _core.MergeSums):
        copy = pickle.loads(pickle.dumps(result))
        found, again = (_arrays(one.__reduce__()[1]) for one in (result, copy))
        assert _equal(found, again), "another object after pickling"
        return found
    return [result]


def _equal(some: list[Any], others: list[Any]) -> bool:
    return len(some) == len(others) and all(
        np.array_equal(np.asarray(a), np.asarray(b), equal_nan=np.asarray(a).dtype.kind == "f")
        for a, b in zip(some, others, strict=True)
    )


def make(seed: int) -> bytes:
    return seed.to_bytes(8, "little")


def check(seed: int, data: bytes) -> Iterator[str]:
    """Everything follows from the bytes."""
    chance = Random(data)
    entries = _entries(chance)
    name = chance.choice(list(entries))
    call, arguments = entries[name]()
    damages = chance.choice((0, 1, 1, 1, 2, 3))
    for _ in range(damages):
        place = chance.randrange(len(arguments))
        arguments[place] = _damaged(chance, arguments[place])
    try:
        result = _arrays(call(*arguments))
    except _ERRORS:
        assert damages, f"{name} refuses what it should take"
        yield f"{name} refused"
        return
    copies = [argument.copy() if isinstance(argument, np.ndarray) else argument for argument in arguments]
    assert _equal(_arrays(call(*copies)), result), f"{name} gives another result from a copy"
    yield name


FUZZER = runner.Fuzzer("arrays", make, check)

if __name__ == "__main__":
    runner.exit_with(FUZZER)
