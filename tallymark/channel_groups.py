"""Channel groups: the channels that a property has defined, as its reports call them.

They are worked out when a report is read, from the sources that rollups keep, so a new group
applies to all that was ever counted.
"""

from typing import Final

import polars as pl

from tallymark.aggregates import OTHER
from tallymark.channels import UNASSIGNED
from tallymark.rule_documents.channel_groups import SOURCE_FIELDS, ChannelGroup
from tallymark.rules.conditions import satisfied

_PLACE: Final = "place"


def channels_of(group: ChannelGroup, sources: pl.DataFrame) -> pl.Series:
    """The channel of each source: the first that matches, or ``Unassigned``.

    Args:
        group: Its channels are tried in their order.
        sources: ``SOURCE_FIELDS``, as reports call them; a row that a full cell folded others
            into stays ``(other)``.
    """
    distinct = sources.unique(maintain_order=True)
    asked = pl.select(row=pl.int_range(distinct.height, dtype=pl.UInt32)).join(
        pl.select(part=pl.int_range(len(group.channels), dtype=pl.UInt32)), how="cross"
    )
    holds = satisfied(distinct, asked, [channel.when for channel in group.channels])
    first = asked.filter(holds).group_by("row").agg(pl.col("part").min())
    names = pl.Series([channel.name for channel in group.channels])
    channels = pl.Series([UNASSIGNED]).new_from_index(0, distinct.height)
    channels = channels.scatter(first["row"], names.gather(first["part"]))
    is_folded = (distinct == OTHER).select(pl.all_horizontal(pl.all())).to_series()
    channels = channels.set(is_folded, OTHER)
    known = distinct.with_columns(channels.alias(_PLACE))
    on = list(SOURCE_FIELDS)
    return sources.join(known, on=on, how="left", maintain_order="left").get_column(_PLACE)


def channel_column(group: ChannelGroup, keys: tuple[str, ...]) -> pl.Expr:
    """The channels of rows whose source, medium, campaign and channel lie in ``keys``."""

    def channels(rows: pl.Series) -> pl.Series:
        return channels_of(
            group, rows.struct.unnest().rename(dict(zip(keys, SOURCE_FIELDS, strict=True)))
        )

    return pl.struct(keys).map_batches(channels, return_dtype=pl.String())
