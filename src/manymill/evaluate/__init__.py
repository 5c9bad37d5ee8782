"""Evaluate a model on labelled files of any size, in memory independent of the number of rows."""

from manymill.evaluate.run import ClassificationEvaluation, evaluate

__all__ = ["ClassificationEvaluation", "evaluate"]
