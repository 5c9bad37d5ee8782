"""Part files: what they are called, which of them are finished, and how one appears whole.

::

    scores/
    ├── a.jsonl                  one part for each input
    ├── b.jsonl
    └── .manymill/
        ├── a.jsonl.done         what the part was made from: an equal record means it need not be made again
        └── a.jsonl.bad_rows     the first records of the input that are no rows, if there are any

Which files there are ours, and may be replaced, is for `manymill.storage.outputs` to say.
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
from manymill.storage.outputs import Outputs, file_checksum, identities

_ENDINGS = re.compile(
    r"(\.(jsonl|ndjson|json|csv|tsv|txt|parquet|pq|xml|review))?(\.(gz|zst|zstd|bz2|xz))?$", re.IGNORECASE
)
_MAX_STEM_BYTES = 180  # names end at 255 bytes, and endings are added


def part_names(files: Sequence[SourceFile], endings: Sequence[str]) -> list[str]:
    """A file name for the part of each input.

    The input's own name with another ending; where inputs would share it, a hash of the path is added.

    Parameters
    ----------
    files : sequence of SourceFile
    endings : sequence of str
        The ending of each part's name, without a dot.
    """
    names = [f"{_stem(file.path)}.{ending}" for file, ending in zip(files, endings, strict=True)]
    # Some file systems do not tell A from a.
    shared = Counter(name.casefold() for name in names)
    met: Counter[str] = Counter()
    for number, file in enumerate(files):
        if shared[names[number].casefold()] > 1:
            met[file.path] += 1  # an input may be named twice
            distinct = f"{met[file.path]} {file.path}".encode(errors="surrogatepass")
            digest = hashlib.blake2b(distinct, digest_size=6).hexdigest()
            names[number] = f"{_stem(file.path)}-{digest}.{endings[number]}"
    return names


def _stem(path: str) -> str:
    if path == "-":
        return "stdin"
    name = re.split(r"[/\\]", path.split("?")[0].rstrip("/\\"))[-1]
    stem = re.sub(r"[\x00-\x1f\x7f:*\"<>|]", "_", _ENDINGS.sub("", name)).lstrip(".")
    encoded = stem.encode(errors="replace")
    return encoded[:_MAX_STEM_BYTES].decode(errors="ignore") or "part"


@dataclass(frozen=True)
class Part:
    """The part file of one input.

    Parameters
    ----------
    outputs : Outputs
        Of the folder where parts go.
    name : str
        The part's file name.
    request : mapping
        What decides the part's bytes: the input as it is now, the model, the options.
    """

    outputs: Outputs
    name: str
    request: dict[str, Any]

    @property
    def path(self) -> Path:
        """The part file."""
        return self.outputs.folder / self.name

    def finished(self) -> dict[str, Any] | None:
        """What was recorded when the part was finished; None if it must be made (again)."""
        record = self.outputs.record(self.name)
        file = self.request["file"]
        knowable = file["path"] != "-" and file["stamp"] is not None and self.request["model"]
        if record is None or record.get("request") != self.request or not knowable:
            return None
        return record if self._has_bad_rows(record) else None

    def _has_bad_rows(self, record: Mapping[str, Any]) -> bool:
        """Whether the list of bad rows is as the record says."""
        listed = record.get("bad_rows")
        if listed is None:
            return not record["bad_counts"]  # it could not be written
        with suppress(OSError):
            return bool(file_checksum(self.outputs.bad_rows_path(self.name)) == listed)
        return False

    @contextmanager
    def writing(self) -> Iterator[PartWriter]:
        """A writer of the part, which has its name and its record when the block ends; it vanishes if that fails."""
        with self.outputs.working(["part"]) as folder:
            with open(folder / "part", "wb") as file:
                writer = PartWriter(file)
                yield writer
            known = {
                "request": self.request,
                "n_rows": writer.n_rows,
                "bad_counts": writer.bad_counts,
                "bad_rows": writer.bad_rows,
            }
            self.outputs.publish({self.name: (folder / "part", known)})

    def write_bad_rows(self, bad_rows: Sequence[BadRow], writer: PartWriter) -> str | None:
        """List the bad rows; gives a sentence if they cannot be, which is no reason to drop a part."""
        lines = (json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in bad_rows)
        try:
            listed = [line.encode(errors="replace") for line in lines]
            self.outputs.write_bad_rows(self.name, listed)
            writer.bad_rows = checked_json.checksum(listed) if listed else None
        except OSError as error:
            path = self.outputs.bad_rows_path(self.name)
            return f"cannot write {path}: {error.strerror or error}; bad rows are only counted"
        return None


@dataclass
class PartWriter:
    """An open part, and what is known of it at the end.

    Attributes
    ----------
    file : binary file
    n_rows : int
    bad_counts : dict
        Records that are no rows, by reason.
    bad_rows : str or None
        The checksum of their list; None if there is none.
    """

    file: BinaryIO
    n_rows: int = 0
    bad_counts: dict[str, int] = field(default_factory=dict)
    bad_rows: str | None = None


@contextmanager
def opened_outputs(out: Path) -> Iterator[Outputs]:
    """The outputs of a folder, held for this process, without what killed predictions left.

    Raises
    ------
    RunFolderError
        If another process holds it, it cannot be written, or its folder of records is not ours.
    """
    outputs = Outputs(out)
    try:
        with outputs.locked():
            outputs.sweep()
            yield outputs
    finally:
        outputs.tidy()


def check_parts(parts: Sequence[Part], files: Sequence[SourceFile], *, overwrite: bool) -> None:
    """Refuse, before anything is computed, to write a part where that would destroy a file.

    Raises
    ------
    RunFolderError
        If a part would replace an input, or a file that manymill has no record of.
    """
    read = identities(path for file in files for path in file.paths)
    for part in parts:
        part.outputs.check(part.name, read, overwrite=overwrite)
