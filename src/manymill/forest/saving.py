"""Save forests to folders and load them: JSON that describes the forest, and one file with the nodes of all trees.

::

    my-forest/
    ├── forest.json                        class, parameters, labels, features, facts, and the checksum of the nodes
    └── nodes-<checksum>.safetensors       the arrays of `nodes.FIELDS`

A folder is replaced completely or not at all, as by `manymill.model`. Its content is not trusted: no object is created
from a name in a file, and every node is validated before a tree is built.
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
from manymill.forest.combining import check_forest, classes_of, tree_over_all_classes
from manymill.forest.sklearn_private import invalid_parameters, resolve_member_estimator
from manymill.model.manifest import FOREST_FILE as FILE_NAME
from manymill.model.saving import ModelFiles, save_files
from manymill.storage import checked_json
from manymill.storage.checked_json import check_keys, require
from manymill.storage.own_files import open_regular
from manymill.storage.tensors import header_of
from manymill.validation import check

FORMAT = "manymill-forest"
FORMAT_VERSION = 1

# The classes of scikit-learn that can be saved, and the class of their trees; a folder that names another is refused.
KINDS = {
    "RandomForestClassifier": "DecisionTreeClassifier",
    "RandomForestRegressor": "DecisionTreeRegressor",
    "ExtraTreesClassifier": "ExtraTreeClassifier",
    "ExtraTreesRegressor": "ExtraTreeRegressor",
    "BaggingClassifier": "",  # any class of trees
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

_MAX_JSON_BYTES = 16 * 2**20
_CHUNK_BYTES = 2**20


# ---- save and load


def save_forest(folder: str | os.PathLike[str], forest: Any, *, facts: dict[str, Any] | None = None) -> None:
    """Save a fitted forest to a folder; equal forests give equal bytes.

    Thresholds are stored as float32, rounded so that no decision changes: the predictions of the loaded forest are
    equal bit for bit.

    Parameters
    ----------
    folder : path
        Created if missing. A forest in it is replaced atomically.
    forest : fitted random forest, extra-trees, or bagging ensemble of trees, of scikit-learn
    facts : dict, optional
        JSON to store with it.

    Raises
    ------
    SettingsError
        If ``facts`` is not a mapping.
    PlanError
        If it is not such a forest.
    ModelError
        If its labels, or the facts, cannot be represented in JSON.
    RunFolderError
        If the folder cannot be written, or another file has one of the forest's names; the forest in the folder is
        then unchanged.

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
    check(facts is None or isinstance(facts, Mapping), "facts", facts, "a mapping of JSON types, or None")
    check_forest(forest, "the forest")
    _check_savable(forest)
    trees = [tree_over_all_classes(member, forest) for member in forest.estimators_]
    description = describe_forest(forest, trees, facts or {})

    def describe_with_checksum(checksum: str) -> tuple[str, bytes]:
        complete = replace(description, checksum=checksum)
        return complete.nodes_file, complete.dump(__version__)

    header: list[bytes | memoryview] = [header_of(description.tensors)]
    save_files(folder, _FILES, chain(header, nodes.stored_chunks(trees)), describe_with_checksum)


def load_forest(folder: str | os.PathLike[str], *, verify: bool = True) -> Any:
    """Load the forest in a folder.

    Parameters
    ----------
    folder : path
        What :func:`save_forest` wrote.
    verify : bool
        Whether to verify the checksum of the nodes. Without it, a changed number may go unnoticed, but invalid trees
        are still refused.

    Returns
    -------
    forest : fitted estimator of the class that was saved
        Its attribute ``facts_`` holds the facts that were saved with it.

    Raises
    ------
    ModelError
        If the folder does not contain a forest, or one that is damaged, hostile, or of a newer version.

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
            text = file.read(min(os.fstat(file.fileno()).st_size, _MAX_JSON_BYTES) + 1)
    except OSError as error:
        raise ModelError(
            f"{folder} does not contain a forest: cannot read {FILE_NAME}: {error.strerror}",
            "name a folder that save_forest wrote",
        ) from error
    try:
        description = parse_description(checked_json.parse(text, _MAX_JSON_BYTES), text)
    except ModelError as error:
        raise ModelError(f"{path}: {error.what}", error.hint) from error
    path = folder / description.nodes_file
    try:
        arrays = _map_arrays(path, description, verify)
        depths = nodes.check_nodes(arrays, description.n_features, probabilities=bool(description.classes))
    except ModelError as error:
        raise ModelError(f"{path}: {error.what}", error.hint) from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read: {error}", "copy the whole folder") from error
    n_classes = [len(labels) for labels in description.classes] or [1] * description.n_outputs
    return build_forest(description, nodes.build_trees(arrays, depths, description.n_features, n_classes))


def _map_arrays(path: Path, description: ForestDescription, verify: bool) -> dict[str, NDArray[Any]]:
    tensors = description.tensors
    header = header_of(tensors)
    sizes = {name: math.prod(shape) * np.dtype(dtype).itemsize for name, (dtype, shape) in tensors.items()}
    expected_size = len(header) + sum(sizes.values())
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size != expected_size:
            raise ModelError(f"it has {size} bytes instead of {expected_size}", "copy the folder again")
        if file.read(len(header)) != header:
            raise ModelError(f"its header does not match {FILE_NAME}", "copy the folder again")
        if verify:
            file.seek(0)
            if checked_json.checksum(iter(lambda: file.read(_CHUNK_BYTES), b"")) != description.checksum:
                raise ModelError("its bytes do not match their checksum", "copy the folder again")
        data = np.asarray(np.memmap(file, np.uint8, "r"))
    arrays, end = {}, len(header)
    for name, (dtype, shape) in tensors.items():
        start, end = end, end + sizes[name]
        arrays[name] = data[start:end].view(np.dtype(dtype).newbyteorder("<")).reshape(shape)
    return arrays


def _check_savable(forest: Any) -> None:
    """Raise ``PlanError`` unless a fitted forest consists of trees that a folder can store."""
    kind, member = type(forest).__name__, forest.estimators_[0]
    if kind not in KINDS or type(member).__name__ not in TREES or type(forest).__module__[:8] != "sklearn.":
        raise PlanError(
            f"a {kind} of {type(member).__name__} cannot be saved",
            f"give one of {', '.join(KINDS)} of scikit-learn, with trees as members",
        )


# ---- description


@dataclass(frozen=True)
class ForestDescription:
    """Everything of a forest except its nodes: the content of forest.json.

    Attributes
    ----------
    kind : str
        Class of the forest.
    trees : str
        Class of its trees.
    parameters, tree_parameters : mapping
    classes : tuple of tuple
        Of each output; empty for regression.
    n_features : int
        Number of columns of each tree.
    n_outputs : int
    feature_names : tuple of str
        Empty if unknown.
    member_features : tuple of tuple of int
        The columns of each member of a bagging ensemble; empty if each has all.
    n_features_in : int
        Number of columns of the forest.
    max_features : int
    facts : mapping
    n_trees, n_nodes : int
    checksum : str
        Of the nodes file.
    """

    kind: str
    trees: str
    parameters: Mapping[str, Any]
    tree_parameters: Mapping[str, Any]
    classes: tuple[tuple[Any, ...], ...]
    n_features: int
    n_outputs: int
    feature_names: tuple[str, ...]
    member_features: tuple[tuple[int, ...], ...]
    n_features_in: int
    max_features: int
    facts: Mapping[str, Any]
    n_trees: int
    n_nodes: int
    checksum: str = ""

    @property
    def nodes_file(self) -> str:
        """Name of the nodes file, which is derived from its content."""
        return f"nodes-{self.checksum.partition(':')[2][:16]}.safetensors"

    @property
    def tensors(self) -> dict[str, tuple[str, list[int]]]:
        """Dtype and shape of each array of the nodes file."""
        n_classes = max((len(labels) for labels in self.classes), default=1)
        return nodes.tensor_specs(self.n_trees, self.n_nodes, self.n_outputs, n_classes)

    def dump(self, manymill_version: str) -> bytes:
        """The content of forest.json.

        Raises
        ------
        ModelError
            If labels or facts cannot be represented in JSON.
        """
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
        parse_description(checked_json.parse(text, len(text)), text)
        return text


def describe_forest(forest: Any, trees: list[Any], facts: Mapping[str, Any]) -> ForestDescription:
    """Describe a fitted forest, given the trees of its members."""
    kind, member = type(forest).__name__, forest.estimators_[0]
    features: list[NDArray[Any]] = list(getattr(forest, "estimators_features_", ()))
    all_features = all(np.array_equal(columns, np.arange(forest.n_features_in_)) for columns in features)
    return ForestDescription(
        kind=kind,
        trees=type(member).__name__,
        parameters=_json_parameters(forest.get_params(deep=False)),
        tree_parameters=_json_parameters(member.get_params(deep=False)),
        classes=tuple(tuple(labels.tolist()) for labels in classes_of(forest)),
        n_features=trees[0].n_features,
        n_features_in=forest.n_features_in_,
        n_outputs=trees[0].n_outputs,
        feature_names=tuple(map(str, getattr(forest, "feature_names_in_", ()))),
        member_features=() if all_features else tuple(tuple(columns.tolist()) for columns in features),
        max_features=int(member.max_features_),
        facts=facts,
        n_trees=len(trees),
        n_nodes=sum(tree.node_count for tree in trees),
    )


def _json_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that JSON can represent; others, such as class weights by label, do not affect a fitted forest."""
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in sorted(parameters.items())
        if value is None or isinstance(value, (bool, int, float, str, np.bool_, np.integer, np.floating))
    }


def parse_description(content: dict[str, Any], text: bytes) -> ForestDescription:
    """Validate the content of an untrusted forest.json.

    Raises
    ------
    ModelError
        If :meth:`ForestDescription.dump` could not have written it.
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
    classification = kind.endswith("Classifier")
    require("trees", trees, trees.endswith("Classifier") == classification)
    classes = content["classes"]
    require("classes", classes, isinstance(classes, list))
    require("classes", classes, len(classes) == (content["n_outputs"] if classification else 0))
    n_features = content["n_features"]
    require(
        "n_features", n_features, isinstance(n_features, list) and [type(n) for n in n_features] == [int, int]
    )
    require("n_features", n_features, 1 <= n_features[1] <= n_features[0] <= _LARGEST)
    names = content["feature_names"]
    require("feature_names", names, isinstance(names, list) and {type(name) for name in names} <= {str})
    require("feature_names", names, len(names) in (0, n_features[0]))
    checksum = content["nodes_checksum"]
    valid = isinstance(checksum, str) and (_CHECKSUM.fullmatch(checksum) is not None or checksum == "")
    require("nodes_checksum", checksum, valid)
    return ForestDescription(
        kind=kind,
        trees=trees,
        parameters=content["parameters"],
        tree_parameters=content["tree_parameters"],
        classes=tuple(_parse_labels(labels) for labels in classes),
        n_features=n_features[1],
        n_features_in=n_features[0],
        n_outputs=content["n_outputs"],
        feature_names=tuple(names),
        member_features=_parse_member_features(
            content["member_features"], content["n_trees"], kind, n_features
        ),
        max_features=content["max_features"],
        facts=content["facts"],
        n_trees=content["n_trees"],
        n_nodes=content["n_nodes"],
        checksum=checksum,
    )


def _parse_labels(labels: Any) -> tuple[Any, ...]:
    require("classes", labels, isinstance(labels, list) and len(labels) >= 1)
    types = {type(label) for label in labels}
    require("classes", labels, len(types) == 1 and types <= {str, int, float, bool})
    require("classes", labels, all(low < high for low, high in pairwise(labels)))
    if types == {int}:
        require("classes", labels, all(-(2**63) <= label < 2**63 for label in labels))
    return tuple(labels)


def _parse_member_features(
    value: Any, n_trees: int, kind: str, n_features: list[int]
) -> tuple[tuple[int, ...], ...]:
    require("member_features", value, isinstance(value, list))
    if not value:
        require("n_features", n_features, n_features[0] == n_features[1])
        return ()
    require("member_features", kind, kind.startswith("Bagging") and len(value) == n_trees)
    for columns in value:
        valid = isinstance(columns, list) and len(columns) == n_features[1]
        valid = valid and all(type(index) is int and 0 <= index < n_features[0] for index in columns)
        require("member_features", columns, valid)
    return tuple(tuple(columns) for columns in value)


_FILES = ModelFiles(
    "forest",
    FILE_NAME,
    lambda text: parse_description(checked_json.parse(text, _MAX_JSON_BYTES), text).nodes_file,
)


# ---- estimator


def build_forest(description: ForestDescription, trees: list[Any]) -> Any:
    """Build the fitted estimator from its description and its trees."""
    import sklearn.ensemble
    import sklearn.tree

    forest = _build_estimator(getattr(sklearn.ensemble, description.kind), description.parameters)
    member_class = getattr(sklearn.tree, description.trees)
    if description.kind.startswith("Bagging"):
        forest.estimator = _build_estimator(member_class, description.tree_parameters)
        features = description.member_features or [range(description.n_features_in)] * len(trees)
        forest.estimators_features_ = [np.array(columns, np.intp) for columns in features]
    classes = [np.array(labels) for labels in description.classes]
    resolve_member_estimator(forest)
    forest.n_estimators = len(trees)
    forest.n_features_in_ = description.n_features_in
    forest.n_outputs_ = description.n_outputs
    if description.feature_names:
        forest.feature_names_in_ = np.array(description.feature_names, dtype=object)
    if classes:
        _set_classes(forest, classes)
    indices = [np.arange(len(labels)) for labels in classes]
    forest.estimators_ = []
    for tree in trees:
        member = _build_estimator(member_class, description.tree_parameters)
        member.n_features_in_, member.n_outputs_ = tree.n_features, description.n_outputs
        member.max_features_, member.tree_ = description.max_features, tree
        if classes:
            _set_classes(member, indices)
        forest.estimators_.append(member)
    forest.facts_ = dict(description.facts)
    return forest


def _build_estimator(kind: type[Any], parameters: Mapping[str, Any]) -> Any:
    """An estimator with those of the parameters that its class has.

    Raises
    ------
    ModelError
        If a value is invalid.
    """
    estimator = kind()
    known = estimator.get_params(deep=False)
    estimator.set_params(**{name: value for name, value in parameters.items() if name in known})
    if (reason := invalid_parameters(estimator)) is not None:
        raise ModelError(f"its parameters are invalid: {reason}")
    return estimator


def _set_classes(estimator: Any, classes: list[NDArray[Any]]) -> None:
    single = len(classes) == 1
    estimator.classes_ = classes[0] if single else classes
    estimator.n_classes_ = len(classes[0]) if single else [len(labels) for labels in classes]
