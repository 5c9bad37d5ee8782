"""Trees on disk as they are grown, each in a file of its own, to go on from after a crash.

::

    checkpoint/
    ├── forest.json                                 what is grown: digest of rows, settings and seeds; with a checksum
    ├── tree-0-8c1f0e5a7b9d2436.safetensors         nodes and values of a tree bit for bit, its classes and seed; the
    └── tree-1-….safetensors …                      name has the first half of the checksum of its content

Arrays alone are read back, never objects; the nodes are checked before a tree is made of them. A file appears whole or
not at all, so a tree that is there is a tree that need not be grown again. One that is damaged is grown again.
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
from sklearn.tree._tree import NODE_DTYPE, Tree

from manymill.engine.shared_arrays import mapped_array
from manymill.errors import ModelError, RunFolderError
from manymill.forest.nodes import FIELDS, check
from manymill.forest.rows import Rows
from manymill.forest.sklearn_fit import Grown
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


@dataclass(frozen=True, slots=True)
class _Facts:
    """What a file says of its tree besides arrays."""

    forest: str  # digest of the forest that it is a tree of
    number: int
    n_features: int
    max_features: int
    random_state: int
    part: int | None
    several: bool  # outputs


class TreeFolder:
    """The checkpoint of a growing forest.

    Parameters
    ----------
    path : Path
        Made if it is not there.
    digest : str
        Of all that the trees depend on; trees of another digest are removed.

    Raises
    ------
    RunFolderError
        If it cannot be written.
    """

    def __init__(self, path: Path, digest: str) -> None:
        self._path, self._wanted = path, digest
        try:
            claim_folder(path, CHECKPOINT)
            if self._digest() != digest:
                self._remove_files()
                content = {"format": _FORMAT, "format_version": _FORMAT_VERSION, "digest": digest}
                checked_json.write(path / _FOREST, content)
        except OSError as error:
            raise self._unwritable(error) from error

    def add(self, grown: Grown) -> None:
        """Write a tree.

        Raises
        ------
        RunFolderError
            If it cannot be written.
        """
        try:
            checksum = write_arrays(self._path / _PARTIAL, _packed(grown, self._wanted))
            replace_durably(self._path / _PARTIAL, self._path / _name(grown.number, checksum))
        except OSError as error:
            raise self._unwritable(error) from error

    def trees(
        self, ensemble: Any, on_damage: Callable[[str], None] = lambda message: None
    ) -> Iterator[Grown]:
        """The trees that are there; a file that is damaged is passed over: its tree is grown again.

        Parameters
        ----------
        ensemble : BaseForest or BaseBagging
            Fitted but for its trees.
        on_damage : callable
            Called with a sentence on each file that is passed over.
        """
        numbers = set()
        for entry in sorted(self._path.iterdir()):
            if found := _TREE.fullmatch(entry.name):
                try:
                    grown = _unpacked(_checked(entry), int(found[1]), ensemble, self._wanted)
                except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
                    on_damage(f"{entry} cannot be used: {error}; its tree is grown again")
                    continue
                if grown.number not in numbers:
                    numbers.add(grown.number)
                    yield grown

    def _digest(self) -> str | None:
        """What the folder says that it holds; None if it does not say so."""
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

    def _unwritable(self, error: OSError) -> RunFolderError:
        return RunFolderError(
            f"cannot write to {self._path}: {error.strerror or error}",
            "free some space, or name another folder",
        )


def digest_of(rows: Rows, held: Any, settings: Any) -> str:
    """The digest of rows and settings: the same rows and settings give the same trees.

    Of a matrix that is mapped from a file the path, the size and the time of the last change count.
    """
    digest = blake2b(digest_size=20)
    arrays: tuple[Any, ...] = (rows.X, rows.y, rows.weight, held)
    for array in arrays:
        if array is None:
            digest.update(b"none")
        elif issparse(array):
            digest.update(repr((array.format, array.shape, array.dtype.str)).encode())
            for part in (array.data, array.indices, array.indptr):
                digest.update(part.dtype.str.encode())
                digest.update(np.ascontiguousarray(part).data)
        elif (file := mapped_array(array)) is not None:
            told = Path(file.path).stat()
            digest.update(repr((file, told.st_size, told.st_mtime_ns)).encode())
        elif array.dtype == object:
            digest.update(repr(array.tolist()).encode())
        else:
            digest.update(repr((array.shape, array.dtype.str)).encode())
            digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    digest.update(repr(settings).encode())
    return digest.hexdigest()


def _name(number: int, checksum: str) -> str:
    return f"tree-{number}-{checksum.partition(':')[2][:16]}.safetensors"


def _checked(path: Path) -> dict[str, Any]:
    """The arrays of a file whose name says what it holds."""
    with open_regular(path) as file:
        data = file.read()
    number = path.name.split("-")[1]
    if path.name != _name(int(number), checked_json.checksum([data])):
        raise ValueError("it does not match its checksum")
    # Copies in this machine's own dtypes: they become part of trees, whose pickles are to have the same bytes.
    arrays = arrays_in(np.frombuffer(data, np.uint8))
    return {name: array.astype(array.dtype.name) for name, array in arrays.items()}


def _packed(grown: Grown, digest: str) -> dict[str, Any]:
    tree = grown.tree
    state = tree.tree_.__getstate__()
    classes = getattr(tree, "classes_", [])
    several = classes if isinstance(classes, list) else [classes]
    facts = {
        "forest": digest,
        "number": grown.number,
        "n_features": tree.n_features_in_,
        "max_features": tree.max_features_,
        "random_state": tree.random_state,
        "part": grown.part,
        "several": isinstance(classes, list),
        "node_dtype": _NODES,
    }
    # Nodes are stored as they lie in memory: the dtype has fields, which the format does not know.
    nodes = np.ascontiguousarray(state["nodes"]).view(np.uint8).reshape(len(state["nodes"]), -1)
    arrays = {"nodes": nodes, "values": state["values"]}
    arrays |= {f"classes{output}": np.asarray(names) for output, names in enumerate(several)}
    if grown.features is not None:
        arrays["features"] = grown.features
    text = json.dumps(facts, default=int).encode()
    return {"facts": np.frombuffer(text, np.uint8), **arrays}


_NODES = repr(NODE_DTYPE.descr)


def _unpacked(arrays: dict[str, Any], number: int, ensemble: Any, digest: str) -> Grown:
    record = json.loads(arrays["facts"].tobytes())
    if record.pop("node_dtype") != _NODES:
        raise ModelError("its nodes are of another version of scikit-learn")
    facts = from_record(_Facts, record)
    if (facts.forest, facts.number) != (digest, number):
        raise ModelError("it is a tree of another forest")
    raw, values = arrays["nodes"], arrays["values"]
    if raw.dtype != np.uint8 or raw.ndim != 2 or raw.shape[1] != NODE_DTYPE.itemsize:
        raise ModelError("its nodes are of another size")
    nodes = raw.view(NODE_DTYPE).reshape(-1)
    if values.dtype != np.float64 or values.ndim != 3 or len(values) != len(nodes):
        raise ModelError("its values are not those of its nodes")
    classes = [arrays[f"classes{output}"] for output in range(sum(name[:7] == "classes" for name in arrays))]
    n_features = facts.n_features
    sizes = [len(names) for names in classes] or [1] * values.shape[1]
    _check_fits(ensemble, n_features, arrays.get("features"), classes, sizes, values)
    stored = {name: values if name == "value" else nodes[name] for name in FIELDS}
    (depth,) = check({"tree_sizes": np.array([len(nodes)]), **stored}, n_features, votes=bool(classes))
    tree = ensemble._make_estimator(append=False)
    tree.set_params(random_state=facts.random_state)
    # In the order in which scikit-learn gives them: a forest gone on with pickles to the same bytes.
    tree.n_features_in_ = n_features
    tree.n_outputs_ = values.shape[1]
    if classes:
        tree.classes_ = classes if facts.several else classes[0]
        tree.n_classes_ = np.array(sizes, np.intp) if facts.several else np.intp(sizes[0])
    tree.max_features_ = facts.max_features
    tree.tree_ = Tree(n_features, np.array(sizes, np.intp), values.shape[1])
    tree.tree_.__setstate__(
        {"max_depth": int(depth), "node_count": len(nodes), "nodes": nodes, "values": values}
    )
    return Grown(number, tree, arrays.get("features"), facts.part)


def _check_fits(
    ensemble: Any, n_features: int, features: Any, classes: list[Any], sizes: list[int], values: Any
) -> None:
    """Raise ``ModelError`` unless a tree looks at columns and speaks of classes that its ensemble has."""
    if features is None:
        fits = n_features == ensemble.n_features_in_
    else:
        fits = (
            features.shape == (n_features,)
            and 0 <= features.min() <= features.max() < ensemble.n_features_in_
        )
    known = np.atleast_1d(getattr(ensemble, "n_classes_", [])).tolist() if is_classifier(ensemble) else []
    fits &= len(classes) == len(known) and values.shape[1:] == (len(sizes), max(sizes))
    if features is None:
        fits &= not known or sizes == known
    for names, most in zip(classes, known, strict=False):
        fits &= len(names) > 0 and bool(np.isin(names, np.arange(most)).all())
    if not fits:
        raise ModelError("it is a tree of another forest", "grow it again")
