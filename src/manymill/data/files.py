"""Resolve sources to files, and open them: local paths, globs, directories, fsspec URLs and the standard input.

Opening a file checks that it has not changed since the plan was made. The standard input is spooled to a temporary
file. A folder tree (one sub-folder per class) is one source file with many members.
"""

from __future__ import annotations

import glob
import io
import os
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

from manymill.data.dataset import HIDDEN_URL, Block, SourceFile
from manymill.display import has_credentials, public_url
from manymill.errors import SourceError

_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "http": "http", "https": "http"}
_SPECIAL = {
    stat.S_ISFIFO: "a named pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}


def is_url(name: str) -> bool:
    """Whether a name is a URL for fsspec."""
    return "://" in name


def url_to_fs(url: str, options: Mapping[str, Any] | None) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path in it.

    Raises
    ------
    SourceError
        If the URL scheme is unknown, or its driver is not installed.
    """
    import fsspec

    scheme = url.split("://", 1)[0]
    with remote_errors(url):
        try:
            fs, path = fsspec.core.url_to_fs(url, **(options or {}))
        except ImportError as error:
            extra = _EXTRAS.get(scheme)
            how = f"pip install 'manymill[{extra}]'" if extra else f"install its fsspec driver: {error}"
            raise SourceError(f"{url}: the driver of {scheme}:// is not installed", how) from None
        except ValueError as error:
            raise SourceError(f"{url}: {error}", "local paths are written without ://") from None
        return fs, path


@contextmanager
def remote_errors(url: str) -> Iterator[None]:
    """Turn any exception of an fsspec driver into a ``SourceError``.

    Raises
    ------
    SourceError
        Without a cause: the driver's message may contain credentials, and a traceback would print it.
    """
    try:
        yield
    except SourceError:
        raise
    except OSError as error:
        raise unreadable(url, error) from None
    except Exception as error:
        raise SourceError(f"{url} cannot be read: {type(error).__name__}: {error}") from None


def describe(path: str, options: Mapping[str, Any] | None) -> tuple[int, str]:
    """Size in bytes and stamp of a file.

    Raises
    ------
    SourceError
        If it is missing, unreadable, or not a regular file.
    """
    try:
        if is_url(path):
            fs, inner = url_to_fs(path, options)
            with remote_errors(path):
                return _describe_remote(fs, inner)
        if path == "-":
            return _spooled().size, "spooled"
        status = os.stat(path)
    except OSError as error:
        raise unreadable(path, error) from error
    for is_kind, kind in _SPECIAL.items():
        if is_kind(status.st_mode):
            raise SourceError(f"{path} is {kind}, not a file", "pipe it in and use - as the source")
    return status.st_size, str(status.st_mtime_ns)


def _describe_remote(fs: Any, inner: str) -> tuple[int, str]:
    info = fs.info(inner)
    if info.get("size") is None:
        raise SourceError(f"{inner}: the server does not report its size", "download it first")
    marks = (info.get(key) for key in ("ETag", "etag", "mtime", "LastModified", "last_modified", "created"))
    return int(info["size"]), str(next((mark for mark in marks if mark is not None), ""))


def unreadable(path: str, error: OSError) -> SourceError:
    """The error for a file that cannot be opened."""
    if isinstance(error, SourceError):
        return error
    if isinstance(error, FileNotFoundError) and (reason := _reason_of_driver(error)):
        return SourceError(f"{path} cannot be read: {reason}", "check the address and the credentials")
    if isinstance(error, FileNotFoundError):
        where = "" if is_url(path) else f"the working directory is {os.getcwd()}"
        return SourceError(f"{path} does not exist", where)
    if isinstance(error, PermissionError):
        return SourceError(f"{path} is not readable by this user", "change its permissions")
    return SourceError(f"{path} cannot be read: {error.strerror or error}")


def _reason_of_driver(error: FileNotFoundError) -> str:
    """The real cause of an fsspec FileNotFoundError, since drivers raise it for any failure; "" if it is missing."""
    cause = error.__cause__
    status = getattr(cause, "status", None)
    if isinstance(status, int):
        return "" if status in (404, 410) else f"the server answers {status}"
    return str(cause.strerror or type(cause).__name__) if isinstance(cause, OSError) else ""


def open_file(file: SourceFile, options: Mapping[str, Any] | None, *, check: bool = True) -> BinaryIO:
    """Open a file as a seekable binary stream.

    Raises
    ------
    SourceError
        If it cannot be opened, or changed since the plan was made.
    """
    if file.url == HIDDEN_URL:
        raise SourceError(
            f"{file.path} was given with credentials or a query, which are never saved",
            "give the same source again",
        )
    try:
        if is_url(file.location):
            fs, inner = url_to_fs(file.location, options)
            with remote_errors(file.location):
                if check:
                    _check(file, *_describe_remote(fs, inner))
                return io.BufferedReader(_RemoteFile(fs.open(inner, "rb"), file.path), 1 << 17)
        if file.path == "-":
            return io.BufferedReader(_spooled().open(), 1 << 17)
        stream = open(file.path, "rb")  # noqa: SIM115 (the caller closes it)
    except OSError as error:
        raise unreadable(file.path, error) from error
    if check:
        status = os.fstat(stream.fileno())
        try:
            _check(file, status.st_size, str(status.st_mtime_ns))
        except SourceError:
            stream.close()
            raise
    return stream


def _check(file: SourceFile, size: int, stamp: str) -> None:
    if size != file.size:
        word = "shrank" if size < file.size else "grew"
        what = f"{file.path} {word} since the plan was made: {size:,} bytes instead of {file.size:,}"
    elif stamp != file.stamp:
        what = f"{file.path} was changed since the plan was made"
    else:
        return
    raise SourceError(what, "do not write to a source while it is being read; make a new plan")


class _RemoteFile(io.RawIOBase):
    """A file of fsspec whose exceptions become ``SourceError``."""

    def __init__(self, file: BinaryIO, path: str) -> None:
        self._file, self._path = file, path

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._file.seekable()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with remote_errors(self._path):
            return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        with remote_errors(self._path):
            piece = self._file.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


class _SpooledInput:
    """The standard input, copied to an anonymous temporary file so that it can be read more than once."""

    def __init__(self, stdin: BinaryIO) -> None:
        self.file = tempfile.TemporaryFile(prefix="manymill-")  # noqa: SIM115 (open as long as the process)
        while piece := stdin.read(1 << 20):
            try:
                self.file.write(piece)
            except OSError as error:
                where = tempfile.gettempdir()
                raise SourceError(
                    f"the standard input does not fit into {where}: {error.strerror}",
                    "set TMPDIR to a larger disk, or name a file instead of -",
                ) from error
        self.file.flush()
        self.size = self.file.tell()

    def open(self) -> io.RawIOBase:
        """Open a stream with its own position."""
        return _SpoolReader(self.file.fileno())


class _SpoolReader(io.RawIOBase):
    """Reader of an open file with its own position, independent of other readers."""

    def __init__(self, fileno: int) -> None:
        self._fileno = fileno
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: os.fstat(self._fileno).st_size}
        self._at = base[whence] + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        piece = os.pread(self._fileno, len(buffer), self._at)
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


_spools: list[_SpooledInput] = []


def _spooled() -> _SpooledInput:
    """The spooled standard input; spooled at the first call."""
    if not _spools:
        # It is None if the shell closed it, and has no buffer if a program replaced it by a text stream.
        if (stdin := getattr(sys.stdin, "buffer", None)) is None:
            raise SourceError("the standard input is closed", "pipe data in, or name a file instead of -")
        _spools.append(_SpooledInput(stdin))
    return _spools[0]


COMPRESSED = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd", ".bz2": "bz2", ".xz": "xz"}
FORMAT_OF = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".jsonlines": "jsonl", ".json": "jsonl", ".csv": "csv",
    ".tsv": "tsv", ".parquet": "parquet", ".pq": "parquet", ".review": "reviews", ".xml": "reviews",
    ".ft": "fasttext", ".fasttext": "fasttext",
}  # fmt: skip


def extensions(path: str) -> tuple[str, str]:
    """Extensions of the format and of the compression, each empty if missing."""
    stem, last = os.path.splitext(path.lower().split("?", 1)[0] if is_url(path) else path.lower())
    if last in COMPRESSED:
        return os.path.splitext(stem)[1], last
    return last, ""


def find_files(
    names: Iterable[str], options: Mapping[str, Any] | None, *, format: str | None = None
) -> tuple[list[str], list[str]]:
    """Resolve names to data files, each once, and to folder trees (one sub-folder per class); opens nothing.

    With the format ``folder`` every directory is a folder tree, whatever its files.

    Raises
    ------
    SourceError
        If a name matches nothing.
    """
    files: dict[str, None] = {}
    trees: list[str] = []
    for name in names:
        if is_url(name):
            files.update(dict.fromkeys(_remote(name, options)))
        elif name == "-":
            files[name] = None
        else:
            for path in _local(name):
                if not os.path.isdir(path):
                    files[path] = None
                elif format != "folder" and (inside := _data_files(path)):
                    files.update(dict.fromkeys(inside))
                else:
                    trees.append(path)
    return list(files), trees


def _local(name: str) -> list[str]:
    if os.path.lexists(name) or not glob.has_magic(name):
        return [name]
    found = sorted(path for path in glob.glob(name, recursive=True) if not _hidden(path))
    matches = [path for path in found if not os.path.isdir(path)] or found
    if not matches:
        raise SourceError(f"nothing matches {name}", f"the working directory is {os.getcwd()}")
    return matches


def _remote(url: str, options: Mapping[str, Any] | None) -> list[str]:
    fs, path = url_to_fs(url, options)
    with remote_errors(url):
        # The ? of a query is not a wildcard.
        if glob.has_magic(public_url(path)):
            found = sorted(fs.glob(path))
        elif not url.startswith("http") and fs.isdir(path):
            found = sorted(inner for inner in fs.find(path) if extensions(inner)[0] in FORMAT_OF)
        else:
            # A canonical spelling of each file; chained URLs and those with credentials stay unchanged.
            return [url if "::" in url or has_credentials(url) else fs.unstrip_protocol(path)]
    if not found:
        raise SourceError(f"nothing matches {url}")
    return [fs.unstrip_protocol(inner) for inner in found if not _hidden(inner)]


def _hidden(path: str) -> bool:
    return os.path.basename(path.rstrip("/")).startswith((".", "_"))


def walk(folder: str) -> list[str]:
    """All files below a folder, sorted, without hidden files and links to folders.

    Raises
    ------
    SourceError
        If a folder cannot be listed.
    """

    def fail(error: OSError) -> None:
        raise unreadable(error.filename or folder, error) from error

    found = []
    for base, folders, names in os.walk(folder, onerror=fail):
        folders[:] = sorted(name for name in folders if not _hidden(name))
        found += [os.path.join(base, name) for name in names if not _hidden(name)]
    return sorted(found)


def _data_files(folder: str) -> list[str]:
    """The data files of a directory; empty if it is a folder tree."""
    inside = walk(folder)
    data = [path for path in inside if extensions(path)[0] in FORMAT_OF]
    if data:
        return data
    # The texts of a folder tree are in its sub-folders; files at the top level are not data.
    if any(os.path.dirname(path) != folder.rstrip("/") for path in inside):
        return []
    texts = [path for path in inside if extensions(path)[0] in (".txt", "")]
    if not texts:
        raise SourceError(f"the directory {folder} has no data files", "name the files themselves")
    return texts


# Usual names of the splits of a data set.
_SPLITS = frozenset({"train", "training", "test", "testing", "dev", "val", "valid", "validation", "eval"})


def folder_tree(path: str) -> SourceFile:
    """Describe a folder tree as one source file; files at its top level have no class and are left out.

    Raises
    ------
    SourceError
        If it has no documents or cannot be listed.
    """
    try:
        members = []
        for member in walk(path):
            name = os.path.relpath(member, path).replace(os.sep, "/")
            if "/" in name and os.path.isfile(member):
                members.append((name, os.stat(member).st_size))
        stamp = str(os.stat(path).st_mtime_ns)
    except OSError as error:
        raise unreadable(path, error) from error
    if not members:
        raise SourceError(
            f"the directory {path} has no data", "name files, or a folder with one sub-folder per class"
        )
    _reject_splits(path, [name for name, _ in members])
    size = sum(size for _, size in members)
    return SourceFile(
        path,
        size,
        stamp,
        "folder",
        cuttable=True,
        members=tuple(members),
        raw_bytes=size,
        end=len(members),
    )


def _reject_splits(path: str, members: list[str]) -> None:
    """Reject a folder whose sub-folders are splits (train, test) with class folders inside, not classes."""
    parts = [name.split("/") for name in members]
    folders = sorted({part[0] for part in parts})
    deep = {part[0] for part in parts if len(part) > 2}
    if deep and all(name.lower() in _SPLITS for name in folders):
        first = next((name for name in folders if name.lower().startswith("train")), min(deep))
        raise SourceError(
            f"the folders of {path} are {', '.join(folders)}: splits of a data set, not classes",
            f"name one of them: {os.path.join(path, first)}",
        )


def folder_tree_blocks(number: int, tree: SourceFile, block_bytes: int) -> list[Block]:
    """Group the members into blocks of about ``block_bytes``."""
    blocks = []
    start = n_bytes = 0
    for i, (_, size) in enumerate(tree.members):
        n_bytes += size
        if n_bytes >= block_bytes or i + 1 == len(tree.members):
            blocks.append(Block(number, start, i + 1, n_bytes))
            start, n_bytes = i + 1, 0
    return blocks
