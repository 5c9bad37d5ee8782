"""Options of a training, shared by `train` and `plan`, and the request that they make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from manymill.cli import options
from manymill.constants import AUTO
from manymill.errors import SettingsError
from manymill.linear.settings import Settings
from manymill.validation import (
    Auto,
    Boolean,
    Bytes,
    Choice,
    ClassWeight,
    Integer,
    NgramRange,
    Number,
    Parameter,
    Share,
    StopWords,
    Strength,
    declared,
)

if TYPE_CHECKING:
    from manymill.data.dataset import Dataset


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """The data, settings and limits of a training."""

    dataset: Dataset
    settings: Settings
    holdout: Dataset | None
    threads: int | None
    memory: int | None


class ClassWeightsType(click.ParamType[Any]):
    """``balanced``, or weights such as ``spam=2,ham=1``."""

    name = "weights"
    expected = "'balanced', or weights by label, such as spam=2,ham=1"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """``"balanced"``, or weights by label."""
        if value == "balanced" or isinstance(value, dict):
            return value
        try:
            return {
                label.strip(): float(weight) for label, weight in (p.rsplit("=", 1) for p in value.split(","))
            }
        except ValueError:
            self.fail(self.expected, param, ctx)


class ShareOrFile(click.ParamType[Any]):
    """A share, or the name of a file."""

    name = "share or file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        """The share, or the name."""
        try:
            return float(value)
        except ValueError:
            return str(value)


class NumberOrWord(click.ParamType[Any]):
    """A number, or a word such as ``auto``, which the settings check."""

    def __init__(self, number: type[int] | type[float]) -> None:
        self._number = number
        self.name = number.__name__

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or the word."""
        try:
            return self._number(value)
        except ValueError:
            return value


class StopWordsType(click.ParamType[Any]):
    """``english``, or a file with a word on each line."""

    name = "stop words"
    expected = "'english', or a file in UTF-8 with a word on each line"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """``"english"``, or the words."""
        if value == "english" or isinstance(value, tuple):
            return value
        try:
            with open(value, encoding="utf-8") as file:
                return tuple(word for line in file if (word := line.strip()))
        except (OSError, UnicodeDecodeError):
            self.fail(self.expected, param, ctx)


# Attributes of an option by the rule of its parameter.
_KINDS: dict[type[Any], dict[str, Any]] = {
    Boolean: {},
    Integer: {"type": int},
    Number: {"type": float},
    Bytes: {"type": options.Size()},
    Share: {"type": ShareOrFile(), "metavar": "SHARE|FILE"},
    ClassWeight: {"type": ClassWeightsType(), "metavar": "WEIGHTS"},
    NgramRange: {"type": int, "nargs": 2, "metavar": "LEAST GREATEST"},
    StopWords: {"type": StopWordsType(), "metavar": "english|FILE"},
}
_AUTO_KINDS: dict[type[Any], dict[str, Any]] = {
    **_KINDS,
    Integer: {"type": NumberOrWord(int), "metavar": "auto|INTEGER"},
    Number: {"type": NumberOrWord(float), "metavar": "auto|FLOAT"},
    Strength: {"type": NumberOrWord(float), "metavar": "auto|FLOAT|FLOAT/rows"},
}


def _option(name: str, default: Any, parameter: Parameter) -> Callable[[options.Command], options.Command]:
    rule, kinds = parameter.rule, _KINDS
    if isinstance(rule, Auto):
        rule, kinds = rule.rule, _AUTO_KINDS
    flag = "--" + name.replace("_", "-")
    flags = parameter.flags or (f"{flag}/--no-{flag[2:]}" if isinstance(rule, Boolean) else flag)
    shown: Any = default is not None and not isinstance(rule, Boolean)
    if isinstance(rule, Choice):
        # Without the option the default holds; "none" is only needed where that is another value than None.
        with_none = rule.optional and default is not None
        kind: dict[str, Any] = {
            "type": options.ChoiceOrNone(rule.choices) if with_none else click.Choice(rule.choices)
        }
    else:
        kind = kinds[type(rule)]
    if isinstance(rule, Bytes):
        default = options.size_text(default)
    elif isinstance(rule, NgramRange):
        default, shown = None, False
    return options.option(flags, name, default=default, show_default=shown, help=parameter.help, **kind)


# Options that stand for None, after those of the same parameters.
_WITHOUT = {
    "ngram_range": options.option(
        "--no-words", is_flag=True, help="No features of words, only of characters."
    ),
    "char_ngram_range": options.option(
        "--no-characters", is_flag=True, help="No features of characters, only of words."
    ),
}


def _options_of(
    name: str, default: Any, parameter: Parameter
) -> list[Callable[[options.Command], options.Command]]:
    return [_option(name, default, parameter), *([_WITHOUT[name]] if name in _WITHOUT else [])]


_options = options.combined(
    options.files,
    options.text,
    options.label,
    options.option("--weight", metavar="COLUMN", help="Column of row weights."),
    options.reading,
    options.option("--classes", metavar="A,B,C", help="Train on these labels only and skip rows of others."),
    *(option for parameter in declared(Settings) for option in _options_of(*parameter)),
    options.option(
        "--memory", type=options.Size(), help="Refuse to start if training needs more, such as 2GB."
    ),
    options.threads,
)


def with_training_request(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a training to a command, which gets a :class:`TrainingRequest` as ``request``."""

    @wraps(command)
    def with_request(**values: Any) -> None:
        _refuse_without_effect(values)
        others = {name: values.pop(name) for name in set(values) - _NAMES}
        command(_request(**values), **others)

    return _options(with_request)


def _refuse_without_effect(values: dict[str, Any]) -> None:
    required = {name: parameter.requires for name, _, parameter in declared(Settings)}
    context = click.get_current_context()
    for option in context.command.params:
        name = option.name or ""
        given = context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE
        other = required.get(name)
        if given and other is not None and values[other] in (None, 1):
            flags = "/".join([*option.opts, *option.secondary_opts])
            raise click.UsageError(f"{flags} has no effect without --{other}: leave it out, or give both")


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
    no_words: bool,
    no_characters: bool,
    threads: int | None,
    memory: int | None,
    **values: Any,
) -> TrainingRequest:
    from manymill.data.dataset import scan

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

    if no_words and no_characters:
        raise click.UsageError("--no-words excludes --no-characters: leave one of them out")
    if no_words and no_characters:
        raise click.UsageError("--no-words and --no-characters leave no features: leave one of them out")
    for name, none, flag in (
        ("ngram_range", no_words, "--no-words"),
        ("char_ngram_range", no_characters, "--no-characters"),
    ):
        if none and values[name] is not None:
            raise click.UsageError(f"--{name.replace('_', '-')} excludes {flag}: leave one of them out")
        # Without the option, the recipe decides.
        values[name] = None if none else values[name] or AUTO
    try:
        settings = Settings(**values, holdout=None if isinstance(holdout, str) else holdout)
    except SettingsError as error:
        if no_words and error.parameter is not None and error.parameter[0] == "ngram_range":
            raise click.UsageError(
                f"--no-words leaves no features with --recipe={values['recipe']}: give --char-ngram-range, too"
            ) from None
        raise
    settings.check_holdout(holdout)
    return TrainingRequest(
        dataset=dataset(list(files)),
        settings=settings,
        holdout=dataset([holdout]) if isinstance(holdout, str) else None,
        threads=threads,
        memory=memory,
    )


def _names() -> frozenset[str]:
    """The parameters that :func:`with_training_request` takes from a command."""
    probe = click.command()(_options(lambda **values: None))
    return frozenset(parameter.name for parameter in probe.params if parameter.name)


_NAMES = _names()
