"""The pointer map: who serves an hour, after publications, extensions, rollbacks, overrides."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.pointer_map import FOR_EVER, SINCE_EVER, PointerMap, decode, override_key
from tallymark.slots import HOUR_US

HOURS = 12
LIVE = PointerMap.serving("live-1")


def served(pointers: PointerMap) -> list[str | None]:
    return [pointers.lineage_at(hour * HOUR_US) for hour in range(HOURS)]


def hours(pointers: PointerMap, first: int, end: int, lineage: str, **over: int) -> PointerMap:
    return pointers.publish(first * HOUR_US, end * HOUR_US, lineage, **over)


def test_the_first_lineage_serves_all_time() -> None:
    assert {LIVE.lineage_at(at) for at in (SINCE_EVER, 0, 1_700_000_000_000_000)} == {"live-1"}
    assert LIVE.version == 1


def test_an_empty_map_serves_nothing() -> None:
    assert PointerMap().lineage_at(0) is None
    assert decode(None) == PointerMap()


def test_a_publication_takes_its_hours_and_no_others() -> None:
    published = hours(LIVE, 3, 5, "gen-7")
    expected = ["live-1"] * 3 + ["gen-7"] * 2 + ["live-1"] * 7
    assert served(published) == expected
    assert published.version == 2


def test_an_interval_holds_its_start_and_not_its_end() -> None:
    published = hours(LIVE, 3, 5, "gen-7")
    assert published.lineage_at(3 * HOUR_US - 1) == "live-1"
    assert published.lineage_at(3 * HOUR_US) == "gen-7"
    assert published.lineage_at(5 * HOUR_US - 1) == "gen-7"
    assert published.lineage_at(5 * HOUR_US) == "live-1"


def sealed(pointers: PointerMap, first: int, end: int) -> PointerMap:
    return pointers.seal(
        first * HOUR_US, end * HOUR_US, "gen-0", gives_way=lambda name: name.startswith("live-")
    )


def test_sealing_takes_hours_over_from_live_lineages_and_keeps_the_map_short() -> None:
    pointers = sealed(sealed(LIVE, 0, 3), 3, 6)
    assert served(pointers) == ["gen-0"] * 6 + ["live-1"] * 6
    assert len(pointers.intervals) == 3
    assert pointers.version == 3
    assert sealed(pointers, 1, 5) is pointers


def test_sealing_leaves_what_a_replay_has_published() -> None:
    pointers = sealed(hours(LIVE, 2, 4, "gen-7"), 0, 6)
    assert served(pointers) == ["gen-0"] * 2 + ["gen-7"] * 2 + ["gen-0"] * 2 + ["live-1"] * 6


def test_sealing_takes_hours_that_nothing_serves() -> None:
    pointers = sealed(hours(PointerMap(), 2, 4, "gen-7"), 0, 6)
    assert served(pointers) == ["gen-0"] * 2 + ["gen-7"] * 2 + ["gen-0"] * 2 + [None] * 6


def test_sealing_an_impossible_span_is_refused() -> None:
    with pytest.raises(ValueError, match="starts before it ends"):
        sealed(LIVE, 3, 3)


def test_a_rollback_serves_what_was_served_before_under_a_new_version() -> None:
    published = hours(LIVE, 3, 5, "gen-7")
    back = published.restore(LIVE)
    assert served(back) == served(LIVE)
    assert back.version == 3


def test_an_override_serves_its_property_alone_and_only_its_hours() -> None:
    override = hours(PointerMap(), 4, 6, "gen-8", over=LIVE.version)
    assert served(LIVE.overridden_by(override)) == ["live-1"] * 4 + ["gen-8"] * 2 + ["live-1"] * 6
    assert LIVE.overridden_by(PointerMap()).intervals == LIVE.intervals


def test_a_later_publication_for_all_beats_an_override() -> None:
    override = hours(PointerMap(), 2, 8, "gen-8", over=LIVE.version)
    later = hours(LIVE, 4, 6, "gen-9")
    expected = ["live-1"] * 2 + ["gen-8"] * 2 + ["gen-9"] * 2 + ["gen-8"] * 2 + ["live-1"] * 4
    assert served(later.overridden_by(override)) == expected


def test_a_rollback_brings_the_overrides_back_that_the_publication_hid() -> None:
    override = hours(PointerMap(), 2, 8, "gen-8", over=LIVE.version)
    back = hours(LIVE, 0, 12, "gen-9").restore(LIVE)
    assert served(back.overridden_by(override)) == served(LIVE.overridden_by(override))


def test_sealing_does_not_hide_overrides() -> None:
    override = hours(PointerMap(), 1, 2, "gen-8", over=LIVE.version)
    longer = sealed(sealed(LIVE, 0, 3), 3, 9)
    assert longer.overridden_by(override).lineage_at(HOUR_US) == "gen-8"


@pytest.mark.parametrize(
    ("start_us", "end_us", "lineage", "said"),
    [
        (0, 0, "a", "starts before it ends"),
        (HOUR_US, 0, "a", "starts before it ends"),
        (1, HOUR_US, "a", "full UTC hours"),
        (0, HOUR_US, "", "lineage of ASCII"),
        (0, HOUR_US, "a#b", "lineage of ASCII"),
        (0, HOUR_US, "ä", "lineage of ASCII"),
    ],
)
def test_an_impossible_publication_is_refused(
    start_us: int, end_us: int, lineage: str, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        LIVE.publish(start_us, end_us, lineage)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{}",
        b'{"version":1,"intervals":[{}]}',
        b'{"version":1,"intervals":[{"start":0,"end":null,"lineage":"a","published":1},'
        b'{"start":null,"end":null,"lineage":"b","published":1}]}',
    ],
)
def test_bytes_that_are_no_map_are_refused(document: bytes) -> None:
    with pytest.raises(ValueError, match="expected"):
        decode(document)


def test_overrides_lie_in_a_row_a_property() -> None:
    assert override_key(42) == b"~pointers#42"


EDGES = st.one_of(
    st.just(SINCE_EVER), st.just(FOR_EVER), st.integers(0, HOURS).map(lambda hour: hour * HOUR_US)
)
CHANGES = st.lists(
    st.tuples(EDGES, EDGES, st.sampled_from(["live-1", "live-2", "gen-1", "gen-2"])).filter(
        lambda change: change[0] < change[1]
    ),
    max_size=8,
)


def published_all(changes: list[tuple[int, int, str]]) -> PointerMap:
    pointers = PointerMap()
    for change in changes:
        pointers = pointers.publish(*change)
    return pointers


@given(CHANGES)
def test_the_last_publication_of_an_hour_serves_it(changes: list[tuple[int, int, str]]) -> None:
    pointers = published_all(changes)
    for hour in range(-1, HOURS + 1):
        at = hour * HOUR_US
        naming = [lineage for start, end, lineage in changes if start <= at < end]
        assert pointers.lineage_at(at) == (naming[-1] if naming else None)
    assert pointers.version == len(changes)
    assert decode(pointers.encode()) == pointers


@given(CHANGES, st.lists(st.integers(-5, HOURS + 5), max_size=20))
def test_many_slots_at_once_are_served_as_one_by_one(
    changes: list[tuple[int, int, str]], asked: list[int]
) -> None:
    pointers = published_all(changes)
    starts = np.array(asked, dtype=np.int64) * HOUR_US
    names, index = pointers.lineages_of(starts)
    found = [names[place] if place >= 0 else None for place in index]
    assert found == [pointers.lineage_at(int(at)) for at in starts]
