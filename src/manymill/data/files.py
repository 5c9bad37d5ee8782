"""Opening files, wherever they are: local paths, fsspec URLs, and the standard input, spooled.

In: a path and how the file was when the plan was made. Out: a binary stream, or an error that names both.
"""

from __future__ import annotations

import io
import os
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

from manymill.data.plan import UNNAMED, SourceFile
from manymill.errors import SourceError

_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "http": "http", "https": "http"}
_SPECIAL = {
    stat.S_ISFIFO: "a named pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}


def is_url(name: str) -> bool:
    """Whether a name is for fsspec."""
    return "://" in name


def url_to_fs(url: str, options: Mapping[str, Any] | None) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path in it.

    Raises
    ------
    SourceError
        If there is no such kind of URL, or its driver is not installed.
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
    """Turn whatever a driver of fsspec raises into a ``SourceError``; what the driver says may hold credentials.

    Raises
    ------
    SourceError
        Without a cause: a traceback would print it.
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
        If it is missing, unreadable, or no regular file.
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
            raise SourceError(f"{path} is {kind}, not a file", "pipe it in and name the source -")
    return status.st_size, str(status.st_mtime_ns)


def _describe_remote(fs: Any, inner: str) -> tuple[int, str]:
    info = fs.info(inner)
    if info.get("size") is None:
        raise SourceError(f"{inner}: the server does not say its size", "download it first")
    marks = (info.get(key) for key in ("ETag", "etag", "mtime", "LastModified", "last_modified", "created"))
    return int(info["size"]), str(next((mark for mark in marks if mark is not None), ""))


def unreadable(path: str, error: OSError) -> SourceError:
    """The error of a file that cannot be opened."""
    if isinstance(error, SourceError):
        return error
    if isinstance(error, FileNotFoundError) and (reason := _reason_of_driver(error)):
        return SourceError(f"{path} cannot be read: {reason}", "check the address and the credentials")
    if isinstance(error, FileNotFoundError):
        where = "" if is_url(path) else f"the working directory is {os.getcwd()}"
        return SourceError(f"{path} does not exist", where)
    if isinstance(error, PermissionError):
        return SourceError(f"{path} may not be read by this user", "change its permissions")
    return SourceError(f"{path} cannot be read: {error.strerror or error}")


def _reason_of_driver(error: FileNotFoundError) -> str:
    """Why a driver of fsspec could not look at a file: it calls every failure a missing file; "" if it is missing."""
    cause = error.__cause__
    status = getattr(cause, "status", None)
    if isinstance(status, int):
        return "" if status in (404, 410) else f"the server answers {status}"
    return str(cause.strerror or type(cause).__name__) if isinstance(cause, OSError) else ""


def open_file(file: SourceFile, options: Mapping[str, Any] | None, *, check: bool = True) -> BinaryIO:
    """The file as a binary stream that can seek.

    Raises
    ------
    SourceError
        If it cannot be opened, or is not as it was when the plan was made.
    """
    if file.url == UNNAMED:
        raise SourceError(
            f"{file.path} was named with credentials or a query, which no file keeps",
            "name the same source again",
        )
    try:
        if is_url(file.location):
            fs, inner = url_to_fs(file.location, options)
            with remote_errors(file.location):
                if check:
                    _check(file, *_describe_remote(fs, inner))
                return io.BufferedReader(_Remote(fs.open(inner, "rb"), file.path), 1 << 17)
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
    raise SourceError(what, "do not write to a source while it is being read; make the plan anew")


class _Remote(io.RawIOBase):
    """Reads a file of fsspec; what fails there is an error of the source."""

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


class _Spool:
    """The standard input, copied to a file without a name, so that it can be read more than once."""

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
        """A stream with a position of its own."""
        return _Slice(self.file.fileno())


class _Slice(io.RawIOBase):
    """Reads an open file at its own position, beside other readers."""

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


_spools: list[_Spool] = []


def _spooled() -> _Spool:
    """The spooled standard input; spooled at the first call."""
    if not _spools:
        # Python has no standard input where the shell closed it; one that a program put there may be of text.
        if (stdin := getattr(sys.stdin, "buffer", None)) is None:
            raise SourceError("the standard input is closed", "pipe data in, or name a file instead of -")
        _spools.append(_Spool(stdin))
    return _spools[0]
