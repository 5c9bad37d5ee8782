"""Store of arrays that outlives engines: arrays written for one fit are reused by later fits in any process.

::

    put(arrays) ──► digest ──► valid entry in the cache? ──► handles
                                 └ no: free space, write, rename ─┘

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
_HINT = "free some space there, or set another folder: MANYMILL_STORE=/a/folder"


class ArrayStore:
    """Folder of arrays for all processes of a host.

    Parameters
    ----------
    folder : path, optional
        By default the environment variable ``MANYMILL_STORE``, else ``shared-arrays`` in ``MANYMILL_CACHE``, else a
        private folder of the user in `parent`. Created when needed; other users must not have write access.
    limit : int, optional
        Maximum size in bytes. Unused arrays are removed when the files would exceed it, or a quarter of the space
        that the disk has for them.
    parent : path, optional
        The system's temporary folder if not given.
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

    def put(self, groups: Iterable[Arrays], *, files: Iterable[str] = ()) -> StoredArrays:
        """Store arrays, one file per group, until the returned object is closed.

        This process reads each file from end to end. A damaged file is written again, and a warning is logged.

        Parameters
        ----------
        groups : iterable of mapping of str to ndarray
        files : iterable of str
            Files of the store that must be retained as well.

        Raises
        ------
        EngineError
            If the arrays cannot be written, or other users can write to the folder.
        """
        try:
            if not self._is_named:
                self.folder = temporary_folder(_PREFIX, self._parent)
            cache = Cache(_KIND, self.folder, self._limit)
            try:
                for file in files:
                    cache.find(Path(file).parent.name)
                stored = [_find_or_write(cache, lay_out(arrays)) for arrays in groups]
            except BaseException:
                cache.close()
                raise
        except OSError as error:
            if isinstance(error, ManymillError):
                raise
            raise EngineError(
                f"Arrays cannot be stored in {self.folder}: {error.strerror or error}", _HINT
            ) from error
        return StoredArrays(cache, tuple(ref for ref, _ in stored), sum(n_bytes for _, n_bytes in stored))

    def contains(self, path: str) -> bool:
        """Return whether a file belongs to this store."""
        return Path(path).parent.parent == self.folder and Path(path).name == _FILE


class StoredArrays:
    """Arrays that stay in the store until this object is closed or garbage-collected.

    Attributes
    ----------
    refs : tuple of Ref
        One per group.
    bytes_written : int
        0 if all files existed.
    """

    def __init__(self, cache: Cache, refs: tuple[Ref, ...], bytes_written: int) -> None:
        self.refs = refs
        self.bytes_written = bytes_written
        self._finalizer = weakref.finalize(self, cache.close)

    def close(self) -> None:
        """Release the files; arrays that are mapped already stay valid."""
        self._finalizer()


def store_in_folder(spool: str | os.PathLike[str] | None) -> ArrayStore:
    """Return the store of an engine whose spool folder may have been set by the user."""
    return ArrayStore(parent=spool)


def _find_or_write(cache: Cache, file: ArrayFile) -> tuple[Ref, int]:
    """Return the handle of a file in the store, and the number of bytes written for it."""
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
        f"Another process removes the arrays in {cache.folder} as soon as they are written", _HINT
    )
