"""Plugin of pytest that replaces scikit-learn's classes by ours before tests are collected."""

import sklearn.feature_extraction.text as text

from manymill import HashingVectorizer, TfidfTransformer

text.HashingVectorizer = HashingVectorizer
text.TfidfTransformer = TfidfTransformer


def pytest_collection_modifyitems(items):
    for module in {item.module for item in items}:
        for name in ("HashingVectorizer", "TfidfTransformer"):
            if hasattr(module, name):
                print(module.__name__, "tests", getattr(module, name).__module__, name)
