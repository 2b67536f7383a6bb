"""Which rules a replay puts to hits: those in force when they were received, or others."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import polars as pl

from tallymark.properties import SINCE_EVER
from tallymark.replays import Span
from tallymark.rules import Claimed, claimed

AS_RECEIVED: Final = "as-received"
LATEST: Final = "latest"


class RulesChoiceError(ValueError):
    """A choice of rules that is none, or refers to a version that does not exist."""


@dataclass(frozen=True)
class RulesChoice:
    """``as-received``, ``latest``, or the number of a version.

    Raises:
        RulesChoiceError: when ``text`` is none of these.
    """

    text: str = AS_RECEIVED

    def __post_init__(self) -> None:
        if self.text not in (AS_RECEIVED, LATEST) and not self.text.isdecimal():
            raise RulesChoiceError(
                f"rules: expected {AS_RECEIVED}, {LATEST} or the number of a version, "
                f"got {self.text!r}"
            )

    def check(self, properties: pl.DataFrame, property_ids: Collection[int] | None = None) -> None:
        """See that every property has what is chosen.

        Args:
            properties: ``PROPERTY_SCHEMA``.
            property_ids: Those that are replayed; None means all.

        Raises:
            RulesChoiceError: naming the properties without the version.
        """
        if not self.text.isdecimal():
            return
        asked = properties
        if property_ids is not None:
            asked = properties.filter(pl.col("property_id").is_in(list(property_ids)))
        has_it = self.chosen(asked).get_column("property_id").implode()
        lacking = asked.filter(~pl.col("property_id").is_in(has_it)).group_by(
            "property_id", maintain_order=True
        )
        rows = lacking.agg(pl.col("rules_version").max()).rows()
        if rows:
            found = ", ".join(f"property {owner} has 1 to {newest}" for owner, newest in rows[:5])
            raise RulesChoiceError(
                f"rules: expected every property replayed to have version {self.text}; {found}. "
                "Choose another version, or replay the properties that have it by themselves"
            )

    def chosen(self, properties: pl.DataFrame) -> pl.DataFrame:
        """The versions (``PROPERTY_SCHEMA``) that are chosen, in force since ever."""
        if self.text == AS_RECEIVED:
            return properties
        if self.text == LATEST:
            newest = pl.col("rules_version").max().over("property_id")
            versions = properties.filter(pl.col("rules_version") == newest)
        else:
            versions = properties.filter(pl.col("rules_version") == int(self.text))
        return versions.with_columns(effective_at=pl.lit(SINCE_EVER, pl.Int64))

    def claimed_in(self, span: Span, hits: pl.DataFrame, properties: pl.DataFrame) -> Claimed:
        """``claimed`` with the chosen versions for hits that happened in ``span``.

        The rules in force apply to the others: they are only there because hours depend on them.
        """
        if self.text == AS_RECEIVED:
            return claimed(hits, properties)
        is_inside = pl.col("event_at").is_between(span.start_us, span.end_us, closed="left")
        inside = claimed(hits.filter(is_inside), self.chosen(properties))
        outside = claimed(hits.filter(~is_inside), properties)
        return Claimed(
            hits=pl.concat([inside.hits, outside.hits]),
            rejected=pl.concat([inside.rejected, outside.rejected]),
        )
