"""Pieces of text to batches, by the parser of their format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator

from manymill import _core
from manymill.data.batches import BadRow, Batch
from manymill.data.cutting import DELIMITER, Piece
from manymill.data.labels import Labels
from manymill.data.plan import ColumnNames, Plan, SourceFile


class Parse:
    """A batch still to be parsed. It can be called once: what it holds is let go then.

    Parameters
    ----------
    call : callable
        Gives the batch.
    held_bytes : int
        What it holds until it is called.
    is_long : bool
        Whether the call reads a record that is much longer than a block: not to be called ahead of its use.
    """

    __slots__ = ("_call", "held_bytes", "is_long")

    def __init__(self, call: Callable[[], Batch], held_bytes: int = 0, *, is_long: bool = False) -> None:
        self._call: Callable[[], Batch] | None = call
        self.held_bytes, self.is_long = held_bytes, is_long

    def __call__(self) -> Batch:
        """The batch."""
        call, self._call = self._call, None
        assert call is not None, "a batch is parsed once"
        return call()

    def then(self, function: Callable[[Batch], Batch]) -> Parse:
        """The same, with a function called on the batch."""
        return Parse(lambda: function(self()), self.held_bytes, is_long=self.is_long)


Parses = Generator[Parse, None, None]


def parse_piece(plan: Plan, number: int, piece: Piece) -> Batch:
    """The rows of a piece of file ``number``."""
    file = plan.files[number]
    parsed = _parse(file, plan.columns, plan.dataset.labelled, plan.max_record_bytes, piece)
    bad = tuple(BadRow(file.path, f"byte {at}", reason, detail) for at, reason, detail in parsed.bad)
    counts = Counter(row.reason for row in piece.bad) + Counter(dict(parsed.bad_counts))
    label = Labels(tuple(parsed.classes), parsed.codes) if plan.dataset.labelled else None
    return Batch(
        data=parsed.data,
        offsets=parsed.offsets,
        label=label,
        weight=parsed.weight if plan.columns.weight is not None else None,
        position=parsed.position,
        file=number,
        bad=piece.bad + bad,
        bad_counts=dict(counts),
        n_bytes=piece.n_bytes,
        labels_are_integers=bool(parsed.labels_are_integers and len(parsed.codes)),
        span=(piece.position, piece.position + len(piece.data)),
    )


def _parse(
    file: SourceFile, columns: ColumnNames, labelled: bool, max_record_bytes: int, piece: Piece
) -> _core.Parsed:
    data, position = piece.data, piece.position
    if file.format == "jsonl":
        assert columns.text is not None
        return _core.parse_json_lines(
            data, position, max_record_bytes, text=columns.text, label=columns.label, weight=columns.weight
        )
    if file.format == "fasttext":
        return _core.parse_fasttext(data, position, max_record_bytes, labelled=labelled)
    if file.format == "reviews":
        return _core.parse_reviews(data, position, max_record_bytes, labelled=labelled)
    names = file.column_names
    assert columns.text is not None
    return _core.parse_csv(
        data,
        position,
        max_record_bytes,
        delimiter=DELIMITER[file.format],
        n_columns=len(names),
        text=names.index(columns.text),
        label=None if columns.label is None else names.index(columns.label),
        weight=None if columns.weight is None else names.index(columns.weight),
    )
