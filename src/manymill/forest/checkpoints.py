"""Trees on disk as they are grown, each in a file of its own, to go on from after a crash.

::

    checkpoint/
    ├── forest.json          what is grown: digest of rows, settings and seeds
    ├── tree-0.npz           nodes and values of a tree bit for bit, its classes and seed
    └── tree-1.npz …

Arrays alone are read back, never objects; the nodes are checked before a tree is made of them. A file appears whole or
not at all, so a tree that is there is a tree that need not be grown again.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import is_classifier
from sklearn.tree._tree import NODE_DTYPE, Tree

from manymill.engine.sharing import in_file
from manymill.errors import ModelError, RunFolderError
from manymill.forest.grown import Grown
from manymill.forest.nodes import FIELDS, check
from manymill.forest.rows import Rows
from manymill.storage.durable import replace_durably, write_durably
from manymill.storage.ownership import CHECKPOINT, claim_folder

_FOREST = "forest.json"
_TREE = re.compile(r"tree-(\d+)\.npz")
_OURS = re.compile(rf"(forest\.json|{_TREE.pattern})(\.partial)?")


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
        self._path = path
        try:
            claim_folder(path, CHECKPOINT)
            if self._digest() != digest:
                for entry in path.iterdir():
                    if _OURS.fullmatch(entry.name):
                        entry.unlink()
                self._put(_FOREST, json.dumps({"digest": digest}).encode())
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
            self._put(f"tree-{grown.number}.npz", _packed(grown))
        except OSError as error:
            raise self._unwritable(error) from error

    def trees(self, ensemble: Any) -> Iterator[Grown]:
        """The trees that are there; a file that is damaged is passed over: its tree is grown again.

        Parameters
        ----------
        ensemble : BaseForest or BaseBagging
            Fitted but for its trees.
        """
        for entry in sorted(self._path.iterdir()):
            if found := _TREE.fullmatch(entry.name):
                try:
                    with np.load(io.BytesIO(entry.read_bytes()), allow_pickle=False) as arrays:
                        yield _unpacked(dict(arrays), int(found[1]), ensemble)
                except Exception:  # whatever numpy, zipfile and json make of bytes that are damaged
                    continue

    def _digest(self) -> str | None:
        try:
            told = json.loads((self._path / _FOREST).read_bytes())
            return str(told["digest"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _put(self, name: str, content: bytes) -> None:
        write_durably(self._path / f"{name}.partial", [content])
        replace_durably(self._path / f"{name}.partial", self._path / name)

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
        elif (file := in_file(array)) is not None:
            told = Path(file.path).stat()
            digest.update(repr((file, told.st_size, told.st_mtime_ns)).encode())
        elif array.dtype == object:
            digest.update(repr(array.tolist()).encode())
        else:
            digest.update(repr((array.shape, array.dtype.str)).encode())
            digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    digest.update(repr(settings).encode())
    return digest.hexdigest()


def _packed(grown: Grown) -> bytes:
    tree = grown.tree
    state = tree.tree_.__getstate__()
    classes = getattr(tree, "classes_", [])
    several = classes if isinstance(classes, list) else [classes]
    told = {
        "n_features": tree.n_features_in_,
        "max_features": tree.max_features_,
        "random_state": tree.random_state,
        "part": grown.part,
        "several": isinstance(classes, list),
    }
    arrays = {"nodes": state["nodes"], "values": state["values"]}
    arrays |= {f"classes{output}": np.asarray(names) for output, names in enumerate(several)}
    if grown.features is not None:
        arrays["features"] = grown.features
    file = io.BytesIO()
    np.savez(file, told=np.frombuffer(json.dumps(told, default=int).encode(), np.uint8), **arrays)
    return file.getvalue()


def _unpacked(arrays: dict[str, Any], number: int, ensemble: Any) -> Grown:
    told = json.loads(arrays["told"].tobytes())
    nodes, values = arrays["nodes"], arrays["values"]
    if nodes.dtype != NODE_DTYPE:
        raise ModelError("its nodes are of another version of scikit-learn")
    classes = [arrays[f"classes{output}"] for output in range(sum(name[:7] == "classes" for name in arrays))]
    n_features = int(told["n_features"])
    sizes = [len(names) for names in classes] or [1] * values.shape[1]
    _check_fits(ensemble, n_features, arrays.get("features"), classes, sizes, values)
    stored = {name: values if name == "value" else nodes[name] for name in FIELDS}
    (depth,) = check({"tree_sizes": np.array([len(nodes)]), **stored}, n_features, votes=bool(classes))
    tree = ensemble._make_estimator(append=False)
    tree.set_params(random_state=told["random_state"])
    # In the order in which scikit-learn gives them: a forest gone on with pickles to the same bytes.
    tree.n_features_in_ = n_features
    tree.n_outputs_ = values.shape[1]
    if classes:
        tree.classes_ = classes if told["several"] else classes[0]
        tree.n_classes_ = np.array(sizes, np.intp) if told["several"] else np.intp(sizes[0])
    tree.max_features_ = told["max_features"]
    tree.tree_ = Tree(n_features, np.array(sizes, np.intp), values.shape[1])
    tree.tree_.__setstate__(
        {"max_depth": int(depth), "node_count": len(nodes), "nodes": nodes, "values": values}
    )
    return Grown(number, tree, arrays.get("features"), told["part"])


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
