"""A stream that is cut off from its rules goes on, and tells what it processed by wrong ones."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from beam_pipelines.ruled_blocks import RuledBlocks
from stores.announcements import RULES, Announcements
from stores.doubts import Doubts
from stores.rules_cache.documents import decode_properties, encode_properties
from stores.rules_cache.file import FileRulesCache
from tallymark.blocks import Block
from tallymark.properties import Property, RulesVersion
from tallymark.rule_documents import parse_rules
from tallymark.slots import HOUR_US, MINUTE_US
from tests.beam_pipelines.worlds import Clock, World, request_blocks
from tests.strategies import MIDNIGHT_US

WITHOUT_CARTS = {"filters": [{"name": "carts", "when": {"field": "path", "is": "/cart"}}]}


@dataclass
class Worker:
    """A worker whose clock follows the blocks that it is given."""

    world: World
    owner: Property

    def __post_init__(self) -> None:
        self.clock = Clock(MIDNIGHT_US / 1e6)
        self.path = self.world.folder / "properties.json"
        self.begin()

    def begin(self) -> None:
        """As a new process does."""
        self.rules = FileRulesCache(self.path, clock=self.clock)
        self.doubts = Doubts(self.world.rows)  # type: ignore[arg-type]
        self.ruled = RuledBlocks(
            self.rules, self.doubts, clock_us=lambda: int(self.clock() * 1e6), now=self.clock
        )

    def take(self, *blocks: Block) -> None:
        """Process blocks as they come, the time being that of their publication."""
        for block in blocks:
            self.clock.seconds = max(self.clock.seconds, block.published_at / 1e6)
            self.ruled.process([block], 1)

    def look(self, at_us: int) -> None:
        """A bundle of nothing, as heartbeats bring about."""
        self.clock.seconds = at_us / 1e6
        self.ruled.process([], 1)

    def cut_off(self) -> None:
        self.saved = self.path.read_bytes()
        self.path.write_text("nobody can read this")

    def back(self, *versions: RulesVersion) -> None:
        changed = [
            Property(property_id=one.property_id, name=one.name, data_streams=one.data_streams,
                     versions=(*one.versions, *versions))
            for one in decode_properties(self.saved)
        ]  # fmt: skip
        self.path.write_bytes(encode_properties(changed))

    def announced(self) -> dict[int, set[bytes]]:
        """Blocks by hour from midnight."""
        told = Announcements(self.world.rows, RULES)  # type: ignore[arg-type]
        found = told.outstanding(MIDNIGHT_US - 24 * HOUR_US, MIDNIGHT_US + 48 * HOUR_US)
        assert {owner for owner, _ in found} <= {self.owner.property_id}
        return {(hour - MIDNIGHT_US) // HOUR_US: blocks for (_, hour), blocks in found.items()}


@pytest.fixture(name="worker")
def _worker(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Worker]:
    world = World(tmp_path)
    world.property()
    [owner] = decode_properties((tmp_path / "properties.json").read_bytes())
    with caplog.at_level(logging.CRITICAL):
        yield Worker(world, owner)


@pytest.fixture(name="blocks")
def _blocks(worker: Worker) -> list[Block]:
    """Visits of about seven hours, a block ten minutes."""
    [measurement_id] = worker.owner.measurement_ids
    return request_blocks([measurement_id], requests=280, spools=1, size=8)[1:-1]


def version(number: int, effective_at: int) -> RulesVersion:
    return RulesVersion(version=number, effective_at=effective_at, rules=parse_rules(WITHOUT_CARTS))


def hours_from(blocks: list[Block], instant_us: int) -> set[int]:
    """The hours of hits received at or after an instant, from midnight."""
    received = [at for block in blocks for at in block.frame()["received_at"]]
    return {(at - MIDNIGHT_US) // HOUR_US for at in received if at >= instant_us}


def test_hours_processed_past_a_change_unknown_are_announced_once_it_is_known(
    worker: Worker, blocks: list[Block]
) -> None:
    worker.take(*blocks[:10])
    worker.cut_off()
    worker.take(*blocks[10:30])
    assert worker.ruled.status()["rules_cut_off_seconds"] > 3_600
    assert worker.announced() == {}
    changed_at = blocks[20].frame().item(0, "received_at")
    worker.back(version(2, changed_at))
    worker.take(*blocks[30:])
    worker.look(int(worker.clock() * 1e6) + 2 * MINUTE_US)
    announced = worker.announced()
    assert announced.keys() == hours_from(blocks[10:30], changed_at)
    names = {block.name.encode() for block in blocks[10:30]}
    assert all(some <= names for some in announced.values())
    assert worker.ruled.status() == {}
    assert worker.doubts.held().is_empty()


def test_doubts_of_a_worker_that_died_cut_off_are_settled_by_the_next(
    worker: Worker, blocks: list[Block]
) -> None:
    worker.take(*blocks[:10])
    worker.cut_off()
    worker.take(*blocks[10:30])
    changed_at = blocks[20].frame().item(0, "received_at")
    worker.back(version(2, changed_at))
    worker.begin()
    worker.look(int(worker.clock() * 1e6) + 2 * MINUTE_US)
    assert worker.announced().keys() == hours_from(blocks[10:30], changed_at)


@pytest.mark.parametrize("changed", [[], [2]])
def test_nothing_is_announced_where_no_version_was_missed(
    worker: Worker, blocks: list[Block], changed: list[int]
) -> None:
    worker.take(*blocks[:10])
    worker.cut_off()
    worker.take(*blocks[10:20])
    after = blocks[20].frame().item(0, "received_at")
    worker.back(*(version(number, after) for number in changed))
    worker.take(*blocks[20:])
    worker.look(int(worker.clock() * 1e6) + 2 * MINUTE_US)
    assert worker.announced() == {}
    assert worker.doubts.held().is_empty()


def test_a_worker_in_contact_writes_nothing(worker: Worker, blocks: list[Block]) -> None:
    worker.take(*blocks)
    assert worker.world.rows.rows.read([(b"~", b"~~")]).is_empty()
    assert worker.ruled.status() == {}
