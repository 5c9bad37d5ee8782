"""Metrics as text for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from manymill import metrics
from manymill.metrics import ClassMetrics, Counts, Metrics

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
