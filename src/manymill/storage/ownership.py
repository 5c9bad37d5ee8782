"""Ownership of folders: checks before files are written, replaced or removed.

::

    check_folder(out, RUN)          raise unless the folder is new, empty or ours; change nothing
    claim_folder(out, RUN)          check, then create the folder and write the marker before any other file
    remove_folder(path, CHECKPOINT) remove the files that manymill wrote, and the folder if it is then empty

A folder is ours if it contains the marker ``.manymill.json``, or a valid manifest of ours (folders of version 0.1 have
no marker). Names alone prove nothing. Only files with names of their `FolderKind` are removed, and only from a folder
that is ours. Errors name the files that are not ours.

Our files are opened with `own_files.open_own`; incomplete files are in a `work_folder.work_folder`.

To protect another kind of folder, describe it with a `FolderKind`, call `claim_folder` before the first file is written
to it, and `remove_folder` to remove it.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from manymill.errors import RunFolderError
from manymill.storage.durable import write_durably
from manymill.storage.own_files import MARKER, json_object, kind_of_file, open_regular, refusal
from manymill.storage.work_folder import WORK, WORK_FORMAT, sweep

LOCK = ".lock"
# `Path` collapses two slashes into one; a single letter is a drive of Windows.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(::|:/)")
_FORMAT = "manymill-folder"


@dataclass(frozen=True)
class FolderKind:
    """Description of the files that a folder of ours may contain.

    Parameters
    ----------
    name : str
        Name in the marker.
    files : str
        Regular expression of the names of its files, except the marker and the lock.
    manifests : mapping
        Regular expression of the names of manifests, to a function that returns whether such a file is ours.
    folders : mapping
        Names of subfolders, to their kinds.
    chosen : bool
        Whether the user chooses the path, so that it may be a symbolic link.
    shared : bool
        Whether it may contain other files once it is ours.
    """

    name: str
    files: str
    manifests: Mapping[str, Callable[[Path], bool]] = field(default_factory=dict)
    folders: Mapping[str, FolderKind] = field(default_factory=dict)
    chosen: bool = False
    shared: bool = False

    def manifest_test(self, name: str) -> Callable[[Path], bool] | None:
        """Return the test of a manifest of this name; None for other names."""
        return next((test for names, test in self.manifests.items() if re.fullmatch(names, name)), None)

    @property
    def marker(self) -> bytes:
        """Content of the marker."""
        content = {"format": _FORMAT, "format_version": 1, "kind": self.name}
        return json.dumps(content).encode() + b"\n"


def has_format(name: str) -> Callable[[Path], bool]:
    """Return a test of a JSON file: whether its ``format`` is `name`."""
    return lambda path: json_object(path).get("format") == name


def _first_line_has_format(name: str) -> Callable[[Path], bool]:
    def is_ours(path: Path) -> bool:
        try:
            with open_regular(path) as file:
                content = json.loads(file.readline())
        except (OSError, ValueError, RecursionError):
            return False
        return isinstance(content, dict) and content.get("format") == name

    return is_ours


def _has_keys(*names: str) -> Callable[[Path], bool]:
    """Return a test of a JSON file: whether it has these keys."""
    return lambda path: set(names) <= set(json_object(path))


_FOREST_PLAN = _has_keys("kind", "mode", "trees", "digest")
_TEXT_PLAN = _has_keys("plan", "settings", "memory_bytes", "holdout", "engine", "threads")

_CHECKPOINT, _TREES = has_format("manymill-checkpoint"), has_format("manymill-trees")
_OLD_CHECKPOINT = _has_keys("state", "held_out", "pass_number", "n_classes_begun", "asked")

MODEL = FolderKind(
    "model",
    r"(weights|nodes)-[0-9a-f]{16}\.safetensors|(weights|nodes|model\.json|forest\.json)\.partial",
    {r"model\.json": has_format("manymill-model"), r"forest\.json": has_format("manymill-forest")},
    chosen=True,
)
CHECKPOINT = FolderKind(
    "checkpoint",
    r"(position|forest)\.json\.(tmp|partial)|tree\.partial|(state|held-out)-\d+\.safetensors"
    r"|tree-\d+-[0-9a-f]{16}\.safetensors|(state|held-out|tree)-\d+\.npz(\.partial)?",
    {
        r"position\.json": lambda path: _CHECKPOINT(path) or _OLD_CHECKPOINT(path),
        r"forest\.json": lambda path: _TREES(path) or set(json_object(path)) == {"digest"},
    },
)
RUN = FolderKind(
    "run",
    r"plan\.json\.tmp|(events|bad_rows)\.jsonl(\.partial)?",
    {r"plan\.json": lambda path: _TEXT_PLAN(path) or _FOREST_PLAN(path)},
    {"model": MODEL, "checkpoint": CHECKPOINT},
    chosen=True,
)
SEARCH = FolderKind(
    "search",
    r"abort",
    {r"search\.jsonl": _first_line_has_format("manymill-search")},
    {"model": MODEL},
    chosen=True,
    shared=True,
)

# Records of outputs in a folder of the user, see manymill.storage.outputs.
RECORDS = FolderKind(
    "records",
    r".+\.(next|bad_rows|partial)|work-lock",
    {r".+\.done": _has_keys("request", "bytes", "n_rows", "bad_counts")},
    shared=True,
)


def check_folder(folder: str | os.PathLike[str], kind: FolderKind) -> bool:
    """Return whether a folder is ours; otherwise it is empty or does not exist.

    Raises
    ------
    RunFolderError
        If it contains anything that is not ours.
    """
    folder = _local_path(folder)
    try:
        if not kind.chosen and folder.is_symlink():
            raise refusal(folder, "is a symbolic link")
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        if folder.is_symlink():
            raise refusal(folder, "is a symbolic link to nothing") from None
        return False
    except NotADirectoryError:
        raise refusal(folder, "is not a folder") from None
    except OSError as error:
        if isinstance(error, RunFolderError):
            raise
        raise RunFolderError(
            f"cannot read {folder}: {error.strerror or error}", "choose another folder"
        ) from error
    is_marked = _is_marked(folder, kind)
    is_ours = (
        is_marked or _has_manifest(folder, kind) or any(_holds_manifest(entry, kind) for entry in entries)
    )
    for entry in entries:
        if entry.name in kind.folders:
            if entry.is_symlink() or not entry.is_dir():
                raise _holds(folder, entry.name)
            check_folder(entry.path, kind.folders[entry.name])
        elif WORK.fullmatch(entry.name):
            if entry.is_symlink() or not entry.is_dir():
                raise _holds(folder, entry.name)
        elif not _is_name(entry.name, kind):
            if not (is_ours and kind.shared):
                raise _holds(folder, entry.name)
        elif not _is_own(Path(entry.path), kind, is_marked=is_marked, is_ours=is_ours):
            raise _holds(folder, entry.name)
    return is_ours


def check_names(folder: str | os.PathLike[str], kind: FolderKind, names: Iterable[str]) -> None:
    """Check that files of these names may be written to a folder that may contain other files.

    Raises
    ------
    RunFolderError
        If the folder is a file, or one of the names belongs to a file that is not ours.
    """
    folder = _local_path(folder)
    if not folder.is_dir() and (folder.exists() or folder.is_symlink()):
        raise refusal(folder, "is not a folder")
    is_ours = folder.is_dir() and _has_manifest(folder, kind)
    for name in names:
        path = folder / name
        if os.path.lexists(path) and not _is_own(path, kind, is_marked=False, is_ours=is_ours):
            raise _holds(folder, name)


def claim_folder(folder: str | os.PathLike[str], kind: FolderKind) -> None:
    """Create a folder, or claim an empty one, by writing the marker as its first file.

    So the folder is recognised after a kill at any time. If other processes may write to the folder, the caller must
    hold its lock.

    Raises
    ------
    RunFolderError
        If it contains anything that is not ours.
    OSError
        If it cannot be written.
    """
    folder = Path(folder)
    check_folder(folder, kind)
    folder.mkdir(parents=True, exist_ok=True)
    if not _is_marked(folder, kind):
        write_durably(folder / MARKER, [kind.marker])


def remove_folder(folder: str | os.PathLike[str], kind: FolderKind) -> None:
    """Remove our files from a folder of ours, manifests first, and the folder if it is then empty.

    A folder that is not ours is not changed, and neither are files of other names.

    Raises
    ------
    OSError
        If a file cannot be removed.
    """
    folder = Path(folder)
    try:
        if folder.is_symlink() or not check_folder(folder, kind):
            return
    except RunFolderError:
        return
    sweep(folder)
    names = sorted(entry.name for entry in os.scandir(folder))
    manifests = [name for name in names if kind.manifest_test(name) is not None]
    for name in (*manifests, *(name for name in names if re.fullmatch(kind.files, name)), MARKER):
        (folder / name).unlink(missing_ok=True)
    folder.rmdir()


def _local_path(folder: str | os.PathLike[str]) -> Path:
    """Return a local path; a URL would create a folder ``https:``, and one with a password in its name."""
    path = Path(folder)
    if _URL.match(os.fspath(folder)) and not Path(path.parts[0]).exists():
        raise RunFolderError(
            f"{path} is a URL; files are written to local folders only", "give a local path, without ://"
        )
    return path


def _is_marked(folder: Path, kind: FolderKind) -> bool:
    try:
        with open_regular(folder / MARKER) as file:
            return file.read(len(kind.marker) + 1) == kind.marker
    except OSError:
        return False


def _has_manifest(folder: Path, kind: FolderKind) -> bool:
    tests = ((folder / name, kind.manifest_test(name)) for name in os.listdir(folder))
    return any(test(path) for path, test in tests if test is not None)


def _holds_manifest(entry: os.DirEntry[str], kind: FolderKind) -> bool:
    """Return whether an entry is a work folder with a manifest, left by a kill before the manifest was published."""
    if not WORK.fullmatch(entry.name) or not entry.is_dir(follow_symlinks=False):
        return False
    marker = json_object(Path(entry.path) / MARKER)
    return marker.get("format") == WORK_FORMAT and _has_manifest(Path(entry.path), kind)


def _is_name(name: str, kind: FolderKind) -> bool:
    return (
        name in (MARKER, LOCK)
        or kind.manifest_test(name) is not None
        or re.fullmatch(kind.files, name) is not None
    )


def _is_own(path: Path, kind: FolderKind, *, is_marked: bool, is_ours: bool) -> bool:
    """Return whether a file with one of our names is ours."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        return False
    if status.st_size == 0:
        return True  # there is nothing to lose
    if path.name == MARKER:
        return is_marked or kind.marker.startswith(path.read_bytes()[: len(kind.marker) + 1])
    if (test := kind.manifest_test(path.name)) is not None:
        return is_marked or test(path)
    return is_ours


def _holds(folder: Path, name: str) -> RunFolderError:
    if name == MARKER and (other := json_object(folder / MARKER)).get("format") == _FORMAT:
        return refusal(folder, f"is the folder of a {str(other.get('kind'))[:20]!r}")
    mode = os.lstat(folder / name).st_mode
    what = "" if stat.S_ISREG(mode) else f" ({kind_of_file(mode)})"
    return refusal(folder, f"holds {name!r}{what}, which manymill did not write")
