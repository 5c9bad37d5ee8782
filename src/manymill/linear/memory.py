"""Memory of a training: an upper bound before it starts, and the limit on classes found while it runs.

The estimate bounds the resident set: the interpreter with its libraries, the learner's state, one window of text, the
rows cached between passes, and the slices in flight on the threads. With several lanes each worker has its own learner
and window, and changes of lanes wait to be merged; the estimate covers all workers as threads of one process. (Each
worker process adds the interpreter and its libraries.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace
from itertools import product
from math import ceil, expm1

from manymill.data.dataset import Plan
from manymill.data.reader import OPEN_BYTES, OPEN_STREAMS
from manymill.display import quoted
from manymill.errors import MemoryLimitError, PlanError
from manymill.events import ClassesFound, Observer, Warned
from manymill.linear.choice_sample import sample_text_bytes
from manymill.linear.merging import n_sums, rules_of
from manymill.linear.recipe import MAX_LEARNERS, max_table_features
from manymill.linear.row_stream import (
    SLICE_BYTES,
    cached_row_bytes,
    row_bytes_per_byte,
    state_bytes,
)
from manymill.linear.settings import Settings
from manymill.linear.state import COPIED_BYTES

# Python, NumPy and this library: 43 MB at the end of a training of 20 rows. Arrow, if it reads: its code, its pool, its
# column chunks or frames.
BASE_BYTES = 68 << 20
ARROW_BYTES = 84 << 20

# Metadata of a file, and its part of ``plan.json``.
FILE_BYTES = 1500

# Fragmentation: memory that allocators retain. Chosen so that eight trainings of different kinds stayed below the
# estimate.
FRAGMENTATION = 1.3

# Besides its text: offset, position, class, key, index in the shuffled order.
BYTES_PER_ROW = 80

# A slice in flight holds its rows and, for each n-gram length, its hashes; a block its raw bytes and its columns.
HASHED_BYTES_PER_BYTE = 0.8
HASHED_BYTES_PER_CHARACTER = 5.0
BLOCK_BYTES_PER_BYTE = 3.0

# The last block of a window may exceed its size.
BLOCK_BYTES = 2 << 20

# A record much longer than a block is held as text in a window, while the next record is read into a growing buffer and
# converted to text.
RECORD_COPIES = 2.75

# Records outside the sample may be longer than its longest record by this factor, and at least of this length.
RECORD_GROWTH = 2
MIN_RECORD = 4 << 20

# An entry of a row is a feature and its value. This many finished lanes may wait to be summed up; this many broadcasts
# are held before the full state is sent again.
BYTES_PER_ENTRY = 8
WAITING_PARTS = 6
BROADCASTS = 9

# Counts of more classes are stored by pair of feature and class: see ``rust/src/learn/counts``.
WIDE_COUNTS = 16
BYTES_PER_PAIR = 28

# While a checkpoint is written: the features met, and the features or weights of the feature table.
CHECKPOINT_BYTES = 8

# The rows of a sample as hashed and as weighted, or those of two forms of features.
SAMPLE_COPIES = 2

# If a lane's round has more than this fraction of the features (1 / 64), workers copy the full state of one output: see
# ``rust/src/learn/changes.rs``.
COPIED = 64

# Warn if training needs more memory than planned by this factor.
_WARNING_FACTOR = 1.1


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Upper bound of the bytes that a training needs, by purpose."""

    base: int
    state: int
    window: int
    cached_rows: int
    held_out: int
    in_flight: int
    unsaved: int
    checkpoint: int  # the list of features, and slices of the state, while it is written
    exchanged: int  # between lanes: changes, their sums, broadcasts
    decoders: int  # windows of compressed files, pages of Parquet files
    records: int  # the longest possible record, and the names of very many columns
    choice: int  # of the recipe "auto", beyond what the training needs after it

    @property
    def total(self) -> int:
        """The sum of all parts."""
        return sum(astuple(self))


def memory_need(plan: Plan, settings: Settings, *, threads: int, n_classes: int | None = None) -> MemoryNeed:
    """The memory that a training of this plan needs.

    Parameters
    ----------
    n_classes : int, optional
        Expected number of classes; that of the plan's sample if not given.
    """
    classes = max(2, n_classes or len(plan.class_counts))
    settings = settings.for_plan(plan, classes)
    n_hashed = settings.analyzer.n_features
    per_byte_of_rows = row_bytes_per_byte(plan, settings)
    outputs = 1 if classes == 2 else classes
    n_features = n_columns(plan, settings, classes)
    state = state_bytes(n_features, outputs, regularised=is_regularised(settings))
    if settings.feature_weights is not None:
        # The counts are freed before the state is allocated; the table of features, which is made from arrays of the
        # features and of the weights, stays.
        counting = _count_bytes(plan, settings, classes) + 12 * n_features
        state = max(state + 4 * n_features, counting) + n_hashed * 3 // 16
    copies = 1 if settings.feature_weights is None else 2  # weighted rows besides the rows they are made from
    per_byte = copies * per_byte_of_rows + _hashed_bytes_per_byte(settings) + BLOCK_BYTES_PER_BYTE
    by_arrow = any(file.format in ("parquet", "memory") for file in plan.files)
    held_out = settings.holdout_share(plan.n_rows, plan.text_bytes)
    workers = min(threads, settings.lanes) if settings.lanes > 1 else 0
    # A lane shuffles the text of its own part of a round.
    windows, parts = (workers, settings.lanes * settings.rounds_per_pass) if workers else (1, 1)
    share = min(1.0 / parts, settings.window_bytes / max(1, plan.text_bytes))
    window = int(FRAGMENTATION * share * (plan.text_bytes + BYTES_PER_ROW * plan.n_rows)) + BLOCK_BYTES
    cached = cached_row_bytes(plan, settings)
    need = MemoryNeed(
        base=BASE_BYTES + FILE_BYTES * len(plan.files) + (ARROW_BYTES if by_arrow else 0),
        state=state * (1 + workers),
        window=windows * window,
        # The cached parts of a lane are concatenated once, which copies them.
        cached_rows=cached + (cached * workers // settings.lanes),
        held_out=int(held_out * plan.text_bytes * per_byte_of_rows),
        in_flight=2 * threads * int(FRAGMENTATION * SLICE_BYTES * per_byte),
        # Without held-out rows: a copy of the weights of a pass until the next one is finished.
        unsaved=0 if held_out or settings.n_passes == 1 else 4 * n_features * (outputs + 1),
        checkpoint=int(_n_seen(plan, settings, n_features) * CHECKPOINT_BYTES) + 2 * COPIED_BYTES,
        exchanged=_exchanged(plan, settings, n_features, outputs, workers),
        decoders=max(1, workers) * _decoders(plan),
        records=plan.head_bytes + max(1, workers) * int(RECORD_COPIES * longest_record(plan)),
        choice=0,
    )
    # The choice comes before the state, the window and the rows of the training.
    later = need.state + need.window + need.cached_rows + need.held_out + need.unsaved + need.checkpoint
    return replace(need, choice=max(0, _choice_bytes(plan, settings, classes, threads) - later))


def _choice_bytes(plan: Plan, settings: Settings, n_classes: int, threads: int) -> int:
    """Maximum bytes of the sample that the recipe "auto" compares candidates on, and of their learners."""
    n_bytes = sample_text_bytes(plan, settings) if settings.recipe == "auto" else 0
    if not n_bytes:
        return 0
    sample = replace(plan, text_bytes=n_bytes)
    most = max_table_features(n_classes) // MAX_LEARNERS
    n_seen = min(most, int(_n_seen(sample, settings, settings.analyzer.n_features)))
    state = state_bytes(n_seen, 1 if n_classes == 2 else n_classes, regularised=True)
    rows = int(SAMPLE_COPIES * n_bytes * row_bytes_per_byte(plan, settings))
    return (
        int(FRAGMENTATION * (n_bytes + rows))
        + _count_bytes(sample, settings, n_classes)
        + min(threads, MAX_LEARNERS) * state
    )


def n_columns(plan: Plan, settings: Settings, n_classes: int) -> int:
    """Maximum number of features of the learner: those in use if they are counted, else all hash buckets."""
    n_hashed = settings.analyzer.n_features
    if settings.feature_weights is None:
        return n_hashed
    return max(1, min(int(_n_seen(plan, settings, n_hashed)), max_table_features(n_classes)))


def _count_bytes(plan: Plan, settings: Settings, n_classes: int) -> int:
    """Maximum bytes of the counts of features, in the layouts of ``rust/src/learn/counts``."""
    n_hashed = settings.analyzer.n_features
    n_columns = 1 if settings.feature_weights == "idf" else n_classes
    if n_columns <= 2:
        return 4 * n_hashed * n_columns
    n_seen = _n_seen(plan, settings, n_hashed)
    if n_columns <= WIDE_COUNTS:
        return int(4 * n_hashed + 4 * n_columns * n_seen)
    n_pairs = plan.text_bytes * row_bytes_per_byte(plan, settings) / BYTES_PER_ENTRY
    return int(BYTES_PER_PAIR * min(n_pairs, n_seen * n_columns))


def _hashed_bytes_per_byte(settings: Settings) -> float:
    """Bytes of the hashes of a slice per byte of text, for each length of n-grams."""
    words, characters = settings.value_of("ngram_range"), settings.value_of("char_ngram_range")
    n_bytes = 0.0
    if words is not None:
        n_bytes += HASHED_BYTES_PER_BYTE * (words[1] - words[0] + 1)
    if characters is not None:
        n_bytes += HASHED_BYTES_PER_CHARACTER * (characters[1] - characters[0] + 1)
    return n_bytes


def is_regularised(settings: Settings) -> bool:
    """Whether the learner has to remember which row touched a feature last."""
    return bool(settings.l1 or settings.l2)


def longest_record(plan: Plan) -> int:
    """Bytes of the longest possible record; outside the sample records may be longer than in it."""
    if plan.record_room:
        return plan.record_room
    if plan.exact:
        return plan.longest_record
    members = max((size for file in plan.files for _, size in file.members), default=0)
    if members or plan.files[0].format == "memory":
        return min(plan.dataset.max_record_bytes, max(members, plan.longest_record))
    least = 0 if plan.files[0].format == "parquet" else MIN_RECORD
    return min(plan.dataset.max_record_bytes, max(least, RECORD_GROWTH * plan.longest_record))


def with_record_room(plan: Plan, settings: Settings, *, threads: int, limit: int | None) -> Plan:
    """The plan with a maximum length of records that fits into the memory limit; a longer record is a bad row.

    If memory suffices this is the length that the dataset allows; otherwise the remaining memory is reserved for
    classes missing from the plan.
    """
    longest, most = longest_record(plan), plan.dataset.max_record_bytes
    if limit is None or plan.exact or plan.record_room or longest >= most:
        return plan
    needed = memory_need(replace(plan, record_room=most), settings, threads=threads).total
    return replace(plan, record_room=longest if limit < needed else most, record_memory=needed)


def _decoders(plan: Plan) -> int:
    """Bytes of the decoders of streams that are open at the same time."""
    most = max(file.decoder_bytes for file in plan.files)
    if plan.files[0].format == "parquet":
        # A stream is a row group; several small ones of a file are open at the same time.
        return most * min(OPEN_STREAMS, max(1, 2 * OPEN_BYTES // max(1, most)))
    return sum(sorted(file.decoder_bytes for file in plan.files)[-OPEN_STREAMS:])


def _n_seen(plan: Plan, settings: Settings, n_features: int, n_parts: int = 1) -> float:
    """Maximum number of features in one of ``n_parts`` parts of the source, up to ``n_features``.

    Different features fall into the same bucket by chance: n of them fill a share of ``1 - exp(-n / n_buckets)``.
    """
    n_entries = plan.text_bytes / n_parts * row_bytes_per_byte(plan, settings) / BYTES_PER_ENTRY
    n_buckets = settings.analyzer.n_features
    return min(n_features, -n_buckets * expm1(-n_entries / n_buckets))


def _exchanged(plan: Plan, settings: Settings, n_features: int, outputs: int, workers: int) -> int:
    """Bytes of the changes of lanes: recorded by workers, summed up, and broadcast after the merge."""
    if not workers:
        return 0
    n_seen = _n_seen(plan, settings, n_features, settings.rounds_per_pass)
    per_lane = _n_seen(plan, settings, n_features, settings.rounds_per_pass * settings.lanes)
    n_kinds = n_sums(rules_of(settings.merge_used, outputs))
    recorded = per_lane * 2 * 4 * (outputs + 1)
    if outputs == 1 and not is_regularised(settings) and per_lane >= n_features / COPIED:
        recorded = max(recorded, state_bytes(n_features, outputs, regularised=False))
    sums = 16 + 8 * n_kinds * outputs
    waiting = min(settings.lanes, workers + WAITING_PARTS)
    broadcasts = min(BROADCASTS, settings.rounds_per_pass * settings.n_passes)
    return int(
        workers * recorded + per_lane * waiting * sums + n_seen * (2 * sums + broadcasts * 4 * (outputs + 2))
    )


def check_memory(
    plan: Plan, settings: Settings, *, threads: int, limit: int | None, n_classes: int | None = None
) -> MemoryNeed:
    """The memory that a training needs, checked against the limit or the available memory.

    Raises
    ------
    PlanError
        If it is too much, with cheaper settings that fit.
    """
    need = memory_need(plan, settings, threads=threads, n_classes=n_classes)
    allowed = limit if limit is not None else available_bytes()
    if need.total <= allowed:
        return need
    whose = "the limit is" if limit is not None else "this machine has available only"
    largest = max(plan.files, key=lambda file: file.decoder_bytes)
    # If decoding needs most of the memory, no setting of the training helps.
    if need.decoders > need.total - need.decoders:
        what = "pages" if largest.format == "parquet" else f"{largest.compression} window"
        raise PlanError(
            f"decoding {largest.path} needs {megabytes(largest.decoder_bytes)} of memory for its {what}, and this "
            f"training {megabytes(need.total)} in total; {whose} {megabytes(allowed)}",
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
    """The smallest change of settings that fits: fewer threads, a smaller window, one pass, then fewer features."""
    settings = settings.for_plan(plan, n_classes)
    requested = settings.analyzer.n_features
    small_window = min(settings.window_bytes, 8_000_000)
    features = [requested >> shift for shift in range(30) if requested >> shift >= min(requested, 1024)]
    hint = ""
    for choice in product(
        features,
        dict.fromkeys((settings.n_passes, 1)),
        dict.fromkeys((settings.window_bytes, small_window)),
        dict.fromkeys((threads, 1)),
    ):
        n_features, passes, window_bytes, n_threads = choice
        cheaper = replace(settings, n_features=n_features, passes=passes, window_bytes=window_bytes)
        need = memory_need(plan, cheaper, threads=n_threads, n_classes=n_classes).total
        changes = {
            f"--n-features {n_features}": n_features != requested,
            f"--passes {passes}": passes != settings.n_passes,
            f"--window {window_bytes // 10**6}MB": window_bytes != settings.window_bytes,
            f"--threads {n_threads}": n_threads != threads,
        }
        hint = " ".join([*(change for change, made in changes.items() if made), "needs", megabytes(need)])
        if need <= allowed:
            return hint
    return f"{hint}; allow at least that"


def megabytes(n_bytes: int) -> str:
    """Bytes in readable form: ``"120 MB"``, ``"1.5 GB"``."""
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{ceil(n_bytes / 1e6)} MB"


def available_bytes() -> int:
    """Memory that is available on this machine now."""
    n_bytes = _proc_bytes("/proc/meminfo", "MemAvailable:")
    if n_bytes is None:
        import psutil

        n_bytes = psutil.virtual_memory().available
    return n_bytes


def resident_bytes() -> int:
    """The resident set of this process now."""
    n_bytes = _proc_bytes("/proc/self/status", "VmRSS:")
    if n_bytes is None:
        import psutil

        n_bytes = psutil.Process().memory_info().rss
    return n_bytes


def peak_memory_bytes() -> int:
    """The peak resident set of this process; the current one if the system does not report a peak."""
    # Not getrusage: on Linux its value includes the memory of the parent process.
    n_bytes = _proc_bytes("/proc/self/status", "VmHWM:")
    return resident_bytes() if n_bytes is None else n_bytes


def _proc_bytes(path: str, name: str) -> int | None:
    """A number of bytes from a file of Linux; None elsewhere. Importing psutil takes as long as learning 10 MB."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            kilobytes = next(line.split()[1] for line in file if line.startswith(name))
        return int(kilobytes) * 1024
    except (OSError, StopIteration):
        return None


@dataclass(frozen=True, slots=True)
class ParameterNames:
    """Names of parameters in the interface that is used, for hints of messages."""

    classes: str
    n_features: str
    label: str
    memory: str | None  # None: not a parameter
    engine: str
    lanes: str


OPTION_NAMES = ParameterNames(
    "--classes", "--n-features", "--label", "--memory", "--engine, --workers or --stall-seconds", "--lanes"
)
PARAMETER_NAMES = ParameterNames(
    "scan(..., classes=...)", "n_features", "scan(..., label=...)", None, "engine", "lanes"
)


def _dense_state_bytes(n_features: int, n_classes: int, *, regularised: bool = False) -> int:
    return state_bytes(n_features, 1 if n_classes <= 2 else n_classes, regularised=regularised)


class ClassLimit:
    """The memory limit of a training, checked when classes are found that the plan lacks.

    Parameters
    ----------
    need : callable
        Gives the maximum bytes of a training by the number of classes and of features.
    n_features : int
        Features of the training.
    n_planned : int
        Number of classes in the plan.
    limit : int or None
        Maximum bytes; None: the memory that is available now.
    observe : callable
        Called with events.
    names : ParameterNames
        Names of parameters, for messages.
    state : callable, optional
        Gives the maximum bytes of the learner's state by the number of features and of classes; by default that of all
        hash buckets.
    """

    def __init__(
        self,
        need: Callable[[int, int], int],
        n_features: int,
        n_planned: int,
        *,
        limit: int | None,
        observe: Observer = lambda event: None,
        names: ParameterNames = PARAMETER_NAMES,
        state: Callable[[int, int], int] | None = None,
    ) -> None:
        self._state_bytes = state or _dense_state_bytes
        self._need, self._n_features, self._n_planned = need, n_features, n_planned
        self._is_given = limit is not None
        self._allowed = limit if limit is not None else available_bytes()
        self._observe, self._names = observe, names
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
        names: ParameterNames = PARAMETER_NAMES,
    ) -> ClassLimit:
        """The limit of a training; the settings' number of features must be set."""

        def need(n_classes: int, n_features: int) -> int:
            changed = replace(settings, n_features=n_features)
            return memory_need(plan, changed, threads=threads, n_classes=n_classes).total

        def state(n_features: int, n_classes: int) -> int:
            used = n_columns(plan, replace(settings, n_features=n_features), n_classes)
            return _dense_state_bytes(used, n_classes, regularised=is_regularised(settings))

        n_features = settings.analyzer.n_features
        return cls(need, n_features, n_planned, limit=limit, observe=observe, names=names, state=state)

    def check_plan(self) -> None:
        """Check the memory of the initial model.

        Raises
        ------
        MemoryLimitError
            If it is too much, with settings that help.
        """
        needed = self._state_bytes(self._n_features, self._n_planned)
        if needed <= self._allowed:
            return
        raise MemoryLimitError(
            f"a model of {self._n_planned:,} classes and {self._n_features:,} features needs {megabytes(needed)} of "
            f"memory, {self._limit_text()}",
            self._hint(0, self._n_planned, needed),
        )

    def check(self, n_known: int, new: Sequence[str], where: str = "") -> None:
        """Check the memory of a training with further classes.

        Parameters
        ----------
        n_known : int
            Number of classes so far.
        new : sequence of str
            Names of the further ones.
        where : str
            File and row of the first of them, if known.

        Raises
        ------
        MemoryLimitError
            If it is too much, with the number of classes, one of them and settings that help.
        """
        n_classes = n_known + len(new)
        if n_classes <= max(2, self._n_planned):  # one class has the state of two
            return
        # The old state is freed after its weights were copied to the new one.
        needed = self._need(n_classes, self._n_features) + self._old_bytes(self._n_features, n_known)
        if needed <= self._allowed:
            return
        at = f" in {where}" if where else ""
        raise MemoryLimitError(
            f"{n_classes:,} classes were found, {n_classes - self._n_planned:,} of them not in the plan (such as "
            f"{quoted(new[0])}{at}): the training would need {megabytes(needed)} of memory, {self._limit_text()}",
            self._hint(n_known, n_classes, needed),
        )

    def announce(self, n_known: int, new: Sequence[str]) -> None:
        """Report further classes, with a warning if training needs much more memory than planned."""
        n_classes = n_known + len(new)
        self._observe(ClassesFound(tuple(new), n_classes))
        n_bytes = self._need(n_classes, self._n_features)
        if n_bytes <= _WARNING_FACTOR * self._warned_bytes:
            return
        # Warn again when the memory has about doubled.
        self._warned_bytes = 2 * n_bytes
        self._observe(
            Warned(
                f"{n_classes:,} classes were found, the plan has {self._n_planned:,} (new: {quoted(new[0])}): the "
                f"training may need {megabytes(n_bytes)} of memory instead of {megabytes(self._planned_bytes)}, "
                f"{megabytes(self._state_bytes(self._n_features, n_classes))} of it for the model. If these are not "
                f"classes, name the classes with {self._names.classes}, or another column with "
                f"{self._names.label}"
            )
        )

    def admit(self, n_known: int, new: Sequence[str], where: str = "") -> None:
        """Check further classes (:meth:`check`), then report them (:meth:`announce`)."""
        self.check(n_known, new, where)
        self.announce(n_known, new)

    def _limit_text(self) -> str:
        whose = "the limit is" if self._is_given else "this machine has available only"
        return f"{whose} {megabytes(self._allowed)}"

    def _hint(self, n_known: int, n_classes: int, needed: int) -> str:
        names = self._names
        ways = [f"name the classes with {names.classes} or, if these are not labels, another column with "
                f"{names.label}"]  # fmt: skip
        if names.memory is not None:
            ways.append(f"allow {megabytes(needed)} with {names.memory}")
        for shift in range(1, 30):
            fewer = self._n_features >> shift
            if fewer < 1024:
                ways.append(f"{names.n_features} needs less memory if it is smaller")
                break
            need = self._need(n_classes, fewer) + self._old_bytes(fewer, n_known)
            if need <= self._allowed:
                ways.append(f"use {names.n_features} {fewer}, which needs {megabytes(need)}")
                break
        return "; ".join(ways)

    def _old_bytes(self, n_features: int, n_classes: int) -> int:
        """Bytes of the state before classes are added; 0 before the first row."""
        return self._state_bytes(n_features, n_classes) if n_classes else 0
