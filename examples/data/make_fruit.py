"""Generate the tables of fruit: ``python examples/data/make_fruit.py``.

They have numbers, a category, dates and missing values. The same seed gives the same bytes.
"""

from __future__ import annotations

import csv
import random
from datetime import date, timedelta
from pathlib import Path

SEED = 1
FILES = {"fruit-train.csv": 300, "fruit-test.csv": 100}

# kind → (mean weight in g, mean diameter in mm, colours)
KINDS = {
    "apple": (180, 75, ("red", "green", "yellow")),
    "lemon": (110, 58, ("yellow", "green")),
    "orange": (210, 78, ("orange",)),
    "plum": (60, 42, ("purple", "red", "yellow")),
}


def row(draw: random.Random) -> list[str]:
    """One fruit; about one value in twenty is missing."""
    kind = draw.choice(list(KINDS))
    grams, millimetres, colours = KINDS[kind]
    size = draw.gauss(1, 0.15)
    picked = date(2025, 8, 1) + timedelta(days=draw.randrange(60))
    values = [
        f"{grams * size**3 * draw.gauss(1, 0.05):.0f}",
        f"{millimetres * size * draw.gauss(1, 0.03):.1f}",
        draw.choice(colours),
    ]
    return [*("" if draw.random() < 0.05 else value for value in values), str(picked), kind]


def main() -> None:
    """Write the tables to the folder of this file."""
    draw = random.Random(SEED)
    for name, n_rows in FILES.items():
        with (Path(__file__).parent / name).open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["grams", "millimetres", "colour", "picked", "kind"])
            rows.writerows(row(draw) for _ in range(n_rows))


if __name__ == "__main__":
    main()
