"""Cut the shipped corpora from the full ones: ``python examples/data/cut.py --data FOLDER``.

FOLDER holds ``spamassassin-{train,test}.jsonl.zst`` and ``bible-languages-{train,test}.jsonl.zst``, one ``{"label":
..., "text": ...}`` per line. For each label, the rows with the least hash of seed and line are selected, so the
result does not depend on the order of the source; they stay in that order. The same sources and the same version of
zstandard give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections import Counter, defaultdict
from pathlib import Path

import zstandard

SEED = 1

# name of the cut → (name of the source, rows kept per label, longest text in characters)
# Mails above 16,000 characters are mostly encoded attachments: bytes without words.
CUTS = {
    "mail-train": ("spamassassin-train", {"ham": 1800, "spam": 900}, 16_000),
    "mail-test": ("spamassassin-test", {"ham": 450, "spam": 225}, 16_000),
    "languages-train": ("bible-languages-train", 300, 4_000),
    "languages-test": ("bible-languages-test", 75, 4_000),
}


def rank(line: str) -> str:
    """A hash that decides whether a line is selected."""
    return hashlib.sha256(f"{SEED}:{line}".encode()).hexdigest()


def kept_lines(lines: list[str], wanted: int | dict[str, int], longest: int) -> list[str]:
    """The lines of a cut, in the order of the source."""
    by_label: defaultdict[str, list[int]] = defaultdict(list)
    for i, line in enumerate(lines):
        row = json.loads(line)
        if len(row["text"]) <= longest:
            by_label[row["label"]].append(i)
    kept: list[int] = []
    for label, rows in by_label.items():
        n = wanted if isinstance(wanted, int) else wanted[label]
        kept += sorted(rows, key=lambda i: rank(lines[i]))[:n]
    return [lines[i] for i in sorted(kept)]


def main() -> None:
    """Write every cut to the folder of this file and print its size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the full corpora")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="where the cuts go")
    arguments = parser.parse_args()
    for name, (source, wanted, longest) in CUTS.items():
        text = (
            zstandard.ZstdDecompressor()
            .stream_reader((arguments.data / f"{source}.jsonl.zst").read_bytes())
            .read()
        )
        lines = kept_lines(text.decode().split("\n")[:-1], wanted, longest)
        content = "".join(line + "\n" for line in lines).encode()
        packed = zstandard.ZstdCompressor(level=19).compress(content)
        (arguments.out / f"{name}.jsonl.zst").write_bytes(packed)
        n_labels = len(Counter(json.loads(line)["label"] for line in lines))
        print(
            f"{name:16} {len(lines):6} rows {n_labels:3} labels {len(content):9} bytes, {len(packed)} packed"
        )


if __name__ == "__main__":
    main()
