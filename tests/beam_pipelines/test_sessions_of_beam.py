"""Our sessions against those of a plain Beam pipeline, where no chain reaches L."""

from random import Random

import apache_beam as beam
import polars as pl
import pytest
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import Sessions, TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from tests.strategies import (
    HOUR_US,
    MIDNIGHT_US,
    MINUTE_US,
    SECOND_US,
    Visit,
    all_joined,
    hits_of,
)

MILLISECOND_US = 1_000
"""Beam's runners keep windows in milliseconds, so all times here are whole ones."""
Session = tuple[int, int, int, int]
"""Client, start and end (UTC µs of the first and last hit), hits."""


class _SessionsOfGroups(beam.DoFn):
    def process(self, element, window=beam.DoFn.WindowParam):  # type: ignore[no-untyped-def]
        client, times = element
        times = sorted(times)
        assert window.start == Timestamp(micros=times[0])
        yield int(client), times[0], times[-1], len(times)


def visits_of(gap_us: int, seed: int, count: int) -> list[Visit]:
    """Chains of at most 3.9 hours whose pauses lie around the gap, for many clients."""
    random = Random(seed)
    below, above = gap_us - MILLISECOND_US, gap_us + MILLISECOND_US
    pauses = (SECOND_US, MINUTE_US, gap_us // 2, below, below, gap_us, above)
    found: list[Visit] = []
    client = 0
    while len(found) < count:
        at = chain_start = MIDNIGHT_US + random.randrange(30 * 3_600_000) * MILLISECOND_US
        for _ in range(random.randrange(1, 14)):
            found.append(
                Visit(
                    client=client,
                    property_id=1,
                    event_at=at,
                    opens_session=True,
                    look=random.randrange(288),
                )
            )
            pause = random.choice(pauses)
            chain_start = at + pause if pause >= gap_us else chain_start
            if at + pause - chain_start >= 4 * HOUR_US - 6 * MINUTE_US:
                break
            at += pause
        client += 1
    return found


def our_sessions(hits: pl.DataFrame) -> list[Session]:
    joined = all_joined(hits)
    rows = joined.group_by("client_hash", "session_start").agg(
        pl.col("session_duration_ms").first(), pl.col("events").sum()
    )
    exact = hits.group_by("client_hash", "event_at").len().select("client_hash", "event_at")
    ends = exact.join(rows, on="client_hash").filter(
        pl.col("event_at") >= pl.col("session_start"),
        (pl.col("event_at") - pl.col("session_start")) // 1000 <= pl.col("session_duration_ms"),
    )
    return ends.group_by("client_hash", "session_start").agg(
        pl.col("event_at").max(), pl.col("events").first()
    ).rows()  # fmt: skip


@pytest.mark.parametrize(
    ("gap_minutes", "seed"),
    [(30, 1), *(pytest.param(*case, marks=pytest.mark.slow) for case in ((5, 2), (90, 3)))],
)
def test_our_sessions_are_those_of_beam(gap_minutes: int, seed: int) -> None:
    gap_us = gap_minutes * MINUTE_US
    hits = hits_of(visits_of(gap_us, seed, 3_000), gap_us)
    expected = our_sessions(hits)
    assert len(expected) > 500
    assert max(end - start for _, start, end, _ in expected) < 4 * HOUR_US
    rows = [(str(client), at) for client, at in hits.select("client_hash", "event_at").iter_rows()]
    with beam.Pipeline("DirectRunner") as pipeline:
        found = (
            pipeline
            | beam.Create(rows, reshuffle=False)
            | beam.Map(lambda row: TimestampedValue(row, Timestamp(micros=row[1])))
            | "Sessions" >> beam.WindowInto(Sessions(gap_us / 1e6))
            | beam.GroupByKey()
            | beam.ParDo(_SessionsOfGroups())
            | "Together" >> beam.WindowInto(beam.window.GlobalWindows())
        )
        assert_that(found, equal_to(expected))
