"""Where late hits are looked for: in what was announced, and in what is decoded."""

import pytest

from beam_pipelines.late_hours import received_hours_with_late_hits
from stores.archive.clean import CleanHits
from tallymark.slots import HOUR_US
from tests.beam_pipelines.worlds import World
from tests.stores.archive.test_clean_hits import hits, manifest
from tests.strategies import MIDNIGHT_US


def at(hour: int) -> int:
    return MIDNIGHT_US + hour * HOUR_US


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ([0], {at(40)}),
        ([1], set()),
        ([2], {at(10), at(50)}),
        # Hour 10 lies between the hours that are asked for, and is none of them.
        ([0, 1, 2, 30, 31], {at(10), at(40), at(50)}),
        ([], set()),
    ],
)
def test_hours_that_the_standing_lineage_has_decoded_are_found_by_what_they_hold(
    tmp_path, asked, found
):
    world = World(tmp_path)
    clean = CleanHits(world.objects)
    for received, event in ((10, 2), (40, 0), (50, 2), (140, 0)):
        part = clean.write_part("gen-0", at(received), at(event), "0", hits(3))
        clean.commit(manifest(part, lineage="gen-0", received_hour=at(received)))
    part = clean.write_part("gen-7", at(20), at(1), "0", hits(3))
    clean.commit(manifest(part, lineage="gen-7", received_hour=at(20)))
    url = world.settings().wide_rows_url
    hours = [at(hour) for hour in asked]
    assert received_hours_with_late_hits(world.objects, url, hours) == found
