"""Part files: what they are called, which of them are finished, and how one appears whole.

::

    scores/
    ├── a.jsonl                  one part for each input
    ├── b.jsonl
    └── .manymill/
        ├── a.jsonl.done         what the part was made from: an equal record means it need not be made again
        └── a.jsonl.bad_rows     the first records of the input that are no rows, if there are any
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from manymill.data.batches import BadRow
from manymill.data.plan import SourceFile
from manymill.errors import RunFolderError
from manymill.storage.durable import replace_durably, write_durably

_RECORDS = ".manymill"
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
    folder : Path
        Where parts go.
    name : str
        The part's file name.
    request : mapping
        What decides the part's bytes: the input as it is now, the model, the options.
    """

    folder: Path
    name: str
    request: dict[str, Any]

    @property
    def path(self) -> Path:
        """The part file."""
        return self.folder / self.name

    @property
    def bad_rows_path(self) -> Path:
        """The ledger of the input's bad rows."""
        return self.folder / _RECORDS / f"{self.name}.bad_rows"

    @property
    def _record(self) -> Path:
        return self.folder / _RECORDS / f"{self.name}.done"

    def finished(self) -> dict[str, Any] | None:
        """What was recorded when the part was finished; None if it must be made (again)."""
        try:
            record: dict[str, Any] = json.loads(self._record.read_bytes())
            size = self.path.stat().st_size
            same = record["request"] == self.request and record["bytes"] == size
        except (OSError, ValueError, KeyError, TypeError):
            return None
        knowable = self.request["file"]["path"] != "-" and self.request["model"]
        return record if same and knowable else None

    @contextmanager
    def writing(self) -> Iterator[BinaryIO]:
        """A file that becomes the part when the block ends, and vanishes if it fails."""
        self._record.parent.mkdir(parents=True, exist_ok=True)
        unnamed = self.folder / _RECORDS / f"{self.name}.partial"
        try:
            with open(unnamed, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            # The old record must not speak of the new part.
            self._record.unlink(missing_ok=True)
            os.replace(unnamed, self.path)
        except BaseException:
            with suppress(OSError):
                unnamed.unlink()
            raise

    def record(self, n_rows: int, bad_counts: dict[str, int], bad_rows: Sequence[BadRow]) -> None:
        """Keep the bad rows, and say that the part is finished."""
        if bad_rows:
            lines = (json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in bad_rows)
            write_durably(self.bad_rows_path, (line.encode(errors="replace") for line in lines))
        else:
            self.bad_rows_path.unlink(missing_ok=True)
        content = {
            "request": self.request,
            "bytes": self.path.stat().st_size,
            "n_rows": n_rows,
            "bad_counts": bad_counts,
        }
        unnamed = self._record.with_name(f"{self.name}.done.partial")
        write_durably(unnamed, [json.dumps(content, indent=1).encode()])
        replace_durably(unnamed, self._record)


@contextmanager
def writing_alone(folder: Path) -> Iterator[None]:
    """Hold the folder of the parts for this process.

    Raises
    ------
    RunFolderError
        If another process holds it, or it cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = folder / _RECORDS / ".lock"
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(lock)
        held.acquire(timeout=0)
    except Timeout:
        raise RunFolderError(
            f"another prediction is writing to {folder}", "wait for it, or name another folder with --out"
        ) from None
    except OSError as error:
        raise RunFolderError(f"cannot write to {folder}: {error.strerror or error}") from error
    try:
        yield
    finally:
        held.release()
