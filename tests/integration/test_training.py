import json
from dataclasses import replace

import numpy as np
import pytest

from manymill import scan
from manymill.errors import PlanError
from manymill.events import ClassesFound, Ended, PassEnded, Warned
from manymill.linear.run import train_run
from manymill.linear.settings import Settings

SETTINGS = Settings(n_features=2**15, passes=2, holdout=0.05)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


def accuracy(model_folder, rows):
    from manymill import TextClassifier

    model = TextClassifier.load(model_folder)
    return float(np.mean(model.predict([r["text"] for r in rows]) == np.array([r["label"] for r in rows])))


@pytest.fixture
def heads_only(monkeypatch):
    """Planning reads only the beginning of a stream, as it does with large ones."""
    monkeypatch.setattr("manymill.data.sampling._COMPLETE_STREAMS_BYTES", 0)


@pytest.mark.parametrize("threads", [2, 5])
def test_the_model_is_the_same_bytes_for_any_number_of_threads(tmp_path, write, languages, threads):
    source = write("all.jsonl", languages)
    one = train_run(scan(source), tmp_path / "one", SETTINGS, threads=1)
    many = train_run(scan(source), tmp_path / "many", SETTINGS, threads=threads)
    assert contents(one.folder / "model") == contents(many.folder / "model")


@pytest.mark.parametrize("name", ["all.jsonl", "all.jsonl.zst", "all.jsonl.gz"])
def test_a_model_of_all_but_the_last_rows_is_the_same_bytes_whoever_reads_them(
    tmp_path, write, languages, heads_only, name
):
    source, runs, events = scan(write(name, languages)), [], []
    settings = Settings(n_features=2**12, passes=1, holdout_tail=0.2, lanes=2, rounds_per_pass=2)
    for number, engine in enumerate((1, 3, "processes:2")):
        folder = tmp_path / str(number)
        runs.append(
            train_run(source, folder, settings, threads=number + 1, engine=engine, observe=events.append)
        )
    assert contents(runs[0].folder / "model") == contents(runs[1].folder / "model")
    assert contents(runs[0].folder / "model") == contents(runs[2].folder / "model")
    held = {event.holdout_rows for event in events if isinstance(event, PassEnded)}
    alone = train_run(source, tmp_path / "alone", replace(settings, lanes=1))
    assert held == {alone.trained.metrics.n_rows}
    assert held.pop() == pytest.approx(0.2 * len(languages), rel=0.2)


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("by_class", [True, False], ids=["sorted by class", "shuffled"])
def test_a_tail_of_other_labels_than_the_source_is_worth_a_warning(
    tmp_path, write, languages, lanes, by_class
):
    rows = sorted(languages, key=lambda row: row["label"]) if by_class else languages
    messages = []
    train_run(
        scan(write("rows.jsonl", rows)),
        tmp_path / "run",
        Settings(n_features=2**12, passes=2, holdout_tail=0.3, lanes=lanes),
        observe=lambda event: messages.append(event.message) if isinstance(event, Warned) else None,
    )
    assert sum("sorted by class and not in order of time" in message for message in messages) == by_class


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("share", [0.1, 0.01])
def test_a_class_of_which_all_rows_are_held_out_is_worth_a_warning(tmp_path, write, lanes, share):
    rows = [{"text": text, "label": text[0]} for text in ["ape ant", "bee bug"] * 100 + ["zebra zulu"] * 5]
    messages = []
    train_run(
        scan(write("rows.jsonl", rows)),
        tmp_path / "run",
        Settings(n_features=2**12, holdout_tail=share, lanes=lanes),
        observe=lambda event: messages.append(event.message) if isinstance(event, Warned) else None,
    )
    assert sum("all rows of 'z' are held out" in message for message in messages) == (share == 0.1)


def test_a_file_of_held_out_rows_excludes_a_tail(tmp_path, write, languages):
    source = scan(write("all.jsonl", languages[:200]))
    with pytest.raises(PlanError, match=r"holdout_tail=0.1 is invalid"):
        train_run(source, tmp_path / "run", Settings(holdout_tail=0.1), holdout=source)
    assert not (tmp_path / "run").exists()


def test_another_seed_gives_another_model(tmp_path, write, languages):
    source = write("all.jsonl", languages)
    a = train_run(scan(source), tmp_path / "a", SETTINGS)
    b = train_run(scan(source), tmp_path / "b", Settings(**{**SETTINGS.to_json(), "seed": 1}))
    assert contents(a.folder / "model") != contents(b.folder / "model")


@pytest.mark.parametrize("name", ["sorted.jsonl", "sorted.jsonl.zst"])
def test_a_file_sorted_by_class_trains_as_well_as_a_shuffled_one(
    tmp_path, write, languages, languages_test, name
):
    shuffled = train_run(scan(write("s.jsonl", languages)), tmp_path / "shuffled", SETTINGS)
    by_class = sorted(languages, key=lambda row: row["label"])
    ordered = train_run(scan(write(name, by_class)), tmp_path / "sorted", SETTINGS)
    good, also = (accuracy(run.folder / "model", languages_test) for run in (shuffled, ordered))
    assert good > 0.9
    assert also > good - 0.01


def test_a_large_file_sorted_by_class_is_mixed_by_the_order_of_its_blocks(
    tmp_path, write, languages, languages_test
):
    by_class = sorted(languages, key=lambda row: row["label"])
    narrow = Settings(**{**SETTINGS.to_json(), "window_bytes": 500_000})
    run = train_run(scan(write("sorted.jsonl", by_class)).plan(block_bytes=20_000), tmp_path / "run", narrow)
    assert accuracy(run.folder / "model", languages_test) > 0.88


@pytest.mark.parametrize("lanes", [1, 2])
def test_rows_without_features_give_a_model_of_the_most_frequent_class(tmp_path, write, lanes):
    rows = [{"text": "...", "label": "often" if i % 3 else "seldom"} for i in range(60)]
    settings = Settings(char_ngram_range=None, lanes=lanes, holdout=0.1)
    source = scan(write("empty.jsonl", rows), text="text", label="label")
    run = train_run(source, tmp_path / "run", settings)
    assert accuracy(run.folder / "model", rows) == 2 / 3


def test_rows_learnt_held_out_and_bad_add_up_to_the_rows_read(tmp_path, write, languages):
    rows = [*languages[:2000], {"text": "no label"}, {"label": "no text"}]
    run = train_run(scan(write("some.jsonl", rows)), tmp_path / "run", SETTINGS)
    assert run.ledger.n_read == 2002
    assert run.ledger.n_rejected == 2
    assert run.trained.n_rows + run.trained.metrics.n_rows == 2000


def test_equal_texts_are_held_out_together(tmp_path, write, languages):
    rows = [row for row in languages[:500] for _ in range(4)]
    run = train_run(
        scan(write("some.jsonl", rows)), tmp_path / "run", Settings(n_features=2**12, holdout=0.2)
    )
    assert run.trained.metrics.n_rows % 4 == 0
    assert run.trained.metrics.n_rows > 0


@pytest.mark.parametrize("weights", ["idf", None])
def test_progressive_loss_of_the_first_pass_is_honest_if_weights_do_not_depend_on_labels(
    tmp_path, write, languages, weights
):
    """Labels drawn at random cannot be predicted, however well they are memorised."""
    generator = np.random.default_rng(0)
    rows = [{"text": row["text"], "label": str(generator.integers(2))} for row in languages[:3000]]
    events = []
    settings = replace(SETTINGS, feature_weights=weights)
    train_run(scan(write("noise.jsonl", rows)), tmp_path / "run", settings, observe=events.append)
    first, second = [event for event in events if isinstance(event, PassEnded)]
    assert 0.45 < first.accuracy < 0.55
    assert second.accuracy > 0.7


def test_a_class_first_met_late_is_learnt_like_the_others(
    tmp_path, write, languages, languages_test, heads_only
):
    late = sorted({row["label"] for row in languages})[7]
    rows = sorted(languages, key=lambda row: row["label"] == late)
    events = []
    narrow = Settings(**{**SETTINGS.to_json(), "window_bytes": 400_000})
    plan = scan(write("late.jsonl.gz", rows)).plan(sample_bytes=100_000)
    assert late not in plan.class_counts
    run = train_run(plan, tmp_path / "run", narrow, observe=events.append)
    assert late in [name for event in events if isinstance(event, ClassesFound) for name in event.names]
    own = [row for row in languages_test if row["label"] == late]
    assert accuracy(run.folder / "model", own) > 0.8


def test_the_second_of_two_classes_may_come_late(tmp_path, write, languages, heads_only):
    two = sorted({row["label"] for row in languages})[:2]
    rows = sorted((row for row in languages * 20 if row["label"] in two), key=lambda row: row["label"])
    plan = scan(write("two.jsonl.gz", rows)).plan(sample_bytes=10_000)
    assert list(plan.class_counts) == two[:1]
    run = train_run(plan, tmp_path / "run", Settings(n_features=2**14))
    assert accuracy(run.folder / "model", rows) > 0.95


def test_a_single_class_is_refused(tmp_path, write):
    rows = [{"text": f"text {i}", "label": "only"} for i in range(10)]
    with pytest.raises(PlanError, match="only"):
        train_run(scan(write("one.jsonl", rows)), tmp_path / "run", SETTINGS)
    assert not (tmp_path / "run" / "model").exists()


def test_integer_labels_stay_integers_in_their_order(tmp_path, write, languages):
    numbers = {name: i for i, name in enumerate(sorted({row["label"] for row in languages}))}
    rows = [{"body": row["text"], "stars": numbers[row["label"]]} for row in languages[:4000]]
    run = train_run(scan(write("n.jsonl", rows), text="body", label="stars"), tmp_path / "run", SETTINGS)
    model = json.loads((run.folder / "model" / "model.json").read_text())
    assert model["classes"] == sorted(numbers.values())


def test_the_best_pass_is_kept_and_training_stops_when_nothing_is_gained(tmp_path, write, languages):
    generator = np.random.default_rng(0)
    rows = [{"text": row["text"], "label": str(generator.integers(2))} for row in languages[:3000]]
    events = []
    settings = Settings(n_features=2**15, passes=9, patience=1, holdout=0.2)
    run = train_run(scan(write("noise.jsonl", rows)), tmp_path / "run", settings, observe=events.append)
    passes = [event for event in events if isinstance(event, PassEnded)]
    best = max(passes, key=lambda event: (event.holdout_accuracy, -event.holdout_loss))
    assert len(passes) < 9
    assert run.trained.best_pass == best.pass_number
    assert run.trained.metrics.accuracy == best.holdout_accuracy


def test_a_file_of_held_out_rows_is_used_instead_of_a_share(tmp_path, write, languages, languages_test):
    source, other = write("train.jsonl", languages[:5000]), write("valid.jsonl", languages_test[:700])
    run = train_run(scan(source), tmp_path / "run", Settings(n_features=2**14), holdout=scan(other))
    assert run.trained.metrics.n_rows == 700
    assert run.trained.n_rows == 5000


def test_weights_of_classes_move_decisions(tmp_path, write, languages):
    two = sorted({row["label"] for row in languages})[:2]
    texts = [row["text"] for row in languages if row["label"] in two]
    rows = [{"text": text, "label": "rare" if i % 10 == 0 else "common"} for i, text in enumerate(texts)]
    source = write("rare.jsonl", rows)
    counts = {}
    for weight in (None, "balanced", {"rare": 50.0}):
        run = train_run(
            scan(source), tmp_path / str(weight)[:3], Settings(n_features=2**10, class_weight=weight)
        )
        counts[str(weight)[:3]] = accuracy(run.folder / "model", [{**row, "label": "rare"} for row in rows])
    assert counts["Non"] < counts["bal"] < counts["{'r"]


def test_a_plan_that_needs_more_memory_than_allowed_is_refused_with_settings_that_fit(
    tmp_path, write, languages
):
    source = write("all.jsonl", languages[:1000])
    settings, limit = Settings(recipe="fast", passes=2, holdout=0.1), 220 << 20
    with pytest.raises(PlanError, match=r"--n-features \d+") as refusal:
        train_run(
            scan(source), tmp_path / "run", replace(settings, n_features=2**24), threads=2, memory=limit
        )
    cheaper = int(refusal.value.hint.split("--n-features ")[1].split()[0])
    train_run(scan(source), tmp_path / "run", replace(settings, n_features=cheaper), threads=2, memory=limit)


def test_the_run_folder_tells_what_was_done(tmp_path, write, languages):
    run = train_run(scan(write("all.jsonl", languages[:2000])), tmp_path / "run", SETTINGS)
    plan = json.loads((run.folder / "plan.json").read_text())
    assert plan["settings"]["n_features"] == 2**15
    events = [json.loads(line) for line in (run.folder / "events.jsonl").read_text().splitlines()]
    assert [events[0]["event"], events[-1]["event"]] == ["Planned", Ended.__name__]
    assert sum(event["event"] == "PassEnded" for event in events) == 2


def test_a_stop_while_the_model_is_being_saved_saves_it_all_the_same(tmp_path, write, languages):
    from manymill.linear.training import train

    kept = []

    def keep(state, number, measured):
        kept.append(number)
        if len(kept) == 1:
            raise KeyboardInterrupt

    plan = scan(write("some.jsonl", languages[:2000])).plan()
    trained = train(plan, SETTINGS, on_best=keep)
    assert trained.interrupted
    assert kept == [1, 1]


def test_where_nothing_is_held_out_a_short_training_saves_its_model_once(tmp_path, write, languages):
    events = []
    settings = Settings(n_features=2**14, passes=3, holdout=0.0)
    run = train_run(
        scan(write("some.jsonl", languages[:2000])), tmp_path / "run", settings, observe=events.append
    )
    assert [event.pass_number for event in events if type(event).__name__ == "ModelSaved"] == [3]
    assert run.trained.best_pass == 3
