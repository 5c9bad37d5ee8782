"""Distribution of a plan to lanes: blocks by lane and round, the published plan, and the counts of classes.

::

    blocks ──► split finely enough ──► dealt to lanes, once per training ──► per pass: divided into rounds

A block always belongs to the same lane, so a worker may cache the rows of a lane. Lanes are bound to the plan and not
to workers: the number of workers does not change the result.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from manymill.data.dataset import Block, Plan
from manymill.data.reader import read
from manymill.engine.base import Engine
from manymill.engine.spool import Ref
from manymill.errors import PlanError

# Wanted blocks of a lane per round: in a source sorted by class, this many random blocks decide the mix of classes in a
# round of a lane.
_BLOCKS_PER_ROUND = 32
# Minimum bytes of a block: opening one costs as much as hashing some kilobytes.
_MIN_BLOCK_BYTES = 16 << 10

# Separate the random streams of lanes from those of blocks and windows.
_DEALING, _ROUNDS, _SEEDS = 10, 11, 12

# Blocks read by one task: enough to be worth a task on a cluster.
_BLOCKS_PER_TASK = 16


@dataclass(frozen=True, slots=True)
class Lanes:
    """The blocks of each lane.

    Parameters
    ----------
    plan : Plan
        The plan, with blocks small enough for lanes and rounds.
    blocks : tuple of tuple of int
        Indices of the plan's blocks by lane. There may be fewer lanes than requested: none is empty.
    rounds : int
        Rounds per pass.
    seed : int
        Seed of the order of a lane's blocks.
    """

    plan: Plan
    blocks: tuple[tuple[int, ...], ...]
    rounds: int
    seed: int

    def __len__(self) -> int:
        return len(self.blocks)

    def of_round(self, lane: int, pass_number: int, round_number: int) -> tuple[int, ...]:
        """The blocks of a lane in a round, in order; passes and rounds are numbered from 0."""
        blocks = self.blocks[lane]
        order = np.random.default_rng((self.seed, _ROUNDS, pass_number, lane)).permutation(len(blocks))
        sizes = np.array([max(1, self.plan.blocks[blocks[i]].raw_bytes) for i in order], np.float64)
        # A block belongs to the round that contains its middle.
        middles = (np.cumsum(sizes) - sizes / 2) / sizes.sum()
        rounds = np.minimum((middles * self.rounds).astype(np.int64), self.rounds - 1)
        return tuple(blocks[i] for i in order[rounds == round_number])

    def seed_of(self, lane: int, round_number: int) -> int:
        """The seed of the order of rows within a lane's round."""
        sequence = np.random.SeedSequence((self.seed, _SEEDS, lane, round_number))
        return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def deal(plan: Plan, n_lanes: int, rounds: int, *, seed: int, interleaved: bool) -> Lanes:
    """Deal a plan's blocks to lanes.

    Parameters
    ----------
    plan : Plan
    n_lanes : int
        Requested number of lanes; fewer if the source has fewer blocks (files that cannot be split).
    rounds : int
        Rounds per pass.
    seed : int
        Seed of the assignment.
    interleaved : bool
        Whether each lane gets blocks from all over the source, which makes lanes similar even if the source is sorted;
        otherwise each lane gets neighbouring blocks, as if each host had one part.
    """
    plan = _split_blocks(plan, n_lanes * rounds * _BLOCKS_PER_ROUND)
    sizes = [max(1, block.raw_bytes) for block in plan.blocks]
    n_lanes = min(n_lanes, len(sizes))
    lanes: list[list[int]] = [[] for _ in range(n_lanes)]
    if interleaved:
        loads = [0] * n_lanes
        for i in np.random.default_rng((seed, _DEALING)).permutation(len(sizes)):
            lane = loads.index(min(loads))
            lanes[lane].append(int(i))
            loads[lane] += sizes[i]
    else:
        total, before = sum(sizes), 0
        for i, size in enumerate(sizes):
            left = len(sizes) - i
            lane = min(n_lanes - 1, int((before + size / 2) * n_lanes / total))
            # A large block may skip a lane: give each lane at least one block.
            empty = next((k for k in range(n_lanes) if not lanes[k]), n_lanes)
            lane = min(lane, empty) if left > n_lanes - empty else empty
            lanes[lane].append(i)
            before += size
    return Lanes(plan, tuple(tuple(sorted(lane)) for lane in lanes), rounds, seed)


def _split_blocks(plan: Plan, n_blocks: int) -> Plan:
    """The plan with at least ``n_blocks`` blocks, as far as its files can be split."""
    total = sum(block.raw_bytes for block in plan.blocks)
    block_bytes = max(_MIN_BLOCK_BYTES, total // max(1, n_blocks))
    blocks = [piece for block in plan.blocks for piece in _cut(plan, block, block_bytes)]
    return replace(plan, blocks=tuple(blocks))


def _cut(plan: Plan, block: Block, block_bytes: int) -> list[Block]:
    file = plan.files[block.file]
    # Row groups and streams cannot be split.
    can_be_cut = file.format != "parquet" and (file.cuttable or file.format == "folder")
    n_units = block.stop - block.start if can_be_cut else 1
    n_pieces = min(n_units, -(-block.raw_bytes // block_bytes))
    if n_pieces <= 1:
        return [block]
    ends = [block.start + n_units * i // n_pieces for i in range(n_pieces + 1)]
    return [
        Block(block.file, start, stop, max(1, block.raw_bytes * (stop - start) // n_units))
        for start, stop in pairwise(ends)
    ]


@dataclass(frozen=True, slots=True, eq=False)
class SharedPlan:
    """A plan in shared memory."""

    shared: Plan

    def plan(self) -> Plan:
        """The plan."""
        return self.shared

    def withdraw(self, engine: Engine) -> None:
        """Do nothing: nothing was published."""


@dataclass(frozen=True, slots=True)
class PublishedPlan:
    """A plan published as JSON, with its data in memory, if any, as an Arrow stream."""

    json: Ref
    memory: Ref | None
    # Credentials are part of tasks, never of published files.
    storage_options: Mapping[str, Any] | None = field(repr=False)
    urls: tuple[str, ...] = field(repr=False)

    def plan(self) -> Plan:
        """Load the plan; columns of data in memory are mapped, not copied."""
        plan = Plan.from_json(json.loads(self.json.load()["json"].tobytes()))
        dataset = replace(plan.dataset, storage_options=self.storage_options)
        if self.memory is not None:
            import pyarrow as pa

            from manymill.data.memory import ArrowColumns

            table = pa.ipc.open_stream(pa.py_buffer(self.memory.load()["arrow"])).read_all()
            columns = {name: table.column(name).combine_chunks() for name in table.column_names}
            dataset = replace(
                dataset, memory=ArrowColumns(columns["text"], columns.get("label"), columns.get("weight"))
            )
        return replace(plan, dataset=dataset).with_urls(self.urls)

    def withdraw(self, engine: Engine) -> None:
        """Withdraw what was published."""
        for ref in (self.json, self.memory):
            if ref is not None:
                engine.withdraw(ref)


def check_shareable(plan: Plan, engine: Engine) -> None:
    """Check that the workers of an engine can read the source.

    Raises
    ------
    PlanError
        If the source is the standard input and workers are other processes.
    """
    if not engine.shares_memory and any(file.path == "-" for file in plan.files):
        raise PlanError(
            "worker processes cannot read the standard input of this process",
            "use threads, or write the data to a file first",
        )


def publish_plan(plan: Plan, engine: Engine) -> SharedPlan | PublishedPlan:
    """Publish a plan to the workers of an engine."""
    if engine.shares_memory:
        return SharedPlan(plan)
    content = json.dumps(plan.to_json(), ensure_ascii=False).encode("utf-8", "surrogateescape")
    memory = plan.dataset.memory
    published = None
    if memory is not None:
        import pyarrow as pa

        from manymill.data.memory import ArrowColumns

        if not isinstance(memory, ArrowColumns):  # hashed texts are stored in files
            return SharedPlan(plan)
        columns = {"text": memory.text, "label": memory.label, "weight": memory.weight}
        table = pa.table({name: column for name, column in columns.items() if column is not None})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        published = engine.publish({"arrow": np.frombuffer(sink.getvalue(), np.uint8)})
    return PublishedPlan(
        engine.publish({"json": np.frombuffer(content, np.uint8)}),
        published,
        plan.dataset.storage_options,
        plan.urls,
    )


@dataclass(frozen=True, slots=True)
class _LabelTask:
    plan: Plan  # with the blocks of this task only

    @property
    def name(self) -> str:
        """Name in error messages."""
        block = self.plan.blocks[0]
        return f"the labels of {self.plan.files[block.file].path} from {block.start} on"


def class_counts(
    plan: Plan,
    engine: Engine,
    *,
    check: Callable[[int, Sequence[str]], None] = lambda n_known, new: None,
) -> dict[str, int]:
    """Count the rows of each class, sorted by name; 0 for a known class without rows.

    Reads the labels of the complete source, unless the plan's sample covered it. The counts are exact, since lanes must
    agree on the classes before they start.

    Parameters
    ----------
    plan : Plan
    engine : Engine
        Reads the labels.
    check : callable
        Called with the number of known classes and the names of new ones before they are counted; may raise.

    Raises
    ------
    SourceError
        If a file cannot be read, or has changed.
    """
    if plan.exact:
        return dict(plan.class_counts)
    total = Counter(dict.fromkeys(plan.class_counts, 0))
    # Labels in memory are counted quickly here.
    map_tasks = map if plan.dataset.memory is not None else engine.map
    for counts in map_tasks(_count_labels, _label_tasks(plan)):
        new = sorted(counts.keys() - total.keys())
        if new:
            check(len(total), new)
        total.update(counts)
    return dict(sorted(total.items()))


def _label_tasks(plan: Plan) -> Iterator[_LabelTask]:
    for start in range(0, len(plan.blocks), _BLOCKS_PER_TASK):
        yield _LabelTask(replace(plan, blocks=plan.blocks[start : start + _BLOCKS_PER_TASK]))


def _count_labels(task: _LabelTask) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for batch in read(task.plan):
        if batch.label is not None:
            counts.update(batch.label.counts())
    return dict(counts)
