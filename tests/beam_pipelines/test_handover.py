"""The handover from one live lineage to another, whoever dies half-way."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from beam_pipelines.control import ShardWriter
from beam_pipelines.handover import (
    CLOSE_SECONDS,
    WAIT_SECONDS,
    Pursuit,
    caught_up_candidate,
    heir_of,
    lineage_to_go_on_with,
    must_withdraw,
    reached,
)
from stores.publication import Publisher
from tallymark.lineages import Lineage
from tallymark.pointer_map import FOR_EVER
from tallymark.slots import HOUR_US, SESSION_ALIGNMENT_US
from tallymark.vectors import BlockMark, Vector, observe_all
from tests.beam_pipelines.worlds import World
from tests.strategies import MIDNIGHT_US

DAY_US = 24 * HOUR_US
NOW_US = MIDNIGHT_US + DAY_US


@dataclass
class Stage:
    """A store in which live-1 serves, and what happens while its job waits."""

    world: World
    events: list[Callable[[], object]] = field(default_factory=list)
    waited_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.publisher = Publisher(self.world.rows, lambda: NOW_US, who="test")  # type: ignore[arg-type]
        self.serving = self.publisher.live_lineage(shards=1)

    @property
    def lineages(self):  # type: ignore[no-untyped-def]
        return self.publisher.lineages

    def heir(self, state: str = "computing", shards: int = 1) -> Lineage:
        return self.lineages.draw(
            "live",
            state=state,
            shards=shards,
            reads_whole_from=NOW_US - DAY_US,
            targets=((NOW_US, FOR_EVER),) if state != "computing" else (),
        )

    def go_on(self) -> str:
        def sleep(seconds: float) -> None:
            self.waited_seconds += seconds
            if self.events:
                self.events.pop(0)()

        found = lineage_to_go_on_with(
            self.publisher, shards=1, sleep=sleep, now=lambda: self.waited_seconds
        )
        return found.name

    def write(self, lineage: Lineage, shard: int, numbers: list[int], clock_us: int) -> None:
        vector = Vector()
        for number in numbers:
            mark = BlockMark(
                spool_id="a",
                number=number,
                kind="requests",
                frontier=clock_us,
                published_at=clock_us,
            )
            observe_all(vector, [mark])
        rows = self.world.rows
        writer = ShardWriter(rows, lineage.name, shard, reads_from=0)  # type: ignore[arg-type]
        writer.take_up()
        writer.write(vector, lambda _lineage, _version: [])


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(World(tmp_path))


def test_without_an_heir_the_lineage_that_serves_goes_on(stage: Stage) -> None:
    assert stage.go_on() == "live-1"
    assert not must_withdraw("live-1", stage.lineages)


def test_an_heir_that_is_catching_up_disturbs_nobody(stage: Stage) -> None:
    stage.heir()
    assert stage.go_on() == "live-1"
    assert not must_withdraw("live-1", stage.lineages)


def test_a_candidate_asks_the_job_that_serves_to_withdraw(stage: Stage) -> None:
    stage.heir("candidate")
    assert must_withdraw("live-1", stage.lineages)


def test_who_withdrew_waits_and_goes_on_with_the_heir_once_it_is_published(stage: Stage) -> None:
    heir = stage.heir("candidate")
    stage.lineages.turn("live-1", "withdrawn")

    def publish() -> None:
        stage.lineages.turn(heir.name, "published", expected=("candidate",))
        stage.publisher.publish(heir.name)

    stage.events += [lambda: None, publish]
    assert stage.go_on() == "live-2"
    pointers = stage.publisher.pointers.held().document.pointers
    assert pointers.lineage_at(NOW_US) == "live-2"
    assert pointers.lineage_at(NOW_US - HOUR_US) == "live-1"
    assert not must_withdraw("live-2", stage.lineages)


def test_a_publication_that_died_before_the_pointers_is_finished(stage: Stage) -> None:
    heir = stage.heir("candidate")
    stage.lineages.turn("live-1", "withdrawn")
    stage.lineages.turn(heir.name, "published", expected=("candidate",))
    assert stage.go_on() == "live-2"
    assert stage.publisher.pointers.held().document.pointers.lineage_at(NOW_US) == "live-2"


def test_an_upgrade_that_is_given_up_lets_the_old_job_go_on_at_once(stage: Stage) -> None:
    heir = stage.heir("candidate")
    stage.lineages.turn("live-1", "withdrawn")
    stage.events.append(lambda: stage.lineages.turn(heir.name, "withdrawn"))
    assert stage.go_on() == "live-1"
    assert stage.waited_seconds < 5
    assert stage.lineages.get("live-1").state == "published"


def test_an_upgrade_that_died_lets_the_old_job_go_on_after_a_while(stage: Stage) -> None:
    heir = stage.heir("candidate")
    stage.lineages.turn("live-1", "withdrawn")
    assert stage.go_on() == "live-1"
    assert WAIT_SECONDS < stage.waited_seconds < WAIT_SECONDS + 5
    assert stage.lineages.get(heir.name).state == "withdrawn"
    assert stage.lineages.get("live-1").state == "published"


def test_the_newest_of_several_heirs_is_the_one(stage: Stage) -> None:
    stage.heir("withdrawn")
    stage.heir()
    stage.heir()
    found = heir_of(stage.serving, stage.lineages)
    assert found is not None
    assert found.name == "live-4"


def test_an_heir_includes_what_is_served_when_all_its_shards_include_all_that_is_served(
    stage: Stage,
) -> None:
    heir = stage.heir(shards=2)
    stage.write(stage.serving, 0, [1, 2, 3], NOW_US)

    def has() -> bool:
        return reached(stage.world.rows, heir, stage.serving)  # type: ignore[arg-type]

    assert not has()
    stage.write(heir, 0, [1, 2, 3, 4], NOW_US)
    assert not has(), "one of its shards has told nothing"
    stage.write(heir, 1, [1, 2], NOW_US)
    assert not has(), "one of its shards lacks a block"
    stage.write(heir, 1, [1, 2, 3], NOW_US)
    assert has()


def test_what_was_published_before_it_began_to_read_is_not_asked_of_an_heir(stage: Stage) -> None:
    heir = stage.heir()
    stage.write(stage.serving, 0, [1], NOW_US - 2 * DAY_US)
    stage.write(heir, 0, [], NOW_US)
    assert heir.reads_whole_from == NOW_US - DAY_US
    assert reached(stage.world.rows, heir, stage.serving)  # type: ignore[arg-type]


def test_an_heir_catches_up_though_at_no_moment_all_that_is_served_is_in_it(stage: Stage) -> None:
    """The four shards write in turn, each all that has been published until then."""
    serving, heir = (stage.heir("published", shards=2), stage.heir(shards=2))
    rows, clock = stage.world.rows, stage.world.clock
    seen: list[int] = []
    turns = [(serving, 0), (heir, 0), (serving, 1), (heir, 1)]

    def take_turn() -> None:
        clock.seconds += 3
        seen.append(len(seen) + 1)
        stage.write(*turns[len(seen) % 4], seen, NOW_US)

    for _ in turns:
        take_turn()
    pursuit = Pursuit(rows, heir, serving, now=clock)  # type: ignore[arg-type]
    closeness = []
    for _ in 2 * turns:
        assert not reached(rows, heir, serving)  # type: ignore[arg-type]
        closeness.append(pursuit.is_close())
        take_turn()
    assert closeness[0] is False
    assert closeness[-1] is True


def test_an_heir_that_reached_only_what_was_written_long_ago_has_not_caught_up(
    stage: Stage,
) -> None:
    heir, rows, clock = stage.heir(), stage.world.rows, stage.world.clock
    stage.write(stage.serving, 0, [1, 2], NOW_US)
    pursuit = Pursuit(rows, heir, stage.serving, now=clock)  # type: ignore[arg-type]
    clock.seconds += CLOSE_SECONDS + 1
    stage.write(stage.serving, 0, [1, 2, 3], NOW_US)
    stage.write(heir, 0, [1, 2], NOW_US)
    assert not pursuit.is_close()
    clock.seconds += 1
    assert not pursuit.is_close(), "what it is measured by now is what was written since"
    stage.write(heir, 0, [1, 2, 3], NOW_US)
    assert pursuit.is_close()


@pytest.mark.parametrize(
    ("clock_us", "first_us"),
    [
        # An hour may change until ten hours after it began.
        (NOW_US, NOW_US - 9 * HOUR_US),
        (NOW_US + HOUR_US // 2, NOW_US - 9 * HOUR_US),
        # A clock that hangs back: hours whose window was not read whole are not served.
        (NOW_US - 20 * HOUR_US, NOW_US - DAY_US + 2 * SESSION_ALIGNMENT_US),
    ],
)
def test_a_candidate_is_to_serve_the_hours_that_can_still_change(
    stage: Stage, clock_us: int, first_us: int
) -> None:
    heir = stage.heir()
    stage.write(heir, 0, [1], clock_us)
    made = caught_up_candidate(stage.world.rows, stage.lineages, heir)  # type: ignore[arg-type]
    assert made.state == "candidate"
    assert made.targets == ((first_us, FOR_EVER),)
