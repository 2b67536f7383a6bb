"""Clients' touches in the wide rows: what is served of them."""

from collections.abc import Mapping

import polars as pl

from stores.wide_rows.port import WideRows
from tallymark import pointer_map
from tallymark.lineages import kind_of
from tallymark.pointer_map import PointerMap
from tallymark.row_keys import POINTER_MAP_KEY
from tallymark.touch_cells import FAMILY, decode_touches, served, with_client_keys
from tallymark.touches import TOUCH_SCHEMA


def touches_for(
    lineage: str, wide_rows: WideRows, clients: pl.DataFrame, *, counts_from: int, before_us: int
) -> pl.DataFrame:
    """The older touches (``TOUCH_SCHEMA``) of clients by which a live lineage goes on.

    They are those that are served now, but where another live lineage serves hours that it has
    counted itself, its own: an heir has another's code for its reason. One read brings the touches
    and the pointers that say which of them count.

    Args:
        lineage: The live lineage.
        wide_rows: Where both lie.
        clients: ``property_id``, ``client_hash``.
        counts_from: UTC µs of the first hour that the lineage has counted whole.
        before_us: UTC µs, a full hour.

    Raises:
        WideRowsUnavailableError: when the store cannot be read.
    """
    keys = with_client_keys(clients).get_column("row_key").to_list()
    owners = clients.get_column("property_id").unique().to_list()
    overrides = {owner: pointer_map.override_key(owner) for owner in owners}
    found = wide_rows.read_rows([*keys, POINTER_MAP_KEY, *overrides.values()], (FAMILY, "c"))
    documents = found.filter(pl.col("qualifier") == pl.lit(pointer_map.QUALIFIER))
    maps = dict(documents.select("row_key", "value").iter_rows())
    everywhere = pointer_map.decode(maps.get(POINTER_MAP_KEY))
    if counts_from < before_us:
        everywhere = everywhere.seal(
            counts_from, before_us, lineage, lambda name: kind_of(name) == "live"
        )
    pointers = {
        owner: everywhere.overridden_by(pointer_map.decode(maps.get(key)))
        for owner, key in overrides.items()
    }
    return _older(found.filter(pl.col("family") == FAMILY), pointers, before_us)


def pinned_touches(
    wide_rows: WideRows,
    clients: pl.DataFrame,
    pointers: Mapping[int | None, PointerMap],
    *,
    before_us: int,
) -> pl.DataFrame:
    """The same as pointers served them that were taken at some time.

    Args:
        wide_rows: Where the touches lie.
        clients: ``property_id``, ``client_hash``.
        pointers: The map under ``None``, and the overrides of each property that has any.
        before_us: UTC µs, a full hour.

    Raises:
        WideRowsUnavailableError: when the store cannot be read.
    """
    keys = with_client_keys(clients).get_column("row_key").to_list()
    serving = {
        owner: pointers[None].overridden_by(pointers.get(owner, PointerMap()))
        for owner in clients.get_column("property_id").unique()
    }
    return _older(wide_rows.read_rows(keys, (FAMILY,)), serving, before_us)


def _older(cells: pl.DataFrame, pointers: Mapping[int, PointerMap], before_us: int) -> pl.DataFrame:
    older = decode_touches(cells).filter(pl.col("hour") < before_us)
    return served(older, pointers).select(list(TOUCH_SCHEMA))
