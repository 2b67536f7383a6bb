"""Payloads: events as query strings, one a request or one a line of its body.

Google's two formats for browsers share this: what the request's query says holds for each of its
lines, unless the line says otherwise.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from tallymark.dead_letters import REJECTION_SCHEMA
from tallymark.geography import countries_of
from tallymark.protocols.events import DecodedEvents, rejections, without_client_and_name
from tallymark.protocols.known_keys import KnownKeys
from tallymark.protocols.query_pairs import PAIR_SCHEMA, Pairs, first_places, pairs_of, values_at

REQUEST_FACTS = ("received_at", "visitor_hash", "client_hints", "user_agent", "referer")
"""What a payload takes from the request around it, beside the country."""


@dataclass(frozen=True)
class Payloads:
    """The payloads of requests, in order.

    Attributes:
        requests: ``REQUEST_SCHEMA`` and ``request_row``: those that have payloads.
        owners: The row in ``requests`` of each payload.
        indices: Its number within the request.
        sent: Pairs of the requests' queries; behind these rows, those of the lines.
        rejected: ``REJECTION_SCHEMA``; what was sent and cannot be read.
    """

    requests: pl.DataFrame
    owners: pl.Series
    indices: pl.Series
    sent: Pairs
    rejected: pl.DataFrame

    def columns(self, columns: Mapping[str, tuple[str, ...]]) -> pl.DataFrame:
        """A row a payload: ``request_row`` (of ``requests``), ``hit_index``, ``REQUEST_FACTS``,
        ``country``, ``country_from``, and the text of each of ``columns``, "" where none was sent.

        Args:
            columns: The keys of a column; the first of them that was sent counts.
        """
        height, owners = self.requests.height, self.owners.to_numpy()
        places = first_places(self.sent, height + len(owners))
        texts = {
            column: values_at(
                self.sent,
                [places[name][height:] for name in names]
                + [places[name][:height][owners] for name in names],
            )
            for column, names in columns.items()
        }
        country = _country(self.requests)
        facts = self.requests.select(*REQUEST_FACTS, *country)[self.owners]
        return pl.concat([pl.DataFrame(texts), facts], how="horizontal").with_columns(
            request_row=self.owners, hit_index=self.indices
        )

    def pairs(self, *, without: Collection[str]) -> pl.DataFrame:
        """``PAIR_SCHEMA`` of each payload (``row``): those of its line, then those shared.

        Args:
            without: Known keys that are left out.
        """
        height = self.requests.height
        rows = pl.int_range(len(self.owners), dtype=pl.UInt32, eager=True)
        sent = self.sent.frame(without=without)
        is_shared = pl.col("row") < height
        payloads = pl.DataFrame({"row": self.owners, "payload": rows})
        inherited = payloads.join(
            sent.filter(is_shared),
            on="row",
            how="inner",
            maintain_order="left_right",
        ).select(pl.col("payload").alias("row"), "key", "value")
        own = sent.filter(~is_shared).with_columns(pl.col("row") - height)
        return pl.concat([own, inherited.cast(PAIR_SCHEMA)])

    def decoded(self, events: pl.DataFrame) -> DecodedEvents:
        """``events`` (``EVENT_SCHEMA``, ``request_row`` of ``requests``) that are complete."""
        ids = self.requests.get_column("request_id")
        events, incomplete = without_client_and_name(events, ids)
        rows = self.requests.get_column("request_row").gather(events.get_column("request_row"))
        return DecodedEvents(events.with_columns(rows), pl.concat([self.rejected, *incomplete]))


def payloads_of(
    requests: pl.DataFrame, keys: KnownKeys, *, others: bool, most_lines: int
) -> Payloads:
    """The payloads of requests.

    Args:
        requests: ``REQUEST_SCHEMA`` and ``request_row``.
        keys: Those that become columns or that no list wants.
        others: Whether pairs with other keys are kept.
        most_lines: A request with more is rejected whole.
    """
    readable, rejected = _readable(requests)
    lines = _lines(readable)
    if (lines.get_column("hit_index") >= most_lines).any():
        readable, crowded = _uncrowded(readable, lines, most_lines)
        rejected.append(crowded)
        lines = _lines(readable)
    sent = pl.concat([readable.get_column("query"), lines.get_column("line").alias("query")])
    return Payloads(
        requests=readable,
        owners=lines.get_column("owner"),
        indices=lines.get_column("hit_index"),
        sent=pairs_of(sent, keys, others=others),
        rejected=pl.concat([REJECTION_SCHEMA.to_frame(), *rejected]),
    )


def _country(requests: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    """``country`` as a trusted proxy has found it, else as the network says, and ``country_from``:
    which of them."""
    hints = requests.get_column("country_hint").alias("country")
    is_hint = hints != ""
    if is_hint.all():
        return hints, pl.Series("country_from", ["proxy"]).new_from_index(0, len(hints))
    country = hints.zip_with(is_hint, countries_of(requests.get_column("ip_network")))
    origin = pl.when(is_hint).then(pl.lit("proxy")).when(country != "").then(pl.lit("network"))
    return country, pl.select(country_from=origin.otherwise(pl.lit(""))).to_series()


def client_or_visitor(*, is_refused: pl.Expr | None = None) -> pl.Expr:
    """The client id that was sent, else one made of the visitor hash, which lasts a day.

    Args:
        is_refused: Whether the visitor has refused to be known again: no id that was sent is used.
    """
    visitor = pl.concat_str(pl.lit("visitor."), "visitor_hash")
    is_named = pl.col("client_id") != ""
    return (
        pl.when(is_named if is_refused is None else is_named & ~is_refused)
        .then("client_id")
        .when(pl.col("visitor_hash") != "")
        .then(visitor)
        .otherwise(pl.lit(""))
    )


def _readable(requests: pl.DataFrame) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    is_text = pl.col("body_encoding") == "utf-8"
    unreadable = requests.filter(~is_text)
    if unreadable.is_empty():
        return requests, []
    detail = "expected lines of UTF-8 in the body, got other bytes"
    return requests.filter(is_text), [rejections(unreadable, "not_utf8", detail)]


def _uncrowded(
    requests: pl.DataFrame, lines: pl.DataFrame, most_lines: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    counts = lines.group_by("owner", maintain_order=True).len().get_column("len")
    detail = pl.format("expected {} lines at most, got {}", pl.lit(most_lines), "lines")
    counted = requests.with_columns(counts.alias("lines"))
    crowded = counted.filter(pl.col("lines") > most_lines)
    return requests.filter(counts <= most_lines), rejections(crowded, "too_many_lines", detail)


def _lines(requests: pl.DataFrame) -> pl.DataFrame:
    """``owner`` (row of its request), ``hit_index`` and ``line`` of each event; a request without
    lines has one that is empty, since its query alone is an event."""
    owners = pl.int_range(requests.height, dtype=pl.UInt32, eager=True).alias("owner")
    frame = pl.DataFrame({"owner": owners, "line": requests.get_column("body")})
    if (frame.get_column("line") == "").all():
        return frame.select("owner", hit_index=pl.lit(0, pl.UInt32), line="line")
    is_bare = ~pl.col("line").str.contains(r"[^\r\n \t]")
    lines = (
        frame.with_columns(is_bare=is_bare)
        .with_columns(line=pl.when("is_bare").then(pl.lit("")).otherwise("line").str.split("\n"))
        .explode("line")
        .with_columns(pl.col("line").str.strip_chars("\r \t"))
        .filter(pl.col("is_bare") | (pl.col("line") != ""))
    )
    owner = lines.get_column("owner").to_numpy()
    index = np.arange(len(owner)) - np.searchsorted(owner, owner)  # from the owner's first line
    return lines.select("owner", pl.Series("hit_index", index, dtype=pl.UInt32), "line")
