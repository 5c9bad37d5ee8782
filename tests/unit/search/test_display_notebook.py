"""The live table of a search in a notebook, with a `display` that records its arguments."""

import sys
import types

import pytest
from sklearn.datasets import load_iris
from sklearn.svm import SVC

from manymill import SearchCV
from manymill.search.display import as_html, show_live

X, y = load_iris(return_X_y=True)


class Shown:
    def __init__(self):
        self.drawn = []

    def update(self, bundle, *, raw):
        self.drawn.append(bundle)


@pytest.fixture
def page(monkeypatch):
    shown = Shown()
    module = types.ModuleType("IPython.display")

    def display(bundle, *, raw, display_id):
        shown.update(bundle, raw=raw)
        return shown

    module.display = display
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return shown


def test_a_search_that_runs_is_drawn_until_its_end(page):
    handle = SearchCV(SVC(), {"C": [0.1, 1.0, 10.0]}, cv=5, engine=1).start(X, y)
    thread = show_live(handle, seconds=0.001)
    if thread is not None:  # the search may be over by then
        thread.join(20)
    assert handle.wait(20)
    assert "100%" in page.drawn[-1]["text/html"] or thread is None
    assert page.drawn[0].keys() == {"text/html", "text/plain"}


def test_a_search_that_is_over_is_drawn_once(page):
    search = SearchCV(SVC(), {"C": [0.1, 1.0]}, cv=2).fit(X, y)
    search.handle_._ipython_display_()
    assert len(page.drawn) == 1
    assert "100%" in page.drawn[0]["text/html"]


def test_names_are_written_for_html():
    search = SearchCV(SVC(), {"kernel": ["linear", "<script>"]}, cv=2, refit=False)
    with pytest.warns(UserWarning, match="failed"):
        search.fit(X, y)
    drawn = as_html(search.handle_)
    assert "&lt;script&gt;" in drawn
    assert "<script>" not in drawn
    assert "<td>failed</td>" in drawn
