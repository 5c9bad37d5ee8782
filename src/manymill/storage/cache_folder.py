"""Where caches lie: in the folder that the environment names, in the user's, or in a private temporary one.

::

    MANYMILL_CACHE ──if set──► that folder, or an error that names the variable
    XDG_CACHE_HOME/manymill, or ~/.cache/manymill ──if it can be written──► that folder
    the run's own folder, or the system's temporary folder ──► with a warning in the log
"""

from __future__ import annotations

import getpass
import glob
import logging
import os
import stat
import tempfile
from contextlib import suppress
from errno import EACCES, ENOENT, EPERM
from pathlib import Path

from manymill.errors import SourceError
from manymill.log import CACHE

VARIABLE = "MANYMILL_CACHE"

_log = logging.getLogger(CACHE)
_reported: set[str] = set()


def cache_folder(kind: str, *, run: str | os.PathLike[str] | None = None) -> Path:
    """The folder of one kind of cache. It exists, can be written, and belongs to this user alone.

    Parameters
    ----------
    kind : str
        Such as ``"hashed texts"``; the folder's name is made of it.
    run : path, optional
        The run folder, which takes the cache if the user's folder of caches cannot.

    Raises
    ------
    SourceError
        If the folder that ``MANYMILL_CACHE`` names cannot be used, or no folder can.
    """
    name = kind.replace(" ", "-")
    if named := named_cache_folder(name):
        try:
            return make_writable(named)
        except OSError as error:
            raise SourceError(
                f"{VARIABLE}={os.environ[VARIABLE]}: {kind} cannot be kept in {named}: {error.strerror or error}",
                f"set {VARIABLE} to a folder that you can write to, or unset it",
            ) from error
    reasons = []
    try:
        return make_writable(_user_caches() / "manymill" / name)
    except OSError as error:
        reasons.append(f"{error.filename or 'the cache folder of the user'}: {error.strerror or error}")
    if run is not None:
        try:
            return _report(reasons[0], kind, make_writable(Path(os.path.abspath(run)) / "cache" / name))
        except OSError as error:
            reasons.append(f"{error.filename or run}: {error.strerror or error}")
    try:
        return _report(reasons[0], kind, make_writable(temporary_folder("manymill-cache") / name))
    except OSError as error:
        reasons.append(f"{error.filename or 'the temporary folder'}: {error.strerror or error}")
        raise SourceError(
            f"there is no folder for {kind}: {'; '.join(reasons)}",
            f"set {VARIABLE} to a folder that you can write to",
        ) from error


def named_cache_folder(name: str) -> Path | None:
    """The folder of a cache beneath ``MANYMILL_CACHE``, which need not exist yet; None if the variable is not set."""
    named = os.environ.get(VARIABLE)
    return Path(os.path.abspath(named), name) if named else None


def temporary_folder(name: str, parent: str | os.PathLike[str] | None = None) -> Path:
    """A folder of this user beneath a folder that others may write to, such as the system's for temporary files.

    The same folder is found by every process of the user. Where another user took its name first, one with a
    longer name is used, so that nobody can keep this user from working.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    where = Path(os.path.abspath(parent or tempfile.gettempdir()))
    if parent is not None:
        where.mkdir(parents=True, exist_ok=True)
    plain = where / user_name(name)
    try:
        return make_private(plain)
    except (FileExistsError, PermissionError) as error:
        if not os.path.lexists(plain):
            raise
        reason = error.strerror or str(error)
    for folder in sorted(where.glob(f"{glob.escape(plain.name)}-*")):
        with suppress(OSError):
            check_private(folder)
            return folder
    _log.warning("%s cannot be used (%s): another folder takes its place", plain, reason)
    return Path(tempfile.mkdtemp(prefix=f"{plain.name}-", dir=where))


def user_name(name: str) -> str:
    """A name with the number of this user, for folders where others have theirs."""
    return f"{name}-{os.getuid() if hasattr(os, 'getuid') else getpass.getuser()}"


def make_writable(folder: Path) -> Path:
    """Make a private folder, or check that there is one, and that this process can write to it.

    Raises
    ------
    OSError
        If it cannot be made or written, or others could write to it.
    """
    make_private(folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(EACCES, "it cannot be written", str(folder))
    # Something can be made in it: the lock of the cache. On a full disk it cannot.
    os.close(os.open(folder / "lock", os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600))
    return folder


def make_private(folder: Path) -> Path:
    """Make a folder that only this user can write to, or check that it is there.

    Raises
    ------
    OSError
        If it cannot be made, or others could write to it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_private(folder)
    return folder


def check_private(folder: Path) -> None:
    """Raise ``OSError`` unless this is a folder, not a link to one, that only this user can write to."""
    info = os.lstat(folder)
    if not hasattr(os, "getuid"):
        return
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid() or info.st_mode & 0o022:
        raise PermissionError(EPERM, "it is not a folder that is the user's alone to write to", str(folder))


def _user_caches() -> Path:
    if named := os.environ.get("XDG_CACHE_HOME"):
        return Path(os.path.abspath(named))
    home = os.path.expanduser("~")
    # A home that does not exist is not made: services and containers name one that nobody is to write to.
    if not os.path.isabs(home) or not os.path.isdir(home):
        raise FileNotFoundError(ENOENT, "the home folder does not exist", home)
    return Path(home, ".cache")


def _report(reason: str, kind: str, folder: Path) -> Path:
    message = f"{kind} are kept in {folder}, since the user's cache folder cannot be used ({reason}); "
    message += f"set {VARIABLE} to choose another"
    if message not in _reported:
        _reported.add(message)
        _log.warning("%s", message)
    return folder
