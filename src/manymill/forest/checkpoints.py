"""Checkpoint of a forest fit: each tree in its own file, so that a run that was killed can be resumed.

::

    checkpoint/
    ├── forest.json                                 fingerprint of the rows, settings and seeds; with a checksum
    ├── tree-0-8c1f0e5a7b9d2436.safetensors         nodes and values of a tree bit for bit, its classes and seed; the
    └── tree-1-….safetensors …                      name holds the first half of the checksum of its content

Only arrays are read back, never objects, and nodes are validated before a tree is built. A file is written completely
or not at all, so a tree that has a file is not grown again. A damaged file is ignored, and its tree is grown again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import is_classifier

from manymill.engine.shared_arrays import mapped_array
from manymill.errors import ModelError, RunFolderError
from manymill.forest.nodes import FIELDS, check_nodes
from manymill.forest.rows import TrainingRows
from manymill.forest.sklearn_fit import GrownTree
from manymill.forest.sklearn_private import NODE_DTYPE, build_tree, new_member, tree_arrays
from manymill.storage import checked_json
from manymill.storage.durable import replace_durably
from manymill.storage.own_files import open_regular
from manymill.storage.ownership import CHECKPOINT, claim_folder
from manymill.storage.records import from_record
from manymill.storage.tensors import arrays_in, write_arrays

_FOREST = "forest.json"
_FORMAT, _FORMAT_VERSION = "manymill-trees", 1
_TREE = re.compile(r"tree-(\d{1,18})-([0-9a-f]{16})\.safetensors")
_PARTIAL = "tree.partial"
_NODE_FIELDS = repr(NODE_DTYPE.descr)


@dataclass(frozen=True, slots=True)
class _TreeFacts:
    """The JSON in the file of a tree."""

    forest: str  # fingerprint of its forest
    number: int
    n_features: int
    max_features: int
    random_state: int
    part: int | None  # the partition
    several: bool  # outputs


class TreeFolder:
    """The checkpoint folder of a forest fit.

    Parameters
    ----------
    path : Path
        Created if missing.
    fingerprint : str
        Of everything that the trees depend on; trees with another fingerprint are deleted.

    Raises
    ------
    RunFolderError
        If it cannot be written.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self._path, self._fingerprint = path, fingerprint
        try:
            claim_folder(path, CHECKPOINT)
            if self._stored_fingerprint() != fingerprint:
                self._remove_files()
                content = {"format": _FORMAT, "format_version": _FORMAT_VERSION, "digest": fingerprint}
                checked_json.write(path / _FOREST, content)
        except OSError as error:
            raise self._write_error(error) from error

    def add(self, grown: GrownTree) -> None:
        """Write a tree.

        Raises
        ------
        RunFolderError
            If it cannot be written.
        """
        try:
            checksum = write_arrays(self._path / _PARTIAL, _pack(grown, self._fingerprint))
            replace_durably(self._path / _PARTIAL, self._path / _file_name(grown.number, checksum))
        except OSError as error:
            raise self._write_error(error) from error

    def trees(
        self, ensemble: Any, on_damage: Callable[[str], None] = lambda message: None
    ) -> Iterator[GrownTree]:
        """Read all trees; a damaged file is skipped, so that its tree is grown again.

        Parameters
        ----------
        ensemble : BaseForest or BaseBagging
            Fitted except for its trees.
        on_damage : callable
            Called with a message for each file that is skipped.
        """
        numbers = set()
        for entry in sorted(self._path.iterdir()):
            if match := _TREE.fullmatch(entry.name):
                try:
                    grown = _unpack(_read_verified(entry), int(match[1]), ensemble, self._fingerprint)
                except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
                    reason = error.what if isinstance(error, ModelError) else error
                    on_damage(f"{entry} cannot be used: {reason}; its tree is grown again")
                    continue
                if grown.number not in numbers:
                    numbers.add(grown.number)
                    yield grown

    def _stored_fingerprint(self) -> str | None:
        """The fingerprint of the stored trees; None if forest.json is missing or invalid."""
        try:
            content = checked_json.read(self._path / _FOREST)
        except (OSError, ValueError):
            return None
        known = (content.get("format"), content.get("format_version")) == (_FORMAT, _FORMAT_VERSION)
        return str(content.get("digest")) if known else None

    def _remove_files(self) -> None:
        for entry in self._path.iterdir():
            if re.fullmatch(CHECKPOINT.files, entry.name):
                entry.unlink()

    def _write_error(self, error: OSError) -> RunFolderError:
        return RunFolderError(
            f"cannot write to {self._path}: {error.strerror or error}",
            "free some space, or name another folder",
        )


def fingerprint(rows: TrainingRows, held_out: Any, settings: Any) -> str:
    """The fingerprint of rows and settings, which determine the trees.

    For a matrix that is mapped from a file, the path, the size and the modification time are used.
    """
    digest = blake2b(digest_size=20)
    arrays: tuple[Any, ...] = (rows.X, rows.y, rows.weight, held_out)
    for array in arrays:
        if array is None:
            digest.update(b"none")
        elif issparse(array):
            digest.update(repr((array.format, array.shape, array.dtype.str)).encode())
            for values in (array.data, array.indices, array.indptr):
                digest.update(values.dtype.str.encode())
                digest.update(np.ascontiguousarray(values).data)
        elif (file := mapped_array(array)) is not None:
            status = Path(file.path).stat()
            digest.update(repr((file, status.st_size, status.st_mtime_ns)).encode())
        elif array.dtype == object:
            digest.update(repr(array.tolist()).encode())
        else:
            digest.update(repr((array.shape, array.dtype.str)).encode())
            digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    digest.update(repr(settings).encode())
    return digest.hexdigest()


def _file_name(number: int, checksum: str) -> str:
    return f"tree-{number}-{checksum.partition(':')[2][:16]}.safetensors"


def _read_verified(path: Path) -> dict[str, Any]:
    """The arrays of a file whose content matches the checksum in its name."""
    with open_regular(path) as file:
        data = file.read()
    number = path.name.split("-")[1]
    if path.name != _file_name(int(number), checked_json.checksum([data])):
        raise ValueError("it does not match its checksum")
    # Copies in native byte order: they become part of trees, whose pickles must have the same bytes.
    arrays = arrays_in(np.frombuffer(data, np.uint8))
    return {name: array.astype(array.dtype.name) for name, array in arrays.items()}


def _pack(grown: GrownTree, forest: str) -> dict[str, Any]:
    """A tree as arrays, one of which is its JSON."""
    tree = grown.tree
    nodes, values = tree_arrays(tree.tree_)
    classes = getattr(tree, "classes_", [])
    several = isinstance(classes, list)
    facts = {
        "forest": forest,
        "number": grown.number,
        "n_features": tree.n_features_in_,
        "max_features": tree.max_features_,
        "random_state": tree.random_state,
        "part": grown.partition,
        "several": several,
        "node_dtype": _NODE_FIELDS,
    }
    # Nodes are stored as bytes, since the file format does not support dtypes with fields.
    node_bytes = np.ascontiguousarray(nodes).view(np.uint8).reshape(len(nodes), -1)
    arrays = {"nodes": node_bytes, "values": values}
    arrays |= {
        f"classes{output}": np.asarray(names)
        for output, names in enumerate(classes if several else [classes])
    }
    if grown.features is not None:
        arrays["features"] = grown.features
    text = json.dumps(facts, default=int).encode()
    return {"facts": np.frombuffer(text, np.uint8), **arrays}


def _unpack(arrays: dict[str, Any], number: int, ensemble: Any, forest: str) -> GrownTree:
    record = json.loads(arrays["facts"].tobytes())
    if record.pop("node_dtype") != _NODE_FIELDS:
        raise ModelError("its nodes have the format of another version of scikit-learn")
    facts = from_record(_TreeFacts, record)
    if (facts.forest, facts.number) != (forest, number):
        raise ModelError("it is a tree of another forest")
    node_bytes, values = arrays["nodes"], arrays["values"]
    if node_bytes.dtype != np.uint8 or node_bytes.ndim != 2 or node_bytes.shape[1] != NODE_DTYPE.itemsize:
        raise ModelError("its nodes have another size")
    nodes = node_bytes.view(NODE_DTYPE).reshape(-1)
    if values.dtype != np.float64 or values.ndim != 3 or len(values) != len(nodes):
        raise ModelError("its values do not match its nodes")
    classes = [arrays[f"classes{output}"] for output in range(sum(name[:7] == "classes" for name in arrays))]
    n_features = facts.n_features
    n_classes = [len(names) for names in classes] or [1] * values.shape[1]
    _check_fits(ensemble, n_features, arrays.get("features"), classes, n_classes, values)
    stored = {name: values if name == "value" else nodes[name] for name in FIELDS}
    tree_sizes = {"tree_sizes": np.array([len(nodes)])}
    (depth,) = check_nodes({**tree_sizes, **stored}, n_features, probabilities=bool(classes))
    tree = new_member(ensemble)
    tree.set_params(random_state=facts.random_state)
    # In the order in which scikit-learn sets them, so that a resumed forest pickles to the same bytes.
    tree.n_features_in_ = n_features
    tree.n_outputs_ = values.shape[1]
    if classes:
        tree.classes_ = classes if facts.several else classes[0]
        tree.n_classes_ = np.array(n_classes, np.intp) if facts.several else np.intp(n_classes[0])
    tree.max_features_ = facts.max_features
    tree.tree_ = build_tree(nodes, values, max_depth=int(depth), n_features=n_features, n_classes=n_classes)
    return GrownTree(number, tree, arrays.get("features"), facts.part)


def _check_fits(
    ensemble: Any, n_features: int, features: Any, classes: list[Any], n_classes: list[int], values: Any
) -> None:
    """Raise ``ModelError`` unless the columns and classes of a tree are those of its ensemble."""
    if features is None:
        fits = n_features == ensemble.n_features_in_
    else:
        fits = (
            features.shape == (n_features,)
            and 0 <= features.min() <= features.max() < ensemble.n_features_in_
        )
    known = np.atleast_1d(getattr(ensemble, "n_classes_", [])).tolist() if is_classifier(ensemble) else []
    fits &= len(classes) == len(known) and values.shape[1:] == (len(n_classes), max(n_classes))
    if features is None:
        fits &= not known or n_classes == known
    for names, size in zip(classes, known, strict=False):
        fits &= len(names) > 0 and bool(np.isin(names, np.arange(size)).all())
    if not fits:
        raise ModelError("its columns or classes are not those of the forest")
