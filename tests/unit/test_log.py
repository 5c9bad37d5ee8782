"""Warnings of the library's loggers are told to whoever listens."""

import logging

import pytest

from manymill.log import CACHE, ENGINE, warnings_told


@pytest.mark.parametrize("name", [CACHE, ENGINE])
def test_the_innermost_listener_is_first_and_may_be_the_last(caplog, name):
    log, outer, inner, silent = logging.getLogger(name), [], [], []
    with warnings_told(outer.append, instead=True):
        with warnings_told(inner.append, instead=False):
            log.warning("both %s", "hear")
        with warnings_told(silent.append, instead=True):
            log.warning("one hears")
        log.info("nobody is told")
    assert (outer, inner, silent) == (["both hear"], ["both hear"], ["one hears"])
    assert "hear" not in caplog.text
    log.warning("as before")
    assert "as before" in caplog.text


def test_a_listener_that_cannot_write_harms_nobody():
    def fail(message):
        raise BrokenPipeError

    with warnings_told(fail, instead=True):
        logging.getLogger(CACHE).warning("a message")
