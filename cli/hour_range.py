"""A range of UTC hours, as the command line takes it."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from tallymark.replays import Span
from tallymark.slots import instant_us

_FORMS = (("%Y-%m-%d", timedelta(days=1)), ("%Y-%m-%dT%H", timedelta(hours=1)))


class HourRange(click.ParamType[Span]):
    """``2026-01-31`` a day, ``2026-01-31T08`` an hour, ``A..B`` from A up to B, without B."""

    name = "range"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Span:
        """The hours; all in UTC."""
        if isinstance(value, Span):
            return value
        first, dots, last = str(value).partition("..")
        start, length = self._moment(first, param, ctx)
        end = self._moment(last, param, ctx)[0] if dots else start + length
        if end <= start:
            self.fail(f"expected a range that starts before it ends, got {value!r}", param, ctx)
        return Span(instant_us(start), instant_us(end))

    def _moment(
        self, text: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[datetime, timedelta]:
        for form, length in _FORMS:
            with suppress(ValueError):
                return datetime.strptime(text, form).replace(tzinfo=UTC), length
        return self.fail(
            "expected UTC hours such as 2026-01-31, 2026-01-31T08 or "
            f"2026-01-30T20..2026-01-31T08, got {text!r}",
            param,
            ctx,
        )
