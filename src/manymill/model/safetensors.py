"""Files of tensors, and the weights file: the float32 tensors "weights", "intercept" and maybe "feature_weights".

The layout is fixed by the shapes alone, so a reader needs to believe nothing: it makes the header that the
file must have and compares. Offsets that overlap, a shape that lies, another dtype, bytes too many or too
few: all of them are a header or a length that differs, found before anything is allocated.

Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

# The weights start at a multiple of a cache line, in the file and so in the memory map.
_ALIGNMENT = 64
_FLOAT32_BYTES = 4
_CODES = {"uint8": "U8", "int32": "I32", "int64": "I64", "float32": "F32", "float64": "F64"}


def header_of(tensors: Mapping[str, tuple[str, Sequence[int]]]) -> bytes:
    """The bytes before the first of some tensors (dtype and shape by name), which stand in this order without gaps."""
    entries, end = {}, 0
    for name, (dtype, shape) in tensors.items():
        start, end = end, end + math.prod(shape) * int(_CODES[dtype].strip("UIF")) // 8
        entries[name] = {"dtype": _CODES[dtype], "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def shapes(n_features: int, n_outputs: int, *, weighed: bool = False) -> dict[str, list[int]]:
    """The tensors by name, in the order of the file; ``weighed`` is whether features have weights of their own."""
    tensors = {"weights": [n_features, n_outputs], "intercept": [n_outputs]}
    return {**tensors, "feature_weights": [n_features]} if weighed else tensors


def header(n_features: int, n_outputs: int, *, weighed: bool = False) -> bytes:
    """The bytes before the first weight: eight of length, then JSON padded with spaces."""
    tensors = shapes(n_features, n_outputs, weighed=weighed)
    return header_of({name: ("float32", shape) for name, shape in tensors.items()})


def file_bytes(n_features: int, n_outputs: int, *, weighed: bool = False) -> int:
    """Size of the whole file."""
    tensors = shapes(n_features, n_outputs, weighed=weighed)
    return len(header(n_features, n_outputs, weighed=weighed)) + _FLOAT32_BYTES * sum(
        map(math.prod, tensors.values())
    )
