"""Evaluate a model on labelled files of any size, in memory independent of the number of rows."""

from manymill.evaluate.run import Evaluation, evaluate

__all__ = ["Evaluation", "evaluate"]
