"""A plan's blocks dealt to lanes, and a lane's blocks to the rounds of a pass.

::

    blocks ──► cut finely enough ──► dealt to lanes, once for the whole training ──► of each pass: cut into rounds

Which lane a block belongs to never changes: whoever works on a lane may keep its rows. A lane is bound to the plan,
not to a worker, so the number of workers decides nothing.

A plan that workers share: the object itself where they share memory, else one file that is written once.

What travels with a task is small, however many blocks there are: names of published arrays.

Which classes there are, and how many rows each has, before lanes begin: exact, since lanes must agree on them.
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

# Blocks that a lane should have in each round: of a source that is sorted by class, so many draws decide how the
# classes are mixed in a round of a lane.
_BLOCKS_OF_A_ROUND = 32
# The fewest bytes of a block: opening one costs as much as hashing some kilobytes.
_LEAST_BLOCK_BYTES = 16 << 10

# Keeps the random streams of lanes apart from those of blocks and windows.
_DEALING, _ROUNDS, _SEEDS = 10, 11, 12


@dataclass(frozen=True, slots=True)
class Lanes:
    """Who learns what.

    Parameters
    ----------
    plan : Plan
        The plan, its blocks cut finely enough for lanes and rounds.
    blocks : tuple of tuple of int
        Numbers of the plan's blocks by lane. There may be fewer lanes than were asked for: none is empty.
    rounds : int
        Rounds of a pass.
    seed : int
        Decides the order of a lane's blocks.
    """

    plan: Plan
    blocks: tuple[tuple[int, ...], ...]
    rounds: int
    seed: int

    def __len__(self) -> int:
        return len(self.blocks)

    def of_round(self, lane: int, pass_number: int, round_number: int) -> tuple[int, ...]:
        """The blocks that a lane takes in a round, in order; passes and rounds are numbered from 0."""
        mine = self.blocks[lane]
        order = np.random.default_rng((self.seed, _ROUNDS, pass_number, lane)).permutation(len(mine))
        sizes = np.array([max(1, self.plan.blocks[mine[i]].raw_bytes) for i in order], np.float64)
        # A block belongs to the round in which its middle lies.
        middles = (np.cumsum(sizes) - sizes / 2) / sizes.sum()
        rounds = np.minimum((middles * self.rounds).astype(np.int64), self.rounds - 1)
        return tuple(mine[i] for i in order[rounds == round_number])

    def seed_of(self, lane: int, round_number: int) -> int:
        """The seed of the order of rows inside a lane's round."""
        sequence = np.random.SeedSequence((self.seed, _SEEDS, lane, round_number))
        return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def deal(plan: Plan, n_lanes: int, rounds: int, *, seed: int, interleaved: bool) -> Lanes:
    """Deal a plan's blocks to lanes.

    Parameters
    ----------
    plan : Plan
    n_lanes : int
        Lanes wanted. A source with fewer blocks (files that cannot be cut) feeds fewer.
    rounds : int
        Rounds of a pass.
    seed : int
        Decides who gets what.
    interleaved : bool
        Whether each lane gets blocks from all over the source, which keeps lanes alike where the source is sorted;
        else each lane gets a run of neighbours, as if every host had a part of its own.
    """
    plan = _finer(plan, n_lanes * rounds * _BLOCKS_OF_A_ROUND)
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
            # Large blocks may jump over a lane: none may stay without a block.
            empty = next((k for k in range(n_lanes) if not lanes[k]), n_lanes)
            lane = min(lane, empty) if left > n_lanes - empty else empty
            lanes[lane].append(i)
            before += size
    return Lanes(plan, tuple(tuple(sorted(lane)) for lane in lanes), rounds, seed)


def _finer(plan: Plan, n_blocks: int) -> Plan:
    """The plan with at least so many blocks, as far as its files can be cut."""
    total = sum(block.raw_bytes for block in plan.blocks)
    block_bytes = max(_LEAST_BLOCK_BYTES, total // max(1, n_blocks))
    blocks = [piece for block in plan.blocks for piece in _cut(plan, block, block_bytes)]
    return replace(plan, blocks=tuple(blocks))


def _cut(plan: Plan, block: Block, block_bytes: int) -> list[Block]:
    file = plan.files[block.file]
    # Row groups and streams are read as a whole.
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
    """The plan itself."""

    shared: Plan

    def plan(self) -> Plan:
        """The plan."""
        return self.shared

    def withdraw(self, engine: Engine) -> None:
        """Nothing was published."""


@dataclass(frozen=True, slots=True)
class PublishedPlan:
    """A plan as JSON, and the data in memory, if that is the source, as an Arrow stream."""

    told: Ref
    memory: Ref | None
    # Credentials travel with the task; the published file is without them.
    storage_options: Mapping[str, Any] | None = field(repr=False)
    urls: tuple[str, ...] = field(repr=False)

    def plan(self) -> Plan:
        """The plan, made anew; the columns of data in memory are mapped, not copied."""
        plan = Plan.from_json(json.loads(self.told.load()["json"].tobytes()))
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
        """Take back what was published."""
        for ref in (self.told, self.memory):
            if ref is not None:
                engine.withdraw(ref)


def check_shareable(plan: Plan, engine: Engine) -> None:
    """Refuse a source that workers of an engine cannot read.

    Raises
    ------
    PlanError
        If it is the standard input of this process, and they are others.
    """
    if not engine.shares_memory and any(file.path == "-" for file in plan.files):
        raise PlanError(
            "workers that are other processes cannot read this one's standard input",
            "let threads work, or write the data to a file first",
        )


def share(plan: Plan, engine: Engine) -> SharedPlan | PublishedPlan:
    """What workers of an engine need to have a plan."""
    if engine.shares_memory:
        return SharedPlan(plan)
    told = json.dumps(plan.to_json(), ensure_ascii=False).encode("utf-8", "surrogateescape")
    memory = plan.dataset.memory
    published = None
    if memory is not None:
        import pyarrow as pa

        from manymill.data.memory import ArrowColumns

        if not isinstance(memory, ArrowColumns):  # hashed texts are names of files
            return SharedPlan(plan)
        columns = {"text": memory.text, "label": memory.label, "weight": memory.weight}
        table = pa.table({name: column for name, column in columns.items() if column is not None})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        published = engine.publish({"arrow": np.frombuffer(sink.getvalue(), np.uint8)})
    return PublishedPlan(
        engine.publish({"json": np.frombuffer(told, np.uint8)}),
        published,
        plan.dataset.storage_options,
        plan.urls,
    )


# Blocks that one task reads: enough to be worth a task on a cluster.
_BLOCKS = 16


@dataclass(frozen=True, slots=True)
class _Part:
    plan: Plan  # some blocks of the whole one: they alone travel with a task

    @property
    def name(self) -> str:
        """What people call it, should it fail."""
        block = self.plan.blocks[0]
        return f"the labels of {self.plan.files[block.file].path} from {block.start} on"


def class_counts(
    plan: Plan,
    engine: Engine,
    *,
    check: Callable[[int, Sequence[str]], None] = lambda n_known, new: None,
) -> dict[str, int]:
    """The rows of each class, sorted by name; 0 for a class that was named and no row has.

    Reads the labels of the whole source, unless the plan's sample was the whole source.

    Parameters
    ----------
    plan : Plan
    engine : Engine
        Who reads.
    check : callable
        Called with the number of classes known and the names of further ones, before they are counted; may raise.

    Raises
    ------
    SourceError
        If a file cannot be read, or has changed.
    """
    if plan.exact:
        return dict(plan.class_counts)
    total = Counter(dict.fromkeys(plan.class_counts, 0))
    # Data in memory is here, and its labels are quickly counted.
    counting = map if plan.dataset.memory is not None else engine.map
    for counts in counting(_count, _parts(plan)):
        new = sorted(counts.keys() - total.keys())
        if new:
            check(len(total), new)
        total.update(counts)
    return dict(sorted(total.items()))


def _parts(plan: Plan) -> Iterator[_Part]:
    for start in range(0, len(plan.blocks), _BLOCKS):
        yield _Part(replace(plan, blocks=plan.blocks[start : start + _BLOCKS]))


def _count(part: _Part) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for batch in read(part.plan):
        if batch.label is not None:
            counts.update(batch.label.counts())
    return dict(counts)
