"""Which classes there are, and how many rows each has, before lanes begin: exact, since lanes must agree on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from manymill.data.dataset import Plan
from manymill.data.reader import read
from manymill.engine.base import Engine

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
