"""The reader of sequences: funnels, paths and retention, from single hits."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from report_api.folded_hits import HitFolder
from report_api.reader import Answer, rules_at
from tallymark.hits import empty_hits
from tallymark.properties import Property
from tallymark.reports import funnels, path_reports, retention_reports
from tallymark.reports.funnel_requests import parse_funnel
from tallymark.reports.hit_fields import columns_of


@dataclass(frozen=True)
class Sequence:
    """A report of sequences.

    Attributes:
        parse: From JSON to its request.
        columns: Of hits that a request needs.
        counts: From hits and a request to counts, which add up over clients.
        document: From a request and counts to JSON.
    """

    parse: Callable[..., Any]
    columns: Callable[[Any], list[str]]
    counts: Callable[[pl.DataFrame, Any], pl.DataFrame]
    document: Callable[[Any, pl.DataFrame], dict[str, Any]]


FUNNEL: Final = Sequence(
    parse_funnel,
    lambda request: [*funnels.ORDERED_BY, *columns_of(request.fields)],
    funnels.funnel_counts,
    funnels.funnel_document,
)
PATH: Final = Sequence(
    path_reports.parse_path,
    lambda request: [*path_reports.COLUMNS, *columns_of([request.node])],
    path_reports.path_counts,
    path_reports.path_document,
)
RETENTION: Final = Sequence(
    retention_reports.parse_retention,
    lambda _: [*retention_reports.COLUMNS],
    retention_reports.retention_counts,
    retention_reports.retention_document,
)


def sequence_answer(folder: HitFolder, owner: Property, sequence: Sequence, body: Any) -> Answer:
    """Answer a report of sequences.

    Raises:
        InvalidRequestError: when the request is wrong.
        BeyondLimitsError: as ``HitReader.fold``, and so on.
    """
    now_us = folder.now_us()
    request = sequence.parse(
        body, now_us=now_us, time_zone=rules_at(owner, now_us).time_zone,
        property_id=owner.property_id,
    )  # fmt: skip
    parts, freshness = folder.fold(
        owner,
        (request.days.start_us, request.days.end_us),
        sequence.columns(request),
        lambda hits: sequence.counts(hits, request),
    )
    nothing = sequence.counts(empty_hits(), request)
    return Answer(sequence.document(request, pl.concat([nothing, *parts])), freshness)
