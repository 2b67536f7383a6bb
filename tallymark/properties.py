"""Properties: what a merchant measures under one id, and the rules in force for it at each time."""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from tallymark.exchange_rates import RATE
from tallymark.rule_documents import Rules

SINCE_EVER: Final = -(2**62)
DEFAULT_RULES: Final = Rules()


@dataclass(frozen=True, kw_only=True)
class RulesVersion:
    """One immutable version of a property's rules.

    Attributes:
        version: 1 for the first, ascending.
        effective_at: UTC µs from which requests received are processed with it; the first version
            holds since ever.
        rules: What it says.
    """

    version: int
    effective_at: int = SINCE_EVER
    rules: Rules = DEFAULT_RULES


@dataclass(frozen=True, kw_only=True)
class HashedKey:
    """What is stored of a secret: its hash, and when it ends.

    Attributes:
        key_hash: See ``secret_hash``.
        expires_at: UTC µs from which it opens nothing any more; ``None`` means never.
    """

    key_hash: str
    expires_at: int | None = None

    def is_in_force(self, now_us: int) -> bool:
        """Whether it still opens what it is for."""
        return self.expires_at is None or now_us < self.expires_at


@dataclass(frozen=True, kw_only=True)
class DataStream:
    """A source of a property's hits, such as one site or one app.

    Attributes:
        measurement_id: What its hits name.
        name: For people.
        allowed_hosts: Hosts whose pages the collector expects; without any those of the rules.
            A hint to whoever sets a site up; what counts is the rules' own list.
        switched_off: What of ``enhanced_measurement.SWITCHES`` its tracker does not measure.
        api_secrets: Of servers that send hits by the Measurement Protocol.
    """

    measurement_id: str
    name: str = ""
    allowed_hosts: tuple[str, ...] = ()
    switched_off: tuple[str, ...] = ()
    api_secrets: tuple[HashedKey, ...] = ()

    def accepts_secret(self, secret: str, now_us: int) -> bool:
        """Whether ``secret`` is a Measurement Protocol secret of the stream (constant time)."""
        return _opens(self.api_secrets, secret, now_us)


@dataclass(frozen=True, kw_only=True)
class Property:
    """A property: data streams, hashed keys, versions of its rules (ascending, at least one)."""

    property_id: int
    name: str
    data_streams: tuple[DataStream, ...] = ()
    read_keys: tuple[HashedKey, ...] = ()
    versions: tuple[RulesVersion, ...] = field(default_factory=lambda: (RulesVersion(version=1),))

    @property
    def current(self) -> RulesVersion:
        """The newest version, whether it is in force yet or not."""
        return self.versions[-1]

    @property
    def measurement_ids(self) -> tuple[str, ...]:
        """Of its data streams, in their order."""
        return tuple(stream.measurement_id for stream in self.data_streams)

    @property
    def label(self) -> str:
        """The measurement ids, for people who read a line."""
        return ", ".join(self.measurement_ids) or "no data stream"

    def accepts_read_key(self, key: str, now_us: int) -> bool:
        """Whether ``key`` may read this property's reports (constant time)."""
        return _opens(self.read_keys, key, now_us)


def _opens(keys: Iterable[HashedKey], secret: str, now_us: int) -> bool:
    digest = secret_hash(secret)
    # All are compared, so that the time taken does not say which one it was.
    found = [hmac.compare_digest(digest, key.key_hash) and key.is_in_force(now_us) for key in keys]
    return any(found)


def secret_hash(secret: str) -> str:
    """What is stored of a secret. Secrets have 128 random bits, a plain hash is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()


PROPERTY_SCHEMA: Final = pl.Schema(
    {
        "measurement_id": pl.String(),
        "property_id": pl.Int64(),
        "rules_version": pl.Int32(),
        "effective_at": pl.Int64(),
        "time_zone": pl.String(),
        "currency": pl.String(),
        "session_gap_seconds": pl.Int64(),
        "engagement_threshold_seconds": pl.Int64(),
        "attribution_lookback_days": pl.Int64(),
        "key_events": pl.List(pl.String()),
        "allowed_hosts": pl.List(pl.String()),
        "exchange_rates": pl.List(RATE),
        "api_secrets": pl.List(pl.Struct({"hash": pl.String(), "expires_at": pl.Int64()})),
        "hit_rules": pl.String(),  # see ``Rules.hit_rules``
    }
)
"""A row per data stream and version of its property's rules; what processing joins to hits."""


def properties_frame(properties: Iterable[Property]) -> pl.DataFrame:
    """The versions of ``properties`` as a frame of ``PROPERTY_SCHEMA``."""
    rows = [
        {
            "measurement_id": stream.measurement_id,
            "property_id": owner.property_id,
            "rules_version": version.version,
            "effective_at": version.effective_at,
            "time_zone": version.rules.time_zone,
            "currency": version.rules.currency,
            "session_gap_seconds": version.rules.session_gap_seconds,
            "engagement_threshold_seconds": version.rules.engagement_threshold_seconds,
            "attribution_lookback_days": version.rules.attribution_lookback_days,
            "key_events": [event.event for event in version.rules.key_events],
            "allowed_hosts": list(version.rules.allowed_hosts),
            "exchange_rates": [rate.row() for rate in version.rules.exchange_rates],
            "api_secrets": [
                {"hash": key.key_hash, "expires_at": key.expires_at} for key in stream.api_secrets
            ],
            "hit_rules": version.rules.hit_rules,
        }
        for owner in properties
        for stream in owner.data_streams
        for version in owner.versions
    ]
    return pl.DataFrame(rows, schema=PROPERTY_SCHEMA)
