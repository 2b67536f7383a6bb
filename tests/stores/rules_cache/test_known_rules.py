"""A follower is never behind what its feed has told it, however answers overtake one another."""

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from stores.rules_cache import known_rules
from stores.rules_cache.documents import decode_property
from stores.rules_cache.feed_messages import FeedAnswer, decode_feed, decode_lookup
from stores.rules_cache.ids import UnknownIds
from stores.rules_cache.known_rules import KnownRules
from stores.rules_cache.rule_memory import RuleMemory
from stores.rules_cache.rules_copy import RulesCopy
from tallymark.properties import DataStream, properties_frame
from tests.stores.rules_cache.feed_server import (
    ModelDatabase,
    OutOfRangeError,
    measurement_id,
    shop,
)

NUMBERS = range(3)
IDS = [measurement_id(number) for number in NUMBERS]
EXTRA_IDS = [measurement_id(number + 100) for number in NUMBERS]
number = st.sampled_from(NUMBERS)
ACTIONS = [
    "save_property", "save_property", "rearrange", "time_passes", "disaster", "ask", "ask",
    "a_lookup_arrives", "a_lookup_arrives", "follow", "follow", "follow", "look", "look",
]  # fmt: skip


@dataclass(frozen=True)
class Lookup:
    """One that was answered and has not arrived."""

    names: list[str]
    property_ids: list[int]
    answer: bytes
    generation: int


@dataclass
class Turn:
    """What the follower has in hand: an answer of the feed, then what it has to renew."""

    generation: int
    answer: FeedAnswer
    is_complete: bool = False
    stale: list[int] | None = None
    renewal: bytes | None = None


class Following(RuleBasedStateMachine):
    """A service with arbitrary changes; lookups and the feed arrive whenever they like."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.now = 0.0
        self.service = ModelDatabase()
        self.databases = {self.service.database_id: self.service}
        self.lookups: list[Lookup] = []
        self.turn: Turn | None = None
        self.seen: list[str] = []
        self.held: dict[int, tuple[KnownRules, int, int]] = {}

    @initialize(max_properties=st.integers(1, 3), max_stored=st.sampled_from([0, 2, 20]))
    def begin(self, max_properties: int, max_stored: int) -> None:
        self.max_properties, self.max_stored = max_properties, max_stored
        self.known = self.opened()

    def opened(self) -> KnownRules:
        copy = (
            RulesCopy(self.folder / "copy.sqlite3", max_properties=self.max_stored)
            if self.max_stored
            else None
        )
        return KnownRules(
            RuleMemory(self.max_properties),
            copy,
            read=decode_property,
            unknown=UnknownIds(lambda: self.now, 10),
        )

    def teardown(self) -> None:
        if hasattr(self, "known"):
            self.look()
            self.known.close()
        shutil.rmtree(self.folder)

    @rule(
        what=st.sampled_from(ACTIONS), which=number, others=st.sets(number), luck=st.integers(0, 31)
    )
    def step(self, what: str, which: int, others: set[int], luck: int) -> None:
        """One rule alone: of many, each run would have only some."""
        getattr(self, what)(which, others, luck)

    def save_property(self, which: int, others: set[int], luck: int) -> None:
        owner = shop(which)
        hosts = ("a.example",) if luck % 2 else ()
        if owner.property_id in self.service.properties:
            self.service.change(owner.property_id, allowed_hosts=hosts)
        else:
            self.service.save(owner)

    def rearrange(self, which: int, others: set[int], luck: int) -> None:
        """A data stream more or less, or the property goes."""
        owner = self.service.properties.get(shop(which).property_id)
        if owner is not None and luck > 20:
            self.service.remove(owner.property_id)
        elif owner is not None:
            one = DataStream(measurement_id=EXTRA_IDS[which])
            extra = () if len(owner.data_streams) > 1 else (one,)
            self.service.save(replace(owner, data_streams=owner.data_streams[:1] + extra))

    def time_passes(self, which: int, others: set[int], luck: int) -> None:
        self.now += luck
        self.service.now_us += luck * 1_000_000

    def disaster(self, which: int, others: set[int], luck: int) -> None:
        """Seldom, as little can be learned where all is forgotten all the time."""
        if luck < 16:
            return
        if which == 0:
            self.service.trim(self.service.position)
        elif which == 1:
            self.start_again()
        else:
            old, self.service = self.service, ModelDatabase(self.service.now_us)
            self.databases[self.service.database_id] = self.service
            for owner in old.properties.values() if luck % 2 else ():
                self.service.save(owner)

    def start_again(self) -> None:
        state = self.known.state
        self.known.close()
        self.lookups, self.turn = [], None
        self.known = self.opened()
        assert not self.max_stored or self.known.state == state

    def ask(self, which: int, others: set[int], luck: int) -> None:
        numbers = sorted({which, *others})
        by_number, extra = luck > 20, luck % 2
        wanted = [IDS[one] for one in numbers] + [EXTRA_IDS[one] for one in numbers if extra]
        names = [] if by_number else self.known.find(wanted).missing
        property_ids = [shop(one).property_id for one in numbers] if by_number else []
        answer = self.service.lookup(names, property_ids, lag=max(0, luck % 8 - 5))
        self.lookups.append(Lookup(names, property_ids, answer, self.known.generation))

    def a_lookup_arrives(self, which: int, others: set[int], luck: int) -> None:
        if not self.lookups:
            return
        lookup = self.lookups.pop(luck % len(self.lookups))
        answer = decode_lookup(lookup.answer, decode_property)
        if lookup.names:
            self.known.take(lookup.names, answer, lookup.generation)
        else:
            self.known.take_properties(lookup.property_ids, answer, lookup.generation)

    def follow(self, which: int, others: set[int], luck: int) -> None:
        """The feed answers, it is noted, what is stale is looked up, that arrives."""
        for _ in range(luck % 5):
            if self.turn is None:
                self.ask_the_feed(luck % 2 or 1_000)
            elif self.turn.stale is None:
                self.turn.stale = self.known.note(self.turn.answer.changes, self.turn.generation)
            elif self.turn.renewal is None:
                self.turn.renewal = self.service.lookup([], self.turn.stale, lag=luck // 30)
            else:
                self.move_on()
        if luck == 31:
            self.turn = None  # a call failed

    def ask_the_feed(self, limit: int) -> None:
        generation, state = self.known.generation, self.known.state
        try:
            content = self.service.changes(state.position if state else 0, limit)
        except OutOfRangeError:
            state = None
        if state is None or decode_feed(content, state.position).database_id != state.database_id:
            self.known.begin(
                decode_lookup(self.service.lookup([], []), decode_property), generation
            )
        else:
            self.turn = Turn(generation, decode_feed(content, state.position))
            self.turn.is_complete = self.turn.answer.position == self.service.position

    def move_on(self) -> None:
        turn, self.turn = self.turn, None
        renewal = decode_lookup(turn.renewal, decode_property)
        again = self.known.take_properties(turn.stale, renewal, turn.generation, is_refresh=True)
        if not again:
            answered_at = turn.answer.answered_at if turn.is_complete else None
            self.known.commit(turn.answer.position, answered_at, turn.generation)

    def look(self, *_: object) -> None:
        """Whatever is known is as it was at the feed's position or later."""
        state = self.known.state
        if state is None:
            return
        service = self.databases[state.database_id]
        at_position = service.as_of(state.position)
        for one in NUMBERS:
            property_id = shop(one).property_id
            steps = service.history.get(property_id, [])
            allowed = [owner for sequence, owner in steps if sequence > state.position]
            allowed.append(at_position.get(property_id))
            found = self.known.owner(property_id)
            assert found is None or found in allowed
            if self.known.is_unknown(property_id):
                assert None in allowed
            for name in (IDS[one], EXTRA_IDS[one]):
                rows = self.known.find([name]).rows
                height = sum(part.height for part in rows)
                if height:
                    had = [owner for owner in allowed if owner and name in owner.measurement_ids]
                    assert any(
                        part.equals(row)
                        for owner in had
                        for part in rows
                        for row in [rows_of(owner, name)]
                        if part.height
                    )
                elif self.known.is_unknown(name):
                    assert any(not owner or name not in owner.measurement_ids for owner in allowed)

    @invariant()
    def what_is_in_force_by_then_is_known(self) -> None:
        """Through ``valid_through`` the rules of what is known are those of the service."""
        state = getattr(self, "known", None) and self.known.state
        if not state:
            return
        service = self.databases[state.database_id]
        for property_id in list(self.known._memory):
            held = self.known._memory.owner(property_id)
            steps = [owner for _, owner in service.history[property_id]]
            if None not in steps:  # what is removed and made again is no version of what was
                assert in_force(held, state) == in_force(steps[-1], state)

    @invariant()
    def memory_is_bounded(self) -> None:
        if hasattr(self, "known"):
            assert len(self.known._memory) <= self.max_properties

    @invariant()
    def nothing_goes_back(self) -> None:
        """Not to a database that was left, nor to what a property was before."""
        if not hasattr(self, "known") or not self.known.state:
            return
        database_id = self.known.state.database_id
        if database_id not in self.seen[-1:]:
            assert database_id not in self.seen
            self.seen.append(database_id)
        memory = self.known._memory
        held = {one: (self.known, self.known.generation, memory.as_of(one)) for one in memory}
        for one, (known, generation, as_of) in self.held.items():
            if held.get(one, ())[:2] == (known, generation):
                assert held[one][2] >= as_of
        self.held = held


def rows_of(owner, name):
    frame = properties_frame([owner])
    return frame.filter(frame["measurement_id"] == name)


def in_force(owner, state):
    return [rules for rules in owner.versions if rules.effective_at <= state.valid_through]


@pytest.fixture(autouse=True)
def few_changes_are_remembered(monkeypatch):
    monkeypatch.setattr(known_rules, "MAX_CHANGED", 6)


TestFollowing = Following.TestCase
TestFollowing.settings = settings(max_examples=4 * settings().max_examples, stateful_step_count=80)
