import copy
import json
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from manymill.engine import dask_client
from manymill.engine.local import available_threads
from manymill.engine.selection import EngineName, as_engine, engine_name
from manymill.errors import EngineError, SettingsError


@pytest.mark.parametrize(
    ("engine", "threads", "width"), [(None, None, available_threads()), (None, 5, 5), (3, 5, 3)]
)
def test_nothing_or_a_number_means_threads(engine: int | None, threads: int | None, width: int) -> None:
    with as_engine(engine, threads=threads) as made:
        assert (made.width, made.shares_memory) == (width, True)


@pytest.mark.parametrize(("name", "threads", "width"), [("processes", 3, 3), ("processes:4", 3, 4)])
def test_processes_are_as_many_as_said(name: str, threads: int, width: int) -> None:
    with as_engine(name, threads=threads) as made:
        assert (made.width, made.shares_memory) == (width, False)


def test_an_engine_stays_what_it_is() -> None:
    with as_engine(1) as engine:
        assert as_engine(engine) is engine


def test_threads_of_somebody_else_are_used_and_left_open() -> None:
    with ThreadPoolExecutor(3) as executor:
        with as_engine(executor) as engine:
            assert (engine.width, engine.shares_memory) == (3, True)
        assert executor.submit(abs, -1).result() == 1


@pytest.mark.parametrize("engine", ["spark", "processes:x", "processes:", True, 2.5, "dask://", "", "tls:"])
def test_an_unknown_engine_is_refused(engine: object) -> None:
    with pytest.raises(SettingsError, match="is invalid: expected None, a number of threads"):
        as_engine(engine)


@pytest.mark.parametrize("engine", ["processes:0", "0", 0, -1])
def test_an_engine_without_workers_is_refused(engine: object) -> None:
    with pytest.raises(SettingsError, match=f"engine={engine!r} is invalid: expected 1 worker or more"):
        as_engine(engine)


@pytest.mark.parametrize("threads", [0, -1, 2.5, True, "2", []])
def test_an_invalid_number_of_threads_is_refused(threads: object) -> None:
    with pytest.raises(
        SettingsError, match=r"threads=.* is invalid: expected an integer of 1 or more, or None"
    ):
        as_engine(threads=threads)  # type: ignore[arg-type]


def test_an_integer_of_numpy_is_a_number_of_threads() -> None:
    with as_engine(np.int64(2)) as engine:
        assert engine.width == 2


def test_a_scheduler_file_that_is_missing_is_named() -> None:
    with pytest.raises(EngineError, match=r"no\.json does not name a scheduler file"):
        as_engine("dask://no.json")


def test_without_dask_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(EngineError, match=r"pip install 'manymill\[cluster\]'"):
        dask_client.connect("dask://127.0.0.1:1")


@pytest.mark.parametrize("engine", [None, 2, "threads", "3"])
def test_a_limit_to_silence_that_has_no_effect_is_refused(engine: object) -> None:
    with pytest.raises(SettingsError, match="stall_seconds=60 has no effect on"):
        as_engine(engine, stall_seconds=60)
    as_engine(engine, stall_seconds=None).close()


@pytest.mark.parametrize("engine", [None, "threads", "3"])
def test_the_command_line_refuses_it_in_its_own_words(engine: str | None) -> None:
    with pytest.raises(SettingsError, match="--stall-seconds has no effect on"):
        engine_name(engine, stall_seconds=60)


def test_the_name_of_an_engine_may_carry_the_limit() -> None:
    name = engine_name("processes", workers=2, stall_seconds=60)
    assert name == "processes:2"
    assert json.dumps(name) == '"processes:2"'
    for same in (name, copy.deepcopy(name), pickle.loads(pickle.dumps(name))):
        assert isinstance(same, EngineName)
        assert same.stall_seconds == 60


@pytest.mark.parametrize("seconds", [0.5, -1, "60", True, [], float("nan")])
def test_an_invalid_limit_to_silence_is_refused(seconds: object) -> None:
    with pytest.raises(SettingsError, match=r"stall_seconds=.* is invalid: expected a number of 1 or more"):
        engine_name("processes", stall_seconds=seconds)  # type: ignore[arg-type]


def test_workers_are_numbered_where_the_engine_does_not_say_how_many() -> None:
    assert engine_name(None, workers=3) == engine_name("threads", workers=3) == "3"
    assert engine_name("processes", workers=3) == "processes:3"
    with pytest.raises(SettingsError, match="--workers has no effect on --engine processes:2"):
        engine_name("processes:2", workers=3)


def test_engines_that_are_not_used_are_not_imported() -> None:
    code = """
import sys
from manymill.engine.selection import EngineName, as_engine, engine_name
as_engine(2).close()
print(sorted({"loky", "cloudpickle", "distributed", "dask", "psutil", "manymill.engine.heartbeat"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
