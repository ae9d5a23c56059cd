from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudfs.clouds.properties import read_date, read_size, read_tag
from cloudfs.clouds.statuses import MAX_RETRY_AFTER_S, read_retry_after


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("12", 12),
        (str(2**63 - 1), 2**63 - 1),
        (str(2**63), None),
        ("9" * 5000, None),
        ("-1", None),
        ("+1", None),
        ("1.0", None),
        ("1e3", None),
        ("1_0", None),
        ("\u0661", None),  # a digit, but none of ASCII
        (" 1", None),
        ("", None),
        (None, None),
    ],
)
def test_sizes(text: str | None, size: int | None) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ('"abc"', '"abc"'),
        ('W/"abc"', 'W/"abc"'),
        ("abc", '"abc"'),
        ('""', '""'),
        ('"a"b"', None),
        ('"a\r\nX: y"', None),
        ('"\u00e9"', None),
        ("W/abc", None),
        ("", None),
        (None, None),
    ],
)
def test_tags(text: str | None, tag: str | None) -> None:
    assert read_tag(text) == tag


@given(st.integers(0, 4_000_000_000))
def test_dates_come_back(second: int) -> None:
    assert read_date(formatdate(second, usegmt=True)) == second * 1_000_000_000


@pytest.mark.parametrize(
    ("text", "second"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784111777),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784111777),
        ("Sun Nov  6 08:49:37 1994", 784111777),
        ("Sun, 06 Nov 1994 09:49:37 +0100", 784111777),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Foo 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 9994 08:49:37 GMT", None),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_dates(text: str | None, second: int | None) -> None:
    assert read_date(text) == (None if second is None else second * 1_000_000_000)


@given(st.text(max_size=60))
def test_no_text_breaks_a_reader(text: str) -> None:
    read_date(text)
    read_tag(text)
    read_size(text)
    read_retry_after(text)


def test_retry_after() -> None:
    assert read_retry_after("120") == 120
    assert read_retry_after("9" * 4000) == MAX_RETRY_AFTER_S
    assert read_retry_after("-5") is None
    assert read_retry_after("soon") is None
    soon = read_retry_after(formatdate(time.time() + 60, usegmt=True))
    assert soon is not None
    assert 50 < soon <= 60
    assert read_retry_after("Sun, 06 Nov 1994 08:49:37 GMT") == 0
