"""The hashed corpus of a search: written once, found again, removed when the limit is reached."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from filelock import FileLock

from manymill import scan
from manymill.data.reader import read
from manymill.errors import PlanError, SchemaError, SettingsError, SourceError
from manymill.hash_form import word_form
from manymill.search import hashed_corpus
from manymill.search.hashed_corpus import HashedCorpus

TEXTS = ["Good fun", "bad plot and bad cast", "", "ein guter Film", "gut \u00c4rger"]
LABELS = ["pos", "neg", "neg", "pos", "pos"]
WORDS, PAIRS, CASED = word_form(), word_form((1, 2)), word_form(lowercase=False)
MAIL = "examples/data/mail-test.jsonl.zst"


def corpus(folder, X=TEXTS, y=LABELS, forms=(WORDS, PAIRS), **kwargs):
    return HashedCorpus.build(X, y, forms=forms, folder=folder, threads=2, **kwargs)


def entries(folder):
    return sorted(path.name.split("-")[1] for path in folder.iterdir() if path.name != "lock")


def test_a_second_search_writes_nothing(tmp_path):
    with corpus(tmp_path) as first, corpus(tmp_path) as second:
        assert first.bytes_written > 0
        assert second.bytes_written == 0
        for form in (WORDS, PAIRS):
            one, other = first.texts.chunk(form), second.texts.chunk(form)
            assert all(map(np.array_equal, one, other))


def test_only_missing_forms_are_written(tmp_path):
    corpus(tmp_path, forms=[WORDS]).close()
    with corpus(tmp_path, forms=[WORDS, CASED]) as second:
        hashes, _, ends = second.texts.chunk(CASED)
        assert second.bytes_written == hashes.nbytes + ends.nbytes
    assert entries(tmp_path) == ["documents", "hashes", "hashes"]


@pytest.mark.parametrize(
    ("X", "y"), [([*TEXTS[:-1], "other"], LABELS), (["Go", "od fun", *TEXTS[1:-1]], LABELS)]
)
def test_other_texts_are_other_files(tmp_path, X, y):
    corpus(tmp_path).close()
    with corpus(tmp_path, X, y) as other:
        assert other.bytes_written > 0


def test_a_file_that_changed_is_hashed_again(tmp_path):
    source, store = tmp_path / "rows.jsonl", tmp_path / "store"
    for text in ("good", "better"):
        source.write_text(f'{{"text": "{text}", "label": "a"}}\n{{"text": "bad", "label": "b"}}\n')
        with corpus(store, scan(source), None) as found:
            assert found.bytes_written > 0
            assert found.texts.text_bytes().tolist() == [len(text), 3]


def test_a_dataset_brings_its_rows_labels_and_weights_in_the_order_of_its_files(tmp_path):
    source = tmp_path / "rows.csv"
    source.write_text("text,label,weight\n" + "".join(f"word {i},{i % 3},{i}.5\n" for i in range(7)))
    with corpus(tmp_path / "store", scan(source, weight="weight"), None) as found:
        assert found.y.tolist() == [0, 1, 2, 0, 1, 2, 0]
        assert found.sample_weight.tolist() == [i + 0.5 for i in range(7)]


def test_labels_of_a_dataset_are_those_that_reading_gives(tmp_path):
    with corpus(tmp_path, scan(MAIL), None) as found:
        assert found.y.tolist() == [name for batch in read(scan(MAIL).plan()) for name in batch.labels()]


def test_integer_labels_stay_integers(tmp_path):
    source = tmp_path / "rows.jsonl"
    source.write_text('{"text": "a b", "label": 10}\n{"text": "c d", "label": 9}\n')
    with corpus(tmp_path / "store", scan(source), None) as found:
        assert found.y.tolist() == [10, 9]


def test_hashed_texts_pickle_as_names_of_files(tmp_path):
    with corpus(tmp_path, TEXTS * 5000, LABELS * 5000) as found:
        standard_input = pickle.dumps(found.texts)
        assert len(standard_input) < 2000
        assert pickle.loads(standard_input)[[3, 1]].text_bytes().tolist() == [14, 21]


def test_rows_are_picked_like_those_of_an_array(tmp_path):
    with corpus(tmp_path) as found:
        sizes = found.texts.text_bytes()
        picks = [[4, 0], np.array([True, False, True, False, False]), slice(1, 4), slice(None, None, -1)]
        for pick in picks:
            assert found.texts[pick].text_bytes().tolist() == sizes[pick].tolist()
            assert found.texts[::-1][pick].text_bytes().tolist() == sizes[::-1][pick].tolist()
        with pytest.raises(TypeError, match="cannot be read one by one"):
            found.texts[0]


def test_a_form_that_is_not_there_is_named(tmp_path):
    with (
        corpus(tmp_path, forms=[WORDS]) as found,
        pytest.raises(SettingsError, match=r"not with ngram_range=\(1, 2\)"),
    ):
        found.texts.chunk(PAIRS)


def test_what_was_used_longest_ago_goes_first_and_what_is_in_use_stays(tmp_path):
    with corpus(tmp_path, forms=[WORDS], limit_bytes=1):
        corpus(tmp_path, TEXTS[:2], LABELS[:2], forms=[PAIRS], limit_bytes=1).close()
        assert entries(tmp_path) == ["documents", "hashes"]
    assert entries(tmp_path) == []


def test_what_a_killed_search_was_writing_is_swept_and_what_another_writes_is_not(tmp_path):
    for name in ("0" * 32, "1" * 32):
        folder = tmp_path / f"{name}-documents.{name}.partial"
        folder.mkdir()
        lock = FileLock(folder / "in-use-writer")
    with lock:
        corpus(tmp_path, forms=[WORDS]).close()
        assert [path.name[0] for path in tmp_path.glob("*.partial")] == ["1"]


def test_columns_that_another_search_keeps_removing_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(hashed_corpus.ColumnStore, "find", lambda self, name, dtypes: None)
    with pytest.raises(SourceError, match="another search"):
        corpus(tmp_path)


def test_a_search_that_failed_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(hashed_corpus._DocumentWriter, "finish", fail)
    with pytest.raises(KeyboardInterrupt):
        corpus(tmp_path)
    assert entries(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match="cannot be written"):
        corpus(tmp_path / "file" / "store")


def test_files_that_were_removed_are_named(tmp_path):
    with corpus(tmp_path) as found:
        texts = pickle.loads(pickle.dumps(found.texts))
        for path in tmp_path.glob("*/hashes"):
            path.unlink()
        with pytest.raises(SourceError, match="is rebuilt"):
            texts.chunk(WORDS)


def test_labels_are_needed_once(tmp_path):
    for X, y in ((TEXTS, None), (scan(MAIL), LABELS), (TEXTS, LABELS[:2])):
        with pytest.raises(SchemaError, match="labels"):
            corpus(tmp_path, X, y)


def test_unlabelled_data_has_nothing_to_search_by(tmp_path):
    with pytest.raises(SchemaError, match="labels"):
        corpus(tmp_path, scan(MAIL, labelled=False), None)


def test_the_standard_input_is_refused(tmp_path, monkeypatch):
    plan = scan(MAIL).plan()
    standard_input = replace(plan, files=(replace(plan.files[0], path="-"),))
    monkeypatch.setattr("manymill.data.dataset.Dataset.plan", lambda self, **_: standard_input)
    with pytest.raises(PlanError, match="standard input"):
        corpus(tmp_path, scan(MAIL), None)


def test_without_a_name_the_folder_is_that_of_the_users_caches(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    corpus(None).close()
    assert list(tmp_path.glob("manymill/hashed-texts/*/hashes"))
