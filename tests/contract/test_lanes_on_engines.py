"""A model that lanes train is the same bytes on every engine, with every merge rule and any regularisation."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.test_engines import MAKERS
from manymill import scan
from manymill.engine.base import Engine
from manymill.engine.selection import as_engine
from manymill.linear.settings import MERGES, Settings
from manymill.linear.state import LinearState
from manymill.linear.training import train

# More rounds than broadcasts of changes before the full state is sent again.
SETTINGS: dict[str, Any] = {
    "n_features": 2**11,
    "lanes": 5,
    "passes": 2,
    "rounds_per_pass": 5,
    "holdout": 0.1,
}
PENALTIES = [{}, {"l2": 1e-3}, {"l2": 1e-4, "l1": 1e-6}]


@pytest.fixture(scope="module")
def engines() -> Iterator[Callable[[str], Engine]]:
    with ExitStack() as stack:
        started: dict[str, Engine] = {}

        def engine(kind: str) -> Engine:
            if kind not in started:
                started[kind] = stack.enter_context(as_engine(MAKERS[kind](stack)))
            return started[kind]

        yield engine


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of three classes, each with words of its own that are seldom."""
    rng, lines = np.random.default_rng(0), []
    for _ in range(1500):
        label = int(rng.integers(3))
        words = [f"w{n}" for n in rng.integers(0, 60, 6)] + [f"c{label}n{n}" for n in rng.integers(0, 300, 3)]
        lines.append(json.dumps({"label": f"class {label}", "text": " ".join(words)}))
    path = tmp_path_factory.mktemp("rows") / "some.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def trained(source: Path, settings: Settings, **options: Any) -> bytes:
    states: list[bytes] = []

    def keep(state: LinearState, *measured: object) -> None:
        states.append(b"".join(slice_.tobytes() for slice_ in state.weights()) + state.intercept().tobytes())

    train(scan(source).plan(), settings, on_best=keep, **options)
    return b"".join(states)


@pytest.mark.parametrize("penalty", PENALTIES, ids=str)
@pytest.mark.parametrize(
    ("merge", "kind"), [*((merge, "processes") for merge in MERGES), ("auto", "dask"), ("magnitude", "dask")]
)
def test_lanes_give_the_same_bytes_on_threads_and_elsewhere(
    engines: Callable[[str], Engine], source: Path, merge: str, penalty: dict[str, float], kind: str
) -> None:
    settings = Settings(**SETTINGS, merge=merge, **penalty)
    here = trained(source, settings, threads=1)
    assert here == trained(source, settings, threads=3)
    assert here == trained(source, settings, engine=engines(kind))
