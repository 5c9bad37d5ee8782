"""A store of arrays that outlives engines: what was written for one fit is found by the next, in whatever process.

::

    hold(arrays) ──► digest ──► entry of the cache there and whole? ──► handles
                                  └ no: make room, write, name it ─┘

Each group of arrays is an entry of :class:`manymill.storage.cache.Cache`, named by the digest of its bytes.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterable
from pathlib import Path

from manymill.engine.spool import Ref
from manymill.errors import EngineError, ManymillError
from manymill.storage.cache import ATTEMPTS, Cache
from manymill.storage.cache_folder import named_cache_folder, temporary_folder, user_name
from manymill.storage.tensors import SUFFIX, ArrayFile, Arrays, lay_out

_KIND = "shared arrays"
_PREFIX = "manymill-arrays"
_FILE = f"arrays{SUFFIX}"


class ArrayStore:
    """A folder of arrays for all processes of a host.

    Parameters
    ----------
    folder : path, optional
        The environment variable ``MANYMILL_STORE`` if not given, or else ``shared-arrays`` in ``MANYMILL_CACHE``, or
        else a folder of the user's own beneath `parent`. Made when it is needed; other users must not be able to
        write to it.
    limit : int, optional
        Bytes. What is not in use is removed where the files would take more, or more than a quarter of what the disk
        has for them.
    parent : path, optional
        The system's folder for temporary files if not given.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        limit: int | None = None,
        parent: str | os.PathLike[str] | None = None,
    ) -> None:
        self._parent = Path(os.path.abspath(parent or tempfile.gettempdir()))
        named: str | os.PathLike[str] | None = folder
        if named is None and parent is None:
            named = os.environ.get("MANYMILL_STORE") or named_cache_folder(_KIND.replace(" ", "-"))
        self._is_named = named is not None
        self.folder = self._parent / user_name(_PREFIX) if named is None else Path(os.path.abspath(named))
        self._limit = limit

    def hold(self, groups: Iterable[Arrays], *, files: Iterable[str] = ()) -> Hold:
        """Have arrays in the store until the hold is closed: one file a group.

        Each has been read from end to end by this process; one that was damaged is written again, and the log says so.

        Parameters
        ----------
        groups : iterable of mapping of str to ndarray
        files : iterable of str
            Of the store, needed as well.

        Raises
        ------
        EngineError
            If they cannot be written, or the folder is not the user's own.
        """
        try:
            if not self._is_named:
                self.folder = temporary_folder(_PREFIX, self._parent)
            cache = Cache(_KIND, self.folder, self._limit)
            try:
                for file in files:
                    cache.find(Path(file).parent.name)
                kept = [_kept(cache, lay_out(arrays)) for arrays in groups]
            except BaseException:
                cache.close()
                raise
        except OSError as error:
            if isinstance(error, ManymillError):
                raise
            raise EngineError(
                f"Arrays cannot be kept in {self.folder}: {error.strerror or error}",
                "free some room there, or name another folder: MANYMILL_STORE=/a/folder",
            ) from error
        return Hold(cache, tuple(ref for ref, _ in kept), sum(n_bytes for _, n_bytes in kept))

    def has(self, path: str) -> bool:
        """Whether a file is one of this store."""
        return Path(path).parent.parent == self.folder and Path(path).name == _FILE


class Hold:
    """Arrays that stay in the store; let go of when it is closed, or when nobody has it any more.

    Attributes
    ----------
    refs : tuple of Ref
        One a group.
    bytes_written : int
        0 if everything was there.
    """

    def __init__(self, cache: Cache, refs: tuple[Ref, ...], bytes_written: int) -> None:
        self.refs = refs
        self.bytes_written = bytes_written
        self._end = weakref.finalize(self, cache.close)

    def close(self) -> None:
        """Let go of the files; who has mapped them keeps what it has."""
        self._end()


def store_beneath(spool: str | os.PathLike[str] | None) -> ArrayStore:
    """The store of an engine whose published arrays go to a folder of the user's choice, or of ours."""
    return ArrayStore(parent=spool)


def _kept(cache: Cache, file: ArrayFile) -> tuple[Ref, int]:
    """The handle of a file of the store, and the bytes that were written for it."""
    written = 0
    for _ in range(ATTEMPTS):
        if (found := cache.find(file.digest)) is not None:
            entry = found[0]
            return Ref(file.digest, str(entry.folder / _FILE), entry=entry), written
        with cache.writing(file.digest, file.n_bytes) as writer:
            file.write(writer.folder / f"{_FILE}.partial", writer.folder / _FILE)
            writer.add(_FILE)
        written = file.n_bytes
    raise EngineError(
        f"another process removes the arrays in {cache.folder} as soon as they are written",
        "free some room there, or name another folder: MANYMILL_STORE=/a/folder",
    )
