"""Credentials and queries of a URL stay in the process: no message and no file has them."""

import base64
import json
import os
import re
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from manymill import scan
from manymill.cli.app import run as command
from manymill.errors import EngineError, RunFolderError
from manymill.events import RoundEnded
from manymill.linear.run import resume_run, train_run
from manymill.linear.settings import Settings
from manymill.run_folder import RunFolder, read_plan

USER, PASSWORD, TOKEN = "mary", "p4ssw0rd", "t0k3n"
SETTINGS = Settings(n_features=2**12, passes=2, lanes=2, rounds_per_pass=2)


class Server(BaseHTTPRequestHandler):
    """Serves one file, in ranges, to whoever has the password and the token."""

    content = b""

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") != expected or f"token={TOKEN}" not in self.path:
            self.send_error(401)
            return
        start, stop = 0, len(self.content)
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, stop = int(asked[1]), int(asked[2] or stop - 1) + 1
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(self.content)}")
        else:
            self.send_response(200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", '"1"')
        self.send_header("Content-Length", str(len(self.content[start:stop])))
        self.end_headers()
        if body:
            self.wfile.write(self.content[start:stop])

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def url(languages):
    """The URL of a file, with user, password and token."""
    handler = type("Handler", (Server,), {})
    handler.content = "".join(json.dumps(row) + "\n" for row in languages[:1500]).encode()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://{USER}:{PASSWORD}@127.0.0.1:{server.server_port}/some.jsonl?token={TOKEN}"
    server.shutdown()
    thread.join()
    server.server_close()


def leaks(folder: Path) -> list[str]:
    """The files in a folder in whose bytes or names a secret stands."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [
        f"{path}: {secret}"
        for path in files
        for secret in (USER, PASSWORD, TOKEN)
        if secret.encode() in path.read_bytes() + os.fsencode(path)
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan", "{url}"],
        ["train", "{url}", "--out", "{out}/run"],
        [
            "train",
            "{url}",
            "--out",
            "{out}/run",
            "--lanes",
            "2",
            "--engine",
            "processes:2",
            "--holdout",
            "{url}",
        ],
        ["hash", "{url}", "--out", "{out}/matrix.npz", "--json"],
        ["search", "{url}", "--out", "{out}/run", "--n-trials", "2", "--cv", "2"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_command_on_a_url_writes_and_prints_no_secret(url, tmp_path, capfd, arguments) -> None:
    assert command([word.format(url=url, out=tmp_path) for word in arguments]) == 0
    printed = capfd.readouterr()
    assert not [secret for secret in (USER, PASSWORD, TOKEN) if secret in printed.out + printed.err]
    assert not leaks(tmp_path)


@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_a_model_is_used_on_a_url_without_a_trace_of_secrets(url, tmp_path, capfd, verb) -> None:
    train_run(scan(url), tmp_path / "run", Settings(n_features=2**12))
    out = ["--out", str(tmp_path / "parts"), "--json"] if verb == "predict" else []
    assert command([verb, str(tmp_path / "run"), url, *out]) == 0
    printed = capfd.readouterr()
    assert not [secret for secret in (USER, PASSWORD, TOKEN) if secret in printed.out + printed.err]
    assert not leaks(tmp_path)


def test_a_refused_password_is_an_error_without_it(url, tmp_path, capfd) -> None:
    wrong = url.replace(PASSWORD, "wr0ng").replace(TOKEN, "0ld")
    assert command(["train", wrong, "--out", str(tmp_path / "run")]) == 1
    printed = capfd.readouterr().err
    assert "Traceback" not in printed
    assert "127.0.0.1" in printed
    assert "the server answers 401" in printed
    assert not [secret for secret in (USER, "wr0ng", "0ld") if secret in printed]


def test_the_files_of_runs_and_predictions_are_for_their_user_alone(languages, write, tmp_path) -> None:
    source = write("some.jsonl", [*languages[:300], {"text": "no label"}])
    for folder in ("train", "search"):
        further = ["--n-trials", "1", "--cv", "2"] if folder == "search" else []
        assert command([folder, str(source), "--out", str(tmp_path / folder), *further]) == 0
    assert command(["predict", str(tmp_path / "train"), str(source), "--out", str(tmp_path / "parts")]) == 0
    private = [
        path
        for folder in ("train", "search", "parts/.manymill")
        for path in (tmp_path / folder).rglob("*")
        if path.is_file() and path.parent.name != "model" and path.name not in (".lock", "work-lock")
    ]
    assert {path.name for path in private} >= {"plan.json", "events.jsonl", "bad_rows.jsonl", "search.jsonl"}
    assert not [path for path in private if path.stat().st_mode & 0o077]


def test_a_cluster_of_a_run_folder_is_not_connected_to(languages, write, tmp_path) -> None:
    train_run(scan(write("some.jsonl", languages[:300])), tmp_path / "run", SETTINGS, engine="2")
    with RunFolder(tmp_path / "run") as folder:
        folder.write_plan(read_plan(tmp_path / "run") | {"engine": "dask://127.0.0.1:1"})
    with pytest.raises(RunFolderError, match="addresses in a run folder are not trusted"):
        resume_run(tmp_path / "run")


def test_the_address_of_an_engine_is_kept_without_its_credentials(languages, write, tmp_path) -> None:
    address = f"dask://{USER}:{PASSWORD}@127.0.0.1:1/x?token={TOKEN}"
    source = scan(write("some.jsonl", languages[:300]))
    with pytest.raises(EngineError) as error:  # nobody listens there
        train_run(source, tmp_path / "run", SETTINGS, engine=address)
    assert not [secret for secret in (USER, PASSWORD, TOKEN) if secret in str(error.value)]
    assert read_plan(tmp_path / "run")["engine"] == "dask://127.0.0.1:1/x"
    assert not leaks(tmp_path / "run")


@pytest.mark.parametrize("verb", ["resume", "watch", "abort", "evaluate", "predict"])
def test_a_url_in_place_of_a_run_is_refused_without_its_secrets(tmp_path, capfd, verb) -> None:
    url = f"https://{USER}:{PASSWORD}@127.0.0.1:1/run?token={TOKEN}"
    (tmp_path / "some.jsonl").write_text('{"text": "a", "label": "b"}\n')
    assert (
        command([verb, url, *([str(tmp_path / "some.jsonl")] if verb in ("evaluate", "predict") else [])])
        == 1
    )
    printed = capfd.readouterr()
    assert not [secret for secret in (USER, PASSWORD, TOKEN) if secret in printed.out + printed.err]


def test_a_dataset_shows_no_secret(url) -> None:
    assert not [secret for secret in (USER, PASSWORD, TOKEN) if secret in repr(scan(url))]


@pytest.fixture
def killed(url, tmp_path) -> Path:
    """A run folder as a kill in its first pass leaves it."""

    def observe(event: object) -> None:
        if isinstance(event, RoundEnded) and event.round_number == 2 and not (tmp_path / "killed").exists():
            shutil.copytree(tmp_path / "run", tmp_path / "killed")

    train_run(scan(url), tmp_path / "run", SETTINGS, observe=observe, checkpoint_seconds=0)
    return tmp_path / "killed"


def test_resume_takes_the_source_again(killed, url) -> None:
    resume_run(killed, source=[url])
    models = [
        {path.name: path.read_bytes() for path in (folder / "model").iterdir()}
        for folder in (killed, killed.with_name("run"))
    ]
    assert models[0] == models[1]
    assert not leaks(killed)


def test_resume_says_which_source_is_needed_again(killed) -> None:
    with pytest.raises(
        RunFolderError, match=r"read http://127.0.0.1:\d+/some.jsonl by a URL with credentials"
    ):
        resume_run(killed)


def test_resume_refuses_a_source_that_is_not_of_the_run(killed, url) -> None:
    with pytest.raises(RunFolderError, match="is not a source that the run"):
        resume_run(killed, source=[url.replace("some", "other")])
