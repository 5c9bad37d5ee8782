"""Forests grown apart made one, and a part of a forest.

::

    forests ──► the same kind, features, outputs? ──► classes of all ──► trees that lack one are laid out anew
            ──► as many of each as its weight says ──► one ordinary forest; trees that needed no change are shared

A tree of a forest speaks of classes by number. Where a forest lacks a class, its trees' numbers mean other classes than
in the combined forest; their leaves are laid out anew, with 0 for what they never met.

A tree grown on some columns and some classes, as a tree over all of them.

The node array names the columns, and the values of the nodes have a place a class: both are numbered anew, and what
comes out is an ordinary tree of scikit-learn that predicts the same.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.tree._tree import Tree

from manymill.errors import PlanError

# What a forest says of the fit that grew it, and no longer means anything of trees from several.
OF_ONE_FIT = (
    "oob_score_", "oob_decision_function_", "oob_prediction_", "_seeds", "_n_samples", "_n_samples_bootstrap",
    "_max_samples", "_sample_weight",
)  # fmt: skip

# Thresholds of a tree that are compared to find the same tree twice.
_COMPARED = 64


class RepeatedTreesWarning(UserWarning):
    """Forests hold the same trees: they were grown from the same seed on the same rows."""


def combine_forests(forests: Sequence[Any], *, weights: Sequence[float] | None = None) -> Any:
    """One forest with the trees of several.

    Parameters
    ----------
    forests : sequence of fitted forests or bagging ensembles of scikit-learn
        All of one class, fitted on the same features. Classes may be lacking in some of them.
    weights : sequence of float, optional
        How much each forest counts, its number of rows for example: so many of its trees are taken, in proportion and
        from its beginning, as many as can be. Equal votes of all trees if not given.

    Returns
    -------
    forest : an ordinary fitted estimator of that class
        Its probabilities, or values, are the mean over its trees. Trees that needed no change are shared with the
        forests that were given, not copied. It knows nothing of out-of-bag rows.

    Raises
    ------
    PlanError
        If they cannot be one forest; says which and why.

    Warns
    -----
    RepeatedTreesWarning
        If a tree is there twice.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.ensemble import ExtraTreesClassifier
    >>> from manymill import combine_forests
    >>> X, y = np.arange(60.0).reshape(-1, 1), np.repeat(["low", "middle", "high"], 20)
    >>> first = ExtraTreesClassifier(5, random_state=1).fit(X[:40], y[:40])  # has never seen "high"
    >>> second = ExtraTreesClassifier(5, random_state=2).fit(X[20:], y[20:])
    >>> forest = combine_forests([first, second])
    >>> len(forest.estimators_), forest.classes_.tolist()
    (10, ['high', 'low', 'middle'])
    """
    forests = list(forests)
    if not forests:
        raise PlanError("no forests were given", "give at least one fitted forest")
    for number, forest in enumerate(forests):
        check_forest(forest, f"forest {number + 1}")
        _check_alike(forests[0], forest, f"forest {number + 1}")
    counts = _counts([len(forest.estimators_) for forest in forests], weights)
    kept = [(forest, n) for forest, n in zip(forests, counts, strict=True) if n]
    out = _emptied(forests[0])
    classes = _all_classes(forests)
    sizes = [len(of_output) for of_output in classes]
    trees: list[Any] = []
    features: list[NDArray[Any]] = []
    for forest, n in kept:
        places, bagged = _places(classes_of(forest), classes), hasattr(forest, "estimators_features_")
        trees += [_aligned(tree, places, sizes, bagged=bagged) for tree in forest.estimators_[:n]]
        features += list(getattr(forest, "estimators_features_", ()))[:n]
    _warn_of_repetition(trees)
    _give(out, trees, features, classes)
    return out


def sub_forest(forest: Any, n: int, *, random_state: int | np.random.RandomState | None = None) -> Any:
    """A forest of some trees of another.

    Parameters
    ----------
    forest : fitted forest or bagging ensemble of scikit-learn
    n : int
        Trees, drawn without replacement; they keep their order.
    random_state : int, RandomState or None
        The same seed draws the same trees.

    Raises
    ------
    PlanError
        If the forest does not have so many trees.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from manymill import sub_forest
    >>> forest = RandomForestClassifier(20, random_state=0).fit(*load_iris(return_X_y=True))
    >>> len(sub_forest(forest, 8, random_state=0).estimators_)
    8
    """
    from sklearn.utils import check_random_state

    check_forest(forest, "the forest")
    size = len(forest.estimators_)
    if isinstance(n, bool) or not isinstance(n, Integral) or not 1 <= n <= size:
        raise PlanError(f"{n!r} trees were asked for, and the forest has {size}", f"ask for 1 to {size}")
    chosen = np.sort(check_random_state(random_state).permutation(size)[:n]).tolist()
    out = _emptied(forest)
    all_features = getattr(forest, "estimators_features_", None)
    features = [] if all_features is None else [all_features[i] for i in chosen]
    _give(out, [forest.estimators_[i] for i in chosen], features, classes_of(forest))
    return out


def check_forest(forest: Any, name: str) -> None:
    """Raise ``PlanError`` unless it is a fitted forest, or bagging ensemble, of scikit-learn."""
    from sklearn.ensemble import BaggingClassifier, BaggingRegressor
    from sklearn.ensemble._forest import BaseForest

    kind = type(forest).__name__
    if not isinstance(forest, (BaseForest, BaggingClassifier, BaggingRegressor)):
        if "Boost" in kind:
            raise PlanError(
                f"{name} is a {kind}: each of its trees corrects those before it",
                "boosted trees mean nothing apart from the others; use a random forest, extra-trees or bagging",
            )
        raise PlanError(f"{name} is a {kind}", "give forests or bagging ensembles of scikit-learn")
    if not getattr(forest, "estimators_", None):
        raise PlanError(f"{name}, a {kind}, is not fitted", "call its fit first")


def _check_alike(first: Any, other: Any, name: str) -> None:
    """Raise unless the trees of both can stand in one forest."""
    facts: dict[str, Callable[[Any], Any]] = {
        "kind": lambda forest: type(forest).__name__,
        "kind of trees": lambda forest: type(forest.estimators_[0]).__name__,
        "number of features": lambda forest: forest.n_features_in_,
        "names of features": lambda forest: list(getattr(forest, "feature_names_in_", ())),
        "number of outputs": lambda forest: getattr(forest, "n_outputs_", 1),
        "criterion": lambda forest: getattr(forest.estimators_[0], "criterion", None),
    }
    for fact, of in facts.items():
        ours, theirs = of(first), of(other)
        if ours != theirs:
            raise PlanError(
                f"{name} differs from forest 1 in its {fact}: {_short(theirs)}, not {_short(ours)}",
                "combine forests of one kind, fitted on the same columns",
            )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _counts(sizes: list[int], weights: Sequence[float] | None) -> list[int]:
    """Trees to take of each forest."""
    if weights is None:
        return sizes
    try:
        given = np.asarray(weights, np.float64)
    except (TypeError, ValueError):
        given = np.full(len(sizes), np.nan)
    if given.shape != (len(sizes),) or not np.isfinite(given).all() or (given < 0).any() or not given.any():
        raise PlanError(
            f"weights={weights!r} cannot weigh {len(sizes)} forests",
            "give a number of 0 or more for each, not all of them 0",
        )
    given = given / given.max()  # so that no quotient of what counts most is infinite
    with np.errstate(divide="ignore", over="ignore"):
        per_weight = np.min(np.where(given > 0, np.array(sizes) / given, np.inf))
    # A forest that counts at all has a tree; the tolerance is for quotients that are whole numbers.
    wanted = np.floor(given * per_weight + 1e-9).astype(int)
    return [max(1, int(n)) if weight else 0 for n, weight in zip(wanted, given, strict=True)]


def _emptied(forest: Any) -> Any:
    """A copy of the forest that shares everything and says nothing of one fit."""
    out = copy.copy(forest)
    for name in OF_ONE_FIT:
        out.__dict__.pop(name, None)
    return out


def classes_of(forest: Any) -> list[NDArray[Any]]:
    """The classes of each output; none of a forest that predicts values."""
    classes = getattr(forest, "classes_", None)
    if classes is None:
        return []
    return list(classes) if isinstance(classes, list) else [classes]


def _all_classes(forests: list[Any]) -> list[NDArray[Any]]:
    outputs: list[NDArray[Any]] = []
    for of_forests in zip(*map(classes_of, forests), strict=True):
        kinds = {_kind(classes) for classes in of_forests}
        if len(kinds) > 1 or "objects" in kinds:
            raise PlanError(
                "the classes of the forests are not of one type: "
                + ", ".join(sorted({str(classes.dtype) for classes in of_forests})),
                "give every part labels of the same type",
            )
        outputs.append(np.unique(np.concatenate(of_forests)))
    return outputs


def _kind(classes: NDArray[Any]) -> str:
    """What labels are, whatever their type: numbers, words, true and false, or objects."""
    if classes.dtype.kind == "O":
        return "words" if all(isinstance(name, str) for name in classes) else "objects"
    return {"i": "numbers", "u": "numbers", "f": "numbers", "U": "words"}.get(
        classes.dtype.kind, classes.dtype.name
    )


def _places(own: list[NDArray[Any]], everyones: list[NDArray[Any]]) -> list[NDArray[np.intp]] | None:
    """Where each class of a forest stands among those of all; None if that is where it stood."""
    if all(len(mine) == len(theirs) for mine, theirs in zip(own, everyones, strict=True)):
        return None
    return [np.searchsorted(theirs, mine) for mine, theirs in zip(own, everyones, strict=True)]


def _aligned(tree: Any, places: list[NDArray[np.intp]] | None, sizes: list[int], *, bagged: bool) -> Any:
    """A tree whose classes are those of the combined forest."""
    if places is None:
        return tree
    out = copy.copy(tree)
    if bagged:
        # Bagging puts the probabilities of a member where its classes say.
        try:
            out.classes_ = places[0][np.asarray(tree.classes_, np.intp)]
        except AttributeError as error:  # pipelines and searches ask their last step
            raise PlanError(
                f"a forest lacks a class, and the classes of a {type(tree).__name__} cannot be told anew",
                "give every part a row of each class",
            ) from error
        return out
    several = isinstance(tree.classes_, list)
    dtype = (tree.classes_[0] if several else tree.classes_).dtype
    classes = [np.arange(size, dtype=dtype) for size in sizes]
    out.classes_ = classes if several else classes[0]
    out.n_classes_ = np.array(sizes) if several else np.int64(sizes[0])
    out.tree_ = laid_out(tree.tree_, sizes, places=places)
    return out


def in_all_classes(member: Any, forest: Any) -> Any:
    """The nodes of a member of a forest, whose values are of all classes of the forest; bagging's may know fewer."""
    classes = classes_of(forest)
    if not hasattr(forest, "estimators_features_") or not classes or len(member.classes_) == len(classes[0]):
        return member.tree_
    return laid_out(member.tree_, [len(classes[0])], places=[np.asarray(member.classes_, np.intp)])


def _warn_of_repetition(trees: list[Any]) -> None:
    seen, repeated = set(), 0
    for tree in trees:
        grown = getattr(tree, "tree_", None)
        if grown is None:
            continue
        key = (
            tree.random_state,
            grown.node_count,
            grown.threshold[:_COMPARED].tobytes(),
            grown.feature[:_COMPARED].tobytes(),
        )
        repeated += key in seen and grown.node_count > 1
        seen.add(key)
    if repeated:
        warnings.warn(
            f"{repeated} of {len(trees)} trees are there twice; grow each forest from a seed of its own",
            RepeatedTreesWarning,
            stacklevel=3,
        )


def _give(out: Any, trees: list[Any], features: list[NDArray[Any]], classes: list[NDArray[Any]]) -> None:
    out.estimators_ = trees
    out.n_estimators = len(trees)
    if features:
        out.estimators_features_ = features
    if classes:
        several = isinstance(out.classes_, list)
        sizes = [len(of_output) for of_output in classes]
        out.classes_ = classes if several else classes[0]
        out.n_classes_ = sizes if several else sizes[0]


def widened(
    tree: Any,
    *,
    features: NDArray[np.intp] | None,
    n_features: int,
    classes: Sequence[NDArray[np.intp]] | None,
    n_classes: Sequence[int] | None,
) -> Any:
    """The tree, in place, over all columns and classes.

    Parameters
    ----------
    tree : BaseDecisionTree
        Fitted.
    features : ndarray of int or None
        The column of each that it has seen; None if it has seen all.
    n_features : int
    classes : sequence of ndarray of int, or None
        For each output the number of each class that it has seen; None for regression.
    n_classes : sequence of int or None
        For each output the classes there are.
    """
    if features is None and (n_classes is None or _sees_all(tree, n_classes)):
        return tree
    sizes = [1] * tree.n_outputs_ if n_classes is None else list(n_classes)
    tree.tree_ = laid_out(tree.tree_, sizes, places=classes, features=features, n_features=n_features)
    if n_classes is not None:
        _name_classes(tree, n_classes)
    tree.n_features_in_ = n_features
    return tree


def laid_out(
    tree: Tree,
    sizes: Sequence[int],
    *,
    places: Sequence[NDArray[np.intp]] | None = None,
    features: NDArray[np.intp] | None = None,
    n_features: int | None = None,
) -> Tree:
    """The nodes of a tree over other columns and classes, as a new one.

    Parameters
    ----------
    tree : Tree
        The compiled one, ``tree_`` of an estimator.
    sizes : sequence of int
        Classes of each output; 1 for regression.
    places : sequence of ndarray of int, optional
        For each output the place of each class that the tree knows; it has no votes for the others.
    features : ndarray of int, optional
        The column of each that the tree knows.
    n_features : int, optional
        Columns there are; as many as before if not given.
    """
    state = tree.__getstate__()
    nodes, values = state["nodes"], state["values"]
    if features is not None:
        nodes = nodes.copy()
        splits = nodes["feature"] >= 0
        nodes["feature"][splits] = features[nodes["feature"][splits]]
    if places is not None:
        wide = np.zeros((len(values), len(sizes), max(sizes)))
        for output, place in enumerate(places):
            wide[:, output, place] = values[:, output, : len(place)]
        values = wide
    out = Tree(n_features or tree.n_features, np.array(sizes, np.intp), len(sizes))
    out.__setstate__({**state, "nodes": nodes, "values": values})
    return out


def _sees_all(tree: Any, n_classes: Sequence[int]) -> bool:
    return not is_classifier(tree) or list(np.atleast_1d(tree.n_classes_)) == list(n_classes)


def _name_classes(tree: Any, n_classes: Sequence[int]) -> None:
    """Classes as trees of a forest name them: by number."""
    names = [np.arange(n, dtype=np.float64) for n in n_classes]
    one = len(names) == 1
    tree.classes_ = names[0] if one else names
    tree.n_classes_ = np.intp(n_classes[0]) if one else np.asarray(n_classes, np.intp)
