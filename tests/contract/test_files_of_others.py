"""Nothing that is not ours is written over, removed or followed, whatever writes and wherever the file of others lies.

Each writer is tried with a foreign thing at each of the names that it uses: it refuses and names the thing, or leaves
it alone; in both cases every file of others has its bytes afterwards.
"""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from sklearn.datasets import load_iris
from sklearn.ensemble import ExtraTreesClassifier

from manymill import ComplementNaiveBayes, SearchCV, TextClassifier, save_forest
from manymill.cli.app import app
from manymill.errors import RunFolderError
from manymill.forest.estimators import PartitionedForestClassifier
from manymill.storage.own_files import MARKER

MINE = b'{"mine": "years of work"}\n'
TEXTS, LABELS = ["good fun", "bad plot"] * 30, ["pos", "neg"] * 30
X, Y = load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Files to read, and models to predict with."""
    folder = tmp_path_factory.mktemp("shared")
    rows = [json.dumps({"text": t, "label": y}) + "\n" for t, y in zip(TEXTS, LABELS, strict=True)]
    (folder / "rows.jsonl").write_text("".join([*rows, "no JSON\n"]))
    (folder / "table.csv").write_text(
        "a,b,label\n" + "".join(f"{i % 7},{i % 3},{'xy'[i % 2]}\n" for i in range(60))
    )
    train(folder / "rows.jsonl", folder / "texts")
    train_forest(folder / "table.csv", folder / "forest")
    return folder


def command(*arguments):
    result = CliRunner().invoke(app, [*map(str, arguments)])
    if isinstance(result.exception, RunFolderError):
        raise result.exception
    if result.exit_code == 2 and "is a directory" in result.output:  # said by the parser of options
        raise RunFolderError(result.output)
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def train(source, out):
    command("train", source, "--out", out, "--n-features", 64, "--passes", 1)


def train_forest(source, out):
    options = ["--label", "label", "--trees", 2, "--engine", 1]
    command("train", source, "--model", "forest", *options, "--out", out)


def search(source, out):
    names = {"text": "text", "label": "label", "n-trials": 1, "cv": 2, "engine": 1}
    command("search", source, "--out", out, *(part for n, v in names.items() for part in (f"--{n}", v)))


def classifier():
    return TextClassifier(n_features=64, passes=1).fit(TEXTS, LABELS)


RUN = {
    "train": lambda shared, out: train(shared / "rows.jsonl", out),
    "train forest": lambda shared, out: train_forest(shared / "table.csv", out),
    "fit(run=)": lambda shared, out: PartitionedForestClassifier(n_estimators=2).fit(X, Y, run=out),
}
SEARCH = {
    "search": lambda shared, out: search(shared / "rows.jsonl", out),
    "SearchCV": lambda shared, out: SearchCV(
        ExtraTreesClassifier(3), {"max_depth": [1]}, cv=2, run=out, engine=1
    ).fit(X, Y),
}
SAVE = {
    "save": lambda shared, out: classifier().save(out),
    "save naive Bayes": lambda shared, out: ComplementNaiveBayes(n_features=64).fit(TEXTS, LABELS).save(out),
}
FOREST = {"save_forest": lambda shared, out: save_forest(out, ExtraTreesClassifier(3).fit(X, Y))}
OUTPUTS = {
    "predict": lambda shared, out: command("predict", shared / "texts", shared / "rows.jsonl", "--out", out),
    "hash": lambda shared, out: command("hash", shared / "rows.jsonl", "--out", out / "X.npz"),
    "hash svmlight": lambda shared, out: command(
        "hash", shared / "rows.jsonl", "--out", out / "X.npz", "--svmlight"
    ),
}
PREDICT_FOREST = {
    "predict forest": lambda shared, out: command(
        "predict", shared / "forest", shared / "table.csv", "--out", out
    )
}
WRITERS = RUN | SEARCH | SAVE | FOREST | OUTPUTS | PREDICT_FOREST

LOGS = ["plan.json", "events.jsonl", "bad_rows.jsonl"]
FILES_OF = (
    {writer: [*LOGS, ".lock", MARKER, "model/x", "checkpoint/x", "notes.txt"] for writer in RUN}
    | {writer: ["search.jsonl", "abort", ".lock", MARKER, "model/x", "plan.json"] for writer in SEARCH}
    | {writer: ["model.json", ".lock"] for writer in SAVE}
    | {writer: ["forest.json", ".lock"] for writer in FOREST}
    | {
        "predict": ["rows.jsonl", ".manymill/notes.txt", ".manymill/rows.jsonl.done"],
        "predict forest": ["table.jsonl", ".manymill/notes.txt", ".manymill/table.jsonl.done"],
        "hash": ["X.npz", "X.labels.npy", "X.bad_rows.jsonl", ".manymill/notes.txt"],
        "hash svmlight": ["X.npz", "X.labels.json", "X.bad_rows.jsonl", ".manymill/x"],
    }
)
FOLDERS_OF = {
    **{writer: ["model", "checkpoint"] for writer in RUN},
    **{writer: ["model"] for writer in SEARCH},
    **{writer: [".manymill"] for writer in OUTPUTS | PREDICT_FOREST},
}
FOREIGN_FILES = [(writer, name) for writer, names in FILES_OF.items() for name in names]
LINKS = [(writer, name) for writer, name in FOREIGN_FILES if "/" not in name and name != "notes.txt"]
LINKS += [(writer, name) for writer, names in FOLDERS_OF.items() for name in names]
BESIDE_MODELS = ["README.md", "weights-00001-of-00003.safetensors", "nodes-0123456789abcdef.safetensors"]
BESIDE_MODELS += [
    "weights-0123456789abcdef.safetensors",
    "weights.partial",
    "nodes.partial",
    "model.json.partial",
]


def snapshot(folder):
    """Every file and link below a folder, links as such."""
    found = {}
    for base, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(base, name)
            if path.is_symlink():
                found[path] = os.readlink(path)
            elif path.is_file():
                found[path] = path.read_bytes()
    return found


def assert_refused(write, shared, out, name):
    before = snapshot(out.parent)
    with pytest.raises(RunFolderError) as caught:
        write(shared, out)
    assert name.split("/")[-1] in caught.value.what
    after = snapshot(out.parent)
    assert {path: after.get(path) for path in before} == before


@pytest.mark.parametrize(("writer", "name"), FOREIGN_FILES)
def test_a_file_of_others_with_one_of_our_names_is_named_and_stays(shared, tmp_path, writer, name):
    out = tmp_path / "out"
    (out / name).parent.mkdir(parents=True)
    (out / name).write_bytes(MINE)
    assert_refused(WRITERS[writer], shared, out, name)
    assert [path.name for path in out.iterdir()] == [name.split("/")[0]]


@pytest.mark.parametrize(("writer", "name"), LINKS)
@pytest.mark.parametrize("target", ["file", "folder", "nothing"])
def test_a_symbolic_link_with_one_of_our_names_is_refused_and_not_followed(
    shared, tmp_path, writer, name, target
):
    out, victim = tmp_path / "out", tmp_path / "victim"
    out.mkdir()
    if target == "folder":
        victim.mkdir()
        (victim / "pytorch_model.bin").write_bytes(MINE)
    elif target == "file":
        victim.write_bytes(MINE)
    (out / name).symlink_to(victim)
    assert_refused(WRITERS[writer], shared, out, name)
    assert victim.exists() == (target != "nothing")


@pytest.mark.parametrize(("writer", "name"), [entry for entry in FOREIGN_FILES if "/" not in entry[1]])
def test_a_folder_with_the_name_of_one_of_our_files_is_refused(shared, tmp_path, writer, name):
    (tmp_path / "out" / name).mkdir(parents=True)
    (tmp_path / "out" / name / "a").write_bytes(MINE)
    assert_refused(WRITERS[writer], shared, tmp_path / "out", name)


@pytest.mark.parametrize("writer", WRITERS)
def test_a_second_time_into_the_same_folder_is_no_offence(shared, tmp_path, writer):
    WRITERS[writer](shared, tmp_path / "out")
    WRITERS[writer](shared, tmp_path / "out")


@pytest.mark.parametrize("writer", RUN)
@pytest.mark.parametrize(
    "name", ["checkpoint/pytorch_model.bin", "model/weights-1-of-2.safetensors", "notes"]
)
def test_a_run_folder_of_ours_with_something_of_others_is_refused(shared, tmp_path, writer, name):
    out = tmp_path / "out"
    WRITERS[writer](shared, out)
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).write_bytes(MINE)
    assert_refused(WRITERS[writer], shared, out, name)


LINKED = [(writer, name) for writer in RUN for name in ("events.jsonl", "plan.json", "model", "checkpoint")]
LINKED += [(writer, name) for writer in SEARCH for name in ("search.jsonl", "abort", "model")]


@pytest.mark.parametrize(("writer", "name"), LINKED)
def test_a_link_that_someone_put_into_a_folder_of_ours_is_not_followed(shared, tmp_path, writer, name):
    out, victim = tmp_path / "out", tmp_path / "victim"
    WRITERS[writer](shared, out)
    if (out / name).exists():
        (out / name).rename(tmp_path / "old")
    victim.write_bytes(MINE)
    (out / name).symlink_to(victim)
    assert_refused(WRITERS[writer], shared, out, name)


LOGGED = [("train", "bad_rows.jsonl"), *((writer, name) for writer in RUN for name in LOGS[:2])]


@pytest.mark.parametrize(("writer", "name"), LOGGED)
def test_another_name_of_a_log_keeps_its_content(shared, tmp_path, writer, name):
    WRITERS[writer](shared, tmp_path / "out")
    (tmp_path / "backup").hardlink_to(tmp_path / "out" / name)
    before = (tmp_path / "backup").read_bytes()
    WRITERS[writer](shared, tmp_path / "out")
    assert (tmp_path / "backup").read_bytes() == before


@pytest.mark.parametrize("writer", SAVE | FOREST)
def test_saving_removes_only_the_arrays_of_the_model_before(shared, tmp_path, writer):
    out = tmp_path / "model"
    out.mkdir()
    for name in BESIDE_MODELS:
        (out / name).write_bytes(MINE)
    (out / ".manymill-work-12345678").mkdir()
    (out / ".manymill-work-12345678" / "arrays").write_bytes(MINE)
    before = snapshot(out)
    WRITERS[writer](shared, out)
    if writer == "save":
        TextClassifier(n_features=128, passes=1).fit(TEXTS, LABELS).save(out)
    else:
        WRITERS[writer](shared, out)
    after = snapshot(out)
    assert {path: after.get(path) for path in before} == before
    assert len(after) == len(before) + 3  # JSON, arrays and the lock


def test_arrays_of_others_with_the_very_name_of_ours_are_not_replaced(tmp_path):
    classifier().save(tmp_path / "a")
    (weights,) = (tmp_path / "a").glob("weights-*")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / weights.name).write_bytes(MINE)
    assert_refused(lambda shared, out: classifier().save(out), None, tmp_path / "b", weights.name)


@pytest.mark.parametrize("writer", WRITERS)
def test_the_folder_that_the_user_names_may_be_a_link(shared, tmp_path, writer):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    WRITERS[writer](shared, tmp_path / "out")
    assert (tmp_path / "out").is_symlink()
    assert list((tmp_path / "disk").iterdir())


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("url", ["https://me:pa55@host/a?sig=t0ken", "s3://key:pa55@bucket/a", "memory://a"])
def test_a_url_is_no_folder_to_write_to(shared, tmp_path, monkeypatch, writer, url):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunFolderError, match="is a URL") as caught:
        WRITERS[writer](shared, Path(url))
    assert "pa55" not in str(caught.value)
    assert "t0ken" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
@pytest.mark.parametrize("link", ["", "symbolic", "hard"])
@pytest.mark.parametrize("kind", ["texts", "forest"])
def test_predict_never_writes_over_what_it_reads(shared, tmp_path, overwrite, link, kind):
    source = shared / {"texts": "rows.jsonl", "forest": "table.csv"}[kind]
    part = tmp_path / source.with_suffix(".csv").name
    to = ["--to", "csv"]
    read = tmp_path / source.name if not link else tmp_path / "elsewhere" / source.name
    read.parent.mkdir(exist_ok=True)
    read.write_bytes(source.read_bytes())
    if link == "symbolic":
        part.symlink_to(read)
    elif link == "hard":
        part.hardlink_to(read)
    elif kind == "texts":
        to, part = [], read
    before = read.read_bytes()
    with pytest.raises(RunFolderError, match="is an input, and would be replaced"):
        command("predict", shared / kind, read, "--out", tmp_path, *to, *overwrite)
    assert read.read_bytes() == before


@pytest.mark.parametrize(
    ("kind", "source", "part"),
    [("texts", "rows.jsonl", "rows.jsonl"), ("forest", "table.csv", "table.jsonl")],
)
def test_a_single_file_is_replaced_if_the_user_says_so(shared, tmp_path, kind, source, part):
    (tmp_path / part).write_bytes(MINE)
    command("predict", shared / kind, shared / source, "--out", tmp_path, "--overwrite")
    assert (tmp_path / part).read_bytes() != MINE
    command("predict", shared / kind, shared / source, "--out", tmp_path)  # it is ours now


def test_nothing_is_predicted_before_every_part_is_checked(shared, tmp_path):
    (tmp_path / "b.jsonl").write_bytes((shared / "rows.jsonl").read_bytes())
    (out := tmp_path / "out").mkdir()
    (out / "b.jsonl").write_bytes(MINE)
    with pytest.raises(RunFolderError, match=r"b\.jsonl"):
        command("predict", shared / "texts", shared / "rows.jsonl", tmp_path / "b.jsonl", "--out", out)
    assert [path.name for path in out.iterdir() if path.name[0] != "."] == ["b.jsonl"]


def test_a_part_of_an_earlier_version_is_not_replaced_without_a_checksum(shared, tmp_path):
    command("predict", shared / "texts", shared / "rows.jsonl", "--out", tmp_path)
    record = tmp_path / ".manymill" / "rows.jsonl.done"
    content = json.loads(record.read_text())
    del content["checksum"]
    record.write_text(json.dumps(content))
    (tmp_path / ".manymill" / MARKER).unlink()
    with pytest.raises(RunFolderError, match="is not an unchanged output"):
        command("predict", shared / "texts", shared / "rows.jsonl", "--out", tmp_path, "--scores")
    command("predict", shared / "texts", shared / "rows.jsonl", "--out", tmp_path, "--scores", "--overwrite")


@pytest.mark.parametrize("name", ["bad_rows.jsonl", "events.jsonl"])
def test_a_training_does_not_read_what_it_writes(shared, tmp_path, name):
    train(shared / "rows.jsonl", tmp_path / "run")
    (tmp_path / "run" / name).write_bytes(before := (shared / "rows.jsonl").read_bytes())
    with pytest.raises(RunFolderError, match="is a source of the run and lies in its folder"):
        train(tmp_path / "run" / name, tmp_path / "run")
    assert (tmp_path / "run" / name).read_bytes() == before


def test_a_class_folder_called_checkpoint_keeps_its_texts(tmp_path):
    for label in ("checkpoint", "model"):
        (tmp_path / label).mkdir()
        for number in range(9):
            (tmp_path / label / f"{number}.txt").write_text(f"a text of {label}")
    before = snapshot(tmp_path)
    with pytest.raises(RunFolderError, match=r"checkpoint holds '0\.txt'"):
        train(tmp_path, tmp_path)
    assert snapshot(tmp_path) == before


def test_a_run_of_version_0_1_is_known_by_its_plan(shared, tmp_path):
    train(shared / "rows.jsonl", tmp_path)
    (tmp_path / MARKER).unlink()
    train(shared / "rows.jsonl", tmp_path)
    assert (tmp_path / MARKER).exists()


@pytest.mark.parametrize("writer", SEARCH)
def test_a_search_of_version_0_1_is_known_by_its_journal(shared, tmp_path, writer):
    WRITERS[writer](shared, tmp_path / "out")
    (tmp_path / "out" / MARKER).unlink()
    WRITERS[writer](shared, tmp_path / "out")


@pytest.mark.parametrize("arguments", [["predict", "texts", "rows.jsonl", "--overwrite"]])
def test_overwriting_without_a_folder_is_misuse(shared, arguments):
    result = CliRunner().invoke(app, [arguments[0], *(str(shared / a) for a in arguments[1:3]), arguments[3]])
    assert result.exit_code == 2
    assert "--overwrite" in result.output


@pytest.mark.parametrize("writer", OUTPUTS | PREDICT_FOREST | SAVE | FOREST)
@pytest.mark.parametrize("content", [[], ["in-use"], ["in-use", MARKER], ["in-use", MARKER, "data"]])
def test_the_next_run_sweeps_what_a_kill_left(shared, tmp_path, writer, content):
    WRITERS[writer](shared, tmp_path)
    place = tmp_path / ".manymill" if writer in OUTPUTS | PREDICT_FOREST else tmp_path
    (left := place / ".manymill-work-abcdefgh").mkdir()
    marker = {"format": "manymill-work", "format_version": 1, "names": ["data"]}
    for name in content:
        (left / name).write_text(json.dumps(marker) if name == MARKER and "data" in content else "")
    WRITERS[writer](shared, tmp_path)
    assert not left.exists()
