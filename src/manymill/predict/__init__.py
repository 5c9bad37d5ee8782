"""Predict files of any size, into one part file per input or into one stream.

::

    input ──read──► batches ──score──► columns ──encode──► part file
                    └──────────── on many threads ───────┘  in order

An interrupted prediction is resumable: finished part files are not written again.
"""

from manymill.predict.formats import Columns
from manymill.predict.run import PartResult, predict, predict_stream

__all__ = ["Columns", "PartResult", "predict", "predict_stream"]
