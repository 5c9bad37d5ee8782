"""A folder tree, one sub-folder per class, as one source file with many members."""

from __future__ import annotations

import os

from manymill.data import names
from manymill.data.files import unreadable
from manymill.data.plan import Block, SourceFile
from manymill.errors import SourceError

# Names of the parts that a data set is split into.
_SPLITS = frozenset({"train", "training", "test", "testing", "dev", "val", "valid", "validation", "eval"})


def tree_of(path: str) -> SourceFile:
    """A folder tree; files directly in it belong to no class and are left out.

    Raises
    ------
    SourceError
        If it has no documents or cannot be listed.
    """
    try:
        members = []
        for member in names.walk(path):
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
    _refuse_splits(path, [name for name, _ in members])
    size = sum(size for _, size in members)
    return SourceFile(path, size, stamp, "folder", cuttable=True, members=tuple(members), raw_bytes=size)


def _refuse_splits(path: str, members: list[str]) -> None:
    """Sub-folders train and test that hold folders of their own are no classes."""
    parts = [name.split("/") for name in members]
    folders = sorted({part[0] for part in parts})
    deep = {part[0] for part in parts if len(part) > 2}
    if deep and all(name.lower() in _SPLITS for name in folders):
        first = next((name for name in folders if name.lower().startswith("train")), min(deep))
        raise SourceError(
            f"the folders of {path} are {', '.join(folders)}: parts of a data set, not classes",
            f"name one of them: {os.path.join(path, first)}",
        )


def tree_blocks(number: int, tree: SourceFile, block_bytes: int) -> list[Block]:
    """Members in groups of about ``block_bytes``."""
    blocks = []
    start = n_bytes = 0
    for i, (_, size) in enumerate(tree.members):
        n_bytes += size
        if n_bytes >= block_bytes or i + 1 == len(tree.members):
            blocks.append(Block(number, start, i + 1, n_bytes))
            start, n_bytes = i + 1, 0
    return blocks
