"""What `train` and `plan` are asked: the same options, turned into the same dataset and settings."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_type_hints

from manymill.cli import options, settings

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


def _request(
    files: options.Files,
    text: options.Text = None,
    label: options.Label = None,
    weight: options.Weight = None,
    format: options.Format = None,
    encoding: options.Encoding = "utf-8",
    classes: options.Classes = None,
    strict: options.Strict = False,
    max_record: options.MaxRecord = "64MiB",
    ngram_range: settings.NgramRange = (1, 1),
    n_features: settings.NFeatures = 2**20,
    lowercase: settings.Lowercase = True,
    value: settings.Value = "log",
    norm: settings.Norm = "l2",
    loss: settings.Loss = "log",
    l1: settings.L1 = 0.0,
    l2: settings.L2 = 0.0,
    learning_rate: settings.LearningRate = None,
    intercept: settings.Intercept = True,
    class_weight: settings.ClassWeight = None,
    passes: settings.Passes = 3,
    patience: settings.Patience = 2,
    holdout: settings.Holdout = None,
    seed: settings.Seed = 0,
    window: settings.Window = "48MiB",
    memory: settings.Memory = None,
    threads: options.Threads = None,
) -> Request:
    from manymill.data.dataset import scan
    from manymill.linear.settings import Settings

    share, holdout_file = settings.parse_holdout(holdout)

    def dataset(source: list[str]) -> Dataset:
        return scan(
            source,
            text=text,
            label=label,
            weight=weight,
            format=format,
            encoding=encoding,
            classes=None if classes is None else classes.split(","),
            strict=strict,
            max_record_bytes=options.parse_bytes(max_record),
        )

    return Request(
        dataset=dataset(files),
        settings=Settings(
            ngram_range=ngram_range,
            n_features=n_features,
            lowercase=lowercase,
            value=value,  # type: ignore[arg-type]  # Settings checks it
            norm=None if norm == "none" else norm,  # type: ignore[arg-type]
            loss=loss,  # type: ignore[arg-type]
            l1=l1,
            l2=l2,
            learning_rate=learning_rate,
            fit_intercept=intercept,
            class_weight=settings.parse_class_weight(class_weight),
            passes=passes,
            patience=patience,
            holdout=share,
            seed=seed,
            window_bytes=options.parse_bytes(window),
        ),
        holdout=None if holdout_file is None else dataset([holdout_file]),
        threads=threads,
        memory=None if memory is None else options.parse_bytes(memory),
    )


def takes_request(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose first parameter, a :class:`Request`, is given by the options of a training.

    The command line sees one function: the options of a request, then the command's own.
    """
    asked = inspect.signature(_request, eval_str=False).parameters
    own = dict(list(inspect.signature(command).parameters.items())[1:])

    def with_options(**values: Any) -> None:
        command(_request(**{name: values.pop(name) for name in asked}), **values)

    hints = get_type_hints(_request, include_extras=True) | get_type_hints(command, include_extras=True)
    merged = [*asked.values(), *own.values()]
    parameters = [p.replace(annotation=hints[p.name], kind=inspect.Parameter.KEYWORD_ONLY) for p in merged]
    with_options.__name__, with_options.__doc__ = command.__name__, command.__doc__
    with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {p.name: p.annotation for p in parameters}
    return with_options
