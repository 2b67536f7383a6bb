"""Rewrites of a rules document as steps over a frame of hits."""

from typing import Final, assert_never

import polars as pl

from tallymark.protocols.events import TEXT_LIMITS
from tallymark.rule_documents.rewrites import (
    KeepParameters,
    LowerCase,
    MapHost,
    RenameEvent,
    Replace,
    Rewrite,
    SetFields,
    StripParameters,
)
from tallymark.rules.conditions import expression

REWRITTEN: Final = (
    "host", "path", "page_query", "title", "referrer", "event_name", "user_id",
)  # fmt: skip
"""Columns that rewrites may change."""


def step(rewrite: Rewrite) -> list[pl.Expr]:
    """What a rewrite makes of the columns that it changes, each within its limit of characters."""
    changed = _changed(rewrite)
    when = expression(rewrite.when) if rewrite.when is not None else None
    return [
        (text if when is None else pl.when(when).then(text).otherwise(name))
        .str.head(TEXT_LIMITS[name])
        .alias(name)
        for name, text in changed.items()
    ]


def _changed(rewrite: Rewrite) -> dict[str, pl.Expr]:
    changed: dict[str, pl.Expr]
    match rewrite:
        case LowerCase(field=name):
            changed = {name: pl.col(name).str.to_lowercase()}
        case StripParameters(names=names):
            changed = {"page_query": _parameters(~_is_named(names))}
        case KeepParameters(names=names):
            changed = {"page_query": _parameters(_is_named(names))}
        case MapHost(from_=hosts, to=host):
            is_one = pl.col("host").is_in(list(hosts))
            changed = {"host": pl.when(is_one).then(pl.lit(host)).otherwise("host")}
        case Replace(field=name, pattern=pattern, with_=text):
            changed = {name: pl.col(name).str.replace_all(pattern, text)}
        case RenameEvent(from_=name, to=other):
            is_it = pl.col("event_name") == name
            changed = {"event_name": pl.when(is_it).then(pl.lit(other)).otherwise("event_name")}
        case SetFields(fields=fields):
            changed = {name: pl.lit(text) for name, text in fields.items()}
        case _:
            assert_never(rewrite)
    return changed


def _is_named(names: tuple[str, ...]) -> pl.Expr:
    name = pl.element().str.extract("^([^=]*)").str.to_lowercase()
    return name.is_in([each.lower() for each in names])


def _parameters(is_kept: pl.Expr) -> pl.Expr:
    return pl.col("page_query").str.split("&").list.filter(is_kept).list.join("&")
