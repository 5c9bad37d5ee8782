"""What the JSON beside the nodes of a forest says, and the estimator that it makes of trees."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymill.errors import ModelError, PlanError
from manymill.forest import nodes
from manymill.forest.combining import classes_of
from manymill.storage import checked_json
from manymill.storage.checked_json import keys, require

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
    keys("it", content, _ENTRIES)
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
