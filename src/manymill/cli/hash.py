"""`manymill hash`: hash files of text into a feature matrix."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from manymill.cli import options
from manymill.cli.output import say, show_json

if TYPE_CHECKING:
    from manymill.data.dataset import Plan
    from manymill.features import Features


@click.command()
@options.files
@options.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="X.npz",
    help="Output file of the matrix; labels go to a file next to it.",
)
@options.option("--svmlight", is_flag=True, help="Write the SVMlight format instead of SciPy's .npz.")
@options.option("--compressed", is_flag=True, help="Compress the .npz file: smaller, and much slower.")
@options.text
@options.label
@options.option("--no-labels", is_flag=True, help="Neither read nor write labels.")
@options.reading
@options.option(
    "--analyzer",
    type=click.Choice(["word", "char", "char_wb"]),
    default="word",
    show_default=True,
    help="Units of features: words, characters, or characters within words.",
)
@options.option(
    "--ngram-range",
    type=int,
    nargs=2,
    metavar="LEAST GREATEST",
    default=(1, 1),
    show_default="1 1",
    help="Words or characters of a feature, from LEAST to GREATEST: 1 2 is words and pairs of words.",
)
@options.option(
    "--unicode-words", is_flag=True, help="Take words by the rules of Unicode, as a training does."
)
@options.option(
    "--char-ngram-range",
    type=int,
    nargs=2,
    metavar="LEAST GREATEST",
    help="Characters of further features beside those of words, within words.",
)
@options.option("--n-features", type=int, default=2**20, show_default=True, help="Columns of the matrix.")
@options.option("--lowercase/--no-lowercase", default=True, help="Lower-case the text first, or not.")
@options.option(
    "--alternate-sign/--no-alternate-sign", default=True, help="Count half of the features as -1, or not."
)
@options.option("--binary", is_flag=True, help="Set every value to 1 before normalisation.")
@options.option(
    "--norm",
    type=options.ChoiceOrNone(["l2", "l1"]),
    default="l2",
    show_default=True,
    help="Norm that each row is divided by.",
)
@options.option(
    "--dtype",
    type=click.Choice(["float64", "float32"]),
    default="float64",
    show_default=True,
    help="Type of the values.",
)
@options.overwrite
@options.threads
@options.json
def hash(
    files: tuple[str, ...],
    out: Path,
    svmlight: bool,
    compressed: bool,
    text: str | None,
    label: str | None,
    no_labels: bool,
    format: str | None,
    encoding: str,
    strict: bool,
    max_record_bytes: int,
    max_decompressed_bytes: int | None,
    overwrite: bool,
    threads: int | None,
    json: bool,
    **settings: Any,
) -> None:
    """Hash the texts of FILES into one matrix, bit for bit that of scikit-learn's HashingVectorizer.

    With --unicode-words or --char-ngram-range the features are those of a training instead.
    """
    import time

    from manymill.engine.local import available_threads
    from manymill.features import FeatureSettings, write_features

    if svmlight and compressed:
        raise click.UsageError("--compressed is only for .npz: compress SVMlight files with gzip or zstd")
    if no_labels and label is not None:
        raise click.UsageError("--label and --no-labels exclude each other: give only one of them")
    chosen = FeatureSettings(**settings)
    start = time.perf_counter()
    reading = {
        "text": text,
        "format": format,
        "encoding": encoding,
        "strict": strict,
        "max_record_bytes": max_record_bytes,
        "max_decompressed_bytes": max_decompressed_bytes,
    }
    plan = _plan(files, label=label, labelled=not no_labels, **reading)
    for note in plan.notes:
        say(note)
    features = write_features(
        plan,
        out,
        chosen,
        format="svmlight" if svmlight else "npz",
        compressed=compressed,
        overwrite=overwrite,
        threads=threads or available_threads(),
    )
    for warning in features.warnings:
        say(f"warning {warning}")
    (_show_json if json else _show)(features, time.perf_counter() - start)


def _plan(files: tuple[str, ...], *, label: str | None, labelled: bool, **reading: Any) -> Plan:
    """The plan of reading, with labels if there are any and they are wanted."""
    from manymill.cli.progress import PlainLines
    from manymill.data.dataset import scan
    from manymill.errors import SchemaError

    lines = PlainLines()
    try:
        return scan(list(files), label=label, labelled=labelled, **reading).plan(observe=lines.show)
    except SchemaError:
        if not labelled or label is not None:
            raise
        # Labels are optional here. If the text column is missing, this fails again.
        plan = scan(list(files), labelled=False, **reading).plan(observe=lines.show)
        say("No label column was found: no labels are written.")
        return plan


def _show(features: Features, seconds: float) -> None:
    n_bad = sum(features.bad_counts.values())
    if n_bad:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in features.bad_counts.items())
        listed = f"; see {features.bad_rows}" if features.bad_rows else ""
        say(f"bad     {n_bad:,} bad records skipped: {reasons}{listed}")
    speed = f"{features.text_bytes / 1e6:,.1f} MB of text in {seconds:.1f} s, {_speed(features, seconds):,.1f} MB/s"
    say(
        f"done    {features.n_rows:,} rows, {features.n_features:,} columns, {features.n_values:,} values; {speed}"
    )
    say(f"saved   {features.file}")
    if features.labels:
        say(f"        {features.labels}")


def _show_json(features: Features, seconds: float) -> None:
    from dataclasses import asdict

    speed = {"seconds": round(seconds, 3), "megabytes_per_second": _speed(features, seconds)}
    show_json({**asdict(features), **speed})


def _speed(features: Features, seconds: float) -> float:
    return round(features.text_bytes / 1e6 / max(seconds, 1e-9), 3)
