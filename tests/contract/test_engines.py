"""What every engine promises, whoever its workers are."""

import importlib
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from contract import engine_tasks as tasks
from contract.engine_tasks import Lane
from manymill.engine.base import Engine, FixedTree
from manymill.engine.selection import as_engine
from manymill.engine.shared_arrays import share
from manymill.errors import EngineError, SourceError

LANES = [Lane(number) for number in range(11)]
KINDS = ["threads", "executor of threads", "executor of processes", "processes", "dask", "ipyparallel"]
REMOTE = KINDS[2:]
# These have workers that are replaced when they die.
MENDED = ["processes", "dask"]


def ipyparallel_executor(stack: ExitStack) -> Executor:
    ipyparallel = pytest.importorskip("ipyparallel")
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    client = stack.enter_context(ipyparallel.Cluster(n=2, log_level=40))
    return client.executor()


def spawned(stack: ExitStack) -> Executor:
    return stack.enter_context(ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")))


def cluster(stack: ExitStack) -> str:
    distributed = pytest.importorskip("distributed")
    settings = {
        # A worker that is being restarted so long after a loss is closed for good: here they are killed often.
        "distributed.deploy.lost-worker-timeout": "1h",
        # So long Dask tries to reach a worker that held a result and is dead.
        "distributed.comm.timeouts.connect": "3s",
    }
    stack.enter_context(importlib.import_module("dask").config.set(settings))
    local = stack.enter_context(
        distributed.LocalCluster(2, threads_per_worker=1, host="127.0.0.1", dashboard_address=":0")
    )
    return f"dask://{local.scheduler_address.removeprefix('tcp://')}"


MAKERS: dict[str, Any] = {
    "threads": lambda stack: 2,
    "executor of threads": lambda stack: stack.enter_context(ThreadPoolExecutor(2)),
    "executor of processes": spawned,
    "processes": lambda stack: "processes:2",
    "dask": cluster,
    "ipyparallel": ipyparallel_executor,
}


@pytest.fixture(scope="module")
def started() -> Iterator[dict[str, Engine]]:
    """The engines by kind, each started when it is first asked for."""
    with ExitStack() as stack:
        yield {"stack": stack}  # type: ignore[dict-item]


@pytest.fixture
def engine(request: pytest.FixtureRequest, started: dict[str, Any]) -> Engine:
    kind = request.param
    if kind not in started:
        started[kind] = started["stack"].enter_context(as_engine(MAKERS[kind](started["stack"])))
        started[kind].on_loss = lambda *loss: None
    return started[kind]


every = pytest.mark.parametrize("engine", KINDS, indirect=True)
remote = pytest.mark.parametrize("engine", REMOTE, indirect=True)
mended = pytest.mark.parametrize("engine", MENDED, indirect=True)


@every
def test_parts_are_added_in_one_tree_to_the_same_bytes_and_reports_stand_by_item(engine: Engine) -> None:
    tree = FixedTree(len(LANES), 4, tasks.add_up)
    for index, lane in enumerate(LANES):
        tree.add(index, tasks.noise(lane)[1])
    reports, part = engine.fold(tasks.noise, LANES, tasks.add_up, keys=range(len(LANES)))
    assert reports == list(range(len(LANES)))
    assert part is not None
    assert part.tobytes() == tree.root().tobytes()


@every
def test_the_order_of_a_sum_matters_to_these_numbers(engine: Engine) -> None:
    parts = [engine.fold(tasks.noise, LANES, tasks.add_up, fan_in=fan_in)[1] for fan_in in (2, 16)]
    assert parts[0].tobytes() != parts[1].tobytes()


@every
def test_a_fold_of_nothing_and_one_of_a_part_that_is_missing_give_none(engine: Engine) -> None:
    assert engine.fold(tasks.noise, [], tasks.add_up) == ([], None)
    assert engine.fold(tasks.noise, [Lane(3)], tasks.add_up) == ([3], None)


@every
def test_results_come_in_the_order_of_items_and_progress_is_told_once_of_each(engine: Engine) -> None:
    seen: dict[int, int] = {}
    items = range(20)
    assert list(engine.map(tasks.square, items, on_done=seen.__setitem__)) == [n * n for n in items]
    assert seen == {n: n * n for n in items}


@every
def test_progress_of_a_fold_is_told_of_each_item(engine: Engine) -> None:
    seen: dict[int, int] = {}
    engine.fold(tasks.noise, LANES, tasks.add_up, on_done=seen.__setitem__)
    assert seen == dict(enumerate(range(len(LANES))))


@every
def test_an_error_of_the_function_comes_as_itself_and_names_the_item(engine: Engine) -> None:
    with pytest.raises(SourceError, match="The file is gone") as caught:
        list(engine.map(tasks.refuse, LANES))
    assert caught.value.hint == "bring it back"
    assert caught.value.__notes__ == ["while working on lane 2"]


@every
def test_a_fold_that_fails_names_the_item_and_the_engine_goes_on(engine: Engine) -> None:
    with pytest.raises(TypeError) as caught:
        engine.fold(tasks.square, [2], tasks.add_up)  # type: ignore[arg-type]
    assert caught.value is not None
    assert engine.submit(tasks.square, 3).result() == 9


@remote
def test_the_traceback_of_a_worker_is_brought_back(engine: Engine) -> None:
    with pytest.raises(SourceError) as caught:
        engine.submit(tasks.refuse, Lane(2)).result()
    assert "engine_tasks.py" in str(caught.value.__cause__)
    assert "in refuse" in str(caught.value.__cause__)


@remote
def test_what_a_worker_prints_is_printed_here(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    list(engine.map(tasks.speak, LANES[:3]))
    out, err = capsys.readouterr()
    assert sorted(out.splitlines()) == [f"lane {n} is heard" for n in range(3)]
    assert sorted(err.splitlines()) == [f"lane {n} complains" for n in range(3)]


@remote
def test_a_result_that_cannot_be_pickled_is_an_error_that_names_the_item(engine: Engine) -> None:
    with pytest.raises(EngineError, match="of type lock, cannot be sent back") as caught:
        engine.submit(tasks.a_lock, Lane(4)).result()
    assert caught.value.__notes__ == ["while working on lane 4"]


@remote
def test_an_argument_that_cannot_be_pickled_is_an_error_that_names_the_item(engine: Engine) -> None:
    item = SimpleNamespace(name="lane 5", lines=(line for line in ()))
    with pytest.raises(EngineError, match="work on lane 5 cannot be sent"):
        engine.submit(tasks.process_of, item)


@remote
def test_workers_are_other_processes(engine: Engine) -> None:
    assert os.getpid() not in set(engine.map(tasks.process_of, range(4)))


@every
def test_published_arrays_are_there_read_only_on_every_worker(engine: Engine) -> None:
    ref = engine.publish({"weights": np.arange(6.0), "seen": np.ones((2, 2), bool)})
    assert list(engine.map(tasks.sum_of, [ref] * 4)) == [(19.0, False)] * 4


@every
def test_shared_arrays_are_there_in_their_order_on_every_worker(engine: Engine, tmp_path: Path) -> None:
    np.save(tmp_path / "mapped.npy", np.arange(6))
    given = {
        "mapped": np.load(tmp_path / "mapped.npy", mmap_mode="r"),
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "sparse": csr_matrix(np.eye(3)),
    }
    with share(engine, given) as shared:
        assert list(engine.map(tasks.lists_of, [shared] * 4)) == [tasks.lists_of(shared)] * 4
        assert tasks.lists_of(shared)["columns"] == ([[0, 1, 2], [3, 4, 5]], True)


@remote
def test_publishing_the_same_bytes_twice_writes_them_once(engine: Engine) -> None:
    first = engine.publish({"weights": np.arange(100.0)})
    before = engine.bytes_out
    assert engine.publish({"weights": np.arange(100.0)}) == first
    assert engine.bytes_out == before


@every
def test_what_travels_is_counted(engine: Engine) -> None:
    out, back = engine.bytes_out, engine.bytes_back
    engine.publish({"weights": np.full(1000, np.random.default_rng().random())})
    assert engine.submit(bytes, 1000).result() == bytes(1000)
    travelled = engine.bytes_out - out, engine.bytes_back - back
    assert travelled == (0, 0) if engine.shares_memory else min(travelled) > 1000


@mended
def test_the_same_key_goes_to_the_same_worker(engine: Engine) -> None:
    first = list(engine.map(tasks.process_of, range(6), keys=range(6)))
    assert list(engine.map(tasks.process_of, range(6), keys=range(6))) == first
    assert len(set(first)) == 2


@mended
def test_an_item_whose_worker_is_killed_is_done_again(engine: Engine, tmp_path: Path) -> None:
    lanes = [Lane(number, tmp_path) for number in range(3)]
    assert list(engine.map(tasks.die_once, lanes)) == [0, 1, 2]
    assert len(list(tmp_path.iterdir())) == 3


@mended
def test_a_fold_whose_workers_are_killed_gives_the_same_bytes(engine: Engine, tmp_path: Path) -> None:
    lanes = [Lane(number, tmp_path) for number in range(len(LANES))]
    undisturbed = engine.fold(tasks.noise, LANES, tasks.add_up)[1]
    reports, part = engine.fold(tasks.noise_or_death, lanes, tasks.add_up, keys=range(len(lanes)))
    assert reports == list(range(len(lanes)))
    assert part.tobytes() == undisturbed.tobytes()


@mended
def test_an_item_that_kills_its_workers_is_named(engine: Engine) -> None:
    with pytest.raises(EngineError, match=r"lost on lane 2\b"):
        list(engine.map(tasks.die_always, LANES[:3]))
    assert engine.submit(tasks.square, 3).result() == 9


dask = pytest.mark.parametrize("engine", ["dask"], indirect=True)


@dask
def test_parts_stay_on_the_workers_of_a_cluster_until_they_are_one(engine: Engine) -> None:
    back = engine.bytes_back
    _, processes = engine.fold(tasks.with_process, range(11), tasks.processes_and_this_one)
    assert os.getpid() not in processes
    engine.fold(tasks.large, range(11), lambda parts: parts[0])
    assert 100_000 < engine.bytes_back - back < 200_000


@dask
def test_parts_that_are_one_group_are_combined_by_the_driver(engine: Engine) -> None:
    _, processes = engine.fold(tasks.with_process, range(3), tasks.processes_and_this_one)
    assert os.getpid() in processes


@dask
def test_where_workers_do_not_see_the_spool_the_bytes_travel(engine: Engine) -> None:
    engine._sees_spool = False
    ref = engine.publish({"weights": np.arange(1000.0), "seen": np.ones(3, bool)})
    os.unlink(ref.path)
    assert list(engine.map(tasks.sum_of, [ref] * 4)) == [(499503.0, False)] * 4
    engine.withdraw(ref)
    assert not engine._sent
    engine._sees_spool = None


@dask
def test_a_client_is_an_engine_and_stays_connected(engine: Engine) -> None:
    with as_engine(engine._client) as borrowed:
        assert borrowed.submit(tasks.square, 5).result() == 25
    assert engine.submit(tasks.square, 6).result() == 36


@dask
def test_workers_of_another_version_are_refused(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.0.1")
    with pytest.raises(EngineError, match=r"has manymill .*, this process 0\.0\.1"):
        as_engine(engine._client)


MPI_PROGRAM = """
import sys
from contract import engine_tasks as tasks
from manymill.engine.selection import as_engine
from mpi4py.futures import MPIPoolExecutor
if __name__ == "__main__":
    with MPIPoolExecutor(path=sys.path) as pool, as_engine(pool) as engine:
        print(engine.width, engine.fold(tasks.noise, map(tasks.Lane, range(11)), tasks.add_up)[1].tobytes().hex())
"""


def test_mpi4py_gives_the_same_bytes(tmp_path: Path) -> None:
    pytest.importorskip("mpi4py")
    mpiexec = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if mpiexec is None:
        pytest.skip("no mpiexec")
    (tmp_path / "program.py").write_text(MPI_PROGRAM)
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    environment = {**os.environ, **root, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [mpiexec, "-n", "3", "--oversubscribe", sys.executable, "-m", "mpi4py.futures", "program.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    with as_engine(1) as engine:
        part = engine.fold(tasks.noise, LANES, tasks.add_up)[1]
    assert done.stdout.split() == ["2", part.tobytes().hex()], done.stderr
