"""Sessions by walking over hits one at a time: what ``tallymark.sessions`` is held against.

It follows the definition and shares nothing with the code under test but the schema of a hit.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

LONGEST_HALF_US = 4 * 3_600_000_000  # L
Hit = dict[str, Any]


@dataclass
class PlainSession:
    """Hits that belong together; ``chain_start`` is when the chain of it began."""

    chain_start: int
    opening: list[Hit]
    joined: list[Hit] = field(default_factory=list)

    @property
    def start(self) -> int:
        """UTC µs of the first hit."""
        return int(self.opening[0]["event_at"])

    @property
    def end(self) -> int:
        """UTC µs of the last opening hit."""
        return int(self.opening[-1]["event_at"])

    def holds(self, hit: Hit) -> bool:
        """Whether a hit that opens no session lies in it: before the gap is over and before the
        first multiple at which the session would be cut."""
        cut = self.start // LONGEST_HALF_US * LONGEST_HALF_US + LONGEST_HALF_US
        while self.chain_start > cut - LONGEST_HALF_US:
            cut += LONGEST_HALF_US
        reach = self.end + self.opening[0]["session_gap_ms"] * 1000
        return bool(self.start <= hit["event_at"] < min(reach, cut))

    def facts(self) -> dict[str, Any]:
        """What the session says of itself."""
        first = self.opening[0]
        hits = self.opening + self.joined
        named = [hit for hit in self.opening if hit["source"]]
        views = [hit for hit in self.opening if hit["is_page_view"]]
        engagement_ms = sum(hit["engagement_ms"] for hit in hits)
        length_ms = engagement_ms or (self.end - self.start) // 1000
        return {
            "property_id": first["property_id"],
            "client_hash": first["client_hash"],
            "session_start": self.start,
            "session_duration_ms": (self.end - self.start) // 1000,
            "events": len(hits),
            "views": sum(hit["is_page_view"] for hit in hits),
            "engagement_ms": engagement_ms,
            "value_micros": sum(hit["value_micros"] for hit in hits),
            "is_engaged": length_ms >= first["engagement_threshold_ms"]
            or any(hit["is_key_event"] for hit in hits)
            or sum(hit["is_page_view"] for hit in hits) >= 2,
            "source": named[0]["source"] if named else "",
            "channel": named[0]["channel"] if named else "",
            "landing_page": views[0]["path"] if views else "",
            "exit_page": views[-1]["path"] if views else "",
            "browser": first["browser"],
        }


def plain_sessions(hits: list[Hit]) -> tuple[list[PlainSession], list[Hit]]:
    """All sessions of all clients, and the hits that belong to none."""
    clients: dict[tuple[int, int], list[Hit]] = defaultdict(list)
    for hit in sorted(hits, key=lambda hit: (hit["event_at"], hit["hit_id"])):
        clients[hit["property_id"], hit["client_hash"]].append(hit)
    sessions, outside = [], []
    for all_hits in clients.values():
        mine = list(_valued(all_hits))
        found: list[PlainSession] = []
        for hit in mine:
            if hit["opens_session"]:
                _place(found, hit)
        for hit in mine:
            if not hit["opens_session"]:
                holding = [session for session in found if session.start <= hit["event_at"]][-1:]
                if holding and holding[0].holds(hit):
                    holding[0].joined.append(hit)
                else:
                    outside.append(hit)
        sessions += found
    return sessions, outside


def _valued(hits: list[Hit]) -> Iterator[Hit]:
    """A client's hits in order of time, those that repeat a sale worth nothing."""
    sold: dict[tuple[str, str], int] = {}
    for hit in hits:
        sale = hit["event_name"], hit["transaction_id"]
        if hit["event_name"] != "purchase" or not hit["transaction_id"]:
            yield hit
            continue
        since = (hit["event_at"] // LONGEST_HALF_US - 1) * LONGEST_HALF_US
        yield {**hit, "value_micros": 0} if sold.get(sale, since - 1) >= since else hit
        sold[sale] = hit["event_at"]


def _place(sessions: list[PlainSession], hit: Hit) -> None:
    """Add an opening hit to the last session, or begin another."""
    at = hit["event_at"]
    if sessions:
        last = sessions[-1]
        before = last.opening[-1]
        same_settings = before["settings_from"] == hit["settings_from"]
        if same_settings and at - last.end < hit["session_gap_ms"] * 1000:
            multiple = at // LONGEST_HALF_US * LONGEST_HALF_US
            crosses = last.end < multiple
            if crosses and last.chain_start <= multiple - LONGEST_HALF_US:
                sessions.append(PlainSession(last.chain_start, [hit]))
            else:
                last.opening.append(hit)
            return
    sessions.append(PlainSession(at, [hit]))
