"""What a run survives, and what it says: killed, stopped, out of disk, fed with rubbish."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time

import pytest

from manymill import TextClassifier, scan
from manymill.engine.processes import ProcessEngine
from manymill.errors import SourceError
from manymill.events import LaneEnded, PassEnded, RoundEnded, WorkerLost
from manymill.linear import row_stream
from manymill.linear.run import train_run
from manymill.linear.settings import Settings

FAST = ["--n-features", "4096", "--passes", "2"]


def command(*arguments):
    return [sys.executable, "-c", "from manymill.cli import main; main()", *map(str, arguments)]


def run(*arguments, **options):
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=60, **options)


def contents(folder):
    return {
        path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in {".json", ".safetensors"}
    }


def wait_for(process, path):
    """Until the file is there and holds a line; the process must live."""
    deadline = time.monotonic() + 30
    while not (path.exists() and path.stat().st_size):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_training_killed_at_any_moment_leaves_a_whole_model_or_none_and_can_be_repeated(
    tmp_path, mail_file
):
    out, generator = tmp_path / "run", random.Random(0)
    undisturbed = train_run(
        scan(mail_file), tmp_path / "quiet", Settings(n_features=4096, passes=2), threads=2
    )
    for _ in range(8):
        process = subprocess.Popen(
            command("train", mail_file, "--out", out, *FAST), stderr=subprocess.DEVNULL
        )
        wait_for(process, out / "events.jsonl")
        time.sleep(generator.uniform(0, 0.4))
        process.kill()
        process.wait()
        if (out / "model" / "model.json").exists():
            TextClassifier.load(out / "model")
    assert run("train", mail_file, "--out", out, *FAST).returncode == 0
    assert contents(out / "model") == contents(undisturbed.folder / "model")


def begin_lanes(source, out):
    """A process that trains in lanes, with a checkpoint after every round."""
    script = (
        "from manymill import scan; from manymill.linear.run import train_run\n"
        "from manymill.linear.settings import Settings\n"
        f"train_run(scan({str(source)!r}), {str(out)!r}, Settings(**{LANES!r}), engine=2, checkpoint_seconds=0)"
    )
    return subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)


LANES = {"n_features": 4096, "passes": 4, "lanes": 4, "rounds_per_pass": 4}


def test_lanes_whose_driver_is_killed_again_and_again_end_with_the_same_model(tmp_path, write, languages):
    source, out = write("rows.jsonl", languages[:6000]), tmp_path / "run"
    undisturbed = train_run(scan(source), tmp_path / "quiet", Settings(**LANES))
    generator = random.Random(0)
    for _ in range(3):
        process = begin_lanes(source, out)
        wait_for(process, out / "events.jsonl")
        time.sleep(generator.uniform(0, 0.5))
        process.kill()
        process.wait()
    resumed = run("resume", out, "--engine", "processes:2")
    assert resumed.returncode == 0 or "is finished" in resumed.stderr
    assert contents(out / "model") == contents(undisturbed.folder / "model")


def test_lanes_whose_workers_are_killed_end_with_the_same_model(tmp_path, write, languages):
    source, lost = scan(write("rows.jsonl", languages[:3000])), []
    undisturbed = train_run(source, tmp_path / "quiet", Settings(**LANES))

    def kill_a_worker(event):
        if isinstance(event, WorkerLost):
            lost.append(event)
        if isinstance(event, RoundEnded) and (event.pass_number, event.round_number) in {(1, 2), (3, 1)}:
            os.kill(next(iter(engine._workers[event.pass_number // 2]._pool._processes)), signal.SIGKILL)

    with ProcessEngine(2) as engine:
        train_run(source, tmp_path / "run", Settings(**LANES), engine=engine, observe=kill_a_worker)
    assert len(lost) == 2
    assert all("lane" in event.what and "SIGKILL" in event.why for event in lost)
    assert contents(tmp_path / "run" / "model") == contents(undisturbed.folder / "model")


@pytest.mark.parametrize("goes_on", [False, True], ids=["for ever", "for a moment"])
def test_lanes_one_of_whose_workers_is_stopped_end_with_the_same_model(tmp_path, write, languages, goes_on):
    source, lost = scan(write("rows.jsonl", languages[:3000])), []
    undisturbed = train_run(source, tmp_path / "quiet", Settings(**LANES))
    stopped = []

    def stop_a_worker(event):
        if isinstance(event, WorkerLost):
            lost.append(event)
        if isinstance(event, RoundEnded) and (event.pass_number, event.round_number) == (1, 2):
            stopped.extend(engine._workers[0]._pool._processes)
            os.kill(stopped[0], signal.SIGSTOP)
        # A lane of the next round has ended, on the other worker: calls wait for the one that is stopped.
        if goes_on and isinstance(event, LaneEnded) and (event.pass_number, event.round_number) == (1, 3):
            os.kill(stopped[0], signal.SIGCONT)

    with ProcessEngine(2, stall_seconds=600 if goes_on else 2) as engine:
        train_run(source, tmp_path / "run", Settings(**LANES), engine=engine, observe=stop_a_worker)
    assert stopped
    assert ["gave no sign of life" in event.why for event in lost] == ([] if goes_on else [True])
    assert contents(tmp_path / "run" / "model") == contents(undisturbed.folder / "model")


def test_lanes_whose_cluster_loses_a_worker_end_with_the_same_model(tmp_path, write, languages):
    distributed = pytest.importorskip("distributed")
    source, engine_settings = scan(write("rows.jsonl", languages[:3000])), {"dashboard_address": ":0"}
    undisturbed = train_run(source, tmp_path / "quiet", Settings(**LANES))
    with (
        distributed.LocalCluster(2, threads_per_worker=1, host="127.0.0.1", **engine_settings) as cluster,
        distributed.Client(cluster) as client,
    ):

        def kill_a_worker(event):
            if isinstance(event, RoundEnded) and (event.pass_number, event.round_number) == (2, 1):
                killed.append(next(iter(client.run(os.getpid).values())))
                os.kill(killed[0], signal.SIGKILL)

        killed = []
        train_run(source, tmp_path / "run", Settings(**LANES), engine=client, observe=kill_a_worker)
    assert killed
    assert contents(tmp_path / "run" / "model") == contents(undisturbed.folder / "model")


def test_lanes_refuse_a_file_that_was_changed_between_two_passes(tmp_path, write, languages, monkeypatch):
    monkeypatch.setattr(row_stream, "CACHE_BYTES", 0)  # rows are read again in each pass
    rows = write("rows.jsonl", languages[:3000])

    def change(event):
        if isinstance(event, PassEnded) and event.pass_number == 1:
            rows.write_bytes(rows.read_bytes().replace(b"the", b"eth"))

    with pytest.raises(SourceError, match=r"rows\.jsonl was changed"):
        train_run(scan(rows), tmp_path / "run", Settings(**LANES), engine=2, observe=change)


def test_a_run_that_was_stopped_is_told_how_to_go_on_and_goes_on(tmp_path, write, languages):
    source, out = write("rows.jsonl", languages * 3), tmp_path / "run"
    options = ["--passes", 30, "--patience", 30, "--lanes", 3, "--rounds", 2, "--n-features", 4096]
    process = subprocess.Popen(command("train", source, "--out", out, *options), stderr=subprocess.DEVNULL)
    wait_for(process, out / "model" / "model.json")
    assert "another run is writing" in run("resume", out).stderr
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    watched = run("watch", out)
    assert watched.returncode == 0
    assert f"manymill resume {out} resumes it" in watched.stderr
    assert run("resume", out).returncode == 0
    assert "done" in run("watch", out).stderr.splitlines()[-1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_training_that_is_asked_to_stop_stops_within_a_second_with_a_usable_model(
    tmp_path, write, languages, number
):
    source = write("many.jsonl", languages * 8)
    process = subprocess.Popen(
        command(
            "train",
            source,
            "--out",
            tmp_path / "run",
            "--passes",
            "200",
            "--patience",
            "200",
            "--n-features",
            65536,
        ),
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(process, tmp_path / "run" / "model" / "model.json")
    start = time.monotonic()
    process.send_signal(number)
    messages = process.communicate(timeout=30)[1]
    assert time.monotonic() - start < 1.5, messages
    assert process.returncode == 130, messages
    assert len(TextClassifier.load(tmp_path / "run" / "model").predict(["hello world"])) == 1
    assert '"Interrupted"' in (tmp_path / "run" / "events.jsonl").read_text()


def test_a_stop_in_the_first_pass_keeps_what_was_learnt(tmp_path, write, languages):
    source = write("many.jsonl", languages * 10)
    # A pass that takes much longer than the time between two progress events.
    long_pass = ("--n-features", 2**18, "--ngram-range", 1, 8)
    process = subprocess.Popen(
        command("train", source, "--out", tmp_path / "run", *long_pass, "--json"),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert any('"Progress"' in line for line in process.stdout)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert len(TextClassifier.load(tmp_path / "run" / "model").classes_) == 45


def test_a_full_disk_is_named_and_the_old_model_stays(tmp_path, mail_file):
    out = tmp_path / "run"
    assert run("train", mail_file, "--out", out, *FAST).returncode == 0
    before = contents(out / "model")
    small = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # noqa: E731
    failed = run("train", mail_file, "--out", out, "--n-features", 2**18, preexec_fn=small)
    assert failed.returncode == 1
    assert "cannot save the model" in failed.stderr
    assert contents(out / "model") == before


def test_a_compressed_file_that_is_cut_off_ends_the_run_and_leaves_no_model(tmp_path, mail_file):
    cut = tmp_path / "cut.jsonl.zst"
    cut.write_bytes(mail_file.read_bytes()[:900_000])
    failed = run("train", cut, "--out", tmp_path / "run", *FAST)
    assert failed.returncode == 1
    assert "cut.jsonl.zst is truncated: its zstd data ends too early, at byte 900,000" in failed.stderr
    assert not (tmp_path / "run" / "model").exists()


def _malformed(generator, line):
    kind = generator.randrange(6)
    if kind == 0:
        return line[: generator.randrange(1, len(line) - 1)]
    if kind == 1:
        return line.replace('"text"', '"txt"')
    if kind == 2:
        return '{"text": 5, "label": "ham"}'
    if kind == 3:
        return "[" * 100_000
    if kind == 4:
        return '{"text": "\\ud800", "label": "ham"}'
    return "".join(chr(generator.randrange(32, 127)) for _ in range(generator.randrange(1, 200)))


def test_two_thousand_malformed_lines_are_counted_listed_and_do_no_harm(tmp_path, languages):
    generator = random.Random(0)
    good = [json.dumps(row) for row in languages[:3000]]
    bad = [_malformed(generator, good[i]) for i in range(2000)]
    lines = [*good, *bad]
    generator.shuffle(lines)
    source = tmp_path / "mixed.jsonl"
    source.write_text("".join(f"{line}\n" for line in lines))
    run_ = train_run(scan(source, text="text", label="label"), tmp_path / "run", Settings(n_features=2**14))
    clean = tmp_path / "clean.jsonl"
    bad_lines = set(bad)
    clean.write_text("".join(f"{line}\n" for line in lines if line not in bad_lines))
    assert (run_.ledger.n_read, run_.ledger.n_rejected) == (5000, 2000)
    assert run_.trained.n_rows + run_.trained.metrics.n_rows == 3000
    listed = [json.loads(line) for line in run_.ledger.path.read_text().splitlines()]
    assert all(
        record["file"].endswith("mixed.jsonl") and record["where"] and record["reason"] for record in listed
    )


def test_strict_stops_at_the_first_bad_row_and_names_it(tmp_path, write, languages):
    source = write("rows.jsonl", [languages[0], {"text": "no label"}, *languages[1:50]])
    failed = run(
        "train", source, "--text", "text", "--label", "label", "--out", tmp_path / "run", "--strict", *FAST
    )
    assert failed.returncode == 1
    assert "rows.jsonl" in failed.stderr
    assert "missing label" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_misuse_is_told_apart_from_failure(tmp_path):
    assert run("train").returncode == 2
    assert run("train", tmp_path / "missing.jsonl", "--out", tmp_path / "run").returncode == 1


def test_a_reader_that_goes_away_ends_the_command_quietly(tmp_path, mail_file):
    assert run("train", mail_file, "--out", tmp_path / "run", *FAST).returncode == 0
    predict = " ".join(f"'{word}'" for word in command("predict", tmp_path / "run", mail_file))
    piped = subprocess.run(f"{predict} | head -1", shell=True, capture_output=True, text=True, timeout=60)
    assert len(piped.stdout.splitlines()) == 1
    assert "Traceback" not in piped.stderr


@pytest.mark.parametrize("lanes", ["", ", lanes=6, rounds_per_pass=3"], ids=["one lane", "lanes"])
def test_the_memory_that_was_promised_is_kept(tmp_path, write, languages, lanes):
    source = write("many.jsonl", languages * 20)
    script = (
        "import sys, json; from manymill import scan; from manymill.linear.run import train_run\n"
        "from manymill.linear.settings import Settings\n"
        "from manymill.linear.memory import memory_need, peak_memory_bytes\n"
        f"plan = scan({str(source)!r}).plan(); settings = Settings(n_features=2**16, ngram_range=(1, 2){lanes})\n"
        f"train_run(plan, {str(tmp_path / 'run')!r}, settings, threads=2, checkpoint_seconds=0)\n"
        "print(json.dumps([memory_need(plan, settings, threads=2).total, peak_memory_bytes()]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=True
    )
    promised, used = json.loads(done.stdout)
    assert used < promised
    assert promised < (4 if lanes else 3) * used
    assert os.path.getsize(source) > 50e6


def test_workers_that_are_processes_are_not_asked_to_read_the_standard_input(tmp_path, write, languages):
    source = write("rows.jsonl", languages[:500])
    options = ["--lanes", 2, "--engine", "processes:1", "--out", tmp_path / "run"]
    with source.open("rb") as standard_input:
        failed = run("train", "-", *options, stdin=standard_input)
    assert failed.returncode == 1
    assert "worker processes cannot read the standard input" in failed.stderr
