"""The schedule: visits that overlap as those of many people do, as one sequence of requests."""

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from cli.simulator.requests import PlannedRequest, requests_of
from cli.simulator.visits import Visit


@dataclass(frozen=True, slots=True)
class Due:
    """A request and when to send it, in seconds since the start."""

    seconds: float
    request: PlannedRequest


def schedule(
    visits: Iterable[Visit],
    hits_per_second: float,
    started_at: int,
    on_visit: Callable[[Visit, int], None],
) -> Iterator[Due]:
    """The requests of ``visits`` in the order in which they are to be sent.

    Visits begin so far apart, and pause so long within, as people do; the sequence that this
    gives is then sent at an even ``hits_per_second``. Requests of one visit stay in order.

    Args:
        visits: Drawn only as far as needed.
        hits_per_second: Of hits, not requests: a request may carry several.
        started_at: UTC µs of the start.
        on_visit: Told each visit, with the number of its first request, before it begins.
    """
    waiting: list[tuple[float, int, PlannedRequest, int]] = []
    begins, next_number, sent_hits = 0.0, 1, 0
    source = iter(visits)
    visit = next(source, None)
    while visit is not None or waiting:
        while visit is not None and (not waiting or begins <= waiting[0][0]):
            on_visit(visit, next_number)
            for entry in _entries(visit, begins, next_number, started_at):
                heapq.heappush(waiting, entry)
            begins += len(visit.hits) / hits_per_second
            next_number += visit.requests
            visit = next(source, None)
        _, _, request, hits = heapq.heappop(waiting)
        yield Due(sent_hits / hits_per_second, request)
        sent_hits += hits


def _entries(
    visit: Visit, begins: float, first_number: int, started_at: int
) -> Iterator[tuple[float, int, PlannedRequest, int]]:
    """Each request with its time in the life of the visitor, ties by number, and its hits."""
    carried = [0] * visit.requests
    for hit in visit.hits:
        carried[hit.request] += 1
    at = begins
    for request, hits in zip(requests_of(visit, first_number, started_at), carried, strict=True):
        at += request.after_ms / 1000
        yield at, request.number, request, hits
