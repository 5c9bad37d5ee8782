"""Location of caches: the folder set in the environment, the user's cache folder, or a private temporary folder.

::

    MANYMILL_CACHE ──if set──► that folder, or an error that names the variable
    XDG_CACHE_HOME/manymill, or ~/.cache/manymill ──if writable──► that folder
    the run folder, or the system's temporary folder ──► with a warning in the log
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
    """Return the folder of one kind of cache; it exists, and only this user can write to it.

    Parameters
    ----------
    kind : str
        Such as ``"hashed texts"``; gives the folder its name.
    run : path, optional
        Run folder that is used if the user's cache folder cannot be.

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
                f"{VARIABLE}={os.environ[VARIABLE]}: {kind} cannot be stored in {named}: {error.strerror or error}",
                f"set {VARIABLE} to a writable folder, or unset it",
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
            f"no folder can be used for {kind}: {'; '.join(reasons)}",
            f"set {VARIABLE} to a writable folder",
        ) from error


def named_cache_folder(name: str) -> Path | None:
    """Return the folder of a cache in ``MANYMILL_CACHE``, which may not exist yet; None if the variable is not set."""
    named = os.environ.get(VARIABLE)
    return Path(os.path.abspath(named), name) if named else None


def temporary_folder(name: str, parent: str | os.PathLike[str] | None = None) -> Path:
    """Return a private folder in one that others may write to, such as the system's temporary folder.

    Every process of the user gets the same folder. If another user has created a folder of that name, a longer name is
    used, so that nobody can block this user.

    Raises
    ------
    OSError
        If it cannot be created.
    """
    location = Path(os.path.abspath(parent or tempfile.gettempdir()))
    if parent is not None:
        location.mkdir(parents=True, exist_ok=True)
    usual = location / user_name(name)
    try:
        return make_private(usual)
    except (FileExistsError, PermissionError) as error:
        if not os.path.lexists(usual):
            raise
        reason = error.strerror or str(error)
    for folder in sorted(location.glob(f"{glob.escape(usual.name)}-*")):
        with suppress(OSError):
            check_private(folder)
            return folder
    _log.warning("%s cannot be used (%s): using another folder instead", usual, reason)
    return Path(tempfile.mkdtemp(prefix=f"{usual.name}-", dir=location))


def user_name(name: str) -> str:
    """Return a name with the id of this user, for folders that several users share."""
    return f"{name}-{os.getuid() if hasattr(os, 'getuid') else getpass.getuser()}"


def make_writable(folder: Path) -> Path:
    """Create a private folder, or check an existing one, and that this process can write to it.

    Raises
    ------
    OSError
        If it cannot be created or written, or others can write to it.
    """
    make_private(folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(EACCES, "it is not writable", str(folder))
    # Check by creating a file, the lock of the cache: this fails on a full disk.
    os.close(os.open(folder / "lock", os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600))
    return folder


def make_private(folder: Path) -> Path:
    """Create a folder that only this user can write to, or check an existing one.

    Raises
    ------
    OSError
        If it cannot be created, or others can write to it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_private(folder)
    return folder


def check_private(folder: Path) -> None:
    """Raise ``OSError`` unless a path is a folder, not a link to one, that only this user can write to."""
    info = os.lstat(folder)
    if not hasattr(os, "getuid"):
        return
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid() or info.st_mode & 0o022:
        raise PermissionError(EPERM, "it is not a folder that only this user can write to", str(folder))


def _user_caches() -> Path:
    if named := os.environ.get("XDG_CACHE_HOME"):
        return Path(os.path.abspath(named))
    home = os.path.expanduser("~")
    # A missing home folder is not created: services and containers are given one that must not be written to.
    if not os.path.isabs(home) or not os.path.isdir(home):
        raise FileNotFoundError(ENOENT, "the home folder does not exist", home)
    return Path(home, ".cache")


def _report(reason: str, kind: str, folder: Path) -> Path:
    message = f"{kind} are stored in {folder}, since the user's cache folder cannot be used ({reason}); "
    message += f"set {VARIABLE} to choose another folder"
    if message not in _reported:
        _reported.add(message)
        _log.warning("%s", message)
    return folder
