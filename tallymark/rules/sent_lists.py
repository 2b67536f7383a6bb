"""Lists of hits, such as parameters, taken apart for what of them is asked for."""

import polars as pl


def entries_of(hits: pl.DataFrame, column: str, rows: pl.Series) -> pl.DataFrame:
    """``row`` and the fields of each entry of a list of some hits, in the order of the lists.

    Args:
        hits: Have the list.
        column: Which one.
        rows: Of hits, each once.
    """
    lists = pl.DataFrame({"row": rows, "entry": hits.get_column(column).gather(rows)})
    return lists.explode("entry").drop_nulls("entry").unnest("entry")


def first_sent(hits: pl.DataFrame, column: str, asked: pl.DataFrame) -> pl.DataFrame:
    """``text`` and ``micros`` of the first parameter of each name that is asked for, null where
    none was sent; the order is kept.

    Args:
        hits: Have the list.
        column: ``params`` or ``user_properties``.
        asked: ``row`` of ``hits`` and the ``key``.
    """
    sent = entries_of(hits, column, asked.get_column("row").unique()).unique(
        ["row", "key"], keep="first", maintain_order=True
    )
    found = asked.select("row", "key").join(
        sent, on=["row", "key"], how="left", maintain_order="left"
    )
    return found.select("text", "micros")
