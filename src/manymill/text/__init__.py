"""Text to hashes to matrices: the drop-in ``HashingVectorizer`` and ``TfidfTransformer``, and how text is read."""
