"""Memory as a contract: what a training will need, known before it starts.

The estimate is an upper bound of the resident set: the interpreter with its libraries, the learner's state,
one window of text, the rows that are kept between passes, and what the threads have in hand. With several lanes
each worker has a learner and a window of its own, and what lanes changed waits to be merged; the estimate is of all
workers together, each a thread. (Processes take the program's own part once more each.)

How many classes the promised memory has room for: asked whenever a training meets a class that the plan lacks.

In: numbers of classes and the memory that a training of so many needs. Out: an error in order, or events that say what
the training takes now.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace
from itertools import product
from math import ceil

from manymill.data.dataset import Plan
from manymill.data.reader import OPEN_BYTES, OPEN_STREAMS
from manymill.display import quoted
from manymill.errors import MemoryLimitError, PlanError
from manymill.events import ClassesFound, Observer, Warned
from manymill.linear.merging import rules_of
from manymill.linear.row_stream import (
    SLICE_BYTES,
    count_bytes,
    kept_row_bytes,
    row_bytes_per_byte,
    state_bytes,
)
from manymill.linear.settings import Settings

# Python, NumPy and this library: 43 MB at the end of a training of 20 rows. Arrow, where it reads: its code, its pool,
# the column chunks or frames it holds.
BASE_BYTES = 68 << 20
ARROW_BYTES = 64 << 20

# What is known of a file, and its part of ``plan.json``.
FILE_BYTES = 1500

# What the allocators hold back of memory that comes and goes; it varies. Chosen so that eight trainings of different
# kinds stayed below the estimate.
HELD_BACK = 1.3

# Beside its text: offset, position, class, key, place in the shuffled order.
BYTES_PER_ROW = 80

# A slice in hand holds its rows and, for each length of n-gram, its hashes; a block its raw bytes and its columns.
HASHED_BYTES_PER_BYTE = 0.8
BLOCK_BYTES_PER_BYTE = 3.0

# A window is full when it holds enough: the last block may be over.
BLOCK_BYTES = 2 << 20


# Of a record much longer than a block there is its text in a window that overflows with it, and meanwhile what was read
# of the next one, in a buffer that grows, and the text of that.
RECORD_COPIES = 2.75

# Records beyond the sample may be so many times as long as the longest in it, and so long in any case.
RECORD_GROWTH = 2
LEAST_RECORD = 4 << 20

# An entry of a row is a feature and its value. Of lanes that are done, up to so many wait to be added up; so many
# broadcasts are kept before the whole state is sent again.
BYTES_PER_ENTRY = 8
WAITING_PARTS = 6
BROADCASTS = 9

# Where a lane's round has more than one of so many features, workers keep a copy of the whole state of one output:
# ``rust/src/learn/changes.rs``.
COPIED = 64


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Bytes that a training needs at most, by what they are for."""

    base: int
    state: int
    window: int
    kept_rows: int
    held_out: int
    in_hand: int
    unsaved: int
    checkpoint: int  # a copy of what has been learnt, while it is written
    exchanged: int  # between lanes: what they changed, its sums, broadcasts
    decoders: int  # windows of compressed files, pages of Parquet files
    records: int  # the longest record that may come, and the names of very many columns

    @property
    def total(self) -> int:
        """All of it."""
        return sum(astuple(self))


def memory_need(plan: Plan, settings: Settings, *, threads: int, n_classes: int | None = None) -> MemoryNeed:
    """The memory that a training of this plan needs.

    Parameters
    ----------
    n_classes : int, optional
        Classes expected; those of the plan's sample if not given.
    """
    classes = max(2, n_classes or len(plan.class_counts))
    n_features = settings.for_classes(classes).analyzer.n_features
    outputs = 1 if classes == 2 else classes
    state = state_bytes(n_features, outputs)
    if settings.l1 or settings.l2:
        state += 4 * n_features
    if settings.feature_weights is not None:
        # The counts go before the state comes; the weights stay.
        state = max(state, count_bytes(settings, n_features, classes)) + 4 * n_features
    least, greatest = settings.ngram_range
    hashed = HASHED_BYTES_PER_BYTE * (greatest - least + 1)
    copies = 1 if settings.feature_weights is None else 2  # weighed rows beside those they are made of
    per_byte = copies * row_bytes_per_byte(settings) + hashed + BLOCK_BYTES_PER_BYTE
    by_arrow = any(file.format in ("parquet", "memory") for file in plan.files)
    held_out = settings.holdout_share(plan.n_rows, plan.text_bytes)
    workers = min(threads, settings.lanes) if settings.lanes > 1 else 0
    # A lane mixes the text of its own part of a round.
    windows, parts = (workers, settings.lanes * settings.rounds_per_pass) if workers else (1, 1)
    share = min(1.0 / parts, settings.window_bytes / max(1, plan.text_bytes))
    window = int(HELD_BACK * share * (plan.text_bytes + BYTES_PER_ROW * plan.n_rows)) + BLOCK_BYTES
    kept = kept_row_bytes(plan, settings)
    return MemoryNeed(
        base=BASE_BYTES + FILE_BYTES * len(plan.files) + (ARROW_BYTES if by_arrow else 0),
        state=state * (1 + workers),
        window=windows * window,
        # The rows of a lane are joined once, beside their parts, and taken in another order.
        kept_rows=kept + (kept * workers // settings.lanes),
        held_out=int(held_out * plan.text_bytes * row_bytes_per_byte(settings)),
        in_hand=2 * threads * int(HELD_BACK * SLICE_BYTES * per_byte),
        # Where nothing is held out, a copy of the weights of a pass while the next is awaited.
        unsaved=0 if held_out or settings.passes == 1 else 4 * n_features * outputs,
        checkpoint=int(_n_met(plan, settings, n_features) * 4 * (outputs + 2)),
        exchanged=_exchanged(plan, settings, n_features, outputs, workers),
        decoders=max(1, workers) * _decoders(plan),
        records=plan.head_bytes + max(1, workers) * int(RECORD_COPIES * longest_record(plan)),
    )


def longest_record(plan: Plan) -> int:
    """Bytes of the longest record that there is room for; beyond a sample they may be longer than in it."""
    if plan.record_room:
        return plan.record_room
    if plan.exact:
        return plan.longest_record
    members = max((size for file in plan.files for _, size in file.members), default=0)
    if members or plan.files[0].format == "memory":
        return min(plan.dataset.max_record_bytes, max(members, plan.longest_record))
    least = 0 if plan.files[0].format == "parquet" else LEAST_RECORD
    return min(plan.dataset.max_record_bytes, max(least, RECORD_GROWTH * plan.longest_record))


def with_record_room(plan: Plan, settings: Settings, *, threads: int, limit: int | None) -> Plan:
    """The plan with the length of records for which the promised memory has room; a longer one is a bad row.

    That is every record allowed, if there is memory for it; else the rest of the memory is for classes that the plan
    lacks.
    """
    longest, most = longest_record(plan), plan.dataset.max_record_bytes
    if limit is None or plan.exact or plan.record_room or longest >= most:
        return plan
    needed = memory_need(replace(plan, record_room=most), settings, threads=threads).total
    return replace(plan, record_room=longest if limit < needed else most, record_memory=needed)


def _decoders(plan: Plan) -> int:
    """Bytes that the streams hold which are open side by side, beside what they give."""
    most = max(file.decoder_bytes for file in plan.files)
    if plan.files[0].format == "parquet":
        # A stream is a row group; several of a file are open as long as they are small.
        return most * min(OPEN_STREAMS, max(1, 2 * OPEN_BYTES // max(1, most)))
    return sum(sorted(file.decoder_bytes for file in plan.files)[-OPEN_STREAMS:])


def _n_met(plan: Plan, settings: Settings, n_features: int, n_parts: int = 1) -> float:
    """Features that one of so many parts of the source has, at most."""
    return min(n_features, plan.text_bytes / n_parts * row_bytes_per_byte(settings) / BYTES_PER_ENTRY)


def _exchanged(plan: Plan, settings: Settings, n_features: int, outputs: int, workers: int) -> int:
    """Bytes of what lanes changed: noted by workers, summed up on the way, broadcast after the merge."""
    if not workers:
        return 0
    n_met = _n_met(plan, settings, n_features, settings.rounds_per_pass)
    of_lane = _n_met(plan, settings, n_features, settings.rounds_per_pass * settings.lanes)
    # Plain sums, and those weighted by squared gradients.
    n_kinds = 1 + ("mass" in rules_of(settings.merge_used, outputs))
    noted = of_lane * 2 * 4 * (outputs + 1)
    if outputs == 1 and of_lane >= n_features / COPIED:
        noted = max(noted, state_bytes(n_features, outputs))
    sums = 16 + 8 * n_kinds * outputs
    waiting = workers + WAITING_PARTS
    return int(
        workers * noted + of_lane * waiting * sums + n_met * (2 * sums + BROADCASTS * 4 * (outputs + 2))
    )


def check_memory(
    plan: Plan, settings: Settings, *, threads: int, limit: int | None, n_classes: int | None = None
) -> MemoryNeed:
    """The memory that a training needs, refused when it is over the limit or over what the machine has.

    Raises
    ------
    PlanError
        With cheaper settings that would do.
    """
    need = memory_need(plan, settings, threads=threads, n_classes=n_classes)
    allowed = limit if limit is not None else available_bytes()
    if need.total <= allowed:
        return need
    whose = "the limit is" if limit is not None else "this machine has available only"
    largest = max(plan.files, key=lambda file: file.decoder_bytes)
    # No setting of the training helps where decoding is most of it.
    if need.decoders > need.total - need.decoders:
        what = "pages" if largest.format == "parquet" else f"{largest.compression} window"
        raise PlanError(
            f"decoding {largest.path} needs {megabytes(largest.decoder_bytes)} of memory for its {what}, and this "
            f"training {megabytes(need.total)} in all; {whose} {megabytes(allowed)}",
            "write the file with smaller pages"
            if largest.format == "parquet"
            else "compress the file with a smaller window (zstd without --long, xz -6), or decompress it",
        )
    raise PlanError(
        f"this training needs {megabytes(need.total)} of memory ({megabytes(need.state)} for the model, "
        f"{megabytes(need.window)} to shuffle text); {whose} {megabytes(allowed)}",
        _cheaper(plan, settings, threads, allowed, n_classes),
    )


def _cheaper(plan: Plan, settings: Settings, threads: int, allowed: int, n_classes: int | None) -> str:
    """The least change of settings that fits: fewer threads, a smaller window, one pass, then fewer features."""
    asked = settings.for_classes(n_classes or len(plan.class_counts)).analyzer.n_features
    small_window = min(settings.window_bytes, 8_000_000)
    features = [asked >> shift for shift in range(30) if asked >> shift >= min(asked, 1024)]
    told = ""
    for choice in product(
        features,
        dict.fromkeys((settings.passes, 1)),
        dict.fromkeys((settings.window_bytes, small_window)),
        dict.fromkeys((threads, 1)),
    ):
        n_features, passes, window_bytes, n_threads = choice
        cheaper = replace(settings, n_features=n_features, passes=passes, window_bytes=window_bytes)
        need = memory_need(plan, cheaper, threads=n_threads, n_classes=n_classes).total
        changes = {
            f"--n-features {n_features}": n_features != asked,
            f"--passes {passes}": passes != settings.passes,
            f"--window {window_bytes // 10**6}MB": window_bytes != settings.window_bytes,
            f"--threads {n_threads}": n_threads != threads,
        }
        told = f"{' '.join(change for change, made in changes.items() if made)} needs {megabytes(need)}"
        if need <= allowed:
            return told
    return f"{told}; give at least that"


def megabytes(n_bytes: int) -> str:
    """Bytes as people read them: ``"120 MB"``, ``"1.5 GB"``."""
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{ceil(n_bytes / 1e6)} MB"


def available_bytes() -> int:
    """What this machine could give to a program now."""
    n_bytes = _told("/proc/meminfo", "MemAvailable:")
    if n_bytes is None:
        import psutil

        n_bytes = psutil.virtual_memory().available
    return n_bytes


def resident_bytes() -> int:
    """The resident set of this process now."""
    n_bytes = _told("/proc/self/status", "VmRSS:")
    if n_bytes is None:
        import psutil

        n_bytes = psutil.Process().memory_info().rss
    return n_bytes


def peak_memory_bytes() -> int:
    """The greatest resident set of this program so far; where the system does not say, that of now."""
    # Not getrusage: on Linux its figure starts from the memory of the process that started this one.
    n_bytes = _told("/proc/self/status", "VmHWM:")
    return resident_bytes() if n_bytes is None else n_bytes


def _told(path: str, name: str) -> int | None:
    """Bytes as Linux tells them in a file; None elsewhere. Importing psutil takes as long as learning 10 MB."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            kilobytes = next(line.split()[1] for line in file if line.startswith(name))
        return int(kilobytes) * 1024
    except (OSError, StopIteration):
        return None


# A training that takes more than this times what the plan said is told of.
_WORTH_A_WARNING = 1.1


@dataclass(frozen=True, slots=True)
class Knobs:
    """What the settings that help are called at the interface that is used."""

    classes: str
    n_features: str
    label: str
    memory: str | None  # None: there is no such setting
    engine: str
    lanes: str


OPTIONS = Knobs(
    "--classes", "--n-features", "--label", "--memory", "--engine, --workers or --stall-seconds", "--lanes"
)
PARAMETERS = Knobs("scan(..., classes=...)", "n_features", "scan(..., label=...)", None, "engine", "lanes")


class ClassLimit:
    """The memory that was promised for a training, and whether further classes fit in it.

    Parameters
    ----------
    need : callable
        Bytes that a training of so many classes takes at most, by the number of classes and of features.
    n_features : int
        Features of the training.
    n_planned : int
        Classes of the plan.
    limit : int or None
        Bytes promised; None: what the machine has available now.
    observe : callable
        Called with events.
    knobs : Knobs
        Names of settings, for messages.
    """

    def __init__(
        self,
        need: Callable[[int, int], int],
        n_features: int,
        n_planned: int,
        *,
        limit: int | None,
        observe: Observer = lambda event: None,
        knobs: Knobs = PARAMETERS,
    ) -> None:
        self._need, self._n_features, self._n_planned = need, n_features, n_planned
        self._is_given = limit is not None
        self._allowed = limit if limit is not None else available_bytes()
        self._observe, self._knobs = observe, knobs
        self._planned_bytes = self._warned_bytes = need(n_planned, n_features)

    @classmethod
    def of_training(
        cls,
        plan: Plan,
        settings: Settings,
        n_planned: int,
        *,
        threads: int,
        limit: int | None,
        observe: Observer = lambda event: None,
        knobs: Knobs = PARAMETERS,
    ) -> ClassLimit:
        """The limit of a training of a plan, with settings whose number of features is known."""

        def need(n_classes: int, n_features: int) -> int:
            asked = replace(settings, n_features=n_features)
            return memory_need(plan, asked, threads=threads, n_classes=n_classes).total

        n_features = settings.analyzer.n_features
        return cls(need, n_features, n_planned, limit=limit, observe=observe, knobs=knobs)

    def check_plan(self) -> None:
        """Refuse a training whose model is too large to begin with.

        Raises
        ------
        MemoryLimitError
            With the memory needed and the settings that help.
        """
        needed = _state_bytes(self._n_features, self._n_planned)
        if needed <= self._allowed:
            return
        raise MemoryLimitError(
            f"a model of {self._n_planned:,} classes and {self._n_features:,} features needs {megabytes(needed)} of "
            f"memory, {self._has_allowed()}",
            self._way_out(0, self._n_planned, needed),
        )

    def check(self, n_known: int, new: Sequence[str], where: str = "") -> None:
        """Refuse further classes if the training would then take more than was promised.

        Parameters
        ----------
        n_known : int
            Classes so far.
        new : sequence of str
            The further ones.
        where : str
            File and row of the first of them, if they are known.

        Raises
        ------
        MemoryLimitError
            With the number of classes, one of them, the memory needed and the settings that help.
        """
        n_classes = n_known + len(new)
        if n_classes <= max(2, self._n_planned):  # the state of one class is that of two
            return
        # The old state is there until the new one has its weights.
        needed = self._need(n_classes, self._n_features) + _old_bytes(self._n_features, n_known)
        if needed <= self._allowed:
            return
        at = f" in {where}" if where else ""
        raise MemoryLimitError(
            f"{n_classes:,} classes were met, {n_classes - self._n_planned:,} of which the plan did not have (such as "
            f"{quoted(new[0])}{at}): the training would need {megabytes(needed)} of memory, {self._has_allowed()}",
            self._way_out(n_known, n_classes, needed),
        )

    def found(self, n_known: int, new: Sequence[str]) -> None:
        """Tell of classes that are learnt from now on, and of the memory if that is more than the plan said."""
        n_classes = n_known + len(new)
        self._observe(ClassesFound(tuple(new), n_classes))
        n_bytes = self._need(n_classes, self._n_features)
        if n_bytes <= _WORTH_A_WARNING * self._warned_bytes:
            return
        # The next warning comes when it has about doubled.
        self._warned_bytes = 2 * n_bytes
        self._observe(
            Warned(
                f"{n_classes:,} classes were met, the plan had {self._n_planned:,} (new: {quoted(new[0])}): the "
                f"training may take {megabytes(n_bytes)} of memory instead of {megabytes(self._planned_bytes)}, "
                f"{megabytes(_state_bytes(self._n_features, n_classes))} of it for the model. If these are not "
                f"classes, name those to learn with {self._knobs.classes}, or another column with "
                f"{self._knobs.label}"
            )
        )

    def admit(self, n_known: int, new: Sequence[str], where: str = "") -> None:
        """Refuse further classes (:meth:`check`), or tell of them (:meth:`found`)."""
        self.check(n_known, new, where)
        self.found(n_known, new)

    def _has_allowed(self) -> str:
        whose = "the limit is" if self._is_given else "this machine had available only"
        return f"{whose} {megabytes(self._allowed)}"

    def _way_out(self, n_known: int, n_classes: int, needed: int) -> str:
        knobs = self._knobs
        ways = [f"name the classes to learn with {knobs.classes} or, if these are not labels, another column with "
                f"{knobs.label}"]  # fmt: skip
        if knobs.memory is not None:
            ways.append(f"allow {megabytes(needed)} with {knobs.memory}")
        for shift in range(1, 30):
            fewer = self._n_features >> shift
            if fewer < 1024:
                ways.append(f"{knobs.n_features} takes less memory the lower it is")
                break
            need = self._need(n_classes, fewer) + _old_bytes(fewer, n_known)
            if need <= self._allowed:
                ways.append(f"use {knobs.n_features} {fewer}, which needs {megabytes(need)}")
                break
        return "; ".join(ways)


def _state_bytes(n_features: int, n_classes: int) -> int:
    return state_bytes(n_features, 1 if n_classes <= 2 else n_classes)


def _old_bytes(n_features: int, n_classes: int) -> int:
    """Bytes of the state that is there before classes are added; none before anything was learnt."""
    return _state_bytes(n_features, n_classes) if n_classes else 0
