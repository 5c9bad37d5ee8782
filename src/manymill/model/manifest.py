"""``model.json``: the description of a model and its weights file as canonical JSON, and the kinds of model folders.

The last entry is a checksum of all others, and the text must be identical to the output of :func:`dump`, so that any
flipped bit is detected. Models may be untrusted, so validation is strict: no entry may be missing, unknown or repeated,
every value has one type, and all numbers are finite.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from manymill.constants import LOSSES, MAX_FEATURES, NORMS, VALUES
from manymill.errors import RunFolderError
from manymill.model.linear import Analyzer, ModelDescription
from manymill.storage import checked_json
from manymill.storage.checked_json import check_format, check_keys, require
from manymill.storage.tensors import header_of

FILE_NAME = "model.json"
FORMAT = "manymill-model"
FORMAT_VERSION = 1
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
    "unicode_version",
    "facts",
    "weights_file",
}
# Written only if it is not 1: older folders do not have it.
_OPTIONAL_ENTRIES = {"temperature"}
_CHECKSUM = re.compile(r"blake2b-256:[0-9a-f]{64}")


@dataclass(frozen=True)
class WeightsFile:
    """The weights file of a ``model.json``."""

    checksum: str
    n_features: int
    n_outputs: int
    has_feature_weights: bool

    @property
    def name(self) -> str:
        """The file's name, derived from its checksum."""
        return f"weights-{self.checksum.partition(':')[2][:16]}.safetensors"


def weights_shapes(
    n_features: int, n_outputs: int, *, has_feature_weights: bool = False
) -> dict[str, list[int]]:
    """The shapes of the tensors of a weights file by name, in file order."""
    tensors = {"weights": [n_features, n_outputs], "intercept": [n_outputs]}
    return {**tensors, "feature_weights": [n_features]} if has_feature_weights else tensors


def weights_header(n_features: int, n_outputs: int, *, has_feature_weights: bool = False) -> bytes:
    """The header of a weights file."""
    tensors = weights_shapes(n_features, n_outputs, has_feature_weights=has_feature_weights)
    return header_of({name: ("float32", shape) for name, shape in tensors.items()})


def weights_bytes(n_features: int, n_outputs: int, *, has_feature_weights: bool = False) -> int:
    """Size of a weights file in bytes."""
    shapes = weights_shapes(n_features, n_outputs, has_feature_weights=has_feature_weights).values()
    return len(weights_header(n_features, n_outputs, has_feature_weights=has_feature_weights)) + 4 * sum(
        map(math.prod, shapes)
    )


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
        "requires_manymill": "0.1",
        "kind": "linear",
        "classes": list(description.classes),
        "loss": description.loss,
        "fit_intercept": description.fit_intercept,
        "analyzer": asdict(description.analyzer),
        "unicode_version": description.unicode_version,
        "facts": dict(description.facts),
        "weights_file": _weights_entry(weights),
    }
    if description.temperature != 1.0:
        content["temperature"] = description.temperature
    written = checked_json.dump(content)
    load(written)
    return written


def load(text: bytes) -> tuple[ModelDescription, WeightsFile]:
    """Read a ``model.json``: the description of the model, and of its weights file.

    Raises
    ------
    ModelError
        If the text is not identical to an output of :func:`dump`.
    """
    content = checked_json.parse(text, MAX_BYTES)
    check_format(content, FORMAT, FORMAT_VERSION)
    checked_json.verify(content, text)
    return _read(content)


def _read(content: dict[str, Any]) -> tuple[ModelDescription, WeightsFile]:
    check_keys(
        FILE_NAME, {name: content[name] for name in content if name not in _OPTIONAL_ENTRIES}, _ENTRIES
    )
    for name in ("manymill_version", "requires_manymill", "unicode_version"):
        require(name, content[name], isinstance(content[name], str))
    require("kind", content["kind"], content["kind"] == "linear")
    require("loss", content["loss"], content["loss"] in LOSSES)
    require("fit_intercept", content["fit_intercept"], type(content["fit_intercept"]) is bool)
    require("facts", content["facts"], isinstance(content["facts"], dict))
    temperature = content.get("temperature", 1.0)
    require("temperature", temperature, type(temperature) is float and temperature > 0)
    description = ModelDescription(
        classes=_classes(content["classes"]),
        loss=content["loss"],
        analyzer=_analyzer(content["analyzer"]),
        fit_intercept=content["fit_intercept"],
        temperature=temperature,
        unicode_version=content["unicode_version"],
        facts=content["facts"],
    )
    return description, _weights_file(content["weights_file"], description)


def _classes(value: Any) -> tuple[Any, ...]:
    require("classes", value, isinstance(value, list) and len(value) >= 2)
    kinds = {type(item) for item in value}
    require("classes", value, kinds == {str} or kinds == {int})
    require("classes", value, len(set(value)) == len(value))
    if kinds == {int}:
        require("classes", value, all(-(2**63) <= item < 2**63 for item in value))
    return tuple(value)


def _analyzer(value: Any) -> Analyzer:
    check_keys("analyzer", value, {"ngram_range", "lowercase", "value", "norm", "n_features"})
    ngrams = value["ngram_range"]
    require("ngram_range", ngrams, isinstance(ngrams, list) and [type(n) for n in ngrams] == [int, int])
    require("ngram_range", ngrams, 1 <= ngrams[0] <= ngrams[1] < 2**16)
    require("lowercase", value["lowercase"], type(value["lowercase"]) is bool)
    require("value", value["value"], value["value"] in VALUES)
    require("norm", value["norm"], value["norm"] is None or value["norm"] in NORMS)
    n_features = value["n_features"]
    require("n_features", n_features, type(n_features) is int and 1 <= n_features <= MAX_FEATURES)
    return Analyzer(**{**value, "ngram_range": (ngrams[0], ngrams[1])})


def _weights_file(value: Any, description: ModelDescription) -> WeightsFile:
    check_keys("weights_file", value, {"name", "bytes", "checksum", "tensors"})
    checksum = value["checksum"]
    require("checksum", checksum, isinstance(checksum, str) and _CHECKSUM.fullmatch(checksum) is not None)
    tensors = value["tensors"]
    has_feature_weights = isinstance(tensors, dict) and "feature_weights" in tensors
    weights = WeightsFile(
        checksum, description.analyzer.n_features, description.n_outputs, has_feature_weights
    )
    for name, expected in _weights_entry(weights).items():
        require(f"weights_file {name}", value[name], checked_json.same_text(value[name], expected))
    return weights


def _weights_entry(weights: WeightsFile) -> dict[str, Any]:
    n_features, n_outputs, has_feature_weights = (
        weights.n_features,
        weights.n_outputs,
        weights.has_feature_weights,
    )
    shapes = weights_shapes(n_features, n_outputs, has_feature_weights=has_feature_weights)
    return {
        "name": weights.name,
        "bytes": weights_bytes(n_features, n_outputs, has_feature_weights=has_feature_weights),
        "checksum": weights.checksum,
        "tensors": {name: {"dtype": "float32", "shape": shape} for name, shape in shapes.items()},
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
