import json
from dataclasses import replace

import pytest

from manymill import Dataset, scan
from manymill.linear.forecast import _percent, forecast
from manymill.linear.settings import Settings

DATASET = Dataset.from_memory(["good film", "bad film"] * 500, ["pos", "neg"] * 500)
FIXED = Settings(recipe="fast", n_features=2**12)


@pytest.fixture
def film_file(tmp_path):
    path = tmp_path / "films.csv"
    path.write_text("text,label\n" + "good film,pos\nbad film,neg\n" * 500)
    return scan(path)


def test_nothing_is_learnt_but_everything_is_told(film_file):
    found = forecast(film_file, FIXED, threads=2)
    assert found.refusal is None
    assert found.plan.class_counts == {"pos": 500, "neg": 500}
    assert 0 < found.seconds < 60
    first_words = {line.split()[0] for line in found.to_text().splitlines()}
    assert {"read", "classes", "memory", "time"} <= first_words


@pytest.mark.parametrize(("recipe", "n_features"), [("fast", 2**22), ("standard", 2**18)])
def test_the_settings_of_a_forecast_are_decided_by_the_recipe_and_the_rows(recipe, n_features):
    settings = Settings(recipe=recipe)
    found = forecast(DATASET, settings, threads=1).settings
    assert found.n_features == n_features
    # The forecast says which feature weights "auto" is.
    decided = settings.for_plan(DATASET.plan())
    assert found == replace(decided, feature_weights=found.feature_weights)
    assert found.feature_weights == {"fast": None, "standard": "nb-idf"}[recipe]


def test_more_passes_take_longer(film_file):
    one, many = (forecast(film_file, replace(FIXED, passes=n), threads=1).seconds for n in (1, 10_000))
    assert many > one


def test_too_little_memory_is_told_not_raised():
    found = forecast(DATASET, FIXED, threads=1, memory=1 << 20)
    assert "the limit is 2 MB" in str(found.refusal)
    assert found.seconds is None
    assert "time" not in found.to_text()


def test_the_record_is_json_with_the_need_and_the_refusal():
    record = json.loads(json.dumps(forecast(DATASET, FIXED, threads=1, memory=1 << 20).to_json()))
    assert record["model_bytes"] == 2 * 4 * 2**12
    assert record["memory_bytes"] > record["model_bytes"]
    assert record["settings"]["n_features"] == 2**12
    assert "needs" in record["refusal"]


def test_of_many_classes_the_most_frequent_are_shown():
    labels = [f"c{i % 40}" for i in range(400)] + ["frequent"] * 600
    text = forecast(Dataset.from_memory(["some text"] * 1000, labels), FIXED, threads=1).to_text()
    assert "41: frequent 60 %" in text
    assert "and 29 more" in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (89, "89 s"), (600, "10 min"), (7200, "2.0 h")], ids=str
)
def test_the_time_is_shown_as_people_read_it(seconds, text):
    assert f"about {text} on" in replace(forecast(DATASET, FIXED, threads=1), seconds=seconds).to_text()


def test_a_class_of_few_rows_is_not_said_to_have_none():
    assert [_percent(n, 500) for n in (0, 1, 5, 500)] == ["0 %", "<1 %", "1 %", "100 %"]


def test_texts_without_features_have_a_forecast():
    assert forecast(Dataset.from_memory([""] * 50, ["a", "b"] * 25), Settings(), threads=1).refusal is None
