"""The plan of reading: files, blocks, columns, and what is known of classes and sizes. Kept as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from manymill.data.dataset import Dataset


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file as it was when the plan was made.

    Parameters
    ----------
    path : str
        A path, a URL, ``"-"`` for the standard input, or ``"memory"``.
    size : int
        Bytes as stored; of all members for a folder tree; 0 for data in memory.
    stamp : str
        Changes when the file does: its modification time, or the ETag of a URL.
    format : str
        ``jsonl``, ``csv``, ``tsv``, ``parquet``, ``fasttext``, ``reviews``, ``folder`` or ``memory``.
    compression : str or None
        ``gzip``, ``zstd``, ``bz2``, ``xz`` or None.
    cuttable : bool
        Whether it can be read from the middle.
    data_start : int
        Byte of the uncompressed file where the records start, behind a byte-order mark and a CSV header.
    column_names : tuple of str
        The header of a CSV file.
    members : tuple of (str, int)
        Relative paths and sizes of the files of a folder tree.
    raw_bytes : int
        Bytes when uncompressed: exact where nothing is compressed, else an estimate.
    decoder_bytes : int
        What decoding holds at once beside its output: the window of a compressed file, the largest pages of a
        Parquet file.
    """

    path: str
    size: int
    stamp: str
    format: str
    compression: str | None = None
    cuttable: bool = False
    data_start: int = 0
    column_names: tuple[str, ...] = ()
    members: tuple[tuple[str, int], ...] = ()
    raw_bytes: int = 0
    decoder_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Block:
    """What is read at once: a range of a file.

    Parameters
    ----------
    file : int
        Number of the file in the plan.
    start, stop : int
        Bytes of a text file (it holds the lines that start there), row groups of a Parquet file, rows of data
        in memory, members of a folder tree. A stream that cannot be cut is one block from 0 to its size.
    raw_bytes : int
        About how many bytes it is uncompressed.
    """

    file: int
    start: int
    stop: int
    raw_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """The columns that are read; None where the format has no names or the column is not read."""

    text: str | None = None
    label: str | None = None
    weight: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be read.

    Parameters
    ----------
    dataset : Dataset
        What was asked for.
    files, blocks : tuple
        In the order of the source.
    columns : ColumnNames
        The columns that are read.
    notes : tuple of str
        What was guessed, and how to say it otherwise.
    warnings : tuple of str
        What may go wrong.
    class_counts : dict
        Rows of each class in the sample; 0 for a class that was named and is not in it.
    n_rows, text_bytes : int
        Estimates from the sample, exact if `exact`.
    source_bytes : int
        Bytes of all files as stored.
    exact : bool
        Whether the sample was the whole source.
    labels_are_integers : bool
        Whether each label of the sample is an integer in the source.
    """

    dataset: Dataset
    files: tuple[SourceFile, ...]
    blocks: tuple[Block, ...]
    columns: ColumnNames
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    class_counts: dict[str, int] = field(default_factory=dict)
    n_rows: int = 0
    text_bytes: int = 0
    source_bytes: int = 0
    exact: bool = False
    labels_are_integers: bool = False

    @property
    def is_hashed(self) -> bool:
        """Whether the texts were hashed before: there is little then that could be done ahead on other threads."""
        return self.dataset.memory is not None and self.dataset.memory.is_hashed

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON types; storage options (which may hold keys) and data in memory are left out."""
        asked = {
            name: value
            for name in self.dataset.__dataclass_fields__
            if name not in ("memory", "storage_options")
            and (value := getattr(self.dataset, name)) is not None
        }
        own = {name: getattr(self, name) for name in _PLAIN}
        return {
            "dataset": asked,
            "files": [asdict(file) for file in self.files],
            "blocks": [[block.file, block.start, block.stop, block.raw_bytes] for block in self.blocks],
            "columns": asdict(self.columns),
            **own,
        }

    @staticmethod
    def from_json(plan: dict[str, Any]) -> Plan:
        """The plan that :meth:`to_json` gave; storage options have to be given anew."""
        from manymill.data.dataset import Dataset

        asked: dict[str, Any] = {
            name: tuple(v) if isinstance(v, list) else v for name, v in plan["dataset"].items()
        }
        files = []
        for file in plan["files"]:
            members = tuple((name, size) for name, size in file["members"])
            files.append(
                SourceFile(**{**file, "members": members, "column_names": tuple(file["column_names"])})
            )
        own: dict[str, Any] = {name: tuple(v) if isinstance(v := plan[name], list) else v for name in _PLAIN}
        return Plan(
            dataset=Dataset(**asked),
            files=tuple(files),
            blocks=tuple(Block(*block) for block in plan["blocks"]),
            columns=ColumnNames(**plan["columns"]),
            **own,
        )


_PLAIN = (
    "notes", "warnings", "class_counts", "n_rows", "text_bytes", "source_bytes", "exact",
    "labels_are_integers",
)  # fmt: skip
