"""Detection: what still looks like personal data in hits, told by where it stands, never as it is.

It looks wider than redaction does and may take a number for a phone's: people look at its findings.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import polars as pl

from tallymark.hits import ITEM_TEXTS
from tallymark.personal_data.cards import have_check_digit
from tallymark.personal_data.segments import is_number
from tallymark.personal_data.tokens import RETINA
from tallymark.protocols.percent import percent_decoded
from tallymark.uniques import estimates, least_hashes

FINDING_SCHEMA: Final = pl.Schema(
    {
        "measurement_id": pl.String(),
        "place": pl.String(),  # where in a hit; one of PLACES
        "name": pl.String(),  # of the parameter or column
        "kind": pl.String(),  # mail, phone, card, or named: its name alone says it
        "hits": pl.Int64(),
        "hashes": pl.List(pl.UInt64),  # of the distinct values, the MOST_HASHES least
        "example": pl.String(),  # the shape of one value
    }
)
SUMMARY_SCHEMA: Final = pl.Schema(
    [
        *((name, dtype) for name, dtype in FINDING_SCHEMA.items() if name != "hashes"),
        ("values", pl.Int64()),
    ]
)
"""As ``FINDING_SCHEMA``, with the number of distinct values (``values``)."""
PLACES: Final = ("hit", "page_query", "referrer_query", "param", "user_property", "item")
MOST_HASHES: Final = 4_096
"""Distinct values are counted up to here, and estimated beyond."""
MOST_FINDINGS: Final = 5_000
"""Of more names than these, which somebody has made up, those with the most hits are kept."""

_COLUMNS: Final = (
    "client_id", "user_id", "event_name", "host", "path", "title", "referrer", "source", "medium",
    "campaign", "term", "content", "transaction_id",
)  # fmt: skip
_NUMBERS: Final = ("client_id", "transaction_id", "item_id")
_KEY: Final = ("measurement_id", "place", "name", "kind")
_MAIL: Final = r"[^\s@\"'<>(),;:/?&=]+@[^\s@\"'<>(),;:/?&=]+\.\p{L}{2,}"
_INTERNATIONAL: Final = r"(?:\+|\b00)[ ]?[1-9](?:[ \-./()]{0,3}[0-9]){6,14}\b"
_NATIONAL: Final = r"\(?\b0[1-9][0-9]{1,4}\)?[ \-/.]{0,3}[0-9]{3,}(?:[ \-/.]?[0-9]{2,}){0,3}\b"
_AMERICAN: Final = (
    r"(?:\([2-9][0-9]{2}\)[ \-.]?|\b[2-9][0-9]{2}[\-. ])[2-9][0-9]{2}[\-. ][0-9]{4}\b"
)
_PHONE: Final = f"{_INTERNATIONAL}|{_NATIONAL}|{_AMERICAN}"
_CARD: Final = r"(?:^|[^\w.])([0-9](?:[ \-]?[0-9]){12,18})(?:$|[^\w.])"
_TELLING: Final = (
    r"(?i)(?:^|[^a-z])(?:e-?mail(?:address)?|phone(?:number)?|tel(?:ephone)?|mobile|msisdn"
    r"|(?:home|street|postal|billing|shipping)?[_\-]?address|street|zip(?:code)?|post(?:al)?code"
    r"|birth(?:day|date)?|dob|(?:(?:first|last|full|given|family|sur|middle|maiden|nick|user"
    r"|customer|contact)[_\-]?)name|surname|ssn|passport|iban|card[_\-]?number)(?:$|[^a-z])|^name$"
)
_MARKS: Final = r"\((?:mail|phone|card)\)"
_IP_TEXT: Final = r"^(?:\(not set\)|true|false|null|undefined|none)?$"


def findings(hits: pl.DataFrame) -> pl.DataFrame:
    """What looks like personal data in hits (``DECODED_SCHEMA``), as ``FINDING_SCHEMA``."""
    texts = _texts(hits.with_row_index("hit"))
    suspects = texts.filter(_is_suspect())
    plain = percent_decoded(percent_decoded(suspects.get_column("text")))
    # A plus is a sign of a phone number and no space where the text was decoded once already.
    kept = percent_decoded(suspects.get_column("text").str.replace_all("+", "%2B", literal=True))
    suspects = suspects.with_columns(plain.alias("decoded"), kept.alias("text"))
    number = is_number(pl.col("name"), in_json=True) | pl.col("name").is_in(_NUMBERS)
    text = pl.col("text")
    decoded = pl.col("decoded")
    found = [
        suspects.filter(decoded.str.contains(_MAIL) & ~decoded.str.contains(RETINA)).with_columns(
            kind=pl.lit("mail"), example=_mail_shape(decoded)
        ),
        suspects.filter(text.str.contains(_PHONE) & ~number).with_columns(
            kind=pl.lit("phone"), example=_number_shape(text.str.extract(f"({_PHONE})"))
        ),
        _cards(suspects.filter(~number)),
        suspects.filter(_tells()).with_columns(kind=pl.lit("named"), example=_word_shape(decoded)),
    ]
    columns = [*_KEY, "hit", "text", "example"]
    return _grouped(pl.concat([one.select(columns) for one in found]))


def merged(parts: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """``FINDING_SCHEMA`` of findings in hits of which none is in two parts."""
    together = pl.concat([FINDING_SCHEMA.to_frame(), *parts])
    whole = together.group_by(_KEY, maintain_order=True).agg(
        pl.col("hits").sum(),
        least_hashes(pl.col("hashes").explode(), MOST_HASHES).alias("hashes"),
        pl.col("example").first(),
    )
    order = ["hits", *_KEY]
    ranked = whole.sort(order, descending=[True, False, False, False, False])
    return ranked.head(MOST_FINDINGS).cast(FINDING_SCHEMA)


def summary(found: pl.DataFrame) -> pl.DataFrame:
    """``FINDING_SCHEMA`` as ``SUMMARY_SCHEMA``: by property, most hits first."""
    hashes = found.select(*_KEY, pl.col("hashes").alias("hash")).explode("hash")
    values = estimates(hashes, _KEY, MOST_HASHES).rename({"count": "values"})
    counted = found.drop("hashes").join(values, on=_KEY, how="left")
    order = ["measurement_id", "hits", "place", "name", "kind"]
    ranked = counted.sort(order, descending=[False, True, False, False, False])
    return ranked.select(list(SUMMARY_SCHEMA)).cast(SUMMARY_SCHEMA)


def _texts(hits: pl.DataFrame) -> pl.DataFrame:
    """``measurement_id``, ``hit``, ``place``, ``name``, ``text`` of all that is not empty."""
    who = ("measurement_id", "hit")
    columns = hits.select(*who, *_COLUMNS).unpivot(
        index=who, variable_name="name", value_name="text"
    )
    items = hits.select(*who, "items").filter(pl.col("items").list.len() > 0).explode("items")
    items = items.select(*who, pl.col("items").struct.unnest())
    own_names = items.select(*who, *ITEM_TEXTS).unpivot(
        index=who, variable_name="name", value_name="text"
    )
    lists: Mapping[str, pl.DataFrame] = {
        "hit": columns,
        "page_query": _pairs(hits, "page_query"),
        "referrer_query": _pairs(hits, "referrer"),
        "param": _entries(hits, "params"),
        "user_property": _entries(hits, "user_properties"),
        "item": pl.concat([own_names, _entries(items, "params")]),
    }
    order = [*who, "place", "name", "text"]
    return pl.concat(
        rows.filter(pl.col("text") != "").with_columns(place=pl.lit(place)).select(order)
        for place, rows in lists.items()
    )


def _entries(hits: pl.DataFrame, column: str) -> pl.DataFrame:
    filled = hits.select("measurement_id", "hit", column).filter(pl.col(column).list.len() > 0)
    entry = pl.col(column).struct
    return filled.explode(column).select(
        "measurement_id", "hit", name=entry.field("key"), text=entry.field("text")
    )


def _pairs(hits: pl.DataFrame, column: str) -> pl.DataFrame:
    """The parameters of an address, or of the query of one."""
    query = pl.col(column).str.replace(r"^[^?]*\?", "") if column == "referrer" else pl.col(column)
    pair = pl.col("pair").str.splitn("=", 2).struct
    return (
        hits.filter(pl.col(column).str.contains("=", literal=True))
        .select("measurement_id", "hit", pair=query.str.split("&"))
        .explode("pair")
        .select("measurement_id", "hit", name=pair.field("field_0"), text=pair.field("field_1"))
        .drop_nulls("text")
    )


def _tells() -> pl.Expr:
    has_name = pl.col("place").is_in(["page_query", "referrer_query", "param", "user_property"])
    return has_name & pl.col("name").str.contains(_TELLING)


def _is_suspect() -> pl.Expr:
    """What is looked at closely: what has an ``@`` or many digits, or is named so."""
    text = pl.col("text")
    is_mark = text.str.contains(f"^{_MARKS}$") | text.str.contains(_IP_TEXT)
    looks = text.str.contains(r"@|%(?:25)*40|[0-9](?:[^0-9]{0,5}[0-9]){6}")
    return (looks | _tells()) & ~is_mark


def _cards(suspects: pl.DataFrame) -> pl.DataFrame:
    text = pl.col("text")
    may_be = suspects.filter(text.str.contains(_CARD)).with_columns(
        example=text.str.extract(_CARD), kind=pl.lit("card")
    )
    digits = may_be.get_column("example").str.replace_all("[^0-9]", "")
    are = have_check_digit(digits) & digits.str.contains("[1-9]")
    return may_be.filter(are).with_columns(example=_number_shape(pl.col("example")))


def _mail_shape(text: pl.Expr) -> pl.Expr:
    """``j…@e….com``."""
    name, domain, top = (text.str.extract(r"([^\s@\"'<>(),;:/?&=])[^\s@\"'<>(),;:/?&=]*@"
                                          r"([^\s@\"'<>(),;:/?&=])[^\s@]*\.(\p{L}{2,})", group)
                         for group in (1, 2, 3))  # fmt: skip
    return pl.format("{}…@{}….{}", name, domain, top)


def _number_shape(text: pl.Expr) -> pl.Expr:
    """``+… (12 digits)``."""
    digits = text.str.count_matches("[0-9]")
    begins = pl.when(text.str.starts_with("+")).then(pl.lit("+")).otherwise(pl.lit(""))
    return pl.format("{}… ({} digits)", begins, digits)


def _word_shape(text: pl.Expr) -> pl.Expr:
    """``J… (8 characters)``."""
    return pl.format("{}… ({} characters)", text.str.head(1), text.str.len_chars())


def _grouped(found: pl.DataFrame) -> pl.DataFrame:
    """A row a place, name and kind; a name that is an address itself is told by its shape."""
    name = pl.col("name")
    named = found.with_columns(
        name=pl.when(name.str.contains("@|%40")).then(_word_shape(name)).otherwise(name),
        hash=pl.col("text").hash(),
    )
    return (
        named.group_by(_KEY)
        .agg(
            pl.col("hit").n_unique().cast(pl.Int64).alias("hits"),
            least_hashes(pl.col("hash"), MOST_HASHES).alias("hashes"),
            pl.col("example").drop_nulls().first().fill_null("…"),
        )
        .select(list(FINDING_SCHEMA))
        .cast(FINDING_SCHEMA)
    )
