"""The port of the rules: what processing and the edges know of properties."""

from collections.abc import Iterable
from typing import Protocol

import polars as pl

from tallymark.properties import Property


class RulesCache(Protocol):
    """Properties and the versions of their rules, kept fresh by the adapter."""

    def by_measurement_id(self, measurement_id: str) -> Property | None:
        """The property that ``measurement_id`` belongs to."""

    def by_property_id(self, property_id: int) -> Property | None:
        """The property of this id."""

    def frame(self, measurement_ids: Iterable[str]) -> pl.DataFrame:
        """All versions of the properties named, as ``tallymark.properties.PROPERTY_SCHEMA``;
        unknown ids are left out."""

    def properties(self) -> list[Property]:
        """Every property, by id."""

    def valid_through(self) -> int:
        """UTC µs through which no change can exist that this cache does not know."""
