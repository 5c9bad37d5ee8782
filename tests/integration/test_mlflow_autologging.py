"""A search where MLflow's autologging is switched on; in a process of its own, since MLflow patches scikit-learn."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("mlflow")

SEARCH = """
import json, sys
import mlflow
from sklearn.datasets import load_iris
from sklearn.svm import SVC
from manymill import SearchCV

mlflow.set_tracking_uri(sys.argv[1])
mlflow.sklearn.autolog(log_models=False, max_tuning_runs=2, silent=True)
search = SearchCV(SVC(), {"C": [0.01, 1.0, 10.0]}, cv=3, engine=2).fit(*load_iris(return_X_y=True))
runs = [
    {"params": run.data.params, "metrics": run.data.metrics, "tags": run.data.tags, "id": run.info.run_id,
     "files": [file.path for file in mlflow.artifacts.list_artifacts(run_id=run.info.run_id)]}
    for run in mlflow.search_runs(output_format="list")
]
print(json.dumps({"runs": runs, "best": search.best_score_}))
"""


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """What MLflow has of a search."""
    folder = tmp_path_factory.mktemp("mlflow")
    done = subprocess.run(
        [sys.executable, "-c", SEARCH, (folder / "runs").as_uri()],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "MLFLOW_ALLOW_FILE_STORE": "true", "GIT_PYTHON_REFRESH": "quiet"},
    )
    assert done.returncode == 0, done.stderr
    assert "could not log" not in done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def of(logged, kind):
    return [run for run in logged["runs"] if run["tags"].get("estimator_name") == kind]


def test_the_search_is_one_run_with_its_parameters_and_the_best(logged):
    (run,) = of(logged, "SearchCV")
    assert run["params"]["cv"] == "3"
    assert run["params"]["best_C"] in ("1.0", "10.0")
    assert run["metrics"]["best_cv_score"] == logged["best"]
    assert run["files"] == ["cv_results.csv"]


def test_as_many_of_the_best_candidates_as_were_asked_for_are_runs_beneath_it(logged):
    (search,) = of(logged, "SearchCV")
    children = of(logged, "SVC")
    assert {run["tags"]["mlflow.parentRunId"] for run in children} == {search["id"]}
    assert {run["params"]["C"] for run in children} == {"1.0", "10.0"}
    assert {run["metrics"]["rank_test_score"] for run in children} <= {1.0, 2.0}
    assert max(run["metrics"]["mean_test_score"] for run in children) == logged["best"]


def test_fits_of_candidates_are_no_runs(logged):
    assert len(logged["runs"]) == 3
