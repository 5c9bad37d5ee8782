"""The weights file: a safetensors file with the float32 tensors "weights" and "intercept".

The layout is fixed by the shapes alone, so a reader needs to believe nothing: it makes the header that the
file must have and compares. Offsets that overlap, a shape that lies, another dtype, bytes too many or too
few: all of them are a header or a length that differs, found before anything is allocated.

Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json

# The weights start at a multiple of a cache line, in the file and so in the memory map.
_ALIGNMENT = 64
_FLOAT32_BYTES = 4


def header(n_features: int, n_outputs: int) -> bytes:
    """The bytes before the first weight: eight of length, then JSON padded with spaces."""
    end_of_weights = n_features * n_outputs * _FLOAT32_BYTES
    tensors = {
        "weights": _tensor([n_features, n_outputs], 0, end_of_weights),
        "intercept": _tensor([n_outputs], end_of_weights, end_of_weights + n_outputs * _FLOAT32_BYTES),
    }
    text = json.dumps(tensors, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def file_bytes(n_features: int, n_outputs: int) -> int:
    """Size of the whole file."""
    return len(header(n_features, n_outputs)) + (n_features + 1) * n_outputs * _FLOAT32_BYTES


def _tensor(shape: list[int], start: int, stop: int) -> dict[str, object]:
    return {"dtype": "F32", "shape": shape, "data_offsets": [start, stop]}
