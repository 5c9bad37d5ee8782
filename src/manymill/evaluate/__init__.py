"""Evaluating a model on labelled files of any size, in memory that does not grow with the rows."""

from manymill.evaluate.run import Evaluation, evaluate

__all__ = ["Evaluation", "evaluate"]
