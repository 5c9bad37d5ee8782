"""Cache entries: files that never change, with checksums that every process verifies before use.

::

    3f0c…-documents/
    ├── sizes  keys       files
    └── about.json        facts; sizes and checksums of the files; its own checksum

Checksums are CRC-32s of blocks of 4 MiB. They detect damage, not forgery (only the user can write to the folder). A
process reads all of an entry before it uses it, so speed matters: CRC-32 runs at 4.1 GB/s on a core (2.3 with reading),
BLAKE2b at 0.8 and SHA-256 at 1.4, and large entries are checked on several threads. In a block of this size, CRC-32
detects any two wrong bits, and any burst of 32.
"""

from __future__ import annotations

import json
import os
import stat
import zlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from errno import EIO
from pathlib import Path
from typing import IO, Any

from manymill.storage.checked_json import checksum
from manymill.storage.durable import sync_folder, write_durably

ABOUT = "about.json"

_FORMAT, _VERSION = "manymill cache entry", 1
_BLOCK_BYTES = 1 << 22
# Consecutive blocks of a file that one thread reads.
_RUN_BLOCKS = 16
_MAX_THREADS = 8

# Size, modification time, inode number and inode change time of each file.
Stamps = tuple[tuple[str, tuple[int, int, int, int]], ...]

# Entries that this process has verified or written.
_verified: dict[Path, Stamps] = {}


class DamagedEntryError(OSError):
    """An entry differs from what was written."""

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(EIO, f"it is damaged: {reason}", str(folder))
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return DamagedEntryError, (Path(self.filename), self.reason)


@dataclass(frozen=True, slots=True)
class Entry:
    """Verified entry; picklable, so that workers can rely on the stamps of its files.

    Attributes
    ----------
    folder : Path
    stamps : tuple of (str, tuple of int)
        Stamps of each file when it was verified.
    """

    folder: Path
    stamps: Stamps

    def path(self, name: str) -> Path:
        """Return the path of a file for reading. If any file has changed, the entry is verified again.

        Raises
        ------
        OSError
            If the entry no longer exists, or is damaged.
        """
        if _stamps(self.folder, [file for file, _ in self.stamps]) != self.stamps:
            load(self.folder)
        return self.folder / name


class BlockChecksums:
    """CRC-32 of each block of a file, computed from consecutive pieces."""

    def __init__(self) -> None:
        self.n_bytes = 0
        self.values: list[int] = []

    def update(self, data: memoryview) -> None:
        """Add bytes."""
        while data:
            n_left = _BLOCK_BYTES - self.n_bytes % _BLOCK_BYTES
            if n_left == _BLOCK_BYTES:
                self.values.append(0)
            self.values[-1] = zlib.crc32(data[:n_left], self.values[-1])
            self.n_bytes += min(n_left, len(data))
            data = data[n_left:]


class EntryWriter:
    """Writer of an entry that has not been published yet.

    Attributes
    ----------
    folder : Path
        Folder that the files are written to.
    facts : dict
        Facts about the entry, stored as JSON.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.facts: dict[str, Any] = {}
        self._stack = ExitStack()
        self._files: dict[str, IO[bytes]] = {}
        self._checksums: dict[str, BlockChecksums] = {}

    @property
    def n_bytes(self) -> int:
        """Bytes written to all files so far."""
        return sum(file.n_bytes for file in self._checksums.values())

    def append(self, name: str, data: memoryview) -> None:
        """Append bytes (format ``B``) to a file, which is created if necessary."""
        if name not in self._files:
            file = open(self.folder / name, "xb")  # noqa: SIM115 (closed by close)
            self._files[name] = self._stack.enter_context(file)
            self._checksums[name] = BlockChecksums()
        self._files[name].write(data)
        self._checksums[name].update(data)

    def add(self, name: str) -> None:
        """Add a file that was written to the folder by other means."""
        self._checksums[name] = BlockChecksums()
        with open(self.folder / name, "r+b", buffering=0) as file:
            buffer = memoryview(bytearray(_BLOCK_BYTES))
            while n_bytes := file.readinto(buffer):
                self._checksums[name].update(buffer[:n_bytes])
            os.fsync(file.fileno())

    def finish(self, name: str) -> None:
        """Sync all files to the disk, and write ``about.json``."""
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        self._stack.close()
        files = {
            file: {"bytes": sums.n_bytes, "crc32": sums.values} for file, sums in self._checksums.items()
        }
        about = {"format": _FORMAT, "version": _VERSION, "name": name, "facts": self.facts, "files": files}
        body = json.dumps(about).encode()
        write_durably(self.folder / ABOUT, [body, b"\n", checksum([body]).encode(), b"\n"])
        sync_folder(self.folder)

    def close(self) -> None:
        """Close all files."""
        # A failed write has already been reported; nobody reads the file.
        with suppress(OSError):
            self._stack.close()


def load(folder: Path) -> tuple[Entry, dict[str, Any]]:
    """Return an entry and its facts; its files are verified unless this process has done so since they changed.

    Raises
    ------
    OSError
        If it is damaged, or cannot be read.
    """
    about = _about(folder)
    stamps = _stamps(folder, [*about["files"], ABOUT])
    if _verified.get(folder) != stamps:
        lengths = {name: length for name, (length, *_) in stamps}
        for name, file in about["files"].items():
            if lengths[name] != file["bytes"]:
                raise DamagedEntryError(folder, f"{name} has {lengths[name]:,} bytes, not {file['bytes']:,}")
        _check_blocks(folder, about["files"])
        _verified[folder] = stamps
    return Entry(folder, stamps), about["facts"]


def trust(folder: Path) -> None:
    """Mark an entry that this process has just written as verified."""
    _verified[folder] = _stamps(folder, [*_about(folder)["files"], ABOUT])


def _about(folder: Path) -> dict[str, Any]:
    text = (folder / ABOUT).read_bytes()
    body, _, _ = text.removesuffix(b"\n").rpartition(b"\n")
    if text != body + b"\n" + checksum([body]).encode() + b"\n":
        raise DamagedEntryError(folder, f"{ABOUT} does not match its checksum")
    about: dict[str, Any] = json.loads(body)
    if (about["format"], about["version"]) != (_FORMAT, _VERSION):
        raise DamagedEntryError(folder, "another version wrote it")
    if about["name"] != folder.name:
        raise DamagedEntryError(folder, f"it is the entry {about['name']}")
    return about


def _stamps(folder: Path, names: Iterable[str]) -> Stamps:
    stamps = []
    for name in names:
        info = os.lstat(folder / name)
        if not stat.S_ISREG(info.st_mode):
            raise DamagedEntryError(folder, f"{name} is not a file")
        stamps.append((name, (info.st_size, info.st_mtime_ns, info.st_ino, info.st_ctime_ns)))
    return tuple(stamps)


def _check_blocks(folder: Path, files: Mapping[str, Any]) -> None:
    """Raise ``DamagedEntryError`` unless all blocks of all files match their checksums."""
    runs = [
        (folder, name, start, file["crc32"][start : start + _RUN_BLOCKS])
        for name, file in files.items()
        for start in range(0, len(file["crc32"]), _RUN_BLOCKS)
    ]
    if len(runs) <= len(files):  # too small for threads
        for run in runs:
            _check_run(*run)
        return
    executor = ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1))
    try:
        for _ in executor.map(lambda run: _check_run(*run), runs):
            pass
    finally:
        executor.shutdown(cancel_futures=True)


def _check_run(folder: Path, name: str, start: int, expected: list[int]) -> None:
    buffer = memoryview(bytearray(_BLOCK_BYTES))
    with open(folder / name, "rb", buffering=0) as file:
        file.seek(start * _BLOCK_BYTES)
        for block, value in enumerate(expected, start):
            n_bytes = 0
            while n_bytes < _BLOCK_BYTES and (n_read := file.readinto(buffer[n_bytes:])):
                n_bytes += n_read
            if zlib.crc32(buffer[:n_bytes]) != value:
                raise DamagedEntryError(
                    folder, f"{name} does not match its checksum after byte {block * _BLOCK_BYTES:,}"
                )
