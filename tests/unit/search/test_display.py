"""Plots and tables of a search."""

import matplotlib
import pytest
from sklearn.datasets import load_iris
from sklearn.svm import SVC

matplotlib.use("Agg")

from matplotlib import pyplot

from manymill import SearchCV, SearchDisplay
from manymill.errors import PlanError, RunFolderError, SettingsError
from manymill.search.display import KINDS
from manymill.search.events import Evaluated, Evaluation, Failed, Proposed
from manymill.search.history import (
    SearchHistory,
    best_over_time,
    box_plot,
    resource_curves,
    scores_by_value,
    worker_timelines,
)

X, y = load_iris(return_X_y=True)
SPACE = {"C": [0.01, 1, 100], "kernel": ["rbf", "linear"]}


def evaluated(
    trial, split=0, score=0.5, rung=0, seconds=1.0, resource=None, worker="a", took=0.0, train=None
):
    learnt = {} if train is None else {"score": train}
    return Evaluated(
        Evaluation(trial, split, rung, resource), {"score": score}, learnt, took, 0.0, seconds, worker, 90
    )


def seen(events, n_splits=1):
    return SearchHistory.from_events(events, n_splits, "score")


def of_values(values):
    events = [Proposed(trial, {"p": value}) for trial, value in enumerate(values)]
    return seen([*events, *(evaluated(trial, score=trial / 100) for trial in range(len(values)))])


@pytest.fixture(autouse=True)
def _no_figure_stays():
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    options = {"halving": True, "min_resource": 30, "eta": 2, "return_train_score": True}
    run = tmp_path_factory.mktemp("run")
    return SearchCV(SVC(), SPACE, cv=3, engine=2, run=run, **options).fit(X, y)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_drawn_and_written(search, kind):
    display = SearchDisplay.from_search(search)
    assert display.plot(kind) is display
    display.figure_.canvas.draw()
    assert display.ax_.get_xlabel()
    assert len(display.text(kind).splitlines()) > 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_folder_shows_what_its_search_shows(search, kind):
    text = SearchDisplay.from_search(search.run).text(kind)
    assert (
        text
        == SearchDisplay.from_search(search.handle_).text(kind)
        == SearchDisplay.from_search(search).text(kind)
    )


def test_a_parameter_has_axes_of_its_own(search):
    display = SearchDisplay.from_search(search).plot("params")
    assert [axes.get_xlabel() for axes in display.axes_] == ["C", "kernel"]
    labels = [label.get_text() for label in display.ax_.get_xticklabels()]
    assert labels == ["0.01", "1", "100"]


def test_axes_that_are_given_are_drawn_on(search):
    figure, ax = pyplot.subplots()
    display = SearchDisplay.from_search(search).plot("params", ax=ax, param="kernel")
    assert display.ax_ is ax
    assert display.figure_ is figure


def test_too_few_axes_are_refused(search):
    _, ax = pyplot.subplots()
    with pytest.raises(SettingsError, match="ax has 1 axes for 2 plots"):
        SearchDisplay.from_search(search).plot("params", ax=ax)


def test_numbers_stand_by_size_and_words_behind_them():
    labels = [box.value for box in scores_by_value(of_values([10, "auto", 9.0, None, 0.5]))["p"]]
    assert labels == ["0.5", "9", "10", "None", "auto"]


def test_many_numbers_are_put_into_bins_that_hold_every_candidate_once():
    rows = scores_by_value(of_values([value / 7 for value in range(60)]))["p"]
    assert [len(box.scores) for box in rows] == [10] * 6
    assert sorted(score for box in rows for score in box.scores) == [trial / 100 for trial in range(60)]


def test_with_halving_boxes_are_of_the_resource_that_all_candidates_have():
    events = [Proposed(0, {"p": 1}), evaluated(0, score=0.2, resource=9), evaluated(0, score=0.9, rung=1)]
    assert scores_by_value(seen(events))["p"][0].scores == (0.2,)


def test_a_candidate_counts_from_the_moment_when_it_is_whole():
    events = [evaluated(0, 0, 0.4), evaluated(1, 0, 0.9, seconds=2), evaluated(0, 1, 0.6, seconds=3)]
    (moment,) = best_over_time(seen(events, n_splits=2))
    assert (moment.trial, moment.seconds, moment.n_done, moment.best) == (0, 3, 3, 0.5)


def test_the_best_so_far_is_of_those_that_were_given_most():
    events = [evaluated(0, score=0.9, resource=9), evaluated(1, score=0.7, rung=1), evaluated(2, score=0.8)]
    assert [moment.best for moment in best_over_time(seen(events))] == [0.9, 0.7, 0.7]


def test_a_curve_has_the_scores_of_a_candidate_by_resource():
    events = [evaluated(0, score=0.4, resource=9, train=1.0), evaluated(0, score=0.6, rung=1), evaluated(1)]
    ((trial, points),) = resource_curves(seen(events)).items()
    assert trial == 0
    assert [(point.resource, point.score) for point in points] == [(9, 0.4), (90, 0.6)]
    assert points[0].train == 1.0


def test_a_worker_is_at_one_task_at_a_time():
    events = [evaluated(0, seconds=2.0, took=2.0), evaluated(1, seconds=2.5, took=1.0)]
    events.append(Failed(Evaluation(2, 0), "no", "no", 3.0, "b"))
    workers = worker_timelines(seen(events))
    assert [(span.start, span.end) for span in workers["a"]] == [(0.0, 2.0), (2.0, 2.5)]
    assert [span.failed for span in workers["b"]] == [True]


def test_a_box_in_characters_has_its_five_marks_in_place():
    assert box_plot([0.0, 0.25, 0.5, 0.75, 1.0], 0.0, 1.0) == "|---------[         :        ]---------|"


def test_what_has_no_curves_says_how_to_get_some():
    display = SearchDisplay(seen([Proposed(0, {"p": 1}), evaluated(0)]))
    with pytest.raises(PlanError, match="halving=True"):
        display.plot("curves")
    assert "two resources" in display.text("curves")


@pytest.mark.parametrize("kind", KINDS)
def test_a_search_without_a_score_is_told_in_words(kind):
    display = SearchDisplay(seen([]))
    assert "yet" in display.text(kind) or kind == "curves"
    with pytest.raises(PlanError, match="no candidate has a score yet"):
        display.plot(kind)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda s: SearchDisplay.from_search(s, metric="f1"), "metric='f1' is invalid: expected 'score'"),
        (lambda s: SearchDisplay.from_search(s).text("pie"), "kind='pie' is invalid: expected 'params'"),
        (
            lambda s: SearchDisplay.from_search(s).plot(param="D"),
            "param='D' is invalid: expected 'C' or 'kernel'",
        ),
        (lambda s: SearchDisplay.from_search(SVC()), "is not a started search"),
    ],
)
def test_what_is_not_there_is_refused(search, ask, words):
    with pytest.raises(SettingsError, match=words):
        ask(search)


def test_a_folder_without_a_search_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="cannot read"):
        SearchDisplay.from_search(tmp_path)


def test_a_search_that_goes_on_counts_its_seconds_from_the_very_start(tmp_path):
    options = {"cv": 3, "engine": 1, "run": tmp_path, "refit": False}
    first = SearchCV(SVC(), SPACE, max_evaluations=6, **options).fit(X, y)
    again = SearchCV(SVC(), SPACE, **options).fit(X, y)
    ends = [event.seconds for event in again.handle_.log if isinstance(event, Evaluated)]
    assert len(ends) == 18
    assert ends == sorted(ends)
    assert ends[6] > first.handle_.log[-1].seconds


ODD = [None, True, 2, 2.5, "a\nb", "$\\nothing$", (1, 2), {"a": [1]}, [0.5, float("nan")], SVC(C=2)]


@pytest.mark.parametrize("kind", KINDS)
def test_any_values_and_infinite_scores_are_shown_without_warning(kind):
    events = [Proposed(trial, {"p": value, "q": trial}) for trial, value in enumerate(ODD)]
    scores = [float("-inf"), float("inf"), 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    events += [
        evaluated(trial, score=score, rung=rung, resource=3**rung)
        for trial, score in enumerate(scores)
        for rung in (0, 1)
    ]
    display = SearchDisplay(seen(events))
    assert display.text(kind)
    display.plot(kind).figure_.canvas.draw()


def test_a_value_of_several_lines_has_one_in_a_table():
    assert [box.value for box in scores_by_value(of_values(["a\n  b"]))["p"]] == ["a b"]
