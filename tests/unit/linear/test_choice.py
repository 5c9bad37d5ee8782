"""The recipe "auto": what it compares, what it chooses, and where it leaves the recipe standard alone."""

from dataclasses import replace

import numpy as np
import pytest

from manymill import TextClassifier
from manymill.data.dataset import Dataset
from manymill.data.reader import read
from manymill.engine.local import workers
from manymill.linear.candidates import candidates_of
from manymill.linear.choice import with_choice
from manymill.linear.choice_sample import MIN_JUDGING, MIN_TRAINING, sample_rows
from manymill.linear.settings import Settings
from manymill.model import load_model

AUTO = Settings(recipe="auto")
# One pass over words alone is quick.
WORDS = Settings(recipe="auto", ngram_range=(1, 1), char_ngram_range=None)


def reviews(n, flipped, seed=0):
    """Texts of two classes, most of whose words are rare and say nothing; a share of the labels is wrong."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(2, size=n)
    rare, telling = rng.integers(8_000, size=(n, 10)), rng.integers(30, size=(n, 3))
    texts = [
        " ".join([f"r{word}" for word in rare[i]] + [f"{'ab'[codes[i]]}{word}" for word in telling[i]])
        for i in range(n)
    ]
    labels = np.where(rng.random(n) < flipped, 1 - codes, codes)
    return texts, [("bad", "good")[code] for code in labels]


@pytest.fixture(scope="module")
def noisy():
    return Dataset.from_memory(*reviews(14_000, 0.35)).plan()


@pytest.fixture(scope="module")
def clean():
    return Dataset.from_memory(*reviews(14_000, 0.0)).plan()


def test_noisy_labels_get_a_stronger_regularisation(noisy):
    settings, choice = with_choice(noisy, WORDS, threads=2)
    assert choice.values["l2_times_rows"] >= 3
    assert not choice.is_standard
    assert settings.l2 == choice.values["l2_times_rows"] / noisy.n_rows
    winner = next(row for row in choice.candidates if row.items() >= choice.values.items())
    assert winner["difference"] > 2 * winner["standard_error"]


def test_noisy_labels_are_predicted_better_than_by_the_recipe_standard():
    texts, labels = reviews(14_000, 0.35)
    new, truth = reviews(3_000, 0.0, seed=1)
    given = {"ngram_range": (1, 1), "char_ngram_range": None}
    standard, auto = (
        TextClassifier(recipe=recipe, **given).fit(texts, labels) for recipe in ("standard", "auto")
    )
    assert auto.score(new, truth) > standard.score(new, truth) + 0.02
    assert standard.recipe_ is None
    assert not auto.recipe_.is_standard


def test_a_clean_set_keeps_the_recipe_standard(clean):
    settings, choice = with_choice(clean, AUTO, threads=2)
    assert choice.is_standard
    assert replace(settings.for_plan(clean), recipe="standard") == Settings().for_plan(clean)
    assert choice.n_training >= MIN_TRAINING
    assert choice.n_judging >= MIN_JUDGING


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_do_not_change_a_choice(noisy, threads):
    assert with_choice(noisy, WORDS, threads=threads) == with_choice(noisy, WORDS, threads=2)


def test_another_recipe_chooses_nothing(noisy):
    settings = Settings(recipe="fast")
    assert with_choice(noisy, settings, threads=1) == (settings, None)


def test_few_rows_keep_the_recipe_standard_and_say_so():
    plan = Dataset.from_memory(*reviews(9_000, 0.3)).plan()
    settings, choice = with_choice(plan, AUTO, threads=1)
    assert choice.is_standard
    assert "too few rows" in choice.reason
    assert choice.candidates == ()
    assert replace(settings.for_plan(plan), recipe="standard") == Settings().for_plan(plan)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"ngram_range": (1, 3)}, "ngram_range"),
        ({"char_ngram_range": None}, "char_ngram_range"),
        ({"feature_weights": "nb"}, "feature_weights"),
        ({"feature_weights": None}, "feature_weights"),
        ({"loss": "hinge"}, "loss"),
    ],
    ids=str,
)
def test_a_parameter_given_by_hand_is_the_same_in_all_candidates(given, name):
    candidates = candidates_of(replace(AUTO, **given))
    assert {getattr(candidate, name) for candidate in candidates} == {given[name]}
    assert len(candidates) > 1
    assert len(set(candidates)) == len(candidates)


def test_l2_given_by_hand_is_kept():
    settings = replace(AUTO, l2=1e-4)
    candidates = candidates_of(settings)
    assert {candidate.l2_times_rows for candidate in candidates} == {None}
    assert candidates[-1].applied(settings, 1000).l2 == 1e-4


def test_candidates_have_the_features_that_other_parameters_belong_to():
    words = candidates_of(replace(AUTO, stop_words="english"))
    assert all(candidate.ngram_range is not None for candidate in words)
    characters = candidates_of(replace(AUTO, char_analyzer="char"))
    assert all(candidate.char_ngram_range is not None for candidate in characters)


def test_with_everything_given_there_is_nothing_to_choose(noisy):
    given = replace(WORDS, feature_weights="nb", loss="hinge", l2=0.0)
    settings, choice = with_choice(noisy, given, threads=1)
    assert settings == given
    assert choice.reason == "every parameter is given by hand"


def sampled(plan, settings):
    with workers(1) as executor:
        return sample_rows(plan, settings, (), executor, 2)


def texts_of(parts):
    texts = []
    for part in parts:
        for chunk, row in zip(part.chunk_of, part.row_of, strict=True):
            data, offsets = part.documents[chunk]
            texts.append(bytes(data[offsets[row] : offsets[row + 1]]).decode())
    return texts


def test_rows_that_judge_are_neither_learnt_nor_held_out(noisy):
    def texts_below(share):
        for batch in read(noisy, keyed=True):
            rows = np.flatnonzero(batch.keys < np.uint64(share * 2.0**64))
            texts = batch.data.tobytes()
            yield from (texts[batch.offsets[i] : batch.offsets[i + 1]].decode() for i in rows)

    sample = sampled(noisy, AUTO)
    learnt, judging = set(texts_of(sample.training)), set(texts_of(sample.judging))
    held_out = set(texts_below(AUTO.holdout_share(noisy.n_rows, noisy.text_bytes)))
    assert held_out
    assert not learnt & judging
    assert not held_out & (learnt | judging)


def test_the_tail_that_is_held_out_is_not_in_the_sample():
    texts, labels = reviews(15_000, 0.0)
    sample = sampled(Dataset.from_memory(texts, labels).plan(), replace(AUTO, holdout_tail=0.2))
    assert set(texts_of(sample.training) + texts_of(sample.judging)) <= set(texts[:12_000])


def test_rows_of_the_sample_have_the_weights_of_their_classes():
    texts, labels = reviews(13_000, 0.0)
    plan = Dataset.from_memory(texts, labels, [0.5] * len(texts)).plan()
    sample = sampled(plan, replace(AUTO, class_weight={"good": 3.0, "bad": 1.0}))
    good = sample.index.names.index("good")
    for part in [*sample.training, *sample.judging]:
        np.testing.assert_array_equal(part.weights, np.where(part.classes == good, 1.5, 0.5))


def test_a_saved_model_tells_the_choice(tmp_path):
    texts, labels = reviews(200, 0.0)
    classifier = TextClassifier(recipe="auto").fit(texts, labels)
    classifier.save(tmp_path / "model")
    assert load_model(tmp_path / "model").facts["choice"]["is_standard"]
    loaded = TextClassifier.load(tmp_path / "model")
    assert loaded.predict(texts).tolist() == classifier.predict(texts).tolist()
