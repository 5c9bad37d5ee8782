"""``model.json``: a description and what the weights file must be, as one canonical JSON text.

The last entry is a checksum of all the others, and the text must be the very one that :func:`dump` writes: a
flipped bit anywhere is found. Read strictly, since a model may come from anyone: no entry may be missing,
unknown or twice, every value has one type, and no number is infinite.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

from manymill.errors import ModelError
from manymill.model import safetensors
from manymill.model.linear import LOSSES, MAX_FEATURES, NORMS, VALUES, Analyzer, ModelDescription

FILE_NAME = "model.json"
FORMAT = "manymill-model"
FORMAT_VERSION = 1
MAX_BYTES = 16 * 2**20  # about 500,000 classes of 30 letters

# Lists and objects take many times the memory of their text, and a model needs few of them.
_MAX_CONTAINERS = 10_000
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


def checksum(pieces: Iterable[bytes | memoryview]) -> str:
    """The checksum of bytes: ``blake2b-256:`` and 64 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=32)
    for piece in pieces:
        digest.update(piece)
    return format_checksum(digest)


def format_checksum(digest: hashlib.blake2b) -> str:
    """A checksum's text."""
    return f"blake2b-256:{digest.hexdigest()}"


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
    try:
        text = _canonical(content)
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"the model cannot be described in JSON: {error}") from error
    written = _with_checksum(text)
    load(written)
    return written


def load(text: bytes) -> tuple[ModelDescription, WeightsFile]:
    """The description and the weights file that a ``model.json`` speaks of.

    Raises
    ------
    ModelError
        If the text is not, to the bit, what :func:`dump` could have written.
    """
    content = _parse(text)
    if content.get("format") != FORMAT:
        raise ModelError("it does not say that it is a manymill model", "give a folder that manymill saved")
    version = content.get("format_version")
    if type(version) is int and version > FORMAT_VERSION:
        needed = content.get("requires_manymill")
        raise ModelError(f"it needs manymill >= {str(needed)[:20]}", "install a newer manymill")
    if type(version) is not int or version != FORMAT_VERSION:
        _refuse("format_version", version)
    content.pop("checksum", None)
    try:
        rewritten = _with_checksum(_canonical(content))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"it is not JSON as manymill writes it: {error}") from error
    if rewritten != text:
        raise ModelError("its text does not match its checksum", "it was changed or damaged: copy it again")
    return _read(content)


def _parse(text: bytes) -> dict[str, Any]:
    if len(text) > MAX_BYTES or text.count(b"[") + text.count(b"{") > _MAX_CONTAINERS:
        raise ModelError("it is too large to be a manymill model")
    try:
        content = json.loads(
            text.decode(),
            object_pairs_hook=_object_without_repeats,
            parse_float=_finite,
            parse_constant=_finite,
        )
    except (ValueError, RecursionError) as error:
        raise ModelError(f"it is not JSON as manymill writes it: {error}") from error
    if not isinstance(content, dict):
        raise ModelError("it is not a JSON object")
    return content


def _read(content: dict[str, Any]) -> tuple[ModelDescription, WeightsFile]:
    _keys(FILE_NAME, {name: content[name] for name in content if name not in _OPTIONAL_ENTRIES}, _ENTRIES)
    for name in ("manymill_version", "requires_manymill", "unicode_version"):
        _require(name, content[name], isinstance(content[name], str))
    _require("kind", content["kind"], content["kind"] == "linear")
    _require("loss", content["loss"], content["loss"] in LOSSES)
    _require("fit_intercept", content["fit_intercept"], type(content["fit_intercept"]) is bool)
    _require("facts", content["facts"], isinstance(content["facts"], dict))
    temperature = content.get("temperature", 1.0)
    _require("temperature", temperature, type(temperature) is float and temperature > 0)
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
    _require("classes", value, isinstance(value, list) and len(value) >= 2)
    kinds = {type(item) for item in value}
    _require("classes", value, kinds == {str} or kinds == {int})
    _require("classes", value, len(set(value)) == len(value))
    if kinds == {int}:
        _require("classes", value, all(-(2**63) <= item < 2**63 for item in value))
    return tuple(value)


def _analyzer(value: Any) -> Analyzer:
    _keys("analyzer", value, {"ngram_range", "lowercase", "value", "norm", "n_features"})
    ngrams = value["ngram_range"]
    _require("ngram_range", ngrams, isinstance(ngrams, list) and [type(n) for n in ngrams] == [int, int])
    _require("ngram_range", ngrams, 1 <= ngrams[0] <= ngrams[1] < 2**16)
    _require("lowercase", value["lowercase"], type(value["lowercase"]) is bool)
    _require("value", value["value"], value["value"] in VALUES)
    _require("norm", value["norm"], value["norm"] is None or value["norm"] in NORMS)
    n_features = value["n_features"]
    _require("n_features", n_features, type(n_features) is int and 1 <= n_features <= MAX_FEATURES)
    return Analyzer(**{**value, "ngram_range": (ngrams[0], ngrams[1])})


def _weights_file(value: Any, description: ModelDescription) -> WeightsFile:
    _keys("weights_file", value, {"name", "bytes", "checksum", "tensors"})
    stated = value["checksum"]
    _require("checksum", stated, isinstance(stated, str) and _CHECKSUM.fullmatch(stated) is not None)
    tensors = value["tensors"]
    weighed = isinstance(tensors, dict) and "feature_weights" in tensors
    weights = WeightsFile(stated, description.analyzer.n_features, description.n_outputs, weighed)
    for name, right in _weights_entry(weights).items():
        _require(f"weights_file {name}", value[name], _canonical(value[name]) == _canonical(right))
    return weights


def _weights_entry(weights: WeightsFile) -> dict[str, Any]:
    n_features, n_outputs, weighed = weights.n_features, weights.n_outputs, weights.weighed
    shapes = safetensors.shapes(n_features, n_outputs, weighed=weighed)
    return {
        "name": weights.name,
        "bytes": safetensors.file_bytes(n_features, n_outputs, weighed=weighed),
        "checksum": weights.checksum,
        "tensors": {name: {"dtype": "float32", "shape": shape} for name, shape in shapes.items()},
    }


def _canonical(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1).encode()


def _with_checksum(canonical: bytes) -> bytes:
    body = canonical.removesuffix(b"\n}")
    return body + b',\n "checksum": "' + checksum([body]).encode() + b'"\n}\n'


def _object_without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name stands twice in an object")
    return result


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is no number")
    return number


def _keys(where: str, value: Any, expected: set[str]) -> None:
    if not isinstance(value, dict) or set(value) != expected:
        raise ModelError(f"{where} must have exactly the entries {', '.join(sorted(expected))}")


def _require(name: str, value: Any, right: bool) -> None:
    if not right:
        _refuse(name, value)


def _refuse(name: str, value: Any) -> NoReturn:
    raise ModelError(f"{name} cannot be {str(value)[:60]!r}")
