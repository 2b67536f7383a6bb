"""What a candidate would change of what later sessions are attributed by: its clients' sources."""

from collections.abc import Iterable, Sequence

import polars as pl

from stores.archive.port import Objects
from stores.pointers import PointerStore
from stores.stale_touches import CLIENTS_A_READ, clients_between
from stores.wide_rows.port import WideRows
from tallymark.lineages import Span, merged_spans
from tallymark.pointer_map import PointerMap
from tallymark.stale_touches import SOURCE_CHANGE_SCHEMA, source_changes
from tallymark.touch_cells import FAMILY, decode_touches, with_client_keys


def changed_sources(
    wide_rows: WideRows,
    objects: Objects,
    candidate: str,
    spans: Sequence[Span],
    property_ids: Iterable[int],
    *,
    against: str = "",
) -> pl.DataFrame:
    """How many clients (``SOURCE_CHANGE_SCHEMA``) later sessions are attributed to otherwise for.

    Args:
        wide_rows: Where touches and pointers are.
        objects: The archive, which notes what touches lineages have.
        candidate: A lineage.
        spans: Hours (UTC µs) that it is to serve; what counts is told as of their end.
        property_ids: Of which properties.
        against: A lineage to compare with in place of what serves these hours.
    """
    spans = merged_spans(spans)
    documents = PointerStore(wide_rows).everyone()
    wanted = sorted(set(property_ids))
    groups = [[owner for owner in wanted if owner not in documents]]
    groups += [[owner] for owner in wanted if owner in documents]
    found = [SOURCE_CHANGE_SCHEMA.to_frame()]
    for owners in filter(None, groups):
        served = documents[None].pointers
        if owners[0] in documents:
            served = served.overridden_by(documents[owners[0]].pointers)
        before = served.publish_all(spans, against) if against else served
        after = served.publish_all(spans, candidate)
        found += _of_owners(wide_rows, objects, owners, (before, after), spans[-1][1])
    return pl.concat(found).group_by("property_id").sum().sort("property_id")


def _of_owners(
    wide_rows: WideRows,
    objects: Objects,
    owners: Sequence[int],
    maps: tuple[PointerMap, PointerMap],
    end_us: int,
) -> list[pl.DataFrame]:
    before, after = maps
    parts = list(clients_between(wide_rows, objects, owners, before, after))
    if not parts:
        return []
    clients = pl.concat(parts).unique()
    keys = with_client_keys(clients).get_column("row_key").to_list()
    return [
        source_changes(decode_touches(cells), before, after, end_us)
        for first in range(0, len(keys), CLIENTS_A_READ)
        for cells in [wide_rows.read_rows(keys[first : first + CLIENTS_A_READ], (FAMILY,))]
    ]
