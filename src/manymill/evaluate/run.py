"""The run of an evaluation: batches are scored and counted on many threads, and the counts added up.

Metrics as text for people. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from manymill import metrics
from manymill.data.batches import Batch
from manymill.data.dataset import Plan
from manymill.data.ledger import Ledger
from manymill.data.reader import read
from manymill.engine.local import map_in_order, workers
from manymill.errors import PlanError, SchemaError
from manymill.metrics import ClassMetrics, Counts, Metrics
from manymill.model import PROBABILISTIC_LOSSES, LinearModel, choose_classes, probabilities
from manymill.scoring import Scorer

# Confusions listed where the whole matrix would be too wide to read.
_LISTED_CONFUSIONS = 30


@dataclass(frozen=True)
class Evaluation:
    """How good a model is on some rows.

    Parameters
    ----------
    metrics : Metrics
    counts : Counts
        What the metrics were made from.
    bad_counts : dict
        Records that are no rows, by reason; they are in no metric.
    """

    metrics: Metrics
    counts: Counts
    bad_counts: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """All figures as JSON types.

        The confusion matrix is there for up to 20 classes; the largest confusions always.
        """
        names = [row.label for row in self.metrics.classes]
        content = asdict(self.metrics)
        content["classes"] = [asdict(row) for row in self.metrics.classes]
        content["accuracy_interval"] = list(self.metrics.accuracy_interval)
        content["confusions"] = [
            {"label": names[true], "chosen": names[chosen], "n_rows": n}
            for true, chosen, n in metrics.largest_confusions(self.counts, _LISTED_CONFUSIONS)
        ]
        if len(names) <= MAX_MATRIX_CLASSES:
            content["confusion_matrix"] = metrics.confusion_matrix(self.counts).tolist()
        content["bad_rows"] = dict(self.bad_counts)
        return content

    def to_text(self) -> str:
        """The figures for people: a summary, a table of classes, and confusions."""
        blocks = [
            summary(self.metrics, self.bad_counts),
            classes(self.metrics),
            confusions(self.metrics, self.counts, _LISTED_CONFUSIONS),
        ]
        return "\n\n".join(block for block in blocks if block)


def evaluate(model: LinearModel, plan: Plan, *, threads: int) -> Evaluation:
    """How good a model is on the rows of a plan.

    Parameters
    ----------
    model : LinearModel
    plan : Plan
        What is read; with labels. A row whose label is no class of the model counts as wrong.
    threads : int
        Threads that read, hash and score; never decides a digit of the result.

    Raises
    ------
    SchemaError
        If the plan reads no labels.
    SourceError, RowError
        If a file cannot be read, or has a bad row and the plan is strict.
    PlanError
        If there is not one row.
    """
    if not plan.dataset.labelled:
        raise SchemaError("the rows to evaluate have no labels", "name their column with label=")
    count = _Counter(model)
    ledger = Ledger(strict=plan.dataset.strict)
    total = Counts(len(model.classes))
    with workers(threads) as executor:
        batches = _noted(read(plan, executor=executor, look_ahead=2 * threads), ledger)
        with closing(map_in_order(count, batches, executor=executor, look_ahead=2 * threads)) as counted:
            for counts in counted:
                total += counts
    if ledger.n_used == 0:
        why = ledger.summary()
        raise PlanError(
            f"there is no row to evaluate{': ' + why if why else ''}", "name files with labelled text"
        )
    return Evaluation(metrics.summarise(total, model.classes), total, dict(ledger.counts))


def _noted(batches: Iterator[Batch], ledger: Ledger) -> Iterator[Batch]:
    for batch in batches:
        ledger.add(batch)
        yield batch


class _Counter:
    """Scores a batch and counts what came out; called on many threads."""

    def __init__(self, model: LinearModel) -> None:
        self._model = model
        self._scorer = Scorer(model)
        # Files hold labels as text, whatever their type.
        self._position = {str(label): number for number, label in enumerate(model.classes)}

    def __call__(self, batch: Batch) -> Counts:
        model, n_classes = self._model, len(self._model.classes)
        assert batch.label is not None  # the plan is labelled
        names, codes = batch.label.names, batch.label.codes
        known = np.array([self._position.get(name, -1) for name in names] or [-1], dtype=np.int64)
        true = known[codes]
        counts = Counts(n_classes)
        for rows, scores in self._scorer.pieces(batch):
            given = None
            if model.loss in PROBABILISTIC_LOSSES:
                given = probabilities(scores, model.loss, n_classes, model.temperature)
            unknown = [names[codes[row]] for row in rows.start + np.flatnonzero(true[rows] < 0)]
            counts += metrics.count(
                true[rows], choose_classes(scores), n_classes, probabilities=given, unknown_labels=unknown
            )
        return counts


MAX_MATRIX_CLASSES = 20
MAX_TABLE_CLASSES = 30
_MAX_LABEL = 24
_MAX_UNKNOWN = 5


def summary(result: Metrics, bad_counts: Mapping[str, int]) -> str:
    """The figures of all rows, one a line."""
    low, high = result.accuracy_interval
    lines = [
        f"rows      {result.n_rows:,}",
        f"accuracy  {result.accuracy:.4f}  (95 % interval {low:.4f} to {high:.4f})",
        f"right     {result.n_correct:,}",
        f"macro F1  {result.macro_f1:.4f}",
        f"micro F1  {result.micro_f1:.4f}",
    ]
    if result.log_loss is not None:
        lines.append(f"log loss  {result.log_loss:.4f}")
    if result.calibration_error is not None:
        lines.append(f"ECE       {result.calibration_error:.4f}  (expected calibration error)")
    if result.n_unknown:
        labels = sorted(result.unknown_labels, key=lambda label: -result.unknown_labels[label])
        some = ", ".join(
            f"{shorten(label)} ({result.unknown_labels[label]:,})" for label in labels[:_MAX_UNKNOWN]
        )
        more = ", ..." if len(labels) > _MAX_UNKNOWN else ""
        lines.append(
            f"unknown   {result.n_unknown:,} rows have a label that the model does not know: {some}{more}"
        )
    if bad_counts:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in bad_counts.items())
        lines.append(f"bad       {sum(bad_counts.values()):,} records are no rows: {reasons}")
    return "\n".join(lines)


def classes(result: Metrics) -> str:
    """A table of the classes; of very many, the worst of those that have rows."""
    rows, title = list(result.classes), ""
    if len(rows) > MAX_TABLE_CLASSES:
        occurring = [row for row in rows if row.support]
        rows = sorted(occurring, key=lambda row: (row.f1, -row.support))[:MAX_TABLE_CLASSES]
        if not rows:
            return ""
        title = f"The {len(rows)} classes of lowest F1, of {len(occurring):,} with rows:\n"
    header = ["class", "precision", "recall", "F1", "rows", "chosen"]
    return title + _table([header, *map(_class_cells, rows)])


def confusions(result: Metrics, counts: Counts, n_listed: int) -> str:
    """The confusion matrix of few classes, the largest confusions of many."""
    names = [shorten(row.label) for row in result.classes]
    if len(names) <= MAX_MATRIX_CLASSES:
        matrix = metrics.confusion_matrix(counts).tolist()
        rows = [[name, *(f"{n:,}" for n in row)] for name, row in zip(names, matrix, strict=True)]
        return "Rows of each class (down) said to be (across):\n" + _table([["", *names], *rows])
    largest = metrics.largest_confusions(counts, n_listed)
    if not largest:
        return ""
    cells = [[names[true], names[chosen], f"{n:,}"] for true, chosen, n in largest]
    return "The largest confusions:\n" + _table([["class", "said to be", "rows"], *cells], n_left=2)


def shorten(label: str | int) -> str:
    """A label on one line, cut if long."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(label))
    return text if len(text) <= _MAX_LABEL else text[: _MAX_LABEL - 1] + "…"


def _class_cells(row: ClassMetrics) -> list[str]:
    ratios = [f"{value:.4f}" for value in (row.precision, row.recall, row.f1)]
    return [shorten(row.label), *ratios, f"{row.support:,}", f"{row.n_chosen:,}"]


def _table(rows: Sequence[Sequence[str]], n_left: int = 1) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if number < n_left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
