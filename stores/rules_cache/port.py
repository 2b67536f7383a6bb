"""The port of the rules: what processing and the edges know of properties."""

from collections.abc import Iterable, Iterator
from typing import Protocol

import polars as pl

from tallymark.properties import Property


class RulesUnavailableError(RuntimeError):
    """The rules could not be asked; says nothing about what they were asked for."""


class UnaskedIdsError(RulesUnavailableError):
    """Some ids are not known here, and whoever knows all of them could not be asked.

    Attributes:
        known: ``PROPERTY_SCHEMA`` of the other ids, as ``frame`` would give it.
        unasked: The ids of which nobody knows whether they belong to a property.
    """

    def __init__(self, known: pl.DataFrame, unasked: list[str]) -> None:
        super().__init__(
            f"the rules could not be asked for {len(unasked)} measurement ids, such as {unasked[0]}"
        )
        self.known = known
        self.unasked = unasked


class RulesCache(Protocol):
    """Properties and the versions of their rules, kept fresh by the adapter."""

    def by_measurement_id(self, measurement_id: str) -> Property | None:
        """The property that ``measurement_id`` belongs to.

        Raises:
            RulesUnavailableError: when it is not known here and could not be asked for.
        """

    def by_property_id(self, property_id: int) -> Property | None:
        """The property of this id.

        Raises:
            RulesUnavailableError: when it is not known here and could not be asked for.
        """

    def frame(self, measurement_ids: Iterable[str]) -> pl.DataFrame:
        """All versions of the properties named, as ``tallymark.properties.PROPERTY_SCHEMA``;
        unknown ids are left out.

        Raises:
            UnaskedIdsError: when some could not be asked for; it holds what is known.
            RulesUnavailableError: when nothing at all is known.
        """

    def properties(self) -> Iterator[Property]:
        """Every property, by id; no more than a page of them is held at a time by an adapter that
        does not know all.

        Raises:
            RulesUnavailableError: when they cannot be listed (any more).
        """

    def valid_through(self) -> int:
        """UTC µs through which no change can exist that this cache does not know.

        It only grows. Asked before ``frame``, it holds for what that gives.
        """

    def close(self) -> None:
        """Stop following; what was kept on disk stays."""
