"""Where a stream takes from what its clients' sources were before."""

import polars as pl
import pytest

from stores.publication import Publisher
from stores.wide_rows.client_touches import touches_for
from stores.wide_rows.port import WideRows
from tallymark.pieces import CLIENT
from tallymark.slots import HOUR_US
from tallymark.touch_cells import encode_touches, hour_of
from tallymark.touches import TOUCH_SCHEMA
from tests.strategies import MIDNIGHT_US

SERVED, OWN, REPLAYED, OVERRIDDEN, TO_COME = (MIDNIGHT_US + hour * HOUR_US for hour in range(5))
"""Hours that the stream has not counted, has counted, that a replay serves, that a replay of one
property serves, and that are not older."""


@pytest.fixture(name="store")
def _store(wide_rows: WideRows) -> WideRows:
    """A client of two properties came once an hour, from where the lineage's name says."""
    publisher = Publisher(wide_rows, lambda: 1, who="test")
    publisher.live_lineage(shards=1)
    publisher.lineages.draw("live", shards=1, reads_whole_from=0)
    for span, owner in (((REPLAYED, OVERRIDDEN), None), ((OVERRIDDEN, TO_COME), 1)):
        name = publisher.lineages.draw(state="candidate", targets=(span,), property_id=owner).name
        publisher.publish(name)
    hours = (SERVED, OWN, REPLAYED, OVERRIDDEN, TO_COME)
    for name in ("live-1", "live-2", "gen-1", "gen-2"):
        rows = [(owner, 5, hour, name, "", "", "") for owner in (1, 2) for hour in hours]
        touches = pl.DataFrame(rows, schema=TOUCH_SCHEMA, orient="row")
        owed = touches.select(*CLIENT, hour_of("start"))
        wide_rows.write(encode_touches(touches, owed, lineage=name, version=1))
    return wide_rows


@pytest.mark.parametrize(
    ("lineage", "counts_from", "sources"),
    [
        ("live-2", OWN, {1: ["live-1", "live-2", "gen-1", "gen-2"],
                         2: ["live-1", "live-2", "gen-1", "live-2"]}),
        ("live-2", TO_COME, {1: ["live-1", "live-1", "gen-1", "gen-2"],
                             2: ["live-1", "live-1", "gen-1", "live-1"]}),
        ("live-1", SERVED, {1: ["live-1", "live-1", "gen-1", "gen-2"],
                            2: ["live-1", "live-1", "gen-1", "live-1"]}),
    ],
)  # fmt: skip
def test_a_stream_goes_on_by_its_own_touches_where_a_stream_serves_what_it_has_counted_itself(
    store: WideRows, lineage: str, counts_from: int, sources: dict[int, list[str]]
) -> None:
    clients = pl.DataFrame({"property_id": [1, 2], "client_hash": [5, 5]}, schema=CLIENT_SCHEMA)
    found = touches_for(lineage, store, clients, counts_from=counts_from, before_us=TO_COME)
    assert found.schema == TOUCH_SCHEMA
    by_owner = {
        owner: found.filter(pl.col("property_id") == owner).sort("start")["source"].to_list()
        for owner in (1, 2)
    }
    assert by_owner == sources


CLIENT_SCHEMA = {name: TOUCH_SCHEMA[name] for name in CLIENT}
