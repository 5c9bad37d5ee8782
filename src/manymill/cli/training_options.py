"""What `train` and `plan` are asked: the same options, turned into the same dataset and settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from manymill.cli import options

if TYPE_CHECKING:
    from manymill.data.dataset import Dataset
    from manymill.linear.settings import Settings


@dataclass(frozen=True, slots=True)
class Request:
    """A training that is asked for."""

    dataset: Dataset
    settings: Settings
    holdout: Dataset | None
    threads: int | None
    memory: int | None


class ClassWeights(click.ParamType[Any]):
    """``balanced``, or weights such as ``spam=2,ham=1``."""

    name = "weights"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """``"balanced"``, or weights by label."""
        if value == "balanced" or isinstance(value, dict):
            return value
        try:
            return {
                label.strip(): float(weight) for label, weight in (p.rsplit("=", 1) for p in value.split(","))
            }
        except ValueError:
            self.fail(
                f"{value!r} is neither 'balanced' nor weights by label such as spam=2,ham=1", param, ctx
            )


class Holdout(click.ParamType[Any]):
    """A share, or the name of a file."""

    name = "share or file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        """The share, or the name."""
        try:
            return float(value)
        except ValueError:
            return str(value)


# Options that say nothing unless another one is given, by the names of their parameters.
_NEEDED = {
    "rounds_per_pass": ("lanes", "--lanes"),
    "merge": ("lanes", "--lanes"),
    "interleaved": ("lanes", "--lanes"),
}

_asked = options.combined(
    options.files,
    options.text,
    options.label,
    click.option("--weight", metavar="COLUMN", help="Column of the rows' weights."),
    options.reading,
    click.option("--classes", metavar="A,B,C", help="Learn these labels alone; rows of others are left out."),
    click.option(
        "--ngram-range",
        type=int,
        nargs=2,
        metavar="LEAST GREATEST",
        default=(1, 1),
        show_default="1 1",
        help="Words of a feature: 1 2 is words and pairs of words.",
    ),
    click.option(
        "--n-features", type=int, help="Hash buckets, up to 2^30; by the number of classes if not given."
    ),
    click.option("--lowercase/--no-lowercase", default=True, help="Lower-case the text first, or not."),
    click.option(
        "--value",
        type=click.Choice(["log", "count", "binary"]),
        default="log",
        show_default=True,
        help="A feature's value: 1 + ln(count), count, or 1.",
    ),
    click.option(
        "--norm",
        type=click.Choice(["l2", "l1", "none"]),
        default="l2",
        show_default=True,
        help="What a row is divided by.",
    ),
    click.option(
        "--feature-weights",
        type=click.Choice(["nb", "idf"]),
        help="Count first, and weigh features: nb by how well they tell the labels apart, idf by how rare they are.",
    ),
    click.option(
        "--loss",
        type=click.Choice(["log", "hinge", "squared_hinge", "modified_huber", "squared_error"]),
        default="log",
        show_default=True,
        help="What is made small; log and modified_huber give probabilities.",
    ),
    click.option("--l1", type=float, default=0.0, show_default=True, help="L1 regularisation, per row."),
    click.option("--l2", type=float, default=0.0, show_default=True, help="L2 regularisation, per row."),
    click.option("--learning-rate", type=float, help="AdaGrad's step; by loss and classes if not given."),
    click.option("--intercept/--no-intercept", default=True, help="Learn an intercept, or not."),
    click.option(
        "--class-weight", type=ClassWeights(), metavar="WEIGHTS", help="balanced, or weights: spam=2,ham=1."
    ),
    click.option("--passes", type=int, default=3, show_default=True, help="Visits of every row at most."),
    click.option(
        "--patience",
        type=int,
        default=2,
        show_default=True,
        help="Passes without gain before training stops.",
    ),
    click.option(
        "--holdout",
        type=Holdout(),
        metavar="SHARE|FILE",
        help="Share of rows to hold out, or a file of such rows; about 2 % if not given.",
    ),
    click.option(
        "--calibrate/--no-calibrate",
        default=True,
        help="Make probabilities honest by the rows held out, or not.",
    ),
    click.option("--seed", type=int, default=0, show_default=True, help="Decides the order of rows."),
    click.option(
        "--window",
        "window_bytes",
        type=options.Size(),
        default="48MiB",
        show_default=True,
        help="Text that is shuffled at a time.",
    ),
    click.option(
        "--lanes",
        type=int,
        default=1,
        show_default=True,
        help="Streams of partitions that learn side by side and are merged every round.",
    ),
    click.option(
        "--rounds",
        "rounds_per_pass",
        type=int,
        default=8,
        show_default=True,
        help="How often several lanes are merged in a pass.",
    ),
    click.option(
        "--merge",
        default="auto",
        show_default=True,
        metavar="RULE",
        help="auto, uniform, damped or mass; auto chooses the rule on held-out rows.",
    ),
    click.option(
        "--interleaved/--contiguous",
        default=True,
        help="Give each lane partitions from all over the source, or neighbours only.",
    ),
    click.option("--memory", type=options.Size(), help="Refuse to start if more is needed, such as 2GB."),
    options.threads,
)


def takes_request(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose first parameter, a :class:`Request`, is given by the options of a training."""

    @wraps(command)
    def with_request(**values: Any) -> None:
        _refuse_without_effect(values)
        own = {name: values.pop(name) for name in set(values) - _NAMES}
        command(_request(**values), **own)

    return _asked(with_request)


def _refuse_without_effect(values: dict[str, Any]) -> None:
    context = click.get_current_context()
    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE
        needed, option = _NEEDED.get(name, (None, None))
        if given and needed is not None and values[needed] in (None, 1):
            options_of = "/".join([*parameter.opts, *parameter.secondary_opts])
            raise click.UsageError(f"{options_of} has no effect without {option}: leave it out, or give both")


def _request(
    files: tuple[str, ...],
    text: str | None,
    label: str | None,
    weight: str | None,
    format: str | None,
    encoding: str,
    strict: bool,
    max_record_bytes: int,
    max_decompressed_bytes: int | None,
    classes: str | None,
    holdout: float | str | None,
    intercept: bool,
    threads: int | None,
    memory: int | None,
    **values: Any,
) -> Request:
    from manymill.data.dataset import scan
    from manymill.linear.settings import Settings

    def dataset(source: list[str]) -> Dataset:
        return scan(
            source,
            text=text,
            label=label,
            weight=weight,
            format=format,
            encoding=encoding,
            classes=None if classes is None else [name for name in classes.split(",") if name],
            strict=strict,
            max_record_bytes=max_record_bytes,
            max_decompressed_bytes=max_decompressed_bytes,
        )

    values["norm"] = None if values["norm"] == "none" else values["norm"]
    share = None if isinstance(holdout, str) else holdout
    return Request(
        dataset=dataset(list(files)),
        settings=Settings(**values, fit_intercept=intercept, holdout=share),
        holdout=dataset([holdout]) if isinstance(holdout, str) else None,
        threads=threads,
        memory=memory,
    )


def _names() -> frozenset[str]:
    """The parameters that :func:`_asked` adds to a command."""
    probe = click.command()(_asked(lambda **values: None))
    return frozenset(parameter.name for parameter in probe.params if parameter.name)


_NAMES = _names()
