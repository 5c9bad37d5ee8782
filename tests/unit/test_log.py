"""Warnings of the library's loggers are forwarded."""

import logging

import pytest

from manymill.log import CACHE, ENGINE, forward_warnings


@pytest.mark.parametrize("name", [CACHE, ENGINE])
def test_the_innermost_listener_is_first_and_may_be_the_last(caplog, name):
    log, outer, inner, silent = logging.getLogger(name), [], [], []
    with forward_warnings(outer.append, exclusive=True):
        with forward_warnings(inner.append, exclusive=False):
            log.warning("both %s", "hear")
        with forward_warnings(silent.append, exclusive=True):
            log.warning("one hears")
        log.info("not forwarded")
    assert (outer, inner, silent) == (["both hear"], ["both hear"], ["one hears"])
    assert "hear" not in caplog.text
    log.warning("as before")
    assert "as before" in caplog.text


def test_a_listener_that_cannot_write_harms_nobody():
    def fail(message):
        raise BrokenPipeError

    with forward_warnings(fail, exclusive=True):
        logging.getLogger(CACHE).warning("a message")
