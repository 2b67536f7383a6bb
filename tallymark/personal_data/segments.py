"""Segments: texts as parameters, each by its name: pairs of query strings, strings of JSON.

The segments of a text, one behind the other, are the text.
"""

from typing import Final

import polars as pl

from tallymark.protocols.percent import percent_decoded

IDENTITIES: Final = ("cid", "uid", "client_id", "user_id")
"""Parameters that tell visitors apart."""
TRANSPORT: Final = frozenset(
    [
        "_p",
        "_s",
        "_c",
        "_et",
        "_ee",
        "_fv",
        "_nsi",
        "_ss",
        "_tk",
        "_ta",
        "_u",
        "_v",
        "_gid",
        "_slc",
        "a",
        "are",
        "cb",
        "ci",
        "dma",
        "dma_cps",
        "fvl",
        "gcd",
        "gcs",
        "gjid",
        "gtm",
        "ht",
        "jid",
        "je",
        "npa",
        "pscdl",
        "qt",
        "sct",
        "sd",
        "seg",
        "sid",
        "sr",
        "srt",
        "tag_exp",
        "tfd",
        "tid",
        "v",
        "vp",
        "z",
        "ti",
        "tr",
        "ts",
        "tt",
        "measurement_id",
        "timestamp_micros",
    ]
)
IDS: Final = frozenset(
    [
        "session_id",
        "ga_session_id",
        "ga_session_number",
        "engagement_time_msec",
        "transaction_id",
        "order_id",
        "orderid",
        "order",
        "order_number",
        "item_id",
        "id",
        "sku",
        "product_id",
        "productid",
        "variant_id",
        "article_id",
        "ean",
        "gtin",
        "isbn",
        "upc",
        "mpn",
        "price",
        "quantity",
        "value",
        "gclid",
        "fbclid",
        "msclkid",
        "ttclid",
        "dclid",
    ]
)
"""Parameters that are numbers by nature, those of a protocol and those of events: no phone and no
card numbers are looked for in them."""
_NUMBER_FORM: Final = r"^(?:(?:ep|up)n\..*|pr[0-9]{1,3}(?:id|pr|qt|ps)?|i[cpq])$"

SEGMENT_SCHEMA: Final = pl.Schema(
    {
        "row": pl.UInt32,
        "segment": pl.String,
        "name": pl.String,  # of the parameter, "" for what has none
        "is_string": pl.Boolean,  # in JSON: whether it stands in quotes; else true
    }
)


def is_number(name: pl.Expr, *, in_json: bool) -> pl.Expr:
    """Whether a parameter of this name is a number by nature; JSON has none of a protocol."""
    of_event = name.str.replace(r"^(?:ep|up)\.", "").is_in(IDS)
    if in_json:
        return of_event
    return of_event | name.is_in(TRANSPORT) | name.str.contains(_NUMBER_FORM)


def pairs(texts: pl.Series) -> pl.DataFrame:
    """``SEGMENT_SCHEMA`` of query strings, one a line if there are several; without the names."""
    found = _cut(texts, r"[^&\r\n]+[&\r\n]*|[&\r\n]+")
    return found.with_columns(name=pl.lit(""), is_string=pl.lit(value=True))


def names_of_pairs(segments: pl.Series) -> pl.Series:
    """The decoded name in each segment that ``pairs`` has cut; most are not asked for theirs."""
    names = segments.str.extract(r"^(?:[^=&\r\n]*\?)?([^=&\r\n?]*)=")
    return percent_decoded(names.fill_null(""))


def literals(texts: pl.Series) -> pl.DataFrame:
    """``SEGMENT_SCHEMA`` of JSON: its strings, quotes included, and what stands between them.

    The value of a user property (``{"phone": {"value": …}}``) has the property's name.
    """
    found = _cut(texts, r'(?s)"(?:[^"\\]|\\.)*"?|[^"]+').with_columns(
        is_string=pl.col("segment").str.starts_with('"')
    )
    before = [pl.col("segment").shift(places).over("row").fill_null("") for places in range(1, 6)]
    own = (
        pl.when("is_string")
        .then(pl.when(before[0].str.contains(r"^\s*:\s*$")).then(before[1]))
        .when(pl.col("segment").str.contains(r"^\s*:"))
        .then(before[0])
        .fill_null("")
    )
    holder = (
        pl.when("is_string")
        .then(pl.when(before[2].str.contains(r"^\s*:\s*\{\s*$")).then(before[3]))
        .otherwise(pl.when(before[1].str.contains(r"^\s*:\s*\{\s*$")).then(before[2]))
    )
    named = found.with_columns(name=own, holder=holder)
    is_value = (pl.col("name") == '"value"') & pl.col("holder").is_not_null()
    name = pl.when(is_value).then("holder").otherwise("name").str.strip_chars('"')
    return named.select("row", "segment", name.alias("name"), "is_string")


def _cut(texts: pl.Series, pattern: str) -> pl.DataFrame:
    segments = texts.str.extract_all(pattern).alias("segment")
    rows = pl.int_range(len(texts), dtype=pl.UInt32, eager=True).alias("row")
    return pl.DataFrame([rows, segments]).explode("segment").drop_nulls("segment")
