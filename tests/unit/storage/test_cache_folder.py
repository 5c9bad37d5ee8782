"""The location of caches, with a home folder that is missing or not writable."""

import os
import subprocess
import sys

import pytest

from manymill.errors import SourceError
from manymill.storage.cache_folder import cache_folder, temporary_folder


@pytest.fixture(autouse=True)
def environment(tmp_path, monkeypatch):
    for name in ("MANYMILL_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture(params=["missing", "a file", "read-only", "nobody's", "not private"])
def bad_home(request, tmp_path, monkeypatch):
    """Homes in which there can be no cache."""
    home = tmp_path / "home"
    if request.param == "a file":
        home.touch()
    elif request.param == "read-only":
        home.mkdir()
        (home / ".cache").touch()  # the tests may run as root, who can write to any folder
    elif request.param == "nobody's":
        monkeypatch.delenv("HOME")
        monkeypatch.setattr("os.path.expanduser", lambda path: path)  # nor does the system know one
    elif request.param == "not private":
        (home / ".cache" / "manymill" / "hashed-texts").mkdir(parents=True)
        (home / ".cache" / "manymill" / "hashed-texts").chmod(0o777)
    return home


def test_the_variable_goes_before_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("MANYMILL_CACHE", str(tmp_path / "named"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder("hashed texts") == tmp_path / "named" / "hashed-texts"
    assert not (tmp_path / "xdg").exists()


def test_the_folder_of_caches_goes_before_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder("tables") == tmp_path / "xdg" / "manymill" / "tables"


def test_the_home_is_taken_without_a_word(tmp_path, caplog):
    (tmp_path / "home").mkdir()
    folder = cache_folder("tables")
    assert folder == tmp_path / "home" / ".cache" / "manymill" / "tables"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert not caplog.text


def test_a_named_folder_that_cannot_be_used_is_an_error_with_the_name_of_the_variable(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MANYMILL_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(SourceError, match="MANYMILL_CACHE="):
        cache_folder("tables", run=tmp_path / "run")


def test_without_a_home_the_run_has_the_cache_and_the_log_says_so(bad_home, tmp_path, caplog):
    folder = cache_folder("hashed texts", run=tmp_path / "run")
    assert folder == tmp_path / "run" / "cache" / "hashed-texts"
    assert str(folder) in caplog.text
    assert "MANYMILL_CACHE" in caplog.text


def test_without_a_home_and_a_run_the_temporary_folder_has_the_cache(bad_home, tmp_path, caplog):
    folder = cache_folder("hashed texts")
    assert folder.is_relative_to(tmp_path / "tmp")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert folder.parent.stat().st_mode & 0o777 == 0o700
    assert str(folder) in caplog.text
    assert cache_folder("hashed texts") == folder


def test_a_run_folder_that_cannot_be_written_leaves_the_temporary_one(bad_home, tmp_path):
    (tmp_path / "file").touch()
    assert cache_folder("hashed texts", run=tmp_path / "file").is_relative_to(tmp_path / "tmp")


def test_where_nothing_can_be_written_the_error_names_the_variable(bad_home, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    with pytest.raises(SourceError, match="MANYMILL_CACHE"):
        cache_folder("hashed texts")


@pytest.mark.parametrize("taken", ["file", "link", "open", "dangling"])
def test_a_temporary_folder_is_the_users_alone_whoever_took_its_name(tmp_path, taken):
    usual = temporary_folder("things")
    usual.rmdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if taken == "file":
        usual.touch()
    elif taken == "open":
        usual.mkdir()
        usual.chmod(0o777)
    else:
        usual.symlink_to(elsewhere if taken == "link" else tmp_path / "nowhere")
    folder = temporary_folder("things")
    assert folder != usual
    assert folder.stat().st_mode & 0o777 == 0o700
    assert temporary_folder("things") == folder
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize("home", ["/nonexistent", "/proc/self", None])
def test_a_search_needs_no_home(tmp_path, home):
    rows = "".join(f'{{"text": "word{n % 7} {n}", "label": "{"ab"[n % 2]}"}}\n' for n in range(40))
    (tmp_path / "rows.jsonl").write_text(rows)
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    environment.pop("HOME")
    if home is None:  # the system's password file knows one: it is not to be written to here
        environment["XDG_CACHE_HOME"] = "/dev/null/caches"
    else:
        environment["HOME"] = home
    config = '[data]\nsource = "rows.jsonl"\n[estimator]\nn_features = 4096\n[space]\npasses = [1]\n'
    (tmp_path / "search.toml").write_text(config + "[search]\nn_trials = 1\ncv = 2\n")
    command = [sys.executable, "-m", "manymill", "search", "search.toml", "--out", "run"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "MANYMILL_CACHE" in done.stderr
    assert list(tmp_path.glob("run/cache/hashed-texts/*/hashes"))
    assert (tmp_path / "run" / "model").is_dir()
