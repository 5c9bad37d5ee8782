"""The options that decide a model, for the commands that train or plan a training."""

from __future__ import annotations

from typing import Annotated

import typer

NgramRange = Annotated[
    tuple[int, int],
    typer.Option(
        "--ngram-range", metavar="LEAST GREATEST", help="Words of a feature: 1 2 is words and pairs."
    ),
]
NFeatures = Annotated[int, typer.Option("--n-features", help="Hash buckets, up to 2^30.")]
Lowercase = Annotated[bool, typer.Option("--lowercase/--no-lowercase", help="Lower-case the text first.")]
Value = Annotated[
    str, typer.Option("--value", help="A feature's value: log (1 + ln count), count or binary.")
]
Norm = Annotated[str, typer.Option("--norm", help="What a row is divided by: l2, l1 or none.")]
Loss = Annotated[
    str, typer.Option("--loss", help="log, hinge, squared_hinge, modified_huber or squared_error.")
]
L1 = Annotated[float, typer.Option("--l1", help="L1 regularisation, per row.")]
L2 = Annotated[float, typer.Option("--l2", help="L2 regularisation, per row.")]
LearningRate = Annotated[
    float | None, typer.Option("--learning-rate", help="AdaGrad's step; by loss and classes if not given.")
]
Intercept = Annotated[bool, typer.Option("--intercept/--no-intercept", help="Learn an intercept.")]
ClassWeight = Annotated[
    str | None, typer.Option("--class-weight", help="balanced, or weights by label: spam=2,ham=1.")
]
Passes = Annotated[int, typer.Option("--passes", help="Visits of every row at most.")]
Patience = Annotated[int, typer.Option("--patience", help="Passes without gain after which training stops.")]
Holdout = Annotated[
    str | None,
    typer.Option(
        "--holdout",
        metavar="SHARE|FILE",
        help="Share of rows to hold out, or a file of such rows; about 2 %.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="Decides the order of rows.")]
Memory = Annotated[
    str | None,
    typer.Option("--memory", metavar="SIZE", help="Refuse to start if more is needed, such as 2GB."),
]
Window = Annotated[str, typer.Option("--window", metavar="SIZE", help="Text that is shuffled at a time.")]


def parse_class_weight(text: str | None) -> str | dict[str, float] | None:
    """``balanced``, or weights such as ``spam=2,ham=1``.

    Raises
    ------
    typer.BadParameter
        If it is neither.
    """
    if text is None or text == "balanced":
        return text
    try:
        pairs = [pair.rsplit("=", 1) for pair in text.split(",")]
        return {label.strip(): float(weight) for label, weight in pairs}
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither 'balanced' nor weights by label such as spam=2,ham=1"
        ) from None


def parse_holdout(text: str | None) -> tuple[float | None, str | None]:
    """A share, or the name of a file."""
    if text is None:
        return None, None
    try:
        return float(text), None
    except ValueError:
        return None, text
