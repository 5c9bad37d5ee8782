"""A forest in a folder: JSON that says what it is, and one file with the nodes of all its trees.

::

    my-forest/
    ├── forest.json                        class, parameters, labels, features, facts, and what the nodes file must be
    └── nodes-<checksum>.safetensors       the arrays of `nodes.FIELDS`

Saved as `manymill.model` saves: whole or not at all. Nothing in it is believed when it is read: no object is made
from a name in a file, and every node is checked before a tree is built.
"""

from __future__ import annotations

import math
import os
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill._core import __version__
from manymill.errors import ModelError
from manymill.forest import nodes
from manymill.forest.combining import check_forest, in_all_classes
from manymill.forest.describing import ForestDescription, check_savable, described, read, rebuilt
from manymill.model.manifest import FOREST_FILE as FILE_NAME
from manymill.model.saving import ModelFiles, save_files
from manymill.storage import checked_json
from manymill.storage.own_files import open_regular
from manymill.storage.tensors import header_of

_MAX_BYTES = 16 * 2**20
_PIECE_BYTES = 2**20
_FILES = ModelFiles(
    "forest", FILE_NAME, lambda text: read(checked_json.parse(text, _MAX_BYTES), text).nodes_file
)


def save_forest(folder: str | os.PathLike[str], forest: Any, *, facts: dict[str, Any] | None = None) -> None:
    """Save a fitted forest to a folder; equal forests give equal bytes.

    Thresholds are stored in float32, rounded so that every decision stays as it was: the loaded forest's predictions
    are the same to the bit.

    Parameters
    ----------
    folder : path
        Made if missing. A forest already there is replaced at one moment.
    forest : fitted random forest or extra-trees of scikit-learn, or bagging of trees
    facts : dict, optional
        JSON that is kept with it.

    Raises
    ------
    PlanError
        If it is no such forest.
    ModelError
        If its labels, or the facts, cannot be told in JSON.
    RunFolderError
        If the folder cannot be written, or a file of others has one of the forest's names; the forest that was there is
        still there.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import ExtraTreesClassifier
    >>> from manymill import load_forest, save_forest
    >>> X, y = load_iris(return_X_y=True)
    >>> forest, folder = ExtraTreesClassifier(5, random_state=0).fit(X, y), mkdtemp()
    >>> save_forest(folder, forest)
    >>> bool((load_forest(folder).predict_proba(X) == forest.predict_proba(X)).all())
    True
    """
    check_forest(forest, "the forest")
    check_savable(forest)
    trees = [in_all_classes(member, forest) for member in forest.estimators_]
    description = described(forest, trees, facts or {})

    def with_checksum(checksum: str) -> tuple[str, bytes]:
        named = replace(description, checksum=checksum)
        return named.nodes_file, named.dump(__version__)

    header: list[bytes | memoryview] = [header_of(description.tensors)]
    save_files(folder, _FILES, chain(header, nodes.pieces_of(trees)), with_checksum)


def load_forest(folder: str | os.PathLike[str], *, verify: bool = True) -> Any:
    """The forest in a folder.

    Parameters
    ----------
    folder : path
        What :func:`save_forest` wrote.
    verify : bool
        Whether to compare the checksum of the nodes. Without, a changed number may go unseen, but never a tree that
        cannot be one.

    Returns
    -------
    forest : fitted estimator of the class that was saved
        What was kept with it is its attribute ``facts_``.

    Raises
    ------
    ModelError
        If the folder holds no forest, or one that is damaged, hostile, or of a newer version.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from manymill import load_forest, save_forest
    >>> folder = mkdtemp()
    >>> forest = RandomForestRegressor(5, random_state=0).fit(*load_diabetes(return_X_y=True))
    >>> save_forest(folder, forest, facts={"rows": 442})
    >>> load_forest(folder).facts_
    {'rows': 442}
    """
    folder = Path(folder)
    path = folder / FILE_NAME
    try:
        with open_regular(path) as file:
            text = file.read(min(os.fstat(file.fileno()).st_size, _MAX_BYTES) + 1)
    except OSError as error:
        raise ModelError(
            f"{folder} holds no forest: cannot read {FILE_NAME}: {error.strerror}",
            "name a folder that save_forest wrote",
        ) from error
    try:
        description = read(checked_json.parse(text, _MAX_BYTES), text)
    except ModelError as error:
        raise ModelError(f"{path}: {error.what}", error.hint) from error
    path = folder / description.nodes_file
    try:
        arrays = _mapped(path, description, verify)
        depths = nodes.check(arrays, description.n_features, votes=bool(description.classes))
    except ModelError as error:
        raise ModelError(f"{path}: {error.what}", error.hint) from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read: {error}", "copy the whole folder") from error
    sizes = [len(labels) for labels in description.classes] or [1] * description.n_outputs
    return rebuilt(description, nodes.trees_of(arrays, depths, description.n_features, sizes))


def _mapped(path: Path, description: ForestDescription, verify: bool) -> dict[str, NDArray[Any]]:
    tensors = description.tensors
    header = header_of(tensors)
    sizes = {name: math.prod(shape) * np.dtype(dtype).itemsize for name, (dtype, shape) in tensors.items()}
    right_size = len(header) + sum(sizes.values())
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size != right_size:
            raise ModelError(f"it has {size} bytes instead of {right_size}", "it was cut off: copy it again")
        if file.read(len(header)) != header:
            raise ModelError(f"its header does not say what {FILE_NAME} says", "copy the folder again")
        if verify:
            file.seek(0)
            if checked_json.checksum(iter(lambda: file.read(_PIECE_BYTES), b"")) != description.checksum:
                raise ModelError("its bytes do not match their checksum", "it was damaged: copy it again")
        data = np.asarray(np.memmap(file, np.uint8, "r"))
    arrays, end = {}, len(header)
    for name, (dtype, shape) in tensors.items():
        start, end = end, end + sizes[name]
        arrays[name] = data[start:end].view(np.dtype(dtype).newbyteorder("<")).reshape(shape)
    return arrays
