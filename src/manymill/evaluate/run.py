"""Evaluate a linear model on the rows of a plan, and format the metrics as text and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from manymill import metrics
from manymill.data.batches import Batch
from manymill.data.dataset import Plan
from manymill.data.ledger import Ledger, list_reasons
from manymill.data.reader import read
from manymill.engine.local import map_in_order, workers
from manymill.errors import PlanError, SchemaError
from manymill.metrics import ClassMetrics, Counts, Metrics
from manymill.model import LinearModel, choose_classes
from manymill.scoring import Scorer

# Number of confusions listed if the complete matrix is too wide.
_LISTED_CONFUSIONS = 30


@dataclass(frozen=True)
class ClassificationEvaluation:
    """Metrics of a model on some rows.

    Parameters
    ----------
    metrics : Metrics
    counts : Counts
        The counts behind the metrics.
    bad_counts : dict
        Number of rejected records by reason; the metrics do not include them.
    """

    metrics: Metrics
    counts: Counts
    bad_counts: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """All metrics as JSON types: the largest confusions, and the confusion matrix for up to 20 classes."""
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
        """The metrics as text: a summary, a table of classes, and confusions."""
        blocks = [
            summary(self.metrics, self.bad_counts),
            classes(self.metrics),
            confusions(self.metrics, self.counts, _LISTED_CONFUSIONS),
        ]
        return "\n\n".join(block for block in blocks if block)


def evaluate(model: LinearModel, plan: Plan, *, threads: int) -> ClassificationEvaluation:
    """Evaluate a model on the rows of a plan.

    Parameters
    ----------
    model : LinearModel
    plan : Plan
        The plan of the inputs, with labels. A row whose label is not a class of the model counts as wrong.
    threads : int
        Number of threads that read, hash and score; it does not change the result.

    Raises
    ------
    SchemaError
        If the plan reads no labels.
    SourceError, RowError
        If a file cannot be read, or has a bad row and the plan is strict.
    PlanError
        If there are no rows.
    """
    if not plan.dataset.labelled:
        raise SchemaError(
            "the rows to evaluate have no labels", "set their column with --label (label= in Python)"
        )
    count = _Counter(model)
    ledger = Ledger(strict=plan.dataset.strict)
    total = Counts(len(model.classes))
    with workers(threads) as executor:
        batches = _counted(read(plan, executor=executor, look_ahead=2 * threads), ledger)
        with closing(map_in_order(count, batches, executor=executor, look_ahead=2 * threads)) as counted:
            for counts in counted:
                total += counts
    if ledger.n_used == 0:
        reasons = ledger.summary()
        raise PlanError(
            f"there are no rows to evaluate{': ' + reasons if reasons else ''}",
            "name files with labelled text",
        )
    return ClassificationEvaluation(metrics.summarise(total, model.classes), total, dict(ledger.counts))


def _counted(batches: Iterator[Batch], ledger: Ledger) -> Iterator[Batch]:
    for batch in batches:
        ledger.add(batch)
        yield batch


class _Counter:
    """Thread-safe function that scores a batch and counts the outcomes."""

    def __init__(self, model: LinearModel) -> None:
        self._model = model
        self._scorer = Scorer(model)
        # Batches have labels as strings, whatever their type in the source.
        self._index = {str(label): i for i, label in enumerate(model.classes)}

    def __call__(self, batch: Batch) -> Counts:
        model, n_classes = self._model, len(self._model.classes)
        assert batch.label is not None  # the plan is labelled
        names, codes = batch.label.names, batch.label.codes
        indices = np.array([self._index.get(name, -1) for name in names] or [-1], dtype=np.int64)
        true = indices[codes]
        counts = Counts(n_classes)
        for rows, scores in self._scorer.pieces(batch):
            shares = None
            if model.has_probabilities:
                shares = model.probabilities(scores)
            unknown = [names[codes[row]] for row in rows.start + np.flatnonzero(true[rows] < 0)]
            counts += metrics.count(
                true[rows], choose_classes(scores), n_classes, probabilities=shares, unknown_labels=unknown
            )
        return counts


MAX_MATRIX_CLASSES = 20
MAX_TABLE_CLASSES = 30
_MAX_LABEL = 24
_MAX_UNKNOWN = 5


def summary(result: Metrics, bad_counts: Mapping[str, int]) -> str:
    """The metrics over all rows, one per line."""
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
            f"unknown   {result.n_unknown:,} rows have a label that is not a class of the model: {some}{more}"
        )
    if bad_counts:
        reasons = list_reasons(bad_counts.items())
        lines.append(f"bad       {sum(bad_counts.values()):,} records were rejected: {reasons}")
    return "\n".join(lines)


def classes(result: Metrics) -> str:
    """A table of the classes; if there are many, of those with rows and the lowest F1."""
    rows, title = list(result.classes), ""
    if len(rows) > MAX_TABLE_CLASSES:
        occurring = [row for row in rows if row.support]
        rows = sorted(occurring, key=lambda row: (row.f1, -row.support))[:MAX_TABLE_CLASSES]
        if not rows:
            return ""
        title = f"The {len(rows)} classes with the lowest F1, of {len(occurring):,} with rows:\n"
    header = ["class", "precision", "recall", "F1", "rows", "chosen"]
    return title + _table([header, *map(_class_cells, rows)])


def confusions(result: Metrics, counts: Counts, n_listed: int) -> str:
    """The confusion matrix if there are few classes, else the largest confusions."""
    names = [shorten(row.label) for row in result.classes]
    if len(names) <= MAX_MATRIX_CLASSES:
        matrix = metrics.confusion_matrix(counts).tolist()
        rows = [[name, *(f"{n:,}" for n in row)] for name, row in zip(names, matrix, strict=True)]
        return "Rows of each class (down) predicted as (across):\n" + _table([["", *names], *rows])
    largest = metrics.largest_confusions(counts, n_listed)
    if not largest:
        return ""
    cells = [[names[true], names[chosen], f"{n:,}"] for true, chosen, n in largest]
    return "The largest confusions:\n" + _table([["class", "predicted as", "rows"], *cells], n_left=2)


def shorten(label: str | int) -> str:
    """A label on one line, shortened if it is long."""
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
            cell.ljust(width) if i < n_left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
