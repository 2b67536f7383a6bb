import click
import pytest

from cli.hour_range import HourRange
from tallymark.replays import Span
from tallymark.slots import HOUR_US

NEW_YEAR = 1_767_225_600_000_000


def hours(first, end):
    return Span(NEW_YEAR + first * HOUR_US, NEW_YEAR + end * HOUR_US)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-01", hours(0, 24)),
        ("2026-01-01T08", hours(8, 9)),
        ("2026-01-01T08..2026-01-01T12", hours(8, 12)),
        ("2026-01-01..2026-01-03", hours(0, 48)),
        ("2025-12-31T22..2026-01-01", hours(-2, 0)),
    ],
)
def test_a_range_is_a_day_an_hour_or_from_to_without_its_end(text, expected):
    assert HourRange().convert(text, None, None) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("yesterday", "expected UTC hours such as"),
        ("2026-01-01T08:30", "expected UTC hours such as"),
        ("2026-01-01..", "expected UTC hours such as"),
        ("2026-01-02..2026-01-01", "starts before it ends"),
        ("2026-01-01..2026-01-01", "starts before it ends"),
    ],
)
def test_what_is_no_range_is_told_what_is(text, told):
    with pytest.raises(click.BadParameter, match=told):
        HourRange().convert(text, None, None)
