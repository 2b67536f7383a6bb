"""Erasure: which recorded requests are of one client, so that they can be forgotten."""

import re
from collections.abc import Collection
from urllib.parse import quote

import polars as pl
import xxhash

from tallymark.hits import request_id_of
from tallymark.protocols import decode
from tallymark.requests import requests_naming
from tallymark.rules.privacy import ANONYMOUS

_PLAIN = re.compile(r"[A-Za-z0-9._~-]+")


def requests_of_client(
    requests: pl.DataFrame, measurement_ids: Collection[str], client_id: str
) -> pl.Series:
    """Whether each request holds a hit of a client, or its id as that of its client, whatever
    became of it.

    Args:
        requests: ``REQUEST_SCHEMA``, perhaps with other columns.
        measurement_ids: Of the property that knows the client by this id.
        client_id: As it was sent.
    """
    rows = requests.with_row_index("row")
    numbered = rows.with_columns(request_id=pl.col("row").cast(pl.String).str.zfill(32))
    named = requests_naming(numbered, measurement_ids)
    if _PLAIN.fullmatch(client_id):  # else it can be written in several ways
        texts = [pl.col(name).str.contains(client_id, literal=True) for name in ("query", "body")]
        named = named.filter(pl.any_horizontal(texts) | (pl.col("body_encoding") != "utf-8"))
    hits = decode(named, with_params=False).hits.filter(
        pl.col("measurement_id").is_in(list(measurement_ids)), pl.col("client_id") == client_id
    )
    found = hits.select(request_id_of(pl.col("hit_id")).str.to_integer(dtype=pl.UInt32))
    spelled = "|".join(re.escape(text) for text in {client_id, quote(client_id, safe="")})
    is_named = pl.concat_str("query", pl.lit("\n"), "body").str.contains(
        rf"(?:^|[&?\n])cid=(?:{spelled})(?:[&\r\n]|$)"
    )
    own = named.filter(is_named, _names_any(measurement_ids)).select(hit_id="row")
    places = pl.concat([found, own]).to_series().unique()
    return pl.Series([False]).new_from_index(0, requests.height).scatter(places, values=True)


def _names_any(measurement_ids: Collection[str]) -> pl.Expr:
    texts = [pl.col(name).str.contains_any(list(measurement_ids)) for name in ("query", "body")]
    return pl.any_horizontal(texts)


def hits_of_client(property_id: int, client_id: str, request_ids: Collection[str]) -> pl.Expr:
    """Whether clean hits are of a client, or of erased requests.

    Args:
        property_id: Of the property that knows the client by this id.
        client_id: As it was sent.
        request_ids: Of requests that ``requests_of_client`` finds.
    """
    erased = pl.Series(list(request_ids), dtype=pl.String).implode()
    is_of_client = pl.col("client_hash") == pl.lit(client_hash_of(client_id), pl.UInt64)
    return (pl.col("property_id") == property_id) & (
        is_of_client | request_id_of(pl.col("hit_id")).is_in(erased)
    )


def hashes_of_client(erased: pl.DataFrame, client_id: str) -> set[int]:
    """The hashes by which nobody but a client is known: its own, and those of single days.

    Args:
        erased: Its hits: ``client_id`` and ``client_hash``.
        client_id: As it was sent.
    """
    of_days = erased.filter(pl.col("client_id").str.starts_with(ANONYMOUS))
    return {client_hash_of(client_id), *of_days.get_column("client_hash")}


def client_hash_of(client_id: str) -> int:
    """By which hits of a client are known."""
    return xxhash.xxh3_64_intdigest(client_id.encode())
