"""Print the minimum version of every dependency that pyproject.toml declares, as requirements for pip.

    python tests/oldest.py > requirements.txt

Extras and the tools of the tests are included. Run it with the minimum Python: later ones have no wheels of these
versions.
"""

from __future__ import annotations

import re
import sys
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)>=(?P<version>[\w.]+)(?P<marker>;.*)?")


def main() -> None:
    declared = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))
    minimum = declared["project"]["requires-python"].removeprefix(">=")
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    if running != minimum:
        sys.exit(f"this is Python {running}, not {minimum}. Hint: make test-oldest PYTHON=python{minimum}")
    print("\n".join(minimum_versions(declared)))


def minimum_versions(declared: dict[str, Any]) -> list[str]:
    """Every declared dependency once, as ``name==version`` with its marker."""
    project = declared["project"]
    extras = project["optional-dependencies"].values()
    texts = dict.fromkeys(chain(project["dependencies"], *extras, declared["dependency-groups"]["test"]))
    found = {text: REQUIREMENT.fullmatch(text) for text in texts}
    if unbounded := [text for text, match in found.items() if match is None]:
        sys.exit(f"no minimum version: {', '.join(unbounded)}. Hint: declare it as name>=version")
    return [
        f"{match['name']}=={match['version']}{match['marker'] or ''}" for match in found.values() if match
    ]


if __name__ == "__main__":
    main()
