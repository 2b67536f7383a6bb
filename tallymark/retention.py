"""Retention: until when hits of each property are kept, and which recorded requests are due.

An hour of receipt is due for a property once all of it is older than its retention; so nothing goes
before its time, and all that is due goes with its hour.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from tallymark.properties import SINCE_EVER, Property
from tallymark.protocols import decode
from tallymark.slots import DAY_US, HOUR_US

GRACE_US: Final = DAY_US
"""A shorter retention holds this long after it has taken effect: a mistake can be mended before
anything has gone for good."""
NOBODY: Final = ""
"""Stands for the owner of requests that no property claims."""
_NAMED: Final = r"(?:tid|measurement_id)=([^&\s\"]+)"


def kept_since(owner: Property, now_us: int, most_days: int | None) -> int:
    """The instant (UTC µs) before which hits of a property are due; ``SINCE_EVER``: none is.

    Of versions that were in force within ``GRACE_US`` the one that keeps longest decides.

    Args:
        owner: With all versions of its rules.
        now_us: UTC µs.
        most_days: The deployment's limit; ``None`` is none.
    """
    later = owner.versions[1:]  # the first holds since ever
    begun = sum(each.effective_at <= now_us for each in later)
    begun_before = sum(each.effective_at <= now_us - GRACE_US for each in later)
    lately = owner.versions[begun_before : begun + 1]
    days = [each.rules.retention_days or most_days for each in lately]
    longest = None if None in days else max(each for each in days if each is not None)
    return _since(now_us, longest, most_days)


def _since(now_us: int, days: int | None, most_days: int | None) -> int:
    kept = [each for each in (days, most_days) if each is not None]
    return now_us - min(kept) * DAY_US if kept else SINCE_EVER


@dataclass(frozen=True)
class Retention:
    """Before which instants (UTC µs) hits are due.

    Attributes:
        default_since: Of all properties that ``owners`` does not name, and of what is nobody's.
        owners: Of properties, by id, that keep theirs for a shorter time.
        streams: Which of ``owners`` a measurement id is of.
    """

    default_since: int = SINCE_EVER
    owners: Mapping[int, int] = field(default_factory=dict)
    streams: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls, properties: Iterable[Property], now_us: int, most_days: int | None = None
    ) -> "Retention":
        """What the rules of properties and the deployment's limit say together."""
        default = _since(now_us, None, most_days)
        owners: dict[int, int] = {}
        streams: dict[str, int] = {}
        for owner in properties:
            since = kept_since(owner, now_us, most_days)
            if since > default:
                owners[owner.property_id] = since
                streams.update(dict.fromkeys(owner.measurement_ids, owner.property_id))
        return cls(default, owners, streams)

    @property
    def latest(self) -> int:
        """Nothing that was received since is due."""
        return max([self.default_since, *self.owners.values()])

    def is_due(self, measurement_id: str, hour_us: int) -> bool:
        """Whether the hour of receipt is due for hits of a data stream."""
        owner = self.streams.get(measurement_id)
        return hour_us + HOUR_US <= self.since_of(owner)

    def since_of(self, property_id: int | None) -> int:
        """Before which instant (UTC µs) hits of a property, or nobody's, are due."""
        if property_id is None:
            return self.default_since
        return self.owners.get(property_id, self.default_since)

    def is_due_for_all(self, hour_us: int) -> bool:
        """Whether the hour of receipt is due whosever its hits are."""
        return hour_us + HOUR_US <= self.default_since

    def due_touches(self) -> pl.Expr:
        """Whether what began in an ``hour`` (UTC µs) is due by its ``property_id``."""
        since = pl.lit(self.default_since)
        if self.owners:
            since = pl.col("property_id").replace_strict(
                dict(self.owners), default=self.default_since, return_dtype=pl.Int64
            )
        return pl.col("hour") + HOUR_US <= since

    def due_owners(self, hour_us: int) -> pl.Expr:
        """Whether an hour (UTC µs) is due for rows by their ``property_id``."""
        if self.is_due_for_all(hour_us):
            return pl.lit(value=True)
        due = [number for number, since in self.owners.items() if hour_us + HOUR_US <= since]
        return pl.col("property_id").is_in(pl.Series(due, dtype=pl.Int64).implode())


def streams_of(
    requests: pl.DataFrame, known_of: Callable[[list[str]], Collection[str]]
) -> pl.DataFrame:
    """Whose requests are: ``row`` and ``measurement_id``, one or more rows a request.

    They are those of its hits. A request without hits is of the data streams that it names; where
    none of them is known, it is ``NOBODY``'s.

    Args:
        requests: ``REQUEST_SCHEMA``, perhaps with other columns.
        known_of: Those of some measurement ids that are of properties.
    """
    rows = requests.with_row_index("row")
    # Ids may be there twice, as copies are: a row's own number stands for them.
    numbered = rows.with_columns(request_id=pl.col("row").cast(pl.String).str.zfill(32))
    hits = decode(numbered, with_params=False).hits
    of_hits = hits.select(
        "measurement_id", row=pl.col("hit_id").str.head(32).str.to_integer(dtype=pl.UInt32)
    )
    named = _named(rows.join(of_hits, on="row", how="anti"))
    found = pl.concat([of_hits.select("row", "measurement_id"), named])
    known = known_of(found.get_column("measurement_id").unique().sort().to_list())
    wanted = pl.Series(list(known), dtype=pl.String).implode()
    of_known = found.filter(pl.col("measurement_id").is_in(wanted)).unique()
    others = rows.select("row").join(of_known, on="row", how="anti")
    nobody = others.with_columns(measurement_id=pl.lit(NOBODY))
    return pl.concat([of_known, nobody]).sort("row", "measurement_id")


def _named(rows: pl.DataFrame) -> pl.DataFrame:
    text = pl.concat_str("query", pl.lit("&"), "body")
    return (
        rows.select("row", measurement_id=text.str.extract_all(_NAMED))
        .explode("measurement_id")
        .drop_nulls("measurement_id")
        .with_columns(pl.col("measurement_id").str.extract(_NAMED))
    )


def due_requests(owners: pl.DataFrame, due: Collection[str], height: int) -> pl.Series:
    """Whether each request is due: it is once it is for all whose it is.

    Args:
        owners: What ``streams_of`` gives of the requests.
        due: Measurement ids, and ``NOBODY``, for which their hour is due.
        height: How many requests there are.
    """
    wanted = pl.Series(list(due), dtype=pl.String).implode()
    kept = owners.filter(~pl.col("measurement_id").is_in(wanted)).get_column("row").unique()
    return pl.Series([True]).new_from_index(0, height).scatter(kept, values=False)
