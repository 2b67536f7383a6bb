"""Rows of an export as columns of text, whatever types they are stored in and whatever they lack.

In Parquet numbers are numbers, in JSON they are text; columns that an export never filled have
any type or are not there.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

UNSET: Final = ("", "(not set)", "(not provided)")
"""What the export writes where there is nothing."""

_VALUE: Final = ("string_value", "int_value", "double_value", "float_value")
_VALUE_TYPE: Final = pl.Struct(dict.fromkeys(_VALUE, pl.String))
_PARAMS_TYPE: Final = pl.List(pl.Struct({"key": pl.String, "value": _VALUE_TYPE}))


def _struct(*names: str) -> pl.Struct:
    return pl.Struct(dict.fromkeys(names, pl.String))


JSON_TYPE: Final = pl.Struct(
    {
        "event_timestamp": pl.String,
        "event_name": pl.String,
        "user_pseudo_id": pl.String,
        "user_id": pl.String,
        "event_params": _PARAMS_TYPE,
        "user_properties": _PARAMS_TYPE,
        "device": pl.Struct(
            {
                "category": pl.String,
                "operating_system": pl.String,
                "browser": pl.String,
                "language": pl.String,
                "web_info": _struct("browser"),
            }
        ),
        "geo": _struct("country", "region", "city"),
        "traffic_source": _struct("source", "medium", "name"),
        "collected_traffic_source": _struct(
            "manual_source", "manual_medium", "manual_campaign_name", "manual_term",
            "manual_content",
        ),
        "ecommerce": _struct(
            "purchase_revenue", "refund_value", "transaction_id", "tax_value", "shipping_value"
        ),
        "items": pl.List(
            _struct(
                "item_id", "item_name", "item_brand", "item_variant", "item_category",
                "item_category2", "item_category3", "item_category4", "item_category5", "price",
                "quantity", "coupon", "affiliation", "item_list_id", "item_list_name",
                "promotion_id", "promotion_name",
            )
        ),
    }
)  # fmt: skip
"""What is read of a row in JSON."""
COLUMNS: Final = tuple(field.name for field in JSON_TYPE.fields)
"""Columns of an export that are read."""


def rows_of_json(lines: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows (``row`` and ``COLUMNS``) in lines of JSON (``row``, ``line``), and the lines that
    hold none."""
    texts = lines.get_column("line")
    try:
        decoded = texts.str.json_decode(JSON_TYPE)
    except pl.exceptions.PolarsError:
        if lines.height == 1:
            return _decoded(lines.clear(), pl.Series(dtype=JSON_TYPE)), lines
        half = lines.height // 2
        halves = [rows_of_json(lines[:half]), rows_of_json(lines[half:])]
        return pl.concat([rows for rows, _ in halves]), pl.concat([bad for _, bad in halves])
    is_row = decoded.is_not_null() & texts.str.starts_with("{")
    return _decoded(lines.filter(is_row), decoded.filter(is_row)), lines.filter(~is_row)


def _decoded(lines: pl.DataFrame, values: pl.Series) -> pl.DataFrame:
    return lines.select("row").hstack(values.struct.unnest())


def fields_of(rows: pl.DataFrame, wanted: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """``row`` and the text of the fields wanted, null where they are not set.

    Args:
        rows: ``row`` and columns of an export.
        wanted: The places of each field, as ``device.category``; the first that is set counts.
    """
    return rows.select(
        "row",
        *(
            pl.coalesce(*(_set(_at(rows.schema, place)) for place in places)).alias(name)
            for name, places in wanted.items()
        ),
    )


def pairs_of_params(rows: pl.DataFrame, column: str) -> pl.DataFrame:
    """The parameters in a column: ``row``, ``key``, ``text``, ``is_number``; those without a
    value are left out."""
    listed_values = listed(rows, column, ("key", *(f"value.{name}" for name in _VALUE)))
    numbers = [pl.col(f"value.{name}") for name in _VALUE[1:]]
    return listed_values.select(
        "row",
        "key",
        text=pl.coalesce("value.string_value", *numbers),
        is_number=pl.col("value.string_value").is_null(),
    ).filter(pl.col("key").is_not_null() & (pl.col("text") != ""))


def listed(rows: pl.DataFrame, column: str, places: Sequence[str]) -> pl.DataFrame:
    """A row an entry of a column of lists: ``row``, and the text at ``places`` within the entry,
    null where it is not set."""
    nothing = pl.DataFrame(schema={"row": pl.Int64, **dict.fromkeys(places, pl.String)})
    dtype = rows.schema.get(column)
    if not isinstance(dtype, pl.List) or not isinstance(dtype.inner, pl.Struct):
        return nothing
    entries = rows.select("row", pl.col(column)).explode(column).drop_nulls(column)
    if entries.is_empty():
        return nothing
    entries = entries.unnest(column)
    return entries.select(
        "row", *(_set(_at(entries.schema, place)).alias(place) for place in places)
    )


def _at(schema: Mapping[str, pl.DataType], place: str) -> pl.Expr:
    """The text at a place, null where the schema has none."""
    name, *below = place.split(".")
    dtype: Any = schema.get(name)
    if dtype is None:
        return pl.lit(None, pl.String)
    found = pl.col(name)
    for field in below:
        fields = dtype.to_schema() if isinstance(dtype, pl.Struct) else {}
        if field not in fields:
            return pl.lit(None, pl.String)
        found, dtype = found.struct.field(field), fields[field]
    return pl.lit(None, pl.String) if dtype.is_nested() else found.cast(pl.String)


def _set(text: pl.Expr) -> pl.Expr:
    return pl.when(~text.is_in(UNSET)).then(text)
