"""Hash text files of any size to feature files, in bounded memory.

::

    input ──read──► batches ──hash──► CSR arrays ──encode──► .npz or SVMlight, in order
                    └──────────── on many threads ────────┘

The rows are bit-identical to those of scikit-learn's ``HashingVectorizer``.
"""

from manymill.features.run import Features, write_features
from manymill.features.settings import FeatureSettings

__all__ = ["FeatureSettings", "Features", "write_features"]
