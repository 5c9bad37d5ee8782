"""Safe access to files that manymill owns: without following symbolic links or writing through hard links."""

from __future__ import annotations

import errno
import json
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Literal

from manymill.errors import RunFolderError
from manymill.storage.durable import write_durably

MARKER = ".manymill.json"

_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)


def json_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a regular file; empty if there is none."""
    try:
        with open_regular(path) as file:
            content = json.loads(file.read())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def open_regular(path: Path) -> IO[bytes]:
    """Open a file for reading; symbolic links are not followed, and pipes do not block.

    Raises
    ------
    OSError
        If it is not a regular file, or cannot be read.
    """
    flags = os.O_RDONLY | _NOFOLLOW | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise OSError(errno.ELOOP, "it is a symbolic link", os.fspath(path)) from None
    file = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is not a regular file")
    return file


def check_file(path: Path) -> None:
    """Check that a path to be written does not exist or is a regular file.

    Raises
    ------
    RunFolderError
        If it is anything else.
    """
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return
    if not stat.S_ISREG(mode):
        raise refusal(path, f"is {kind_of_file(mode)}")


def open_own(path: Path, mode: Literal["w", "a"]) -> IO[str]:
    """Open a private text file for writing or appending.

    A file with other hard links is copied first, so that the other names keep their content.

    Raises
    ------
    RunFolderError
        If it is a symbolic link, or not a regular file.
    OSError
        If it cannot be written.
    """
    check_file(path)
    if mode == "w":
        path.unlink(missing_ok=True)
    else:
        cut_hard_link(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | _NOFOLLOW
    descriptor = os.open(path, flags | (os.O_EXCL if mode == "w" else 0), 0o600)
    return os.fdopen(descriptor, mode, encoding="utf-8", errors="replace")


def cut_hard_link(path: Path) -> None:
    """Replace a file that has other hard links by a copy."""
    with suppress(FileNotFoundError):
        if os.lstat(path).st_nlink > 1:
            with open_regular(path) as file:
                content = file.read()
            copy = path.with_name(f"{path.name}.partial")
            write_durably(copy, [content])
            os.replace(copy, path)


def kind_of_file(mode: int) -> str:
    """Describe a file that is not a regular one."""
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    return "a folder" if stat.S_ISDIR(mode) else "not a regular file"


def refusal(path: Path, what: str) -> RunFolderError:
    """Return the error of a path that is not ours to write to."""
    return RunFolderError(f"{path} {what}", "move it away, or choose a new or empty folder")
