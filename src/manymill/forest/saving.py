"""A forest in a folder: JSON that says what it is, and one file with the nodes of all its trees.

::

    my-forest/
    ├── forest.json                        class, parameters, labels, features, facts, and what the nodes file must be
    └── nodes-<checksum>.safetensors       the arrays of `nodes.FIELDS`

Saved as `manymill.model` saves: whole or not at all. Nothing in it is believed when it is read: no object is made
from a name in a file, and every node is checked before a tree is built.

What the JSON beside the nodes of a forest says, and the estimator that it makes of trees.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill._core import __version__
from manymill.errors import ModelError, PlanError
from manymill.forest import nodes
from manymill.forest.combining import check_forest, classes_of, in_all_classes
from manymill.model.manifest import FOREST_FILE as FILE_NAME
from manymill.model.saving import ModelFiles, save_files
from manymill.storage import checked_json
from manymill.storage.checked_json import check_keys, require
from manymill.storage.own_files import open_regular
from manymill.storage.tensors import header_of

FORMAT = "manymill-forest"
FORMAT_VERSION = 1

# scikit-learn's classes of forests that can be saved, and of their trees: a folder names one of these or is refused.
KINDS = {
    "RandomForestClassifier": "DecisionTreeClassifier",
    "RandomForestRegressor": "DecisionTreeRegressor",
    "ExtraTreesClassifier": "ExtraTreeClassifier",
    "ExtraTreesRegressor": "ExtraTreeRegressor",
    "BaggingClassifier": "",  # any kind of tree
    "BaggingRegressor": "",
}
TREES = ("DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor")

_CHECKSUM = re.compile(r"blake2b-256:[0-9a-f]{64}")
_LARGEST = 2**31 - 1
_ENTRIES = {
    "format", "format_version", "manymill_version", "requires_manymill", "kind", "trees", "parameters",
    "tree_parameters", "classes", "n_features", "n_outputs", "feature_names", "member_features", "max_features",
    "facts", "n_trees", "n_nodes", "nodes_checksum",
}  # fmt: skip


@dataclass(frozen=True)
class ForestDescription:
    """All of a forest but its nodes."""

    kind: str
    trees: str
    parameters: Mapping[str, Any]
    tree_parameters: Mapping[str, Any]
    classes: tuple[tuple[Any, ...], ...]  # of each output; none of a regressor
    n_features: int  # that a tree sees
    n_outputs: int
    feature_names: tuple[str, ...]
    member_features: tuple[tuple[int, ...], ...]  # of each member of bagging that does not see all
    n_features_in: int
    max_features: int
    facts: Mapping[str, Any]
    n_trees: int
    n_nodes: int
    checksum: str = ""

    @property
    def nodes_file(self) -> str:
        """The name of the file of nodes, made from its content."""
        return f"nodes-{self.checksum.partition(':')[2][:16]}.safetensors"

    @property
    def tensors(self) -> dict[str, tuple[str, list[int]]]:
        """Dtype and shape of what the file of nodes holds."""
        n_classes = max((len(labels) for labels in self.classes), default=1)
        return nodes.tensors_of(self.n_trees, self.n_nodes, self.n_outputs, n_classes)

    def dump(self, manymill_version: str) -> bytes:
        """The text of the JSON."""
        content = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "manymill_version": manymill_version,
            "requires_manymill": "0.1",
            "kind": self.kind,
            "trees": self.trees,
            "parameters": dict(self.parameters),
            "tree_parameters": dict(self.tree_parameters),
            "classes": [list(labels) for labels in self.classes],
            "n_features": [self.n_features_in, self.n_features],
            "n_outputs": self.n_outputs,
            "feature_names": list(self.feature_names),
            "member_features": [list(features) for features in self.member_features],
            "max_features": self.max_features,
            "facts": dict(self.facts),
            "n_trees": self.n_trees,
            "n_nodes": self.n_nodes,
            "nodes_checksum": self.checksum,
        }
        text = checked_json.dump(content)
        read(checked_json.parse(text, len(text)), text)
        return text


def check_savable(forest: Any) -> None:
    """Raise ``PlanError`` unless a fitted forest is one of trees that a folder can hold."""
    kind, member = type(forest).__name__, forest.estimators_[0]
    if kind not in KINDS or type(member).__name__ not in TREES or type(forest).__module__[:8] != "sklearn.":
        raise PlanError(
            f"a {kind} of {type(member).__name__} cannot be saved",
            f"a forest can be one of {', '.join(KINDS)}, with trees",
        )


def described(forest: Any, trees: list[Any], facts: Mapping[str, Any]) -> ForestDescription:
    """The description of a fitted forest, with the nodes of its members."""
    kind, member = type(forest).__name__, forest.estimators_[0]
    own_features: list[NDArray[Any]] = list(getattr(forest, "estimators_features_", ()))
    everything = all(np.array_equal(chosen, np.arange(forest.n_features_in_)) for chosen in own_features)
    return ForestDescription(
        kind=kind,
        trees=type(member).__name__,
        parameters=_plain(forest.get_params(deep=False)),
        tree_parameters=_plain(member.get_params(deep=False)),
        classes=tuple(tuple(labels.tolist()) for labels in classes_of(forest)),
        n_features=trees[0].n_features,
        n_features_in=forest.n_features_in_,
        n_outputs=trees[0].n_outputs,
        feature_names=tuple(map(str, getattr(forest, "feature_names_in_", ()))),
        member_features=() if everything else tuple(tuple(chosen.tolist()) for chosen in own_features),
        max_features=int(member.max_features_),
        facts=facts,
        n_trees=len(trees),
        n_nodes=sum(tree.node_count for tree in trees),
    )


def _plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What can be told in JSON; the rest, such as weights of classes by label, says nothing of a fitted forest."""
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in sorted(parameters.items())
        if value is None or isinstance(value, (bool, int, float, str, np.bool_, np.integer, np.floating))
    }


def read(content: dict[str, Any], text: bytes) -> ForestDescription:
    """The description in the JSON of a folder that may come from anyone.

    Raises
    ------
    ModelError
        If it is not what :meth:`ForestDescription.dump` could have written.
    """
    checked_json.check_format(content, FORMAT, FORMAT_VERSION)
    checked_json.verify(content, text)
    check_keys("it", content, _ENTRIES)
    kind, trees = content["kind"], content["trees"]
    require("kind", kind, isinstance(kind, str) and kind in KINDS)
    require("trees", trees, isinstance(trees, str) and trees in ([KINDS[kind]] if KINDS[kind] else TREES))
    for name in ("parameters", "tree_parameters", "facts"):
        require(name, content[name], isinstance(content[name], dict))
    for name in ("n_outputs", "n_trees", "n_nodes", "max_features"):
        require(name, content[name], type(content[name]) is int and 1 <= content[name] <= _LARGEST)
    classifies = kind.endswith("Classifier")
    require("trees", trees, trees.endswith("Classifier") == classifies)
    classes = content["classes"]
    require("classes", classes, isinstance(classes, list))
    require("classes", classes, len(classes) == (content["n_outputs"] if classifies else 0))
    checked = tuple(_labels(labels) for labels in classes)
    n_features = content["n_features"]
    require(
        "n_features", n_features, isinstance(n_features, list) and [type(n) for n in n_features] == [int, int]
    )
    require("n_features", n_features, 1 <= n_features[1] <= n_features[0] <= _LARGEST)
    names = content["feature_names"]
    require("feature_names", names, isinstance(names, list) and {type(name) for name in names} <= {str})
    require("feature_names", names, len(names) in (0, n_features[0]))
    stated = content["nodes_checksum"]
    right = isinstance(stated, str) and (_CHECKSUM.fullmatch(stated) is not None or stated == "")
    require("nodes_checksum", stated, right)
    return ForestDescription(
        kind=kind,
        trees=trees,
        parameters=content["parameters"],
        tree_parameters=content["tree_parameters"],
        classes=checked,
        n_features=n_features[1],
        n_features_in=n_features[0],
        n_outputs=content["n_outputs"],
        feature_names=tuple(names),
        member_features=_member_features(content["member_features"], content["n_trees"], kind, n_features),
        max_features=content["max_features"],
        facts=content["facts"],
        n_trees=content["n_trees"],
        n_nodes=content["n_nodes"],
        checksum=stated,
    )


def _labels(labels: Any) -> tuple[Any, ...]:
    require("classes", labels, isinstance(labels, list) and len(labels) >= 1)
    kinds = {type(label) for label in labels}
    require("classes", labels, len(kinds) == 1 and kinds <= {str, int, float, bool})
    require("classes", labels, all(low < high for low, high in pairwise(labels)))
    if kinds == {int}:
        require("classes", labels, all(-(2**63) <= label < 2**63 for label in labels))
    return tuple(labels)


def _member_features(
    value: Any, n_trees: int, kind: str, n_features: list[int]
) -> tuple[tuple[int, ...], ...]:
    require("member_features", value, isinstance(value, list))
    if not value:
        require("n_features", n_features, n_features[0] == n_features[1])
        return ()
    require("member_features", kind, kind.startswith("Bagging") and len(value) == n_trees)
    for chosen in value:
        right = isinstance(chosen, list) and len(chosen) == n_features[1]
        right = right and all(type(place) is int and 0 <= place < n_features[0] for place in chosen)
        require("member_features", chosen, right)
    return tuple(tuple(chosen) for chosen in value)


def rebuilt(description: ForestDescription, trees: list[Any]) -> Any:
    """The fitted estimator of a description and its trees."""
    import sklearn.ensemble
    import sklearn.tree

    forest = _made(getattr(sklearn.ensemble, description.kind), description.parameters)
    member_class = getattr(sklearn.tree, description.trees)
    if description.kind.startswith("Bagging"):
        forest.estimator = _made(member_class, description.tree_parameters)
        own = description.member_features or [range(description.n_features_in)] * len(trees)
        forest.estimators_features_ = [np.array(chosen, np.intp) for chosen in own]
    labels = [np.array(of_output) for of_output in description.classes]
    forest._validate_estimator()
    forest.n_estimators = len(trees)
    forest.n_features_in_ = description.n_features_in
    forest.n_outputs_ = description.n_outputs
    if description.feature_names:
        forest.feature_names_in_ = np.array(description.feature_names, dtype=object)
    if labels:
        _give_classes(forest, labels)
    numbers = [np.arange(len(of_output)) for of_output in labels]
    forest.estimators_ = []
    for tree in trees:
        member = _made(member_class, description.tree_parameters)
        member.n_features_in_, member.n_outputs_ = tree.n_features, description.n_outputs
        member.max_features_, member.tree_ = description.max_features, tree
        if labels:
            _give_classes(member, numbers)
        forest.estimators_.append(member)
    forest.facts_ = dict(description.facts)
    return forest


def _made(kind: type[Any], parameters: Mapping[str, Any]) -> Any:
    """An estimator with the parameters that it has, of values that it accepts."""
    from sklearn.utils._param_validation import InvalidParameterError

    estimator = kind()
    known = estimator.get_params(deep=False)
    estimator.set_params(**{name: value for name, value in parameters.items() if name in known})
    try:
        estimator._validate_params()
    except InvalidParameterError as error:
        raise ModelError(f"its parameters cannot be: {error}") from None
    return estimator


def _give_classes(estimator: Any, labels: list[NDArray[Any]]) -> None:
    alone = len(labels) == 1
    estimator.classes_ = labels[0] if alone else labels
    estimator.n_classes_ = len(labels[0]) if alone else [len(of_output) for of_output in labels]


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
