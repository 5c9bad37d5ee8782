"""The journal of a search: which earlier searches it resumes."""

import pytest

from manymill.errors import RunFolderError
from manymill.search.journal import SearchJournal

OLD = {
    "class": "manymill.linear.classifier.TextClassifier",
    "params": {"finish": None, "finish_iterations": 5, "l2": 0.0},
}
NEW = {"class": "manymill.moved.TextClassifier", "params": {"l2": 0.0}}


def resume(folder, recorded, current):
    for estimator in (recorded, current):
        journal = SearchJournal(folder)
        try:
            journal.begin({"estimator": estimator, **OTHERS}, [])
        finally:
            journal.close()


OTHERS = {
    "n_trials": 1,
    "n_splits": 2,
    "rungs": [None],
    "eta": 3,
    "resource": "rows",
    "metric": "score",
    "scoring": None,
}


def test_a_search_of_an_older_version_resumes_if_removed_parameters_had_no_effect(tmp_path):
    resume(tmp_path, OLD, NEW)
    resume(tmp_path / "pipeline", {"params": [["clf", OLD]]}, {"params": [["clf", NEW]]})


def test_a_search_that_used_a_removed_parameter_is_refused(tmp_path):
    used = {**OLD, "params": {**OLD["params"], "finish": "lbfgs"}}
    with pytest.raises(RunFolderError, match="a search with other estimator"):
        resume(tmp_path, used, NEW)
