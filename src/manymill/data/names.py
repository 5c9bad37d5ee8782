"""What the user names to files: globs, directories, lists, URLs. Sorted, each file once, nothing opened."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Mapping
from typing import Any

from manymill.data.files import is_url, remote_errors, unreadable, url_to_fs
from manymill.display import has_credentials, public_url
from manymill.errors import SourceError

COMPRESSED = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd", ".bz2": "bz2", ".xz": "xz"}
FORMAT_OF = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".jsonlines": "jsonl", ".json": "jsonl", ".csv": "csv",
    ".tsv": "tsv", ".parquet": "parquet", ".pq": "parquet", ".review": "reviews", ".xml": "reviews",
    ".ft": "fasttext", ".fasttext": "fasttext",
}  # fmt: skip


def extensions(path: str) -> tuple[str, str]:
    """Extension of the format and of the compression, each empty if there is none."""
    stem, last = os.path.splitext(path.lower().split("?", 1)[0] if is_url(path) else path.lower())
    if last in COMPRESSED:
        return os.path.splitext(stem)[1], last
    return last, ""


def find_files(
    names: Iterable[str], options: Mapping[str, Any] | None, *, format: str | None = None
) -> tuple[list[str], list[str]]:
    """Data files, and directories that are folder trees (one sub-folder per class).

    With the format ``folder`` every directory is one, whatever lies in it.

    Raises
    ------
    SourceError
        If a name stands for nothing.
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
        # The ? of a query is no wildcard.
        if glob.has_magic(public_url(path)):
            found = sorted(fs.glob(path))
        elif not url.startswith("http") and fs.isdir(path):
            found = sorted(inner for inner in fs.find(path) if extensions(inner)[0] in FORMAT_OF)
        else:
            # One spelling of each file; chained URLs and those with credentials have no other.
            return [url if "::" in url or has_credentials(url) else fs.unstrip_protocol(path)]
    if not found:
        raise SourceError(f"nothing matches {url}")
    return [fs.unstrip_protocol(inner) for inner in found if not _hidden(inner)]


def _hidden(path: str) -> bool:
    return os.path.basename(path.rstrip("/")).startswith((".", "_"))


def walk(folder: str) -> list[str]:
    """All files below a folder, sorted; hidden ones and links to folders are left out.

    Raises
    ------
    SourceError
        If a folder may not be listed.
    """

    def fail(error: OSError) -> None:
        raise unreadable(error.filename or folder, error) from error

    found = []
    for base, folders, names in os.walk(folder, onerror=fail):
        folders[:] = sorted(name for name in folders if not _hidden(name))
        found += [os.path.join(base, name) for name in names if not _hidden(name)]
    return sorted(found)


def _data_files(folder: str) -> list[str]:
    """The data files of a directory; none if it is a folder tree."""
    inside = walk(folder)
    data = [path for path in inside if extensions(path)[0] in FORMAT_OF]
    if data:
        return data
    # The text files of a folder tree lie in its sub-folders; what lies beside those is no data.
    if any(os.path.dirname(path) != folder.rstrip("/") for path in inside):
        return []
    texts = [path for path in inside if extensions(path)[0] in (".txt", "")]
    if not texts:
        raise SourceError(f"the directory {folder} has no data files", "name the files themselves")
    return texts
