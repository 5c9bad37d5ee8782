"""Files of text to files of hashed features, of any size in little memory.

::

    input ──read──► batches ──hash──► CSR arrays ──encode──► .npz or SVMlight, in order
                    └──────────── on many threads ────────┘

The rows are those of scikit-learn's ``HashingVectorizer``, bit for bit.
"""

from manymill.features.run import Features, write_features
from manymill.features.settings import FeatureSettings

__all__ = ["FeatureSettings", "Features", "write_features"]
