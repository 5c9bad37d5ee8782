"""Combine forests into one, draw a subset of a forest's trees, and remap trees to other columns and classes.

::

    forests ──► same kind, features, outputs? ──► union of classes ──► remap the trees of forests that lack a class
            ──► as many of each as its weight says ──► one ordinary forest; unchanged trees are shared, not copied

The trees of a forest refer to columns and classes by index. Where a forest lacks a class, indices of its trees mean
other classes than in the combined forest; their values are rearranged, with 0 for the missing classes. A tree that was
grown on some columns and classes becomes a tree over all of them in the same way.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.ensemble import BaggingClassifier, BaggingRegressor

from manymill.errors import PlanError
from manymill.estimator_support import random_generator
from manymill.forest.sklearn_private import (
    BaseForest,
    Tree,
    build_tree,
    copy_without_fit_attributes,
    tree_arrays,
)
from manymill.validation import check, check_integer

# Number of nodes of a tree that are compared to detect repeated trees.
_COMPARED_NODES = 64


class RepeatedTreesWarning(UserWarning):
    """Forests contain the same trees: they were trained with the same seed on the same rows."""


# ---- combine forests, draw trees


def combine_forests(forests: Sequence[Any], *, weights: Sequence[float] | None = None) -> Any:
    """Combine the trees of several forests into one.

    Parameters
    ----------
    forests : sequence of fitted forests or bagging ensembles of scikit-learn
        All of one class, fitted on the same features. Some may lack classes that others have.
    weights : sequence of float, optional
        Weight of each forest, such as its number of rows: the first trees of each forest are used, in numbers
        proportional to the weights and as large as possible. All trees if not given.

    Returns
    -------
    forest : fitted estimator of that class
        Its probabilities, or values, are the mean over its trees. Trees that need no change are shared with the given
        forests, not copied. It has no out-of-bag score.

    Raises
    ------
    PlanError
        If the forests cannot be combined; says which and why.

    Warns
    -----
    RepeatedTreesWarning
        If a tree occurs twice.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.ensemble import ExtraTreesClassifier
    >>> from manymill import combine_forests
    >>> X, y = np.arange(60.0).reshape(-1, 1), np.repeat(["low", "middle", "high"], 20)
    >>> first = ExtraTreesClassifier(5, random_state=1).fit(X[:40], y[:40])  # has no rows of class "high"
    >>> second = ExtraTreesClassifier(5, random_state=2).fit(X[20:], y[20:])
    >>> forest = combine_forests([first, second])
    >>> len(forest.estimators_), forest.classes_.tolist()
    (10, ['high', 'low', 'middle'])
    """
    check(isinstance(forests, Iterable), "forests", forests, "a sequence of fitted forests")
    forests = list(forests)
    if not forests:
        raise PlanError("there are no forests to combine", "give at least one fitted forest")
    for number, forest in enumerate(forests):
        check_forest(forest, f"forest {number + 1}")
        _check_compatible(forests[0], forest, f"forest {number + 1}")
    counts = _tree_counts([len(forest.estimators_) for forest in forests], weights)
    combined = copy_without_fit_attributes(forests[0])
    classes = _union_of_classes(forests)
    sizes = [len(names) for names in classes]
    trees: list[Any] = []
    features: list[NDArray[Any]] = []
    for forest, count in zip(forests, counts, strict=True):
        if not count:
            continue
        indices, bagging = (
            _class_indices(classes_of(forest), classes),
            hasattr(forest, "estimators_features_"),
        )
        trees += [
            _align_classes(tree, indices, sizes, bagging=bagging) for tree in forest.estimators_[:count]
        ]
        features += list(getattr(forest, "estimators_features_", ()))[:count]
    _warn_of_repeated_trees(trees)
    _set_members(combined, trees, features, classes)
    return combined


def sub_forest(forest: Any, n: int, *, random_state: int | np.random.RandomState | None = None) -> Any:
    """Draw some trees of a forest as a forest.

    Parameters
    ----------
    forest : fitted forest or bagging ensemble of scikit-learn
    n : int
        Number of trees, drawn without replacement; their order does not change.
    random_state : int, RandomState or None
        The same seed draws the same trees.

    Returns
    -------
    forest : fitted estimator of the same class
        Shares its trees with the given forest. It has no out-of-bag score.

    Raises
    ------
    SettingsError
        If the forest has fewer trees, or ``random_state`` is invalid.
    PlanError
        If it is not a fitted forest.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from manymill import sub_forest
    >>> forest = RandomForestClassifier(20, random_state=0).fit(*load_iris(return_X_y=True))
    >>> len(sub_forest(forest, 8, random_state=0).estimators_)
    8
    """
    check_forest(forest, "the forest")
    size = len(forest.estimators_)
    check_integer(n, "n", 1, size, also=", the number of trees of the forest")
    chosen = np.sort(random_generator(random_state).permutation(size)[:n]).tolist()
    drawn = copy_without_fit_attributes(forest)
    all_features = getattr(forest, "estimators_features_", None)
    features = [] if all_features is None else [all_features[i] for i in chosen]
    _set_members(drawn, [forest.estimators_[i] for i in chosen], features, classes_of(forest))
    return drawn


def check_forest(forest: Any, name: str) -> None:
    """Raise ``PlanError`` unless it is a fitted forest, or bagging ensemble, of scikit-learn."""
    kind = type(forest).__name__
    if not isinstance(forest, (BaseForest, BaggingClassifier, BaggingRegressor)):
        if "Boost" in kind:
            raise PlanError(
                f"{name} is a {kind}: each of its trees corrects the errors of the trees before it",
                "boosted trees cannot be separated; use a random forest, extra-trees or bagging",
            )
        raise PlanError(f"{name} is a {kind}", "give forests or bagging ensembles of scikit-learn")
    if not getattr(forest, "estimators_", None):
        raise PlanError(f"{name}, a {kind}, is not fitted", "call its fit first")


def classes_of(forest: Any) -> list[NDArray[Any]]:
    """The classes of each output; empty for regression."""
    classes = getattr(forest, "classes_", None)
    if classes is None:
        return []
    return list(classes) if isinstance(classes, list) else [classes]


def _check_compatible(first: Any, other: Any, name: str) -> None:
    """Raise ``PlanError`` unless the trees of both can be combined into one forest."""
    properties: dict[str, Callable[[Any], Any]] = {
        "kind": lambda forest: type(forest).__name__,
        "kind of trees": lambda forest: type(forest.estimators_[0]).__name__,
        "number of features": lambda forest: forest.n_features_in_,
        "names of features": lambda forest: list(getattr(forest, "feature_names_in_", ())),
        "number of outputs": lambda forest: getattr(forest, "n_outputs_", 1),
        "criterion": lambda forest: getattr(forest.estimators_[0], "criterion", None),
    }
    for title, value_of in properties.items():
        expected, found = value_of(first), value_of(other)
        if expected != found:
            raise PlanError(
                f"{name} differs from forest 1 in its {title}: {_shorten(found)}, not {_shorten(expected)}",
                "combine forests of one kind, fitted on the same columns",
            )


def _shorten(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _tree_counts(sizes: list[int], weights: Sequence[float] | None) -> list[int]:
    """The number of trees to use of each forest."""
    if weights is None:
        return sizes
    try:
        numbers = np.asarray(weights, np.float64)
    except (TypeError, ValueError):
        numbers = np.full(len(sizes), np.nan)
    valid = numbers.shape == (len(sizes),) and np.isfinite(numbers).all() and (numbers >= 0).all()
    expected = f"{len(sizes)} numbers of 0 or more, one for each forest, not all of them 0"
    check(bool(valid and numbers.any()), "weights", weights, expected)
    numbers = numbers / numbers.max()  # so that the quotient of the largest weight is finite
    with np.errstate(divide="ignore", over="ignore"):
        per_weight = np.min(np.where(numbers > 0, np.array(sizes) / numbers, np.inf))
    # A forest of positive weight has a tree at least; the tolerance is for quotients that are integers.
    counts = np.floor(numbers * per_weight + 1e-9).astype(int)
    return [max(1, int(count)) if weight else 0 for count, weight in zip(counts, numbers, strict=True)]


def _union_of_classes(forests: list[Any]) -> list[NDArray[Any]]:
    outputs: list[NDArray[Any]] = []
    for arrays in zip(*map(classes_of, forests), strict=True):
        kinds = {_label_kind(classes) for classes in arrays}
        if len(kinds) > 1 or "objects" in kinds:
            raise PlanError(
                "the classes of the forests have different types: "
                + ", ".join(sorted({str(classes.dtype) for classes in arrays})),
                "train all forests with labels of the same type",
            )
        outputs.append(np.unique(np.concatenate(arrays)))
    return outputs


def _label_kind(classes: NDArray[Any]) -> str:
    """The kind of labels, whatever their dtype: numbers, strings, booleans, or other objects."""
    if classes.dtype.kind == "O":
        return "strings" if all(isinstance(name, str) for name in classes) else "objects"
    return {"i": "numbers", "u": "numbers", "f": "numbers", "U": "strings"}.get(
        classes.dtype.kind, classes.dtype.name
    )


def _class_indices(classes: list[NDArray[Any]], union: list[NDArray[Any]]) -> list[NDArray[np.intp]] | None:
    """For each output the index of each class of a forest in the union; None if they are equal."""
    if all(len(names) == len(all_names) for names, all_names in zip(classes, union, strict=True)):
        return None
    return [np.searchsorted(all_names, names) for names, all_names in zip(classes, union, strict=True)]


def _align_classes(
    tree: Any, indices: list[NDArray[np.intp]] | None, sizes: list[int], *, bagging: bool
) -> Any:
    """A member whose classes are those of the combined forest."""
    if indices is None:
        return tree
    aligned = copy.copy(tree)
    if bagging:
        # A bagging ensemble assigns the probabilities of a member by the member's classes.
        try:
            aligned.classes_ = indices[0][np.asarray(tree.classes_, np.intp)]
        except AttributeError as error:  # pipelines and searches take classes_ from their last step
            raise PlanError(
                f"a forest lacks a class, and classes_ of its members, each a {type(tree).__name__}, cannot be set",
                "train every forest on rows of all classes",
            ) from error
        return aligned
    several = isinstance(tree.classes_, list)
    dtype = (tree.classes_[0] if several else tree.classes_).dtype
    classes = [np.arange(size, dtype=dtype) for size in sizes]
    aligned.classes_ = classes if several else classes[0]
    aligned.n_classes_ = np.array(sizes) if several else np.int64(sizes[0])
    aligned.tree_ = remap_tree(tree.tree_, sizes, class_indices=indices)
    return aligned


def _warn_of_repeated_trees(members: list[Any]) -> None:
    seen, n_repeated = set(), 0
    for member in members:
        tree = getattr(member, "tree_", None)
        if tree is None:
            continue
        key = (
            member.random_state,
            tree.node_count,
            tree.threshold[:_COMPARED_NODES].tobytes(),
            tree.feature[:_COMPARED_NODES].tobytes(),
        )
        n_repeated += key in seen and tree.node_count > 1
        seen.add(key)
    if n_repeated:
        warnings.warn(
            f"{n_repeated} of {len(members)} trees are repeated; train each forest with a different random_state",
            RepeatedTreesWarning,
            stacklevel=3,
        )


def _set_members(
    forest: Any, trees: list[Any], features: list[NDArray[Any]], classes: list[NDArray[Any]]
) -> None:
    forest.estimators_ = trees
    forest.n_estimators = len(trees)
    if features:
        forest.estimators_features_ = features
    if classes:
        several = isinstance(forest.classes_, list)
        sizes = [len(names) for names in classes]
        forest.classes_ = classes if several else classes[0]
        forest.n_classes_ = sizes if several else sizes[0]


# ---- remap trees


def remap_tree(
    tree: Tree,
    n_classes: Sequence[int],
    *,
    class_indices: Sequence[NDArray[np.intp]] | None = None,
    features: NDArray[np.intp] | None = None,
    n_features: int | None = None,
) -> Tree:
    """A copy of a tree over other columns and classes, which predicts the same.

    Parameters
    ----------
    tree : Tree
        ``tree_`` of an estimator.
    n_classes : sequence of int
        New number of classes of each output; 1 for regression.
    class_indices : sequence of ndarray of int, optional
        For each output the new index of each class of the tree; other classes get the value 0.
    features : ndarray of int, optional
        The new index of each column of the tree.
    n_features : int, optional
        New number of columns; unchanged if not given.
    """
    nodes, values = tree_arrays(tree)
    if features is not None:
        nodes = nodes.copy()
        splits = nodes["feature"] >= 0
        nodes["feature"][splits] = features[nodes["feature"][splits]]
    if class_indices is not None:
        remapped = np.zeros((len(values), len(n_classes), max(n_classes)))
        for output, indices in enumerate(class_indices):
            remapped[:, output, indices] = values[:, output, : len(indices)]
        values = remapped
    return build_tree(
        nodes,
        values,
        max_depth=tree.max_depth,
        n_features=n_features or tree.n_features,
        n_classes=n_classes,
    )


def tree_over_all_classes(member: Any, forest: Any) -> Tree:
    """The tree of a member with values for all classes of the forest; members of bagging may know fewer classes."""
    classes = classes_of(forest)
    if not hasattr(forest, "estimators_features_") or not classes or len(member.classes_) == len(classes[0]):
        return member.tree_
    return remap_tree(member.tree_, [len(classes[0])], class_indices=[np.asarray(member.classes_, np.intp)])


def extend_tree(
    tree: Any,
    *,
    features: NDArray[np.intp] | None,
    n_features: int,
    class_indices: Sequence[NDArray[np.intp]] | None,
    n_classes: Sequence[int] | None,
) -> Any:
    """Change a tree that was grown on some columns and classes, in place, to a tree over all of them.

    Parameters
    ----------
    tree : BaseDecisionTree
        Fitted.
    features : ndarray of int or None
        The index of each of its columns among all; None if it has all.
    n_features : int
        Number of all columns.
    class_indices : sequence of ndarray of int, or None
        For each output the index of each of its classes among all; None for regression.
    n_classes : sequence of int or None
        For each output the number of all classes; None for regression.
    """
    if features is None and (n_classes is None or _has_all_classes(tree, n_classes)):
        return tree
    sizes = [1] * tree.n_outputs_ if n_classes is None else list(n_classes)
    tree.tree_ = remap_tree(
        tree.tree_, sizes, class_indices=class_indices, features=features, n_features=n_features
    )
    if n_classes is not None:
        _number_classes(tree, n_classes)
    tree.n_features_in_ = n_features
    return tree


def _has_all_classes(tree: Any, n_classes: Sequence[int]) -> bool:
    return not is_classifier(tree) or list(np.atleast_1d(tree.n_classes_)) == list(n_classes)


def _number_classes(tree: Any, n_classes: Sequence[int]) -> None:
    """Set classes as in the trees of a forest: by index."""
    names = [np.arange(n, dtype=np.float64) for n in n_classes]
    single = len(names) == 1
    tree.classes_ = names[0] if single else names
    tree.n_classes_ = np.intp(n_classes[0]) if single else np.asarray(n_classes, np.intp)
