"""Text to hashes: the drop-in ``HashingVectorizer`` and the Arrow layout that the core reads."""
