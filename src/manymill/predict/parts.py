"""Part files: their names, their records of completion, and their atomic writing.

::

    scores/
    ├── a.jsonl                  one part file per input
    ├── b.jsonl
    └── .manymill/
        ├── a.jsonl.done         record of the request; a part file with an equal request is not written again
        └── a.jsonl.bad_rows     the first rejected records of the input, if there are any

`manymill.storage.outputs` decides which files were written by manymill and may be replaced.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from manymill.data.batches import BadRow
from manymill.data.dataset import SourceFile
from manymill.storage import checked_json
from manymill.storage.outputs import Outputs, identities

_ENDINGS = re.compile(
    r"(\.(jsonl|ndjson|json|csv|tsv|txt|parquet|pq|xml|review))?(\.(gz|zst|zstd|bz2|xz))?$", re.IGNORECASE
)
_MAX_STEM_BYTES = 180  # names may have 255 bytes, and endings are added


def part_names(files: Sequence[SourceFile], endings: Sequence[str]) -> list[str]:
    """A file name for the part file of each input.

    It is the input's name with another extension, and a hash of the path if names would not be unique.

    Parameters
    ----------
    files : sequence of SourceFile
    endings : sequence of str
        Extension of each part file, without a dot.
    """
    names = [f"{_stem(file.path)}.{ending}" for file, ending in zip(files, endings, strict=True)]
    # Some file systems are not case-sensitive.
    n_uses = Counter(name.casefold() for name in names)
    n_seen: Counter[str] = Counter()
    for i, file in enumerate(files):
        if n_uses[names[i].casefold()] > 1:
            n_seen[file.path] += 1  # an input may be given twice
            unique = f"{n_seen[file.path]} {file.path}".encode(errors="surrogatepass")
            digest = hashlib.blake2b(unique, digest_size=6).hexdigest()
            names[i] = f"{_stem(file.path)}-{digest}.{endings[i]}"
    return names


def _stem(path: str) -> str:
    if path == "-":
        return "stdin"
    name = re.split(r"[/\\]", path.split("?")[0].rstrip("/\\"))[-1]
    stem = re.sub(r"[\x00-\x1f\x7f:*\"<>|]", "_", _ENDINGS.sub("", name)).lstrip(".")
    encoded = stem.encode(errors="replace")
    return encoded[:_MAX_STEM_BYTES].decode(errors="ignore") or "part"


@dataclass(frozen=True)
class PartFile:
    """The part file of one input.

    Parameters
    ----------
    outputs : Outputs
        The folder of the part files.
    name : str
        File name.
    request : mapping
        Everything that decides the bytes: the version of the input, the model, the options.
    """

    outputs: Outputs
    name: str
    request: dict[str, Any]

    @property
    def path(self) -> Path:
        """Path of the part file."""
        return self.outputs.folder / self.name

    def finished(self) -> dict[str, Any] | None:
        """The record of the finished part file; None if it must be written (again)."""
        record = self.outputs.record(self.name)
        file = self.request["file"]
        identifiable = file["path"] != "-" and file["stamp"] is not None and self.request["model"]
        if record is None or record.get("request") != self.request or not identifiable:
            return None
        return record if self._has_bad_rows(record) else None

    def _has_bad_rows(self, record: Mapping[str, Any]) -> bool:
        """Whether the list of bad rows matches the record."""
        checksum = record.get("bad_rows")
        if checksum is None:
            return not record["bad_counts"]  # otherwise it could not be written
        with suppress(OSError):
            return bool(checked_json.file_checksum(self.outputs.bad_rows_path(self.name)) == checksum)
        return False

    @contextmanager
    def writing(self) -> Iterator[OpenPart]:
        """Write the part file; it is published with its record when the ``with`` block ends, or dropped on an error."""
        with self.outputs.working(["part"]) as folder:
            with open(folder / "part", "wb") as file:
                part = OpenPart(file)
                yield part
            record = {
                "request": self.request,
                "n_rows": part.n_rows,
                "bad_counts": part.bad_counts,
                "bad_rows": part.bad_rows,
            }
            self.outputs.publish({self.name: (folder / "part", record)})

    def write_bad_rows(self, bad_rows: Sequence[BadRow], part: OpenPart) -> str | None:
        """Write the list of bad rows; if that fails, gives a warning, and the part file stays valid."""
        lines = (json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in bad_rows)
        try:
            listed = [line.encode(errors="replace") for line in lines]
            self.outputs.write_bad_rows(self.name, listed)
            part.bad_rows = checked_json.checksum(listed) if listed else None
        except OSError as error:
            path = self.outputs.bad_rows_path(self.name)
            return f"cannot write {path}: {error.strerror or error}; bad rows are only counted"
        return None


@dataclass
class OpenPart:
    """A part file that is being written, with the facts for its record.

    Attributes
    ----------
    file : binary file
    n_rows : int
    bad_counts : dict
        Number of rejected records by reason.
    bad_rows : str or None
        Checksum of the list of bad rows; None without a list.
    """

    file: BinaryIO
    n_rows: int = 0
    bad_counts: dict[str, int] = field(default_factory=dict)
    bad_rows: str | None = None


@contextmanager
def open_outputs(out: Path) -> Iterator[Outputs]:
    """Lock the output folder for this process, and remove leftovers of killed predictions.

    Raises
    ------
    RunFolderError
        If another process uses the folder, it cannot be written, or its folder of records was not written by manymill.
    """
    outputs = Outputs(out)
    try:
        with outputs.locked():
            outputs.sweep()
            yield outputs
    finally:
        outputs.tidy()


def check_parts(parts: Sequence[PartFile], files: Sequence[SourceFile], *, overwrite: bool) -> None:
    """Check, before anything is computed, that no part file would overwrite another file.

    Raises
    ------
    RunFolderError
        If a part file would replace an input, or a file that manymill has no record of writing.
    """
    inputs = identities(path for file in files for path in file.paths)
    for part in parts:
        part.outputs.check(part.name, inputs, overwrite=overwrite)
