"""Text to hashes to matrices: the drop-in ``HashingVectorizer`` and ``TfidfTransformer``, documents as the core reads them."""
