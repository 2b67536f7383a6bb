"""Previews: what reports would have shown of some recorded requests under other rules.

The functions that stream and replay use say all of it, once by the rules in force and once by the
draft.
"""

from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from typing import Any, Final

import polars as pl

from tallymark.additions import with_additions
from tallymark.compaction import compact
from tallymark.narrow_hits import narrow
from tallymark.pieces import tables_of
from tallymark.processing import process_requests
from tallymark.properties import Property, RulesVersion, properties_frame
from tallymark.protocols import decode
from tallymark.rule_documents import Rules
from tallymark.rule_documents.privacy import MARKS
from tallymark.rule_documents.rewrites import REWRITTEN
from tallymark.rules import claimed
from tallymark.rules.customs import TESTED
from tallymark.rules.rewriting import is_created, rewritings
from tallymark.rules.rule_sets import RuledHits

MAX_EXAMPLES: Final = 20
MAX_ALIKE: Final = 3
"""Examples that differ in the same columns."""
SHOWN: Final = (
    "event_name", "host", "path", "page_query", "title", "referrer", "client_id", "user_id",
    "country", "source", "medium", "campaign", "channel", "is_key_event", "value_micros",
    "excluded_by",
)  # fmt: skip
"""Columns of hits that rules may change, as examples show them."""


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a draft would have changed.

    Attributes:
        hits: Of the property in the requests.
        changed_hits: Those of which something of ``SHOWN`` would be otherwise.
        metrics: By name, before and after. Amounts are micros of the property's currency.
        rules: Of each rule of the draft where it stands and how many hits it applies to: for a
            rewrite those that it changes, for a filter those that it is the first to tag.
        examples: Some of the changed hits: id, and before and after of what differs.
    """

    hits: int
    changed_hits: int
    metrics: dict[str, tuple[int, int]]
    rules: list[dict[str, Any]]
    examples: list[dict[str, Any]]

    def document(self) -> dict[str, Any]:
        """It as JSON."""
        return {
            "hits": self.hits,
            "changed_hits": self.changed_hits,
            "metrics": {
                name: {"before": before, "after": after, "change": after - before}
                for name, (before, after) in self.metrics.items()
            },
            "rules": self.rules,
            "examples": self.examples,
        }


def preview(requests: pl.DataFrame, owner: Property, draft: Rules) -> Preview:
    """Hold what requests come to under a draft against what they come to now.

    Args:
        requests: ``REQUEST_SCHEMA``, each once; those of others change nothing.
        owner: The property, with all versions of its rules.
        draft: In force since ever.
    """
    drafted = replace(
        owner, versions=(RulesVersion(version=owner.current.version + 1, rules=draft),)
    )
    before, after = (_hits(requests, each) for each in (owner, drafted))
    pairs = before.select("hit_id", *SHOWN).join(
        after.select("hit_id", *SHOWN), on="hit_id", suffix="_after", maintain_order="left"
    )
    differs = pl.any_horizontal(pl.col(name) != pl.col(f"{name}_after") for name in SHOWN)
    changed = pairs.filter(differs)
    totals = zip(headline(before).items(), headline(after).values(), strict=True)
    return Preview(
        hits=before.height,
        changed_hits=changed.height,
        metrics={name: (old, new) for (name, old), new in totals},
        rules=[
            *_consent(after, draft),
            *_rewrites(requests, drafted, draft),
            *_created(after, draft),
            *_filters(after, draft),
            *_events(after, draft),
        ],
        examples=[_example(row) for row in _varied(changed).iter_rows(named=True)],
    )


def _hits(requests: pl.DataFrame, owner: Property) -> pl.DataFrame:
    properties = properties_frame([owner])
    hits = process_requests(requests, lambda _: properties, with_params=False).hits
    return hits.unique("hit_id", keep="first", maintain_order=True)


def headline(hits: pl.DataFrame) -> dict[str, int]:
    """What reports show first of hits (``HIT_SCHEMA``), as the rollups count it."""
    counting = hits.filter(pl.col("excluded_by") == "")
    joined, _ = with_additions(compact(tables_of(*narrow(counting))))
    begins = joined.filter("begins_session")
    return {
        "users": counting.get_column("client_hash").n_unique(),
        "sessions": begins.height,
        "engaged_sessions": int(begins.get_column("is_engaged").sum()),
        "page_views": int(joined.get_column("views").sum()),
        "events": int(joined.get_column("events").sum()),
        "key_events": int(joined.get_column("key_events").sum()),
        "revenue_micros": int(joined.get_column("value_micros").sum()),
        "excluded_hits": hits.height - counting.height,
    }


def _consent(after: pl.DataFrame, draft: Rules) -> list[dict[str, Any]]:
    marks = after.get_column("consent").str.split(" ")
    return [
        {
            "where": f"consent.{each.name}",
            "name": each.answer,
            "hits": marks.list.contains(MARKS[each.name]).sum(),
        }
        for each in draft.consent.answers
    ]


def _rewrites(requests: pl.DataFrame, owner: Property, draft: Rules) -> list[dict[str, Any]]:
    hits = claimed(decode(requests, with_params=True).hits, properties_frame([owner])).hits
    counts = []
    for changed in rewritings(hits, RuledHits(hits)):
        differs = [changed.get_column(name) != hits.get_column(name) for name in REWRITTEN]
        counts.append(reduce(or_, differs).sum())
        hits = changed
    counts += [0] * (len(draft.rewrites) - len(counts))  # where nothing was received
    return [
        {"where": f"rewrites[{place}]", "kind": rewrite.kind, "hits": count}
        for place, (rewrite, count) in enumerate(zip(draft.rewrites, counts, strict=True))
    ]


def _created(after: pl.DataFrame, draft: Rules) -> list[dict[str, Any]]:
    created = after.filter(is_created())
    counts = dict(created.group_by("event_name").len().iter_rows())
    names = [each.event for each in draft.created_events]
    return [
        {"where": f"created_events[{place}]", "event": name, "hits": counts.get(name, 0)}
        for place, name in enumerate(names)
    ]


def _filters(after: pl.DataFrame, draft: Rules) -> list[dict[str, Any]]:
    tested = after.select(pl.col("customs").explode()).drop_nulls().unnest("customs")
    names = tested.filter(pl.col("name") == TESTED).get_column("value")
    counts = dict(pl.concat([after["excluded_by"], names]).alias("n").value_counts().iter_rows())
    return [
        {"where": f"filters[{place}]", "name": each.name, "hits": counts.get(each.name, 0)}
        for place, each in enumerate(draft.filters)
    ]


def _events(after: pl.DataFrame, draft: Rules) -> list[dict[str, Any]]:
    keys = after.filter(pl.col("is_key_event") & (pl.col("excluded_by") == ""))
    counts = dict(keys.group_by("event_name").len().iter_rows())
    return [
        {"where": f"key_events[{place}]", "event": each.event, "hits": counts.get(each.event, 0)}
        for place, each in enumerate(draft.key_events)
    ]


def _varied(changed: pl.DataFrame) -> pl.DataFrame:
    """Some of the changed hits, few of each kind: those that differ in the same columns."""
    differing = [
        pl.when(pl.col(name) != pl.col(f"{name}_after")).then(pl.lit(name)) for name in SHOWN
    ]
    kind = pl.concat_str([*differing, "excluded_by_after"], separator=" ", ignore_nulls=True)
    return changed.group_by(kind, maintain_order=True).head(MAX_ALIKE).head(MAX_EXAMPLES)


def _example(row: dict[str, Any]) -> dict[str, Any]:
    changes = {
        name: {"before": row[name], "after": row[f"{name}_after"]}
        for name in SHOWN
        if row[name] != row[f"{name}_after"]
    }
    return {"hit_id": row["hit_id"], "changes": changes}
