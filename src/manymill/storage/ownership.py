"""Whose files are these? The guard before anything is written to a folder, replaced or removed.

::

    check_folder(out, RUN)          refuse unless the folder is new, empty or ours; nothing is touched
    claim_folder(out, RUN)          the same, then make it and write the marker, before any other file
    remove_folder(path, CHECKPOINT) remove the files that manymill wrote, and the folder if nothing else is in it

A folder is ours if it says so inside: with the marker ``.manymill.json``, or with a manifest of ours that can be parsed
(which is how folders of version 0.1, which have no marker, are known). A name alone proves nothing. Only files whose
names a `FolderKind` has are removed, and only from a folder that is ours. What lies in a folder and is not ours is
named in the error.

Files of ours are opened with `own_files.open_own`; files that are not whole yet lie in a `work_folder.work_folder`.

To guard another folder, describe it with a `FolderKind`, call `claim_folder` before the first file is written to it,
and `remove_folder` where it is removed.
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
# `Path` makes one slash of two; one letter is a drive of Windows.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(::|:/)")
_FORMAT = "manymill-folder"


@dataclass(frozen=True)
class FolderKind:
    """What a folder of ours may hold.

    Parameters
    ----------
    name : str
        What the marker says.
    files : str
        Regular expression of the names of its files, besides the marker and the lock.
    manifests : mapping
        Regular expression of the names of files that describe the folder, to a function that says whether one is ours.
    folders : mapping
        Name of a folder in it, to its kind.
    chosen : bool
        Whether the user names the folder, so that it may be a symbolic link.
    shared : bool
        Whether other files may lie in it once it is ours.
    """

    name: str
    files: str
    manifests: Mapping[str, Callable[[Path], bool]] = field(default_factory=dict)
    folders: Mapping[str, FolderKind] = field(default_factory=dict)
    chosen: bool = False
    shared: bool = False

    def manifest_test(self, name: str) -> Callable[[Path], bool] | None:
        """What says whether a file of this name, a manifest, is ours; None of other names."""
        return next((test for names, test in self.manifests.items() if re.fullmatch(names, name)), None)

    @property
    def marker(self) -> bytes:
        """The content of the marker."""
        told = {"format": _FORMAT, "format_version": 1, "kind": self.name}
        return json.dumps(told).encode() + b"\n"


def says_format(name: str) -> Callable[[Path], bool]:
    """A test of a JSON file: whether its entry ``format`` is `name`."""
    return lambda path: json_object(path).get("format") == name


def _first_line_says(name: str) -> Callable[[Path], bool]:
    def test(path: Path) -> bool:
        try:
            with open_regular(path) as file:
                content = json.loads(file.readline())
        except (OSError, ValueError, RecursionError):
            return False
        return isinstance(content, dict) and content.get("format") == name

    return test


def _has(*names: str) -> Callable[[Path], bool]:
    """A test of a JSON file: whether it has these entries."""
    return lambda path: set(names) <= set(json_object(path))


_PLAN_OF_FOREST = _has("kind", "mode", "trees", "digest")
_PLAN_OF_TEXTS = _has("plan", "settings", "memory_bytes", "holdout", "engine", "threads")

_CHECKPOINT, _TREES = says_format("manymill-checkpoint"), says_format("manymill-trees")
_OLD_CHECKPOINT = _has("state", "held_out", "pass_number", "n_classes_begun", "asked")

MODEL = FolderKind(
    "model",
    r"(weights|nodes)-[0-9a-f]{16}\.safetensors|(weights|nodes|model\.json|forest\.json)\.partial",
    {r"model\.json": says_format("manymill-model"), r"forest\.json": says_format("manymill-forest")},
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
    {r"plan\.json": lambda path: _PLAN_OF_TEXTS(path) or _PLAN_OF_FOREST(path)},
    {"model": MODEL, "checkpoint": CHECKPOINT},
    chosen=True,
)
SEARCH = FolderKind(
    "search",
    r"abort",
    {r"search\.jsonl": _first_line_says("manymill-search")},
    {"model": MODEL},
    chosen=True,
    shared=True,
)

# Of files in a folder of the user's: see manymill.storage.outputs.
RECORDS = FolderKind(
    "records",
    r".+\.(next|bad_rows|partial)|work-lock",
    {r".+\.done": _has("request", "bytes", "n_rows", "bad_counts")},
    shared=True,
)


def check_folder(folder: str | os.PathLike[str], kind: FolderKind) -> bool:
    """Whether a folder is ours; if not, it is free: not there, or without content.

    Raises
    ------
    RunFolderError
        If it holds anything that is not ours.
    """
    folder = _local(folder)
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
            f"cannot read {folder}: {error.strerror or error}", "name another folder"
        ) from error
    marked = _is_marked(folder, kind)
    ours = marked or _has_manifest(folder, kind) or any(_holds_manifest(entry, kind) for entry in entries)
    for entry in entries:
        if entry.name in kind.folders:
            if entry.is_symlink() or not entry.is_dir():
                raise _holds(folder, entry.name)
            check_folder(entry.path, kind.folders[entry.name])
        elif WORK.fullmatch(entry.name):
            if entry.is_symlink() or not entry.is_dir():
                raise _holds(folder, entry.name)
        elif not _is_name(entry.name, kind):
            if not (ours and kind.shared):
                raise _holds(folder, entry.name)
        elif not _is_own(Path(entry.path), kind, marked=marked, ours=ours):
            raise _holds(folder, entry.name)
    return ours


def check_names(folder: str | os.PathLike[str], kind: FolderKind, names: Iterable[str]) -> None:
    """Refuse to write files to a folder where others may be, unless their names are free or ours.

    Raises
    ------
    RunFolderError
        If the folder is a file, or what has one of the names is not ours.
    """
    folder = _local(folder)
    if not folder.is_dir() and (folder.exists() or folder.is_symlink()):
        raise refusal(folder, "is not a folder")
    ours = folder.is_dir() and _has_manifest(folder, kind)
    for name in names:
        path = folder / name
        if os.path.lexists(path) and not _is_own(path, kind, marked=False, ours=ours):
            raise _holds(folder, name)


def claim_folder(folder: str | os.PathLike[str], kind: FolderKind) -> None:
    """Make a folder ours: the marker is its first file, so that what a kill leaves is recognised.

    Whoever may have rivals holds the folder's lock meanwhile.

    Raises
    ------
    RunFolderError
        If it holds anything that is not ours.
    OSError
        If it cannot be written.
    """
    folder = Path(folder)
    check_folder(folder, kind)
    folder.mkdir(parents=True, exist_ok=True)
    if not _is_marked(folder, kind):
        write_durably(folder / MARKER, [kind.marker])


def remove_folder(folder: str | os.PathLike[str], kind: FolderKind) -> None:
    """Remove the files of a folder of ours, manifests first, and the folder if it is empty then.

    A folder that is not ours, or not there, is left alone, and so is every file of another name.

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


def _local(folder: str | os.PathLike[str]) -> Path:
    """The path of a folder here; a URL would become a folder called ``https:``, with a password in a name below it."""
    path = Path(folder)
    if _URL.match(os.fspath(folder)) and not Path(path.parts[0]).exists():
        raise RunFolderError(
            f"{path} is a URL; files are written to local folders", "name a local path, without ://"
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
    """Whether an entry is a work folder with a manifest: a kill left it before the manifest got its place."""
    if not WORK.fullmatch(entry.name) or not entry.is_dir(follow_symlinks=False):
        return False
    told = json_object(Path(entry.path) / MARKER)
    return told.get("format") == WORK_FORMAT and _has_manifest(Path(entry.path), kind)


def _is_name(name: str, kind: FolderKind) -> bool:
    return (
        name in (MARKER, LOCK)
        or kind.manifest_test(name) is not None
        or re.fullmatch(kind.files, name) is not None
    )


def _is_own(path: Path, kind: FolderKind, *, marked: bool, ours: bool) -> bool:
    """Whether a file that has one of our names is ours."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        return False
    if found.st_size == 0:
        return True  # nothing is in it
    if path.name == MARKER:
        return marked or kind.marker.startswith(path.read_bytes()[: len(kind.marker) + 1])
    if (test := kind.manifest_test(path.name)) is not None:
        return marked or test(path)
    return ours


def _holds(folder: Path, name: str) -> RunFolderError:
    if name == MARKER and (other := json_object(folder / MARKER)).get("format") == _FORMAT:
        return refusal(folder, f"is the folder of a {str(other.get('kind'))[:20]!r}")
    mode = os.lstat(folder / name).st_mode
    what = "" if stat.S_ISREG(mode) else f" ({kind_of_file(mode)})"
    return refusal(folder, f"holds {name!r}{what}, which manymill did not write")
