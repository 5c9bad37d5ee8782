"""Drop-in ``HashingVectorizer`` and ``TfidfTransformer``, and the reading and analysis of documents."""
