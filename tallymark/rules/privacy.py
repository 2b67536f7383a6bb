"""Privacy: what of a hit's identity and place its property wants to know at all.

It is decided before any other rule is put to the hit, so that none sees what is not to be known.
"""

from hashlib import blake2b
from typing import Final

import polars as pl

from tallymark.distinct import mapped
from tallymark.hits import request_id_of
from tallymark.protocols.events import client_hashes
from tallymark.rule_documents.privacy import EXCLUDED_BY, MARKS, ConsentAnswer, IpPolicy
from tallymark.rules.rule_sets import Asked, RuledHits

ANONYMOUS: Final = "anonymous."
"""What the id of a client begins with that is nobody's beyond a day."""
_ORIGINS: Final[dict[IpPolicy, tuple[str, ...]]] = {
    "country_hint": ("network",),
    "none": ("network", "proxy"),
}
"""Where a country may not come from."""
_BETWEEN: Final = "\n"


def with_privacy(hits: pl.DataFrame) -> pl.DataFrame:
    """Claimed hits without what their properties do not want to know; the order is kept.

    Args:
        hits: Claimed, with whatever parameters are wanted.
    """
    ruled = RuledHits(hits)
    return _placed(_anonymised(hits, ruled), ruled)


def refusals(hits: pl.DataFrame, ruled: RuledHits) -> Asked[ConsentAnswer]:
    """Which hits an answer other than ``count`` is meant for.

    Args:
        hits: Have ``consent``.
        ruled: Their rules.
    """
    asked = ruled.asked(lambda rules: rules.consent.answers)
    marks = asked.values(asked.rows, lambda part: MARKS[part.name]).cast(pl.String)
    said = hits.get_column("consent").gather(asked.rows["row"])
    pairs = pl.DataFrame({"said": said, "mark": marks})
    found = pairs.select(pl.col("said").str.split(" ").list.contains(pl.col("mark"))).to_series()
    return Asked(asked.parts, asked.rows.filter(found))


def with_refusals_tagged(hits: pl.DataFrame, ruled: RuledHits) -> pl.DataFrame:
    """``hits`` with those tagged that their visitors do not want counted, of several reasons by the
    first of ``MARKS``. What tagged a hit before stays."""
    asked = refusals(hits, ruled)
    excluding = [n for n, part in enumerate(asked.parts) if part.answer == "exclude"]
    own = asked.rows.filter(pl.col("part").is_in(excluding))
    untagged = hits.get_column("excluded_by").gather(own["row"]) == ""
    first = own.filter(untagged).group_by("row").agg(pl.col("part").min())
    if first.is_empty():
        return hits
    names = asked.values(first, lambda part: EXCLUDED_BY[part.name])
    return hits.with_columns(hits.get_column("excluded_by").scatter(first["row"], names))


def _anonymised(hits: pl.DataFrame, ruled: RuledHits) -> pl.DataFrame:
    rows = refusals(hits, ruled).rows.get_column("row").unique().sort()
    if rows.is_empty():
        return hits
    ids = _ids_of_a_day(hits[rows])
    nothing = pl.Series([""]).new_from_index(0, len(rows))
    columns = {
        "client_id": ids,
        "client_hash": client_hashes(ids),
        "user_id": nothing,
        "client_session_id": nothing,
    }
    is_one = pl.Series([False]).new_from_index(0, hits.height).scatter(rows, values=True)
    no_properties = pl.lit([], dtype=hits.schema["user_properties"])
    return hits.with_columns(
        *(hits.get_column(name).scatter(rows, texts) for name, texts in columns.items()),
        user_properties=pl.when(is_one).then(no_properties).otherwise("user_properties"),
    )


def _ids_of_a_day(hits: pl.DataFrame) -> pl.Series:
    """Ids that tell clients apart on the day of receipt, and cannot be linked over days.

    The visitor hash is random to whoever lacks the salt of its day, which is destroyed, and it is
    a key here. Who has no such hash, as in imported history, is another client in each request.
    """
    is_of_a_day = pl.col("client_id") == pl.concat_str(pl.lit("visitor."), "visitor_hash")
    key = pl.when(pl.col("visitor_hash") == "").then(request_id_of(pl.col("hit_id")))
    keyed = hits.select(
        pl.concat_str(key.otherwise("visitor_hash"), "client_id", separator=_BETWEEN)
    )
    digests = mapped(keyed.to_series(), _digests)
    return digests.zip_with(~hits.select(is_of_a_day).to_series(), hits.get_column("client_id"))


def _digests(keyed: pl.Series) -> pl.Series:
    return pl.Series([ANONYMOUS + _digest(text) for text in keyed], dtype=pl.String)


def _digest(keyed: str) -> str:
    key, _, client_id = keyed.partition(_BETWEEN)
    return blake2b(client_id.encode(), key=key.encode()[:64], digest_size=8).hexdigest()


def _placed(hits: pl.DataFrame, ruled: RuledHits) -> pl.DataFrame:
    """``hits`` whose network, and the country that it or a proxy told, are known if they may be."""
    asked = ruled.asked(lambda rules: () if rules.ip_policy == "network" else (rules.ip_policy,))
    if asked.rows.is_empty():
        return hits
    rows = asked.rows.get_column("row")
    origins = asked.values(asked.rows, lambda policy: list(_ORIGINS[policy]))
    told = pl.DataFrame({"told": hits.get_column("country_from").gather(rows), "not": origins})
    hidden = rows.filter(told.select(pl.col("told").is_in("not")).to_series())
    return hits.with_columns(
        hits.get_column("ip_network").scatter(rows, ""),
        hits.get_column("country").scatter(hidden, ""),
    )
