"""Values of events: the parameter ``value``, or what a key event without one is worth by default.

GA4's ``eventValue``; of properties that have default values alone, so that others pay nothing.
"""

from typing import Final

import polars as pl

from tallymark.rules.amounts import AMOUNT, own_worth
from tallymark.rules.rule_sets import RuledHits
from tallymark.rules.sent_lists import first_sent

EVENT_VALUE: Final = "eventValue"
_SENT: Final = "value"


def event_values(hits: pl.DataFrame, ruled: RuledHits, properties: pl.DataFrame) -> pl.DataFrame:
    """``row`` of hits and ``micros``, in the property's currency; what was sent in a currency
    without a rate has none.

    Args:
        hits: With ``is_key_event``, ``event_value_micros``, and with their parameters where their
            property has default values.
        ruled: Their rules.
        properties: ``PROPERTY_SCHEMA``; every version that a hit was claimed with.
    """
    asked = ruled.asked(lambda rules: [_SENT] if rules.has_event_values else [])
    put = asked.rows.select("row", key=pl.lit(_SENT))
    # One beyond the parameters that are kept is known by itself, as what sales are worth is.
    known = hits.get_column("event_value_micros").gather(put.get_column("row"))
    sent = put.with_columns(first_sent(hits, "params", put).get_column("micros")).with_columns(
        pl.coalesce("micros", pl.select(pl.when(known != 0).then(known)).to_series())
    )
    defaults = ruled.asked(lambda rules: [e for e in rules.key_events if e.default_value])
    at = defaults.rows.get_column("row")
    is_meant = hits.get_column("is_key_event").gather(at) & (
        hits.get_column("event_name").gather(at)
        == defaults.values(defaults.rows, lambda event: event.event)
    )
    meant = defaults.rows.filter(is_meant)
    worth = meant.with_columns(
        default=defaults.values(meant, lambda event: event.default_micros).cast(pl.Int64)
    )
    valued = sent.join(worth.select("row", "default"), on="row", how="left", maintain_order="left")
    rows = valued.get_column("row")
    amounts = hits.select(name for name in AMOUNT if name != "sent_value_micros")[rows]
    own = own_worth(amounts.with_columns(sent_value_micros=valued.get_column("micros")), properties)
    was_sent = valued.get_column("micros").is_not_null()
    return (
        valued.with_columns(micros=own, was_sent=was_sent)
        .with_columns(micros=pl.when("was_sent").then("micros").otherwise("default"))
        .select("row", "micros")
        .drop_nulls()
    )
