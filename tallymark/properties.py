"""Properties: what a merchant measures under one id, and the rules in force for it at each time."""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from tallymark.exchange_rates import RATE, ExchangeRate, rate_rows

SINCE_EVER: Final = -(2**62)
DEFAULT_LOOKBACK_DAYS: Final = 90
RULES_DELAY_SECONDS: Final = 30
"""A version takes effect this long after it is saved, so that every worker knows it by then."""


@dataclass(frozen=True, kw_only=True)
class RulesVersion:
    """One immutable version of a property's rules.

    Attributes:
        version: 1 for the first, ascending.
        effective_at: UTC µs from which requests received are processed with it; the first version
            holds since ever.
        attribution_lookback_days: How far back a session without a source of its own looks for
            the last one that its client came from.
        allowed_hosts: Hosts that hits come from, lower case; a host allows its subdomains. None
            means any. Hits of other pages are kept and not counted.
        exchange_rates: Of currencies in which sales are sent, other than ``currency``.
    """

    version: int
    effective_at: int = SINCE_EVER
    time_zone: str = "UTC"
    currency: str = "USD"
    session_gap_seconds: int = 1800
    engagement_threshold_seconds: int = 10
    attribution_lookback_days: int = DEFAULT_LOOKBACK_DAYS
    key_events: tuple[str, ...] = ("purchase",)
    allowed_hosts: tuple[str, ...] = ()
    exchange_rates: tuple[ExchangeRate, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Property:
    """A property: ids, hashed keys, versions of its rules (ascending, at least one)."""

    property_id: int
    name: str
    measurement_id: str
    api_secret_hash: str
    read_key_hash: str
    versions: tuple[RulesVersion, ...] = field(default_factory=lambda: (RulesVersion(version=1),))

    @property
    def current(self) -> RulesVersion:
        """The newest version, whether it is in force yet or not."""
        return self.versions[-1]

    def accepts_secret(self, secret: str) -> bool:
        """Whether ``secret`` is this property's Measurement Protocol secret (constant time)."""
        return hmac.compare_digest(secret_hash(secret), self.api_secret_hash)

    def accepts_read_key(self, key: str) -> bool:
        """Whether ``key`` may read this property's reports (constant time)."""
        return hmac.compare_digest(secret_hash(key), self.read_key_hash)


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
    }
)
"""A row per version of a property; what processing joins to hits."""


def properties_frame(properties: Iterable[Property]) -> pl.DataFrame:
    """The versions of ``properties`` as a frame of ``PROPERTY_SCHEMA``."""
    rows = [
        {
            "measurement_id": owner.measurement_id,
            "property_id": owner.property_id,
            "rules_version": rules.version,
            "effective_at": rules.effective_at,
            "time_zone": rules.time_zone,
            "currency": rules.currency,
            "session_gap_seconds": rules.session_gap_seconds,
            "engagement_threshold_seconds": rules.engagement_threshold_seconds,
            "attribution_lookback_days": rules.attribution_lookback_days,
            "key_events": list(rules.key_events),
            "allowed_hosts": list(rules.allowed_hosts),
            "exchange_rates": rate_rows(rules.exchange_rates),
        }
        for owner in properties
        for rules in owner.versions
    ]
    return pl.DataFrame(rows, schema=PROPERTY_SCHEMA)
