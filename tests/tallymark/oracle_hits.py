"""Generated hits as the oracle of the end-to-end tests takes them."""

import polars as pl
import xxhash

from tests.e2e.oracle import OracleHit


def with_named_clients(hits: pl.DataFrame) -> pl.DataFrame:
    """Clients called by their number, hashed as everywhere."""
    clients = hits.get_column("client_hash").unique().sort().to_list()
    hashes = [xxhash.xxh3_64_intdigest(str(number).encode()) for number in range(len(clients))]
    return hits.with_columns(
        pl.col("client_hash").replace_strict(clients, hashes, return_dtype=pl.UInt64),
        client_id=pl.col("client_hash").replace_strict(
            clients, [str(number) for number in range(len(clients))], return_dtype=pl.String
        ),
    )


def oracle_hit(row: dict) -> OracleHit:  # type: ignore[type-arg]
    source = (row["source"], row["medium"], row["campaign"], row["channel"])
    return OracleHit(
        source=source if row["source"] else None,
        device=(row["device_category"], row["browser"], row["operating_system"]),
        customs=tuple((said["name"], said["value"], said["micros"]) for said in row["customs"]),
        **{
            name: row[name]
            for name in (
                "hit_id", "property_id", "client_id", "received_at", "event_at", "event_name",
                "opens_session", "host", "path", "engagement_ms", "is_first_visit", "value_micros",
                "transaction_id",
            )
        },
    )  # fmt: skip
