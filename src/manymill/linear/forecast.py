"""Forecast of a training: what it would read, its memory and its time, without training."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from manymill import display
from manymill.constants import SHOWN_CLASSES
from manymill.data.dataset import Dataset, Plan
from manymill.data.reader import read
from manymill.display import shortened
from manymill.engine.local import available_threads, workers
from manymill.errors import PlanError
from manymill.events import Observer
from manymill.linear.feature_weights import empty_counts, feature_table, weights_kind
from manymill.linear.memory import MemoryNeed, check_memory, megabytes, memory_need
from manymill.linear.recipe import script_notes
from manymill.linear.row_stream import SliceHasher, all_rows
from manymill.linear.settings import Settings
from manymill.linear.state import ClassIndex, LinearState


@dataclass(frozen=True, slots=True)
class Forecast:
    """Data, memory and time of a training."""

    plan: Plan
    settings: Settings
    threads: int
    memory: MemoryNeed
    seconds: float | None  # of all passes; None if unknown
    refusal: PlanError | None  # why training would not start

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON-serialisable fields."""
        return {
            "plan": self.plan.to_json(),
            "settings": self.settings.to_json(),
            "threads": self.threads,
            "memory_bytes": self.memory.total,
            "model_bytes": self.memory.state,
            "seconds": self.seconds,
            "refusal": None if self.refusal is None else str(self.refusal),
        }

    def to_text(self) -> str:
        """Everything as lines for people."""
        plan, need = self.plan, self.memory
        about = "" if plan.exact else "about "
        first = plan.files[0]
        kind = first.format if first.compression is None else f"{first.format}, {first.compression}"
        lines = [
            f"read    {_count(len(plan.files), 'file')}, {kind}, {megabytes(plan.source_bytes)} on disk; "
            f"{about}{plan.n_rows:,} rows, {megabytes(plan.text_bytes)} of text",
            *(f"        {note}" for note in plan.notes),
            *(f"text    {note}" for note in script_notes(plan, self.settings)),
            f"classes {_classes(plan)}",
            f"model   {_features(self.settings)}; {_learning(self.settings)}",
            f"memory  {megabytes(need.total)}: model {megabytes(need.state)}, "
            f"shuffling {megabytes(need.window)}, rows cached between passes {megabytes(need.cached_rows)}, "
            f"held out {megabytes(need.held_out)}, unsaved state {megabytes(need.unsaved)}, "
            f"in flight {megabytes(need.in_flight)}, "
            + (f"exchanged between lanes {megabytes(need.exchanged)}, " if need.exchanged else "")
            + (f"decoding {megabytes(need.decoders)}, " if need.decoders >= 10**6 else "")
            + (f"choice of the recipe {megabytes(need.choice)}, " if need.choice else "")
            + f"longest record {megabytes(need.records)}, "
            + f"checkpoint {megabytes(need.checkpoint)}, program {megabytes(need.base)}",
        ]
        if self.settings.lanes > 1:
            rounds = f"{self.settings.rounds_per_pass} rounds per pass, merged by {self.settings.merge_used}"
            lines.append(f"lanes   {self.settings.lanes}, {rounds}")
        if self.seconds is not None:
            lines.append(
                f"time    about {_duration(self.seconds)} on {_count(self.threads, 'thread')}, "
                f"{_count(self.settings.n_passes, 'pass', 'passes')}"
            )
        if self.settings.recipe == "auto":
            lines.append(
                "chosen  when training starts, on a sample of the rows; these figures are of the recipe standard"
            )
        lines += [f"warning {warning}" for warning in plan.warnings]
        return display.lines(lines)


def forecast(
    dataset: Dataset,
    settings: Settings,
    *,
    threads: int | None = None,
    memory: int | None = None,
    observe: Observer = lambda event: None,
) -> Forecast:
    """Forecast a training of the dataset.

    Raises
    ------
    SourceError, SchemaError, PlanError
        If there is nothing to read, or a column does not exist. Insufficient memory is reported in ``refusal`` instead.
    """
    threads = threads or available_threads()
    plan = dataset.plan(observe=observe)
    settings = settings.for_plan(plan)
    if settings.feature_weights is not None:
        settings = replace(settings, feature_weights=weights_kind(settings, plan.class_counts.values()))
    refusal = None
    try:
        need = check_memory(plan, settings, threads=threads, limit=memory)
    except PlanError as error:
        refusal, need = error, memory_need(plan, settings, threads=threads)
    seconds = None if refusal else _seconds(plan, settings, threads)
    return Forecast(plan, settings, threads, need, seconds, refusal)


def _seconds(plan: Plan, settings: Settings, threads: int) -> float | None:
    """The time of a training, extrapolated from one block learnt by a temporary learner."""
    start = time.perf_counter()
    batch = next(iter(read(plan)), None)
    if batch is None or not len(batch):
        return None
    index = ClassIndex([*plan.class_counts, *(batch.label.names if batch.label else ())])
    part = all_rows(batch, index)
    with workers(1) as executor:
        rows = SliceHasher(settings.analyzer, executor, 1).rows(part)
    read_and_hashed = time.perf_counter()
    table = None
    if settings.feature_weights is not None:
        counts = empty_counts(settings, len(index))
        counts.add(rows, part.classes.astype(np.int32))
        table = feature_table(settings, counts, lambda event: None, time.monotonic())
        rows = rows.mapped(table, settings.norm)
    learner = LinearState(settings, index, as_integers=False, table=table).learner
    learner.learn(rows, part.classes.astype(np.int32))
    trained = time.perf_counter()
    # Reading and hashing share the threads; the learner uses one thread.
    blocks = plan.source_bytes / max(1, batch.n_bytes)
    slowest = max((read_and_hashed - start) / threads, trained - read_and_hashed)
    return float(slowest * blocks * (settings.n_passes + (settings.feature_weights is not None)))


def _features(settings: Settings) -> str:
    """The features of resolved settings: ``words 1-2, characters 3 in 262,144 hash buckets, weights nb-idf``."""
    kinds = (("words", settings.ngram_range), ("characters", settings.char_ngram_range))
    shown = [
        f"{kind} {'-'.join(map(str, sorted(set(lengths))))}"
        for kind, lengths in kinds
        if isinstance(lengths, tuple)
    ]
    return f"{', '.join(shown)} in {settings.n_features:,} hash buckets, weights {settings.feature_weights or 'none'}"


def _learning(settings: Settings) -> str:
    """How a model of resolved settings learns: ``loss modified_huber, l2 1.2e-05``."""
    penalties = [f"{name} {value:.3g}" for name in ("l1", "l2") if (value := float(getattr(settings, name)))]
    return ", ".join([f"loss {settings.loss}", *(penalties or ["no penalty"])])


def _classes(plan: Plan) -> str:
    counts = sorted(plan.class_counts.items(), key=lambda item: -item[1])
    total = max(1, sum(plan.class_counts.values()))
    shown = ", ".join(f"{shortened(name)} {_percent(n, total)}" for name, n in counts[:SHOWN_CLASSES])
    more = f", and {len(counts) - SHOWN_CLASSES} more" if len(counts) > SHOWN_CLASSES else ""
    where = "" if plan.exact else f" in a sample of {total:,} rows"
    return f"{len(counts)}{where}: {shown}{more}"


def _percent(n: int, total: int) -> str:
    return "<1 %" if 0 < 100 * n < total else f"{100 * n / total:.0f} %"


def _count(n: int, one: str, many: str = "") -> str:
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
