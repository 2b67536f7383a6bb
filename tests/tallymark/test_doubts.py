"""Doubts: which hits were processed by rules that had changed, whatever a worker knew and when."""

from typing import Any, NamedTuple

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.doubts import DOUBT_SCHEMA, doubtful, mistakes, together
from tallymark.properties import DataStream, Property, RulesVersion, properties_frame
from tallymark.slots import HOUR_US, MINUTE_US
from tests.strategies import MIDNIGHT_US, SECOND_US, examples

IDS = ("G-SHOPSHOP01", "G-SHOPSHOP02")
DELAY_US, COMMIT_US = 30 * SECOND_US, 5 * SECOND_US
NOBODY = "G-NOBODY0001"


class Hit(NamedTuple):
    """Seconds from midnight; how long it took to be received, and then to be processed."""

    owner: int
    received: int
    late: int
    waits: int


def frame_of(hits: list[Hit]) -> pl.DataFrame:
    rows = [
        {
            "hit_id": f"{number:032x}-0000",
            "measurement_id": IDS[hit.owner],
            "received_at": MIDNIGHT_US + hit.received * SECOND_US,
            "event_at": MIDNIGHT_US + (hit.received - hit.late) * SECOND_US,
        }
        for number, hit in enumerate(hits)
    ]
    schema = {"hit_id": pl.String, "measurement_id": pl.String,
              "received_at": pl.Int64, "event_at": pl.Int64}  # fmt: skip
    return pl.DataFrame(rows, schema=schema)


def rules(saved: list[list[int]], known_at: int | None = None) -> pl.DataFrame:
    """The versions that were saved by a second of the day; all by default. The first is from
    ever."""
    return properties_frame(
        Property(
            property_id=7 + owner,
            name="Shop",
            data_streams=(DataStream(measurement_id=IDS[owner]),),
            versions=(
                RulesVersion(version=1),
                *(
                    RulesVersion(version=number, effective_at=effective_us(at))
                    for number, at in enumerate(sorted(of_owner), 2)
                    if known_at is None or at <= known_at
                ),
            ),
        )
        for owner, of_owner in enumerate(saved)
    )


def effective_us(saved: int) -> int:
    return MIDNIGHT_US + saved * SECOND_US + DELAY_US + COMMIT_US


def in_force(versions: pl.DataFrame, owner: int, received_us: int) -> int:
    mine = versions.filter(
        (pl.col("property_id") == 7 + owner) & (pl.col("effective_at") <= received_us)
    )
    [number] = mine.select(pl.col("rules_version").max())["rules_version"]
    return int(number)


def noted(hits: list[Hit], saved: list[list[int]], contacts: list[int]) -> pl.DataFrame:
    """The doubts of a worker that heard of all changes at some seconds, and at none between."""
    found = [DOUBT_SCHEMA.to_frame()]
    for hit in hits:
        heard = max(at for at in contacts if at <= max(0, hit.received + hit.waits))
        valid_through = MIDNIGHT_US + heard * SECOND_US + DELAY_US - 1
        doubts = doubtful(frame_of([hit]), rules(saved, heard), valid_through)
        found.append(doubts.with_columns(block=pl.lit(f"block-{hit.received}")).drop("request_id")
                     .select(list(DOUBT_SCHEMA)))  # fmt: skip
    return together(pl.concat(found))


seconds = st.integers(0, 2 * 3_600)
hit = st.builds(
    Hit, owner=st.integers(0, 1), received=seconds, late=st.integers(0, 8_000),
    waits=st.integers(0, 90),
)  # fmt: skip


@examples(60)
@given(
    hits=st.lists(hit, max_size=12),
    saved=st.lists(st.lists(seconds, max_size=4, unique=True), min_size=2, max_size=2),
    contacts=st.lists(seconds, max_size=4),
)
def test_every_hit_of_a_wrong_version_is_found_and_no_hour_of_right_ones(hits, saved, contacts):
    contacts = [0, *contacts]
    versions = rules(saved)
    doubts = noted(hits, saved, contacts)
    found = {row[:2] for row in mistakes(doubts, versions).iter_rows()}
    wrong, unsure = set(), set()
    for one in hits:
        heard = max(at for at in contacts if at <= one.received + one.waits)
        received_us = MIDNIGHT_US + one.received * SECOND_US
        hour = (received_us - one.late * SECOND_US) // HOUR_US * HOUR_US
        known = in_force(rules(saved, heard), one.owner, received_us)
        if known != in_force(versions, one.owner, received_us):
            wrong.add((7 + one.owner, hour))
        if any(
            at > heard and effective_us(at) < received_us + MINUTE_US for at in saved[one.owner]
        ):
            unsure.add((7 + one.owner, hour))
    assert wrong <= found <= unsure


@examples(20)
@given(hits=st.lists(hit, max_size=12), saved=st.lists(st.lists(seconds, max_size=4, unique=True),
                                                       min_size=2, max_size=2))  # fmt: skip
def test_a_worker_in_contact_doubts_nothing(hits, saved):
    every_ten_seconds = [10 * at for at in range(1_000)]
    assert noted(hits, saved, every_ten_seconds).is_empty()


CHANGED_AT = effective_us(100)


@pytest.mark.parametrize(
    ("what", "received_us", "changes", "hours"),
    [
        ("in force when it was received", CHANGED_AT, {}, [(7, 0)]),
        ("in force a microsecond later, in the same minute", CHANGED_AT - 1, {}, [(7, 0)]),
        ("in force minutes later", CHANGED_AT - 3 * MINUTE_US, {}, []),
        ("known all along", CHANGED_AT, {"known_version": 2}, []),
        ("of an id that could not be asked for", CHANGED_AT, {"known_version": 0}, [(7, 0)]),
        ("of an id that nobody has", CHANGED_AT, {"known_version": 0, "measurement_id": NOBODY},
         []),
    ],
)  # fmt: skip
def test_a_doubt_is_a_mistake_if_a_version_was_in_force_that_was_not_known(
    what: str, received_us: int, changes: dict[str, Any], hours: list[tuple[int, int]]
) -> None:
    doubt = {
        "measurement_id": IDS[0], "known_version": 1, "event_hour": MIDNIGHT_US,
        "received_hour": MIDNIGHT_US, "block": "block-1",
        "through": -(-received_us // MINUTE_US) * MINUTE_US,
    } | changes  # fmt: skip
    found = mistakes(pl.DataFrame([doubt], schema=DOUBT_SCHEMA), rules([[100], []]))
    assert [(owner, hour - MIDNIGHT_US) for owner, hour, _ in found.iter_rows()] == hours, what


@pytest.mark.parametrize(("known_for", "doubted"), [(10 * SECOND_US, 0), (10 * SECOND_US - 1, 1)])
def test_doubt_begins_a_microsecond_after_what_is_known(known_for: int, doubted: int) -> None:
    found = doubtful(frame_of([Hit(0, 10, 0, 0)]), rules([[], []]), MIDNIGHT_US + known_for)
    assert found.height == doubted


def test_ids_that_could_not_be_asked_for_are_doubted_however_new_the_rules_are() -> None:
    hits = frame_of([Hit(0, 10, 0, 0), Hit(1, 10, 0, 0)])
    known = rules([[], []]).filter(pl.col("property_id") == 7)
    found = doubtful(hits, known, 2**62, [IDS[1]])
    assert found.select("measurement_id", "known_version").rows() == [(IDS[1], 0)]
    # It may have been made up to a delay before whoever knows the rules of a time was told.
    assert found.item(0, "through") >= MIDNIGHT_US + 10 * SECOND_US + DELAY_US


def test_hits_that_are_too_late_to_count_and_ids_that_do_not_exist_are_not_doubted() -> None:
    hits = frame_of([Hit(0, 10, 73 * 3_600, 0), Hit(1, 10, 0, 0)])
    known = rules([[], []]).filter(pl.col("property_id") == 7)
    assert doubtful(hits, known, 0).is_empty()
