"""Which rows a tail holds out depends on the source and the share alone."""

import gzip
import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manymill import Dataset, scan
from manymill.data.ledger import Ledger
from manymill.engine.local import workers
from manymill.linear.lanes.dealing import deal
from manymill.linear.row_stream import Lane
from manymill.linear.settings import Settings

SOURCE = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SHARES = st.floats(0.01, 0.5)


def lines_of(sizes):
    return [
        json.dumps({"text": f"word{i} " * (1 + size), "label": "ab"[i % 2]}) + "\n"
        for i, size in enumerate(sizes)
    ]


def tail_of_lines(lines, share):
    """Slow reference: the numbers of the lines that start in the last share of the bytes of a file."""
    n_bytes = sum(map(len, lines))
    start = n_bytes - round(share * n_bytes)
    return [i for i in range(len(lines)) if sum(map(len, lines[:i])) >= start]


def features_of(parts):
    """Every row has one word: its feature stands for it."""
    return sorted(int(feature) for rows, _ in parts for feature in rows.arrays()[1])


def held_out(plan, setting, *, threads=1):
    """The features of the held-out rows of all lanes, and those of the others."""
    lanes = deal(plan, setting.lanes, setting.rounds_per_pass, seed=setting.seed, interleaved=True)
    held, learnt = [], []
    with workers(threads) as executor:
        for number in range(len(lanes)):
            for round_number in range(lanes.rounds):
                lane = Lane(
                    lanes.plan,
                    setting,
                    executor=executor if threads > 1 else None,
                    threads=threads,
                    classes=(),
                    ledger=Ledger(),
                )
                for batch in lane.read(0, lanes.of_round(number, 0, round_number)):
                    learnt.append((batch.rows, batch.classes))
                held += lane.holdout
    return features_of(held), features_of(learnt)


def features_of_rows(rows):
    """The features that these rows have, by a training that holds nothing out."""
    plan = Dataset.from_memory([f"word{i}" for i in rows], ["a"] * len(rows)).plan() if rows else None
    return held_out(plan, Settings(recipe="fast", n_features=2**30, holdout=0.0))[1] if plan else []


@SOURCE
@given(
    sizes=st.lists(st.integers(0, 20), min_size=2, max_size=40),
    share=SHARES,
    block_bytes=st.integers(1, 400),
    window_bytes=st.integers(50, 2000),
    seed=st.integers(0, 2**63 - 1),
    lanes=st.integers(1, 4),
    rounds=st.integers(1, 3),
    threads=st.integers(1, 3),
    compressed=st.booleans(),
)
def test_neither_blocks_nor_lanes_nor_threads_change_which_rows_are_held_out(
    tmp_path, sizes, share, block_bytes, window_bytes, seed, lanes, rounds, threads, compressed
):
    lines = lines_of(sizes)
    path = tmp_path / ("rows.jsonl.gz" if compressed else "rows.jsonl")
    data = "".join(lines).encode()
    path.write_bytes(gzip.compress(data, 1) if compressed else data)
    setting = Settings(
        recipe="fast",
        n_features=2**30,
        holdout_tail=share,
        window_bytes=window_bytes,
        seed=seed,
        lanes=lanes,
        rounds_per_pass=rounds,
    )
    plan = scan(path, text="text", label="label").plan(block_bytes=block_bytes)
    held, learnt = held_out(plan, setting, threads=threads)
    tail = tail_of_lines(lines, share)
    assert held == features_of_rows(tail)
    assert learnt == features_of_rows(sorted(set(range(len(lines))) - set(tail)))


@SOURCE
@given(
    n_rows=st.integers(2, 60),
    share=SHARES,
    block_bytes=st.integers(20, 400),
    seed=st.integers(0, 2**63 - 1),
    lanes=st.integers(1, 4),
    threads=st.integers(1, 3),
)
def test_the_last_rows_in_memory_are_held_out_however_they_are_read(
    n_rows, share, block_bytes, seed, lanes, threads
):
    dataset = Dataset.from_memory(
        [f"word{i}" for i in range(n_rows)], ["a", "b"] * (n_rows // 2) + ["a"] * (n_rows % 2)
    )
    setting = Settings(
        recipe="fast", n_features=2**30, holdout_tail=share, seed=seed, lanes=lanes, rounds_per_pass=2
    )
    held, _ = held_out(dataset.plan(block_bytes=block_bytes), setting, threads=threads)
    assert held == features_of_rows(list(range(n_rows - round(share * n_rows), n_rows)))
