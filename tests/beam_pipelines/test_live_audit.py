"""Sealed hours are held against what a stream has counted of them, announcements and all."""

from pathlib import Path

import polars as pl
import pytest

from beam_pipelines.generations import open_generation
from beam_pipelines.places import Places
from beam_pipelines.wishes import Wish
from stores.clock import utc_us
from stores.live_audits import AuditNotes
from stores.reviews import Review
from tallymark.audit_notes import alert_text, standing_check
from tallymark.slots import DAY_US, HOUR_US
from tests.beam_pipelines.test_pipelines import stream
from tests.beam_pipelines.test_touches_over_days import late_hit
from tests.beam_pipelines.worlds import World, visits_over_days
from tests.strategies import MIDNIGHT_US

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class Streamed:
    """Three days of visits as a stream has counted them, and a hit that came two days late."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder)
        owner = self.world.property(time_zone="Europe/Zurich")
        visits, late = visits_over_days([owner], days=3, clients=4), late_hit(owner, "2.1")
        settings = self.world.settings("live-1", flush_seconds=0.0, snapshot_seconds=1e-6)
        self.places = Places(
            archive_url=settings.archive_url,
            wide_rows_url=settings.wide_rows_url,
            rules_path=settings.rules_path,
        )
        self.places.publisher("test").live_lineage(shards=1)
        everything = sorted([*visits, late], key=lambda block: block.published_at)
        stream([everything[at : at + 5] for at in range(0, len(everything), 5)], settings)
        self.world.archive([*visits, late])

    def seal(self, day: int) -> Review:
        start = MIDNIGHT_US + day * DAY_US
        wish = Wish(start_us=start, end_us=start + DAY_US, who="test", is_sealing=True)
        generation = open_generation(self.places, wish)
        generation.compute("rollups", lambda _: None)
        review = generation.review()
        generation.conclude(may_be_published=review.adds_up)
        generation.publish()
        return review

    def count_one_more(self, rollup: str, day: int) -> int:
        """Let a cell of the stream's say an event more than there was; the hour of it."""
        cells = self.world.rows.read([(b"0", b"~")])
        key = pl.col("row_key").cast(pl.String)
        date = f"202311{15 + day}"
        cell = cells.filter(
            key.str.contains(f"#{rollup}#{date}#live-1#"), pl.col("family") == "n"
        ).head(1)
        number, _, rest = cell["value"][0].removeprefix(b"1\n").partition(b"\t")
        value = b"1\n%d\t%s" % (int(number) + 1, rest)
        self.world.rows.write(
            cell.with_columns(pl.col("version") + 1, value=pl.lit(value, pl.Binary))
        )
        return int.from_bytes(cell["qualifier"][0][:8], "big") // HOUR_US * HOUR_US


def test_late_hits_are_no_alert_and_a_cell_that_was_wrong_is_one(tmp_path: Path) -> None:
    streamed = Streamed(tmp_path)
    notes = AuditNotes(streamed.places.wide_rows, utc_us)

    first = streamed.seal(0).divergences
    assert first is not None
    assert first.unexplained_hours() == []
    assert MIDNIGHT_US in first.explained_hours()
    assert notes.all() == []

    wrong = streamed.count_one_more("totals", day=1)
    second = streamed.seal(1).divergences
    assert second is not None
    assert second.unexplained_hours() == [wrong]
    assert set(second.examples["metric"]) == {"events"}
    [alert] = notes.alerts()
    assert (alert.hour_us, alert.numbers) == (wrong, 1)
    assert "1 hour differs from live beyond late hits, e.g. 2023-11-16T" in alert_text([alert])
    assert not standing_check(notes.alerts(), second).passed
    assert not standing_check(notes.alerts()).passed

    assert len(notes.acknowledge(wrong, wrong + HOUR_US, who="ada", why="a test")) == 1
    assert notes.alerts() == []
    assert standing_check(notes.alerts()).passed
