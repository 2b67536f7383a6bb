"""Rewrites put to hits: one of each property at a time, all of a kind in one go."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import polars as pl

from tallymark.distinct import compared
from tallymark.protocols.events import TEXT_LIMITS
from tallymark.rule_documents.rewrites import (
    KeepParameters,
    LowerCase,
    MapHost,
    RenameEvent,
    Replace,
    SetFields,
    StripParameters,
)
from tallymark.rules.rule_sets import Asked, of_parts

Change = tuple[str, pl.Series, pl.Series]
"""A column, rows of it, and their new texts."""
_Rewriter = Callable[[pl.DataFrame, Asked[Any], pl.DataFrame], Iterator[Change]]


def changes(hits: pl.DataFrame, asked: Asked[Any]) -> Iterator[Change]:
    """What rewrites make of the hits that they apply to; none is put to a hit twice."""
    kinds: dict[type, list[int]] = {}
    for number, part in enumerate(asked.parts):
        kinds.setdefault(type(part), []).append(number)
    for kind, some in kinds.items():
        rows = of_parts(asked.rows, some)
        if rows.height:
            for name, places, texts in _REWRITERS[kind](hits, asked, rows):
                yield name, places, texts.str.head(TEXT_LIMITS[name])


def _by_field(
    asked: Asked[Any], rows: pl.DataFrame, fields_of: Callable[[Any], tuple[str, ...]]
) -> Iterator[tuple[str, pl.DataFrame]]:
    """The rows of each field that the parts change."""
    owners: dict[str, list[int]] = {}
    for part in rows.get_column("part").unique(maintain_order=True):
        for name in fields_of(asked.parts[part]):
            owners.setdefault(name, []).append(part)
    for name, parts in owners.items():
        yield name, of_parts(rows, parts)


def _texts(hits: pl.DataFrame, name: str, rows: pl.DataFrame) -> pl.Series:
    return hits.get_column(name).gather(rows.get_column("row"))


def _lower_case(hits: pl.DataFrame, asked: Asked[Any], rows: pl.DataFrame) -> Iterator[Change]:
    for name, own in _by_field(asked, rows, lambda part: (part.field,)):
        yield name, own["row"], _texts(hits, name, own).str.to_lowercase()


def _set(_hits: pl.DataFrame, asked: Asked[Any], rows: pl.DataFrame) -> Iterator[Change]:
    for name, own in _by_field(asked, rows, lambda part: tuple(part.fields)):
        yield name, own["row"], asked.values(own, partial(_set_text, name))


def _set_text(name: str, part: Any) -> object:
    return part.fields[name]


def _map_host(hits: pl.DataFrame, asked: Asked[Any], rows: pl.DataFrame) -> Iterator[Change]:
    hosts = asked.values(rows, lambda part: list(part.from_))
    is_one = compared(_texts(hits, "host", rows), hosts, lambda said, asked: said.is_in(asked))
    own = rows.filter(is_one)
    if own.height:
        yield "host", own["row"], asked.values(own, lambda part: part.to)


def _rename_event(hits: pl.DataFrame, asked: Asked[Any], rows: pl.DataFrame) -> Iterator[Change]:
    is_it = _texts(hits, "event_name", rows) == asked.values(rows, lambda part: part.from_)
    own = rows.filter(is_it)
    if own.height:
        yield "event_name", own["row"], asked.values(own, lambda part: part.to)


def _parameters(hits: pl.DataFrame, asked: Asked[Any], rows: pl.DataFrame) -> Iterator[Change]:
    """Queries without what is stripped, or with what is kept alone."""
    names = asked.values(rows, lambda part: [name.lower() for name in part.names])
    keeps = asked.values(rows, lambda part: isinstance(part, KeepParameters))
    queries = rows.select(
        "row",
        pair=_texts(hits, "page_query", rows).str.split("&"),
        names=names.cast(pl.List(pl.String)),
        keeps=keeps,
    ).explode("pair")
    name = pl.col("pair").str.extract("^([^=]*)").str.to_lowercase()
    left = queries.with_columns(
        pair=pl.when(name.is_in("names") == pl.col("keeps")).then("pair")
    ).group_by("row", maintain_order=True)
    found = left.agg(text=pl.col("pair").drop_nulls().str.join("&"))
    yield "page_query", found["row"], found["text"].fill_null("")


def _replace(hits: pl.DataFrame, asked: Asked[Any], rows: pl.DataFrame) -> Iterator[Change]:
    """One pattern after the other, of those that are found at all."""
    by_pattern = rows.sort("part")  # neighbours, so that each is compiled once
    for name, own in _by_field(asked, by_pattern, lambda part: (part.field,)):
        patterns = asked.values(own, lambda part: part.pattern)
        texts = _texts(hits, name, own)
        is_found = compared(texts, patterns, lambda said, asked: said.str.contains(asked))
        found = own.select("part", "row", text=texts).filter(is_found)
        replaced = [
            some.with_columns(pl.col("text").str.replace_all(rewrite.pattern, rewrite.with_))
            for (part,), some in found.partition_by("part", as_dict=True).items()
            if (rewrite := asked.parts[int(str(part))])
        ]
        if replaced:
            changed = pl.concat(replaced)
            yield name, changed["row"], changed["text"]


_REWRITERS: Final[dict[type, _Rewriter]] = {
    LowerCase: _lower_case,
    StripParameters: _parameters,
    KeepParameters: _parameters,
    MapHost: _map_host,
    Replace: _replace,
    RenameEvent: _rename_event,
    SetFields: _set,
}
