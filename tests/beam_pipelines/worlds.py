"""Stores in a folder, a clock of one's own, and recorded blocks of a small shop."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import polars as pl

from beam_pipelines.flushes import Submit, Written
from beam_pipelines.holes import HoleWatch
from beam_pipelines.options import ShardSettings
from beam_pipelines.replay_request import ReplayRequest
from beam_pipelines.shard_keeper import ShardKeeper
from stores.archive.folder import FolderObjects
from stores.archive.raw import RawArchive
from stores.archive.snapshots import SnapshotStore
from stores.rules_cache.documents import decode_properties, encode_properties
from stores.wide_rows.port import WideRows, WideRowsUnavailableError
from stores.wide_rows.sqlite import SqliteWideRows
from tallymark.blocks import Block, encode_requests
from tallymark.properties import DataStream
from tallymark.requests import REQUEST_SCHEMA
from tallymark.slots import HOUR_US
from tests.property_files import create_property
from tests.strategies import MIDNIGHT_US, MINUTE_US, SECOND_US

Name = tuple[bytes, str, bytes]


def without_lineage(name: Name, lineage: str) -> Name | None:
    """The name of a cell of a lineage as that of any other has it; none where it is another's."""
    key, family, qualifier = name
    if b"#touches#" in key:
        hour, _, owner = qualifier.partition(b"#")
        return (key, family, hour + b"#*") if owner == lineage.encode() else None
    mine = f"#{lineage}#".encode()
    return (key.replace(mine, b"#*#"), family, qualifier) if mine in key else None


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class FailingWideRows:
    """Wide rows that can be away, and that can lose the answer to a write."""

    rows: WideRows
    is_away: bool = False
    loses_answers: bool = False
    failures: int = 0

    def __getattr__(self, name: str):  # type: ignore[no-untyped-def]
        method = getattr(self.rows, name)

        def call(*arguments, **named):  # type: ignore[no-untyped-def]
            if self.is_away:
                self.failures += 1
                raise WideRowsUnavailableError("away, as the test wants it")
            answer = method(*arguments, **named)
            if self.loses_answers and name == "compare_and_set":
                self.loses_answers = False
                raise WideRowsUnavailableError("the answer was lost, as the test wants it")
            return answer

        return call


def in_this_thread(work: Callable[[], Written]) -> Future[Written]:
    """Runs a flush before it returns."""
    future: Future[Written] = Future()
    try:
        future.set_result(work())
    except Exception as error:
        future.set_exception(error)
    return future


@dataclass
class World:
    """The stores under a folder."""

    folder: Path
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.rows = FailingWideRows(SqliteWideRows(self.folder / "rows.sqlite"))
        self.objects = FolderObjects(self.folder / "archive")
        self.snapshots = SnapshotStore(self.objects)

    def settings(self, lineage: str = "live-1", **changes: object) -> ShardSettings:
        values: dict[str, object] = {
            "lineage": lineage,
            "shards": 1,
            "wide_rows_url": f"sqlite:{self.folder / 'rows.sqlite'}",
            "archive_url": f"file:{self.folder / 'archive'}",
            "rules_path": str(self.folder / "properties.json"),
            "snapshot_seconds": 0.0,
            "code_version": "code-1",
        }
        return ShardSettings(**(values | changes))  # type: ignore[arg-type]

    def keeper(self, *, submit: Submit | None = None, **changes: object) -> ShardKeeper:
        """A keeper in a process that has just been started."""
        return ShardKeeper(
            self.settings(**changes),  # type: ignore[arg-type]
            0,
            wide_rows=self.rows,  # type: ignore[arg-type]
            snapshots=self.snapshots,
            holes=HoleWatch(RawArchive(self.objects), None, self.clock),
            now=self.clock,
            submit=submit or in_this_thread,
        )

    def cells(self, lineage: str = "live-1") -> dict[Name, bytes]:
        """What a reader sees of a lineage; lineages of one computation compare equal."""
        stored = self.rows.rows.read([(b"0", b"~")])
        return {
            name: value
            for key, family, at, _, value in stored.iter_rows()
            if (name := without_lineage((key, family, at), lineage)) and value
        }

    def versions(self) -> set[int]:
        """The versions of all cells that are held."""
        return set(self.rows.rows.read([(b"0", b"~")]).get_column("version"))

    def archive(self, blocks: Sequence[Block]) -> None:
        """Keep blocks, and those of an idle collector that was there before and long after."""
        archive = RawArchive(self.objects)
        archive.write([*blocks, *_closings(blocks)])
        frontiers = (("opening", -200), ("heartbeat", 200))
        archive.write(
            Block(
                spool_id="idle",
                number=number,
                kind=kind,
                requests=0,
                payload=b"",
                frontier=MIDNIGHT_US + hours * HOUR_US,
            )
            for number, (kind, hours) in enumerate(frontiers, start=1)
        )

    def replay_request(self, lineage: str = "gen-1", **changes: object) -> ReplayRequest:
        """A replay of the day after ``MIDNIGHT_US``."""
        values: dict[str, object] = {
            "lineage": lineage,
            "start_us": MIDNIGHT_US,
            "end_us": MIDNIGHT_US + 24 * HOUR_US,
            "archive_url": f"file:{self.folder / 'archive'}",
            "wide_rows_url": f"sqlite:{self.folder / 'rows.sqlite'}",
            "rules_path": str(self.folder / "properties.json"),
        }
        return ReplayRequest(**(values | changes))  # type: ignore[arg-type]

    def property(self, seed: int = 1, **settings: object) -> str:
        """A new property; its measurement id."""
        made = create_property(
            self.folder / "properties.json",
            name="Shop",
            random_bytes=Random(seed).randbytes,
            **settings,  # type: ignore[arg-type]
        )
        return made.measurement_id

    def add_stream(self, owner: str, added: str) -> None:
        """Give the property of the data stream ``owner`` another."""
        path = self.folder / "properties.json"
        changed = [
            replace(one, data_streams=(*one.data_streams, DataStream(measurement_id=added)))
            if owner in one.measurement_ids
            else one
            for one in decode_properties(path.read_bytes())
        ]
        path.write_bytes(encode_properties(changed))


def _closings(blocks: Sequence[Block]) -> list[Block]:
    """The closing blocks of spools that have none: an open spool holds the archive's clock."""
    last: dict[str, Block] = {}
    for block in sorted(blocks, key=lambda one: one.number):
        last[block.spool_id] = block
    return [
        replace(block, number=block.number + 1, kind="closing", requests=0, payload=b"")
        for block in last.values()
        if block.kind != "closing"
    ]


_BLANK = {name: "" if kind == pl.String else False for name, kind in REQUEST_SCHEMA.items()}


def page_view(measurement_id: str, client: str, at_us: int, number: int, path: str = "/") -> dict:  # type: ignore[type-arg]
    """A recorded request of the web tag; ``at_us`` counts from midnight."""
    location = f"https%3A%2F%2Fshop.example{path.replace('/', '%2F')}"
    query = f"v=2&tid={measurement_id}&cid={client}&en=page_view&dl={location}"
    return _BLANK | {
        "request_id": f"{number:032x}",
        "received_at": MIDNIGHT_US + at_us,
        "method": "POST",
        "path": "/g/collect",
        "body_encoding": "utf-8",
        "query": query,
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "visitor_hash": "0123456789abcdef",
    }


def request_blocks(
    measurement_ids: list[str],
    *,
    requests: int,
    spools: int = 2,
    size: int = 40,
    seed: int = 5,
    more: Sequence[str] = ("",),
) -> list[Block]:
    """The requests of some hours of visits, as collectors ship them, in order of publication; one
    after the other says ``more``."""
    random = Random(seed)
    held: dict[str, list[dict]] = {f"spool{number}": [] for number in range(spools)}  # type: ignore[type-arg]
    at = 0
    for number in range(requests):
        at += random.randrange(3 * MINUTE_US)
        view = page_view(
            random.choice(measurement_ids),
            f"{random.randrange(12)}.1",
            at,
            number + 1,
            random.choice(("/", "/cart", "/help")),
        )
        view["query"] += more[number % len(more)]
        held[random.choice(list(held))].append(view)
    blocks = [
        block
        for spool, mine in held.items()
        for block in _spool(spool, [mine[at : at + size] for at in range(0, len(mine), size)])
    ]
    return sorted(blocks, key=lambda block: (block.published_at, block.spool_id))


SOURCES = ("", "", "&cs=news&cm=email&cn=spring", "&cs=search&cm=organic", "&cs=ads&cm=cpc")
"""What requests may say of where a client comes from; nothing is direct."""


def visits_over_days(
    measurement_ids: list[str], *, days: int, clients: int = 12, seed: int = 5
) -> list[Block]:
    """The visits of clients that come back after hours or days, as one collector ships them."""
    random, views = Random(seed), []
    for _ in range(clients * days * 2):
        at = random.randrange(days * 24 * 60) * MINUTE_US
        owner, client = random.choice(measurement_ids), f"{random.randrange(clients)}.1"
        source = random.choice(SOURCES)
        for path in ("/", "/cart", "/help")[: random.randrange(1, 4)]:
            view = page_view(owner, client, at, len(views) + 1, path)
            views.append(view | {"query": view["query"] + source})
            at, source = at + random.randrange(40 * MINUTE_US), ""
    by_hour: dict[int, list[dict]] = {}  # type: ignore[type-arg]
    for view in sorted(views, key=lambda view: view["received_at"]):
        by_hour.setdefault(view["received_at"] // HOUR_US, []).append(view)
    return _spool("spool0", list(by_hour.values()))


def _spool(spool_id: str, parts: list[list[dict]]) -> list[Block]:  # type: ignore[type-arg]
    frontier = MIDNIGHT_US
    blocks = []
    for number, part in enumerate([[], *parts, []], start=1):
        frontier = part[-1]["received_at"] + 1 if part else frontier
        last = number == len(parts) + 2
        blocks.append(
            Block(
                spool_id=spool_id,
                number=number,
                kind="opening" if number == 1 else "closing" if last else "requests",
                frontier=frontier,
                requests=len(part),
                payload=encode_requests(pl.DataFrame(part, schema=REQUEST_SCHEMA)),
                published_at=frontier + SECOND_US // 2,
            )
        )
    return blocks
