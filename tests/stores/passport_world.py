"""A shop whose requests are archived and whose counted hits are stored, as a stack would."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from stores.archive.folder import FolderObjects
from stores.archive.raw import RawArchive
from stores.lineages import LineageRegister
from stores.passports import Passports
from stores.pointers import PointerStore
from stores.publication import Publisher
from stores.rules_cache.file import FileRulesCache
from stores.wide_rows.sqlite import SqliteWideRows
from tallymark.aggregates import cell_frame
from tallymark.blocks import Block, encode_requests
from tallymark.counting import Tally, slots_in, touches_in
from tallymark.pieces import CLIENT
from tallymark.pointer_map import FOR_EVER, SINCE_EVER
from tallymark.processing import process_requests
from tallymark.replays import Span
from tallymark.requests import REQUEST_SCHEMA
from tallymark.slots import HOUR_US
from tallymark.touch_cells import encode_touches, hour_of
from tallymark.touches import TOUCH_SCHEMA
from tests.property_files import create_property

HOUR = 1_767_225_600_000_000  # 2026-01-01T00
NOW = HOUR + 5 * HOUR_US


def request_id(at_us: int, number: int = 0) -> str:
    """An id as a spool draws it."""
    return f"{at_us // 1000:012x}7{at_us % 1000:03x}{0x8000000000000000 + number:016x}"


@dataclass
class PassportWorld:
    """A data folder with two properties, ``live-1`` serving."""

    folder: Path

    def __post_init__(self) -> None:
        rules = self.folder / "rules" / "properties.json"
        once = {"event": "sign_up", "counting_method": "once_per_session"}
        self.mine = create_property(
            rules, random_bytes=lambda size: b"m" * size, name="Mine", key_events=[once, "purchase"]
        )
        self.theirs = create_property(rules, random_bytes=lambda size: b"t" * size, name="Theirs")
        self.rules = FileRulesCache(rules)
        self.objects = FolderObjects(self.folder / "archive")
        self.rows = SqliteWideRows(self.folder / "wide_rows.sqlite")
        Publisher(self.rows, lambda: 1, who="test").live_lineage(shards=1)
        self.passports = Passports(self.objects, self.rows, self.rules, lambda: NOW)
        self._blocks = 0

    @property
    def my_id(self) -> str:
        return self.mine.measurement_id

    @property
    def their_id(self) -> str:
        return self.theirs.measurement_id

    def view(self, at_us: int, number: int = 0, **changes: Any) -> dict[str, Any]:
        """A recorded page view of my property's site."""
        row: dict[str, Any] = {
            name: "" if kind == pl.String else False for name, kind in REQUEST_SCHEMA.items()
        }
        usual = {
            "request_id": request_id(at_us, number),
            "received_at": at_us,
            "method": "POST",
            "path": "/g/collect",
            "query": f"v=2&tid={self.my_id}&cid=1.1&en=page_view&dl=https%3A%2F%2Fx.example%2Ftea",
            "body_encoding": "utf-8",
            "ip_network": "203.0.113.0/24",
            "visitor_hash": "0123456789abcdef",
        }
        return row | usual | changes

    def archive(self, *requests: dict[str, Any]) -> None:
        """Keep requests in the raw archive, a block an hour."""
        hours: dict[int, list[dict[str, Any]]] = {}
        for request in sorted(requests, key=lambda each: each["received_at"]):
            hours.setdefault(request["received_at"] // HOUR_US, []).append(request)
        for of_hour in hours.values():
            self._blocks += 1
            end_us = of_hour[-1]["received_at"] + 1
            payload = encode_requests(pl.DataFrame(of_hour, schema=REQUEST_SCHEMA))
            block = Block(
                spool_id="a", number=self._blocks, kind="requests", frontier=end_us,
                requests=len(of_hour), payload=payload, published_at=end_us,
            )  # fmt: skip
            RawArchive(self.objects).write([block])

    def count(self, *requests: dict[str, Any], lineage: str = "live-1") -> None:
        """Store the cells and touches of all hits of these requests."""
        frame = pl.DataFrame(requests, schema=REQUEST_SCHEMA)
        tally = Tally()
        tally.add(process_requests(frame, self.rules.frame).hits)
        facts = tally.counted(pl.DataFrame(schema=TOUCH_SCHEMA), 0)
        touched = slots_in(Span(0, NOW), facts)
        self.rows.write(cell_frame(facts, touched, lineage=lineage, version=1))
        touches = touches_in(Span(0, NOW), facts)
        owed = touches.select(*CLIENT, hour_of("start")).unique()
        self.rows.write(encode_touches(touches, owed, lineage=lineage, version=1))

    def serve(self, lineage: str) -> None:
        """Let a replay serve all hours."""
        register = LineageRegister(self.rows, lambda: 1)
        assert register.draw("gen").name == lineage
        store = PointerStore(self.rows)
        held = store.held()
        pointers = held.document.pointers.publish(SINCE_EVER, FOR_EVER, lineage)
        assert store.replace(held, replace(held.document, pointers=pointers))
