"""``model.json``: the description of a model and its weights file as canonical JSON, and the kinds of model folders.

The last entry is a checksum of all others, and the text must be identical to the output of :func:`dump`, so that any
flipped bit is detected. Models may be untrusted, so validation is strict: no entry may be missing, unknown or repeated,
every value has one type, and all numbers are finite.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from manymill.constants import (
    CHAR_ANALYZERS,
    LINKS,
    LOSSES,
    MAX_FEATURES,
    NORMS,
    STRIP_ACCENTS,
    VALUES,
    WORD_PATTERN,
)
from manymill.errors import RunFolderError
from manymill.hash_form import word_form
from manymill.model.linear import Analyzer, ModelDescription, link_of_version_1
from manymill.storage import checked_json
from manymill.storage.checked_json import check_format, check_keys, require
from manymill.storage.tensors import header_of

FILE_NAME = "model.json"
FORMAT = "manymill-model"
FORMAT_VERSION = 2
MAX_BYTES = 16 * 2**20  # about 500,000 classes of 30 letters

_ENTRIES = {
    "format",
    "format_version",
    "manymill_version",
    "requires_manymill",
    "kind",
    "classes",
    "loss",
    "fit_intercept",
    "analyzer",
    "probability",
    "temperature",
    "unicode_version",
    "facts",
    "weights_file",
}
# Version 1 has no link, a temperature only if it is not 1, and these parameters of the analyzer.
_ANALYZER_1 = {"ngram_range", "lowercase", "value", "norm", "n_features"}
_CHECKSUM = re.compile(r"blake2b-256:[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The tensors of a weights file.

    Parameters
    ----------
    n_columns : int
        Number of rows of the weights.
    n_outputs : int
    has_feature_weights : bool
        Whether there is a tensor of feature weights.
    has_features : bool
        Whether there is a tensor of hash buckets; else ``n_columns`` is the number of all buckets.
    """

    n_columns: int
    n_outputs: int
    has_feature_weights: bool = False
    has_features: bool = False

    @property
    def tensors(self) -> dict[str, tuple[str, list[int]]]:
        """The dtype and shape of each tensor by name, in file order; every item of all of them has 4 bytes."""
        optional = {
            "feature_weights": ("float32", [self.n_columns]),
            "features": ("uint32", [self.n_columns]),
        }
        exists = {"feature_weights": self.has_feature_weights, "features": self.has_features}
        return {
            "weights": ("float32", [self.n_columns, self.n_outputs]),
            "intercept": ("float32", [self.n_outputs]),
            **{name: tensor for name, tensor in optional.items() if exists[name]},
        }

    @property
    def header(self) -> bytes:
        """The header of the file."""
        return header_of(self.tensors)

    @property
    def n_bytes(self) -> int:
        """Size of the file in bytes."""
        return len(self.header) + 4 * sum(math.prod(shape) for _, shape in self.tensors.values())


@dataclass(frozen=True)
class WeightsFile:
    """The weights file of a ``model.json``."""

    checksum: str
    layout: Layout

    @property
    def name(self) -> str:
        """The file's name, derived from its checksum."""
        return f"weights-{self.checksum.partition(':')[2][:16]}.safetensors"


def are_buckets(features: NDArray[np.uint32], n_features: int) -> bool:
    """Whether these are hash buckets of a model: one-dimensional, strictly ascending, and below ``n_features``."""
    if features.ndim != 1 or not features.size:
        return features.ndim == 1
    return bool((features[1:] > features[:-1]).all() and features[-1] < n_features)


def dump(description: ModelDescription, weights: WeightsFile, manymill_version: str) -> bytes:
    """The text of ``model.json``.

    Raises
    ------
    ModelError
        If the description is not loadable: a class is not valid Unicode, or a fact is not of JSON types.
    """
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "manymill_version": manymill_version,
        "requires_manymill": "0.2",
        "kind": "linear",
        "classes": list(description.classes),
        "loss": description.loss,
        "fit_intercept": description.fit_intercept,
        "analyzer": asdict(description.analyzer),
        "probability": description.probability,
        "temperature": description.temperature,
        "unicode_version": description.unicode_version,
        "facts": dict(description.facts),
        "weights_file": _weights_entry(weights),
    }
    written = checked_json.dump(content)
    load(written)
    return written


def load(text: bytes) -> tuple[ModelDescription, WeightsFile]:
    """Read a ``model.json``: the description of the model, and of its weights file.

    Raises
    ------
    ModelError
        If the text is not identical to an output of :func:`dump`, or of its counterpart in version 0.1.
    """
    content = checked_json.parse(text, MAX_BYTES)
    check_format(content, FORMAT, FORMAT_VERSION, oldest=1)
    checked_json.verify(content, text)
    return _read(_from_version_1(content) if content["format_version"] == 1 else content)


def _from_version_1(content: dict[str, Any]) -> dict[str, Any]:
    """The entries of version 1 with what this version adds to them; the version remains."""
    check_keys(FILE_NAME, {"temperature": 1.0, **content}, _ENTRIES - {"probability"})
    check_keys("analyzer", content["analyzer"], _ANALYZER_1)
    return {
        "temperature": 1.0,
        **content,
        "probability": link_of_version_1(content["loss"]),
        "analyzer": {**asdict(word_form()), "stop_words": [], **content["analyzer"]},
    }


def _read(content: dict[str, Any]) -> tuple[ModelDescription, WeightsFile]:
    check_keys(FILE_NAME, content, _ENTRIES)
    for name in ("manymill_version", "requires_manymill", "unicode_version"):
        require(name, content[name], isinstance(content[name], str))
    require("kind", content["kind"], content["kind"] == "linear")
    require("loss", content["loss"], content["loss"] in LOSSES)
    require("fit_intercept", content["fit_intercept"], type(content["fit_intercept"]) is bool)
    require("facts", content["facts"], isinstance(content["facts"], dict))
    require("probability", content["probability"], content["probability"] in LINKS)
    temperature = content["temperature"]
    require("temperature", temperature, type(temperature) is float and temperature > 0)
    description = ModelDescription(
        classes=_classes(content["classes"]),
        loss=content["loss"],
        analyzer=_analyzer(content["analyzer"]),
        fit_intercept=content["fit_intercept"],
        probability=content["probability"],
        temperature=temperature,
        unicode_version=content["unicode_version"],
        facts=content["facts"],
    )
    return description, _weights_file(content["weights_file"], description, content["format_version"])


def _classes(value: Any) -> tuple[Any, ...]:
    require("classes", value, isinstance(value, list) and len(value) >= 2)
    kinds = {type(item) for item in value}
    require("classes", value, kinds == {str} or kinds == {int})
    require("classes", value, len(set(value)) == len(value))
    if kinds == {int}:
        require("classes", value, all(-(2**63) <= item < 2**63 for item in value))
    return tuple(value)


def _analyzer(value: Any) -> Analyzer:
    check_keys("analyzer", value, {field.name for field in fields(Analyzer)})
    ranges = {name: _ngram_range(name, value[name]) for name in ("ngram_range", "char_ngram_range")}
    require("ngram_range", None, any(ranges.values()))
    require("token_pattern", value["token_pattern"], value["token_pattern"] in (None, WORD_PATTERN))
    words = value["stop_words"]
    require("stop_words", words, isinstance(words, list) and all(type(word) is str for word in words))
    accents = value["strip_accents"]
    require("strip_accents", accents, accents is None or accents in STRIP_ACCENTS)
    require("char_analyzer", value["char_analyzer"], value["char_analyzer"] in CHAR_ANALYZERS)
    require("lowercase", value["lowercase"], type(value["lowercase"]) is bool)
    require("value", value["value"], value["value"] in VALUES)
    require("norm", value["norm"], value["norm"] is None or value["norm"] in NORMS)
    n_features = value["n_features"]
    require("n_features", n_features, type(n_features) is int and 1 <= n_features <= MAX_FEATURES)
    return Analyzer(**{**value, **ranges, "stop_words": tuple(words)})


def _ngram_range(name: str, value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    require(name, value, isinstance(value, list) and [type(n) for n in value] == [int, int])
    require(name, value, 1 <= value[0] <= value[1] < 2**16)
    return value[0], value[1]


def _weights_file(value: Any, description: ModelDescription, version: int) -> WeightsFile:
    check_keys("weights_file", value, {"name", "bytes", "checksum", "tensors"})
    checksum = value["checksum"]
    require("checksum", checksum, isinstance(checksum, str) and _CHECKSUM.fullmatch(checksum) is not None)
    tensors = value["tensors"]
    names = tensors.keys() if isinstance(tensors, dict) else ()
    n_features = description.analyzer.n_features
    layout = Layout(
        n_columns=_n_columns(tensors, n_features) if "features" in names and version > 1 else n_features,
        n_outputs=description.n_outputs,
        has_feature_weights="feature_weights" in names,
        has_features="features" in names and version > 1,
    )
    weights = WeightsFile(checksum, layout)
    for name, expected in _weights_entry(weights).items():
        require(f"weights_file {name}", value[name], checked_json.same_text(value[name], expected))
    return weights


def _n_columns(tensors: dict[str, Any], n_features: int) -> int:
    check_keys("features", tensors["features"], {"dtype", "shape"})
    shape = tensors["features"]["shape"]
    require("features", shape, isinstance(shape, list) and [type(n) for n in shape] == [int])
    require("features", shape, 0 <= shape[0] <= n_features)
    n_columns: int = shape[0]
    return n_columns


def _weights_entry(weights: WeightsFile) -> dict[str, Any]:
    tensors = weights.layout.tensors
    return {
        "name": weights.name,
        "bytes": weights.layout.n_bytes,
        "checksum": weights.checksum,
        "tensors": {name: {"dtype": dtype, "shape": shape} for name, (dtype, shape) in tensors.items()},
    }


ModelKind = Literal["linear", "forest"]

FOREST_FILE = "forest.json"


def locate_forest(path: str | os.PathLike[str]) -> Path | None:
    """The forest folder for a path: the path itself, or ``model`` in a run folder; None if it is not a forest."""
    path = Path(path)
    return next((folder for folder in (path, path / "model") if (folder / FOREST_FILE).is_file()), None)


def check_kind(run: str | os.PathLike[str], kind: ModelKind) -> None:
    """Reject a run folder that already contains the other kind of model.

    Raises
    ------
    RunFolderError
    """
    other = FOREST_FILE if kind == "linear" else FILE_NAME
    if (Path(run) / "model" / other).exists():
        found = "a forest" if kind == "linear" else "a linear model"
        raise RunFolderError(f"{os.fspath(run)} contains {found}", "choose another folder with --out")
