import gzip
import hashlib
from dataclasses import fields, replace

import numpy as np
import pytest

from manymill import Dataset, scan
from manymill.data.dataset import Plan
from manymill.data.reader import read
from manymill.errors import PlanError
from manymill.linear.memory import (
    MIN_RECORD,
    available_bytes,
    check_memory,
    longest_record,
    megabytes,
    memory_need,
    n_columns,
    peak_memory_bytes,
    resident_bytes,
    with_record_room,
)
from manymill.linear.recipe import TABLE_BYTES, max_table_features
from manymill.linear.row_stream import (
    CACHE_BYTES,
    cached_row_bytes,
    row_bytes_per_byte,
    rows_of,
    state_bytes,
)
from manymill.linear.settings import Settings

SMALL = replace(
    Dataset.from_memory(["a b", "c"] * 50, ["x", "y"] * 50).plan(),
    text_bytes=10**6,
    n_rows=100,
    class_counts={"x": 1, "y": 1},
)
LARGE = replace(SMALL, text_bytes=10**11, n_rows=10**8)
FIXED = Settings(recipe="fast", n_features=2**20, passes=3)


def need(plan=SMALL, settings=FIXED, threads=2, **more):
    return memory_need(plan, settings, threads=threads, **more)


def test_the_model_takes_four_bytes_a_weight_and_one_sum_a_feature():
    assert need().state == 4 * 2**20 * 2


@pytest.mark.parametrize(
    ("plan", "n_classes", "most"),
    [
        (SMALL, 2, SMALL.text_bytes),
        (LARGE, 2, 2**24),
        (LARGE, 10, max_table_features(10)),
    ],
    ids=["the text has fewer", "every bucket", "the table is full"],
)
def test_counted_features_take_columns_only_if_they_may_be_in_use(plan, n_classes, most):
    settings = Settings().for_plan(plan, n_classes)
    n_features = n_columns(plan, settings, n_classes)
    assert 0.4 * most <= n_features <= most
    outputs = 1 if n_classes == 2 else n_classes
    assert need(plan, settings, n_classes=n_classes).state > state_bytes(
        n_features, outputs, regularised=True
    )


def test_blocks_of_several_outputs_are_filled_up_and_found_by_a_number():
    assert need(n_classes=5).state == 4 * 2**20 * (8 + 1)
    assert need(n_classes=40).state == 4 * 2**20 * (48 + 1)


@pytest.mark.parametrize("strength", [{"l1": 1e-6}, {"l2": 1e-6}], ids=str)
def test_regularisation_remembers_when_each_feature_was_last_touched(strength):
    assert need(settings=replace(FIXED, **strength)).state - need().state == 4 * 2**20


@pytest.mark.parametrize(
    ("outputs", "cells"), [(1, 3), (2, 4 + 1), (3, 8 + 1), (30, 32 + 1), (31, 36 + 1), (32, 40 + 1)]
)
def test_the_row_that_touched_a_feature_last_lies_in_its_block(outputs, cells):
    assert state_bytes(1000, outputs, regularised=True) == 4 * 1000 * cells


def test_no_more_text_is_held_than_a_window():
    assert FIXED.window_bytes < need(LARGE).window < 1.5 * FIXED.window_bytes
    assert need(SMALL).window < 4 << 20


def test_need_does_not_grow_with_the_source():
    larger = need(replace(LARGE, text_bytes=10**13, n_rows=10**10))
    assert larger.total == pytest.approx(need(LARGE).total, abs=10)


def test_many_short_rows_take_more_than_few_long_ones():
    assert need(replace(LARGE, n_rows=5 * 10**9)).window > need(LARGE).window


def test_rows_are_kept_between_passes_if_they_are_few():
    assert need(SMALL).cached_rows == cached_row_bytes(SMALL, FIXED) > 0
    assert need(LARGE).cached_rows == 0
    assert need(SMALL, replace(FIXED, passes=1)).cached_rows == 0


def test_the_bytes_of_all_parts_are_the_total():
    parts = need(LARGE)
    assert parts.total == sum(getattr(parts, field.name) for field in fields(parts))


def test_held_out_rows_count_and_those_asked_for_count_fully():
    assert 0 < need(LARGE).held_out < 40 << 20
    for share in ({"holdout": 0.1}, {"holdout_tail": 0.1}):
        assert need(LARGE, replace(FIXED, **share)).held_out == pytest.approx(
            0.1 * LARGE.text_bytes * row_bytes_per_byte(LARGE, FIXED)
        )


def test_a_pass_that_is_not_saved_yet_is_a_copy_of_the_weights_where_nothing_is_held_out():
    assert need(settings=replace(FIXED, holdout=0.0)).unsaved == 2 * 4 * 2**20  # with the list of features
    assert need(settings=replace(FIXED, holdout=0.1)).unsaved == 0
    assert need(settings=replace(FIXED, holdout=0.0, passes=1)).unsaved == 0


@pytest.mark.parametrize("threads", [1, 8])
def test_each_thread_has_a_bounded_amount_in_hand(threads):
    assert need(threads=threads).in_flight == threads * need(threads=1).in_flight


def test_longer_n_grams_make_larger_rows():
    sizes = [row_bytes_per_byte(SMALL, Settings(ngram_range=(1, longest))) for longest in range(1, 7)]
    assert sizes == sorted(set(sizes))
    assert cached_row_bytes(replace(SMALL, text_bytes=CACHE_BYTES), Settings(ngram_range=(1, 2))) == 0


@pytest.mark.parametrize(
    ("recipe", "limit"),
    [
        ("fast", 230 << 20),
        ("fast", 250 << 20),
        ("fast", 2 << 30),
        ("standard", 370 << 20),
        ("standard", 1 << 30),
    ],
)
def test_the_cheaper_settings_of_a_refusal_fit(recipe, limit):
    asked = Settings(recipe=recipe, n_features=2**28, passes=3)
    with pytest.raises(PlanError, match="the limit is") as refusal:
        check_memory(LARGE, asked, threads=2, limit=limit)
    words = refusal.value.hint.split()
    options = dict(zip(words[::2], words[1::2], strict=False))
    cheaper = replace(
        asked,
        n_features=int(options.get("--n-features", 2**28)),
        passes=int(options.get("--passes", 3)),
        window_bytes=int(options["--window"][:-2]) * 10**6 if "--window" in options else asked.window_bytes,
    )
    threads = int(options.get("--threads", 2))
    assert check_memory(LARGE, cheaper, threads=threads, limit=limit).total <= limit


def test_a_limit_below_everything_says_what_is_the_least():
    with pytest.raises(PlanError, match=r"--passes 1 .*needs [0-9]{2,3} MB; allow at least that"):
        check_memory(LARGE, FIXED, threads=2, limit=1 << 20)
    least = replace(FIXED, n_features=1024, passes=1, window_bytes=8 * 10**6)
    with pytest.raises(PlanError, match=r"Hint: needs [0-9]{2,3} MB; allow at least that"):
        check_memory(LARGE, least, threads=1, limit=1 << 20)


def test_without_a_limit_the_machine_is_asked(monkeypatch):
    monkeypatch.setattr("manymill.linear.memory.available_bytes", lambda: 100 << 20)
    with pytest.raises(PlanError, match="this machine has available only 105 MB"):
        check_memory(LARGE, FIXED, threads=1, limit=None)


@pytest.mark.parametrize(
    ("n_bytes", "text"), [(119_600_000, "120 MB"), (1_540_000_000, "1.5 GB"), (0, "0 MB")]
)
def test_bytes_are_shown_as_people_read_them(n_bytes, text):
    assert megabytes(n_bytes) == text


def test_this_process_holds_less_now_than_at_its_peak():
    assert 10 << 20 < resident_bytes() <= peak_memory_bytes() + (16 << 20)


def test_the_files_of_linux_tell_what_psutil_does(monkeypatch):
    measured = [measure() for measure in (available_bytes, resident_bytes)]
    monkeypatch.setattr("manymill.linear.memory._proc_bytes", lambda path, name: None)
    asked = [measure() for measure in (available_bytes, resident_bytes)]
    assert measured == pytest.approx(asked, rel=0.2)
    assert peak_memory_bytes() == pytest.approx(asked[1], rel=0.2)


LANES = replace(FIXED, lanes=8, rounds_per_pass=4)


def test_each_worker_of_lanes_has_a_learner_beside_the_drivers():
    assert need(settings=LANES, threads=3).state == 4 * need().state
    assert need(settings=LANES, threads=20).state == 9 * need().state


def test_what_lanes_exchange_is_bounded_by_the_features():
    assert need().exchanged == 0
    larger = need(replace(LARGE, text_bytes=10**13), LANES).exchanged
    assert need(SMALL, LANES).exchanged < need(LARGE, LANES).exchanged == larger


def test_a_lane_mixes_its_own_part_of_a_round():
    medium = replace(SMALL, text_bytes=64 * 10**6)
    assert need(medium, LANES).window < need(medium).window


def lines(path, longest, n_rows=20):
    words = "good fun " * (longest // 9)
    path.write_text("".join(f'{{"text": "{words}{i}", "label": "{"ab"[i % 2]}"}}\n' for i in range(n_rows)))
    return path


def test_room_is_for_the_longest_record_of_the_whole_source(tmp_path):
    plan = scan(lines(tmp_path / "a.jsonl", 10_000)).plan()
    assert plan.exact
    assert 10_000 <= longest_record(plan) < 10_100
    assert longest_record(replace(plan, exact=False)) == MIN_RECORD


def test_a_record_that_no_sampled_piece_can_hold_asks_for_room_for_the_longest_allowed(tmp_path):
    path = lines(tmp_path / "a.jsonl", 3 << 20, 12)
    plan = scan(path, max_record_bytes=8 << 20).plan(sample_bytes=4 << 20)
    assert not plan.exact
    assert longest_record(plan) == 8 << 20


def test_a_tight_promise_leaves_out_records_that_it_has_no_room_for_and_says_what_they_need(tmp_path):
    plan = replace(scan(lines(tmp_path / "a.jsonl", 5 << 20, 3)).plan(), exact=False, longest_record=100)
    tight = with_record_room(plan, FIXED, threads=2, limit=need(plan).total)
    assert tight.record_room == MIN_RECORD
    assert [len(batch) for batch in read(plan) if len(batch)] == [1, 1, 1]
    bad = [row for batch in read(tight) for row in batch.bad]
    assert {row.reason for row in bad} == {"record too large for the memory"}
    needed = f"{tight.record_memory / 1e6:,.0f} MB"
    assert needed in bad[0].detail
    assert sum(batch.n_bad for batch in read(tight)) == 3
    assert need(tight).total <= need(plan).total + 10
    assert Plan.from_json(tight.to_json()).record_room == MIN_RECORD
    assert with_record_room(plan, FIXED, threads=2, limit=None) == plan
    ample = with_record_room(plan, FIXED, threads=2, limit=tight.record_memory)
    assert [len(batch) for batch in read(ample) if len(batch)] == [1, 1, 1]
    assert need(ample).total == tight.record_memory
    assert with_record_room(replace(plan, exact=True), FIXED, threads=2, limit=1 << 20).record_room == 0


def test_a_record_that_was_too_long_was_held_up_to_the_longest_allowed(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    row = b'{"text": "a", "label": "b"}\n'
    path.write_bytes(gzip.compress(row + bytes(5 << 20) + b"\n" + row))
    plan = scan(path, max_record_bytes=3 << 20).plan()
    assert plan.n_rows == 2
    assert longest_record(plan) == 3 << 20


# ---- the default settings

TEXT = replace(SMALL, text_bytes=30 * 10**6, n_rows=25_000)


def promised(plan, **settings):
    used = Settings(**settings).for_plan(plan)
    return memory_need(plan, used, threads=2), used


def test_tens_of_megabytes_of_text_train_on_a_small_machine():
    of_two_classes, _ = promised(TEXT)
    assert of_two_classes.total - of_two_classes.base < 800 * 10**6
    many, _ = promised(replace(TEXT, class_counts=dict.fromkeys(map(str, range(57)), 1)))
    assert many.total - many.base < 1100 * 10**6


@pytest.mark.parametrize("n_classes", [2, 3, 30, 40, 512, 5000])
def test_features_in_use_keep_to_the_bound_of_the_table(n_classes):
    features = max_table_features(n_classes)
    outputs = 1 if n_classes == 2 else n_classes
    assert state_bytes(features, outputs, regularised=True) <= TABLE_BYTES
    assert state_bytes(features + 1, outputs, regularised=True) > TABLE_BYTES


@pytest.mark.parametrize("n_classes", [3, 57, 512, 1000])
def test_buckets_of_uncounted_features_keep_the_weights_to_the_bound_of_the_table(n_classes):
    n_buckets = Settings(recipe="fast").resolve(n_classes).n_features
    assert 4 * n_buckets * n_classes <= TABLE_BYTES


def test_a_checkpoint_of_many_classes_is_no_copy_of_the_state():
    many, _ = promised(replace(TEXT, class_counts=dict.fromkeys(map(str, range(512)), 1)))
    assert many.state >= TABLE_BYTES
    assert many.checkpoint < 32 << 20


LETTERS = "abcdefghijklmnopqrstuvwxyz"


def random_text(generator, n_bytes, *, unspaced):
    """Words as frequent as those of a language, of 1 to 9 letters, or kanji of the same frequencies."""
    ranks = (generator.pareto(0.8, max(1, n_bytes // 3)) * 3).astype(int) % 3000
    if unspaced:
        return "".join(chr(0x4E00 + rank) for rank in ranks)
    words = (hashlib.sha256(str(rank).encode()).digest() for rank in ranks)
    return " ".join("".join(LETTERS[b % 26] for b in word[: 1 + word[-1] % 9]) for word in words)[:n_bytes]


@pytest.mark.parametrize("n_bytes", [1, 3, 10, 30, 100, 300, 1000])
@pytest.mark.parametrize("unspaced", [False, True])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"recipe": "fast"},
        {"char_ngram_range": (3, 5)},
        {"ngram_range": (1, 3)},
        {"char_analyzer": "char"},
    ],
    ids=str,
)
def test_rows_take_no_more_bytes_than_estimated(n_bytes, unspaced, settings):
    generator = np.random.default_rng(0)
    texts = [random_text(generator, n_bytes, unspaced=unspaced) for _ in range(100_000 // n_bytes)]
    plan = Dataset.from_memory(texts, ["a", "b"] * (len(texts) // 2) + ["a"] * (len(texts) % 2)).plan()
    used = Settings(n_features=2**24, **settings)
    n_taken = sum(rows.nbytes + 4 * len(rows) for rows in rows_of(texts, used.analyzer, None, threads=1))
    assert n_taken <= plan.text_bytes * row_bytes_per_byte(plan, used)
    assert plan.text_bytes * row_bytes_per_byte(plan, used) < 4 * n_taken
