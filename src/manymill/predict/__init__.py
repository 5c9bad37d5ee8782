"""Predicting files of any size: one part file for each input, or one stream.

::

    input ──read──► batches ──score──► columns ──encode──► part file
                    └──────────── on many threads ───────┘  in order

An interrupted prediction is taken up where it stopped: parts that are finished are not written again.
"""

from manymill.predict.formats import Columns
from manymill.predict.run import PartResult, predict, predict_stream

__all__ = ["Columns", "PartResult", "predict", "predict_stream"]
