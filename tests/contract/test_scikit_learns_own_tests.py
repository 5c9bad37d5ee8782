"""scikit-learn's own tests of its vectorizers, as they are installed, run on ours."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = "sklearn.feature_extraction.tests.test_text"
# What is left out, and why.
SLOW = "test_tfidf_vectorizer_preserve_dtype_idf"  # 200,000 random names; tests/unit/text/test_tfidf.py


def test_scikit_learns_tests_pass_with_our_classes_in_place(tmp_path):
    pytest.importorskip(TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "replace_sklearn_classes", "-p", "no:cacheprovider"]
    command += ["-c", os.devnull, "-s", "-rA", "--pyargs", TESTS, "-k", f"not {SLOW}"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert f"{TESTS} tests manymill.text.hashing HashingVectorizer" in done.stdout
    assert f"{TESTS} tests manymill.text.tfidf TfidfTransformer" in done.stdout
    assert len(re.findall(r"^PASSED .*(?:Hashing|hashing|tfidf|vectorizer)", done.stdout, re.MULTILINE)) > 40
