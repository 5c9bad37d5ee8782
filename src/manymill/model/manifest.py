"""``model.json``: a description and what the weights file must be, as one canonical JSON text.

The last entry is a checksum of all the others, and the text must be the very one that :func:`dump` writes: a
flipped bit anywhere is found. Read strictly, since a model may come from anyone: no entry may be missing,
unknown or twice, every value has one type, and no number is infinite.

Which kind of model a folder holds: what reads it depends on that.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from manymill.errors import RunFolderError
from manymill.model.linear import LOSSES, MAX_FEATURES, NORMS, VALUES, Analyzer, ModelDescription
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
# Left out where it is 1, as in folders from before it was.
_OPTIONAL_ENTRIES = {"temperature"}
_CHECKSUM = re.compile(r"blake2b-256:[0-9a-f]{64}")


@dataclass(frozen=True)
class WeightsFile:
    """The weights file that belongs to a ``model.json``."""

    checksum: str
    n_features: int
    n_outputs: int
    weighed: bool  # whether features have weights of their own

    @property
    def name(self) -> str:
        """The file's name, made from its content."""
        return f"weights-{self.checksum.partition(':')[2][:16]}.safetensors"


def weights_shapes(n_features: int, n_outputs: int, *, weighed: bool = False) -> dict[str, list[int]]:
    """The tensors of a weights file by name, in its order; ``weighed``: whether features have weights of their own."""
    tensors = {"weights": [n_features, n_outputs], "intercept": [n_outputs]}
    return {**tensors, "feature_weights": [n_features]} if weighed else tensors


def weights_header(n_features: int, n_outputs: int, *, weighed: bool = False) -> bytes:
    """The bytes of a weights file before the first weight."""
    tensors = weights_shapes(n_features, n_outputs, weighed=weighed)
    return header_of({name: ("float32", shape) for name, shape in tensors.items()})


def weights_bytes(n_features: int, n_outputs: int, *, weighed: bool = False) -> int:
    """Size of a whole weights file."""
    shapes = weights_shapes(n_features, n_outputs, weighed=weighed).values()
    return len(weights_header(n_features, n_outputs, weighed=weighed)) + 4 * sum(map(math.prod, shapes))


def dump(description: ModelDescription, weights: WeightsFile, manymill_version: str) -> bytes:
    """The text of ``model.json``.

    Raises
    ------
    ModelError
        If the description cannot be read back: a class that is no Unicode text, a fact that is no JSON.
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
    """The description and the weights file that a ``model.json`` speaks of.

    Raises
    ------
    ModelError
        If the text is not, to the bit, what :func:`dump` could have written.
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
    stated = value["checksum"]
    require("checksum", stated, isinstance(stated, str) and _CHECKSUM.fullmatch(stated) is not None)
    tensors = value["tensors"]
    weighed = isinstance(tensors, dict) and "feature_weights" in tensors
    weights = WeightsFile(stated, description.analyzer.n_features, description.n_outputs, weighed)
    for name, right in _weights_entry(weights).items():
        require(f"weights_file {name}", value[name], checked_json.same_text(value[name], right))
    return weights


def _weights_entry(weights: WeightsFile) -> dict[str, Any]:
    n_features, n_outputs, weighed = weights.n_features, weights.n_outputs, weights.weighed
    shapes = weights_shapes(n_features, n_outputs, weighed=weighed)
    return {
        "name": weights.name,
        "bytes": weights_bytes(n_features, n_outputs, weighed=weighed),
        "checksum": weights.checksum,
        "tensors": {name: {"dtype": "float32", "shape": shape} for name, shape in shapes.items()},
    }


Kind = Literal["linear", "forest"]

FOREST_FILE = "forest.json"


def locate_forest(path: str | os.PathLike[str]) -> Path | None:
    """The forest folder that ``path`` means: itself, or ``model`` in a run folder; None if there is no forest."""
    path = Path(path)
    return next((folder for folder in (path, path / "model") if (folder / FOREST_FILE).is_file()), None)


def check_kind(run: str | os.PathLike[str], kind: Kind) -> None:
    """Refuse to train one kind of model into a run folder that holds the other.

    Raises
    ------
    RunFolderError
    """
    other = FOREST_FILE if kind == "linear" else FILE_NAME
    if (Path(run) / "model" / other).exists():
        held = "a forest" if kind == "linear" else "a linear model"
        raise RunFolderError(f"{os.fspath(run)} holds {held}", "name another folder with --out")
