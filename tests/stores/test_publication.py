"""Publishing, sealing and rolling back: what serves each hour equals a naive model."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.lineages import UnknownLineageError
from stores.pointers import PointerStore
from stores.publication import Publisher
from stores.wide_rows.port import WideRows
from stores.wide_rows.sqlite import SqliteWideRows
from tallymark.pointer_map import FOR_EVER, PointerMap
from tallymark.publication import RefusedError, decode
from tallymark.slots import HOUR_US
from tests.strategies import examples

HOURS = 12
P, Q = 41, 42


def ticking() -> Callable[[], int]:
    ticks = count(1_700_000_000_000_000, 1_000_000)
    return lambda: next(ticks)


def publisher_of(wide_rows: WideRows, who: str = "ada") -> Publisher:
    publisher = Publisher(wide_rows, ticking(), who=who)
    publisher.live_lineage(shards=2)
    return publisher


@pytest.fixture
def publisher(wide_rows: WideRows) -> Publisher:
    return publisher_of(wide_rows)


def span(first: int, end: int) -> tuple[int, int]:
    return first * HOUR_US, end * HOUR_US


def candidate(publisher: Publisher, first: int, end: int, **facts) -> str:
    made = publisher.lineages.draw(targets=(span(first, end),), **({"state": "candidate"} | facts))
    return made.name


def standing(publisher: Publisher, first: int, end: int) -> None:
    publisher.lineages.standing()
    publisher.lineages.update("gen-0", lambda held: held.extended([span(first, end)]))


def served(publisher: Publisher, property_id: int = Q) -> list[str | None]:
    pointers = publisher.pointers.pointers(property_id).served
    return [pointers.lineage_at(hour * HOUR_US) for hour in range(HOURS)]


def state(publisher: Publisher, name: str) -> str:
    return publisher.lineages.get(name).state


def test_the_first_stream_gets_the_first_live_lineage_and_goes_on_with_it(
    publisher: Publisher, wide_rows: WideRows
) -> None:
    assert served(publisher) == ["live-1"] * HOURS
    again = Publisher(wide_rows, ticking(), who="later").live_lineage(shards=8)
    assert (again.name, again.shards) == ("live-1", 2)


def test_a_stream_goes_on_with_the_lineage_that_serves_the_hours_to_come(
    publisher: Publisher,
) -> None:
    made = publisher.lineages.draw("live", shards=4, targets=((5 * HOUR_US, FOR_EVER),))
    publisher.lineages.turn(made.name, "candidate")
    publisher.publish(made.name)
    assert served(publisher) == ["live-1"] * 5 + ["live-2"] * 7
    assert publisher.live_lineage(shards=2) == publisher.lineages.get("live-2")


def test_a_candidate_is_published_withdrawn_and_published_again(publisher: Publisher) -> None:
    name = candidate(publisher, 3, 6)
    publisher.publish(name, why="newsletters")
    assert served(publisher) == ["live-1"] * 3 + [name] * 3 + ["live-1"] * 6
    assert state(publisher, name) == "published"
    publisher.rollback()
    assert served(publisher) == ["live-1"] * HOURS
    assert state(publisher, name) == "withdrawn"
    publisher.publish(name)
    assert served(publisher)[3] == name
    assert state(publisher, name) == "published"


def test_every_document_is_kept_with_who_when_and_why(publisher: Publisher) -> None:
    name = candidate(publisher, 3, 6)
    publisher.publish(name, why="newsletters")
    publisher.rollback(why="wrong")
    back, published, first = publisher.pointers.history()
    assert [found.version for found in (back, published, first)] == [3, 2, 1]
    assert [found.change.action for found in (back, published, first)] == [
        "rollback",
        "publish",
        "serve",
    ]
    assert back.change.signature.why == "wrong"
    assert back.change.restored == 1
    assert published.change.signature.who == "ada"
    assert published.change.signature.at_us < back.change.signature.at_us
    assert published.change.spans == (span(3, 6),)
    assert publisher.pointers.history(last=1) == [back]
    assert publisher.pointers.history(P) == []


def test_publishing_twice_changes_nothing_the_second_time(publisher: Publisher) -> None:
    name = candidate(publisher, 3, 6)
    assert publisher.publish(name).version == 2
    assert publisher.publish(name).version == 2
    override = candidate(publisher, 3, 6, property_id=P)
    assert publisher.publish(override).version == 1
    assert publisher.publish(override).version == 1
    assert len(publisher.pointers.history()) == 2


def test_some_of_the_hours_may_be_published(publisher: Publisher) -> None:
    name = candidate(publisher, 3, 6)
    publisher.publish(name, spans=[span(4, 5)])
    assert served(publisher) == ["live-1"] * 4 + [name] + ["live-1"] * 7


def test_a_candidate_of_one_property_serves_that_one_alone(publisher: Publisher) -> None:
    name = candidate(publisher, 3, 6, property_id=P)
    publisher.publish(name)
    assert served(publisher, P)[3:6] == [name] * 3
    assert served(publisher, Q) == ["live-1"] * HOURS
    publisher.rollback(property_id=P)
    assert served(publisher, P) == ["live-1"] * HOURS
    with pytest.raises(RefusedError, match="nothing to roll back"):
        publisher.rollback(property_id=P)


def test_a_candidate_of_all_properties_may_be_published_for_one(publisher: Publisher) -> None:
    name = candidate(publisher, 3, 6)
    publisher.publish(name, property_id=P)
    assert served(publisher, P)[3:6] == [name] * 3
    assert served(publisher, Q) == ["live-1"] * HOURS
    publisher.publish(name)
    assert served(publisher, Q)[3:6] == [name] * 3


def test_sealing_leaves_replays_and_is_no_publication_to_roll_back(publisher: Publisher) -> None:
    standing(publisher, 0, 8)
    publisher.seal(*span(0, 4))
    name = candidate(publisher, 2, 6)
    publisher.publish(name)
    publisher.seal(*span(4, 8))
    assert served(publisher) == ["gen-0"] * 2 + [name] * 4 + ["gen-0"] * 2 + ["live-1"] * 4
    publisher.rollback()
    assert served(publisher) == ["gen-0"] * 8 + ["live-1"] * 4, "hours sealed since stay sealed"
    with pytest.raises(RefusedError, match="nothing to roll back"):
        publisher.rollback()
    assert publisher.seal(*span(0, 8)).version == 5


def test_rolling_back_again_goes_back_further(publisher: Publisher) -> None:
    first, second = candidate(publisher, 0, 6), candidate(publisher, 3, 9)
    publisher.publish(first)
    publisher.publish(second)
    publisher.rollback()
    assert served(publisher) == [first] * 6 + ["live-1"] * 6
    assert state(publisher, second) == "withdrawn"
    publisher.rollback()
    assert served(publisher) == ["live-1"] * HOURS


def test_a_version_is_served_again_exactly_as_it_was(publisher: Publisher) -> None:
    standing(publisher, 0, 8)
    first, second = candidate(publisher, 0, 6), candidate(publisher, 3, 9)
    publisher.publish(first)
    before = served(publisher)
    publisher.publish(second)
    publisher.seal(*span(0, 8))
    publisher.rollback(to=2)
    assert served(publisher) == before
    publisher.rollback(to=3)
    assert served(publisher)[3:9] == [second] * 6


def test_what_cannot_be_published_is_refused_and_changes_nothing(publisher: Publisher) -> None:
    standing(publisher, 0, 4)
    computing = candidate(publisher, 0, 4, state="computing")
    swept = candidate(publisher, 0, 4, state="swept")
    mine = candidate(publisher, 0, 4, property_id=P)
    good = candidate(publisher, 0, 4)
    nothing = publisher.lineages.draw(state="candidate").name
    for arguments, said in (
        ((computing, {}), "still being computed"),
        ((swept, {}), "its cells are deleted"),
        (("gen-0", {}), "sealed instead"),
        ((mine, {"property_id": Q}), f"property {P} alone"),
        ((good, {"spans": [span(3, 5)]}), "not computed 1970-01-01T04..1970-01-01T05"),
        ((nothing, {}), "not computed any hours"),
    ):
        name, others = arguments
        with pytest.raises(RefusedError, match=said):
            publisher.publish(name, **others)
    with pytest.raises(UnknownLineageError, match="gen-77"):
        publisher.publish("gen-77")
    with pytest.raises(RefusedError, match="compute them first"):
        publisher.seal(*span(2, 6))
    assert len(publisher.pointers.history()) == 1
    assert state(publisher, good) == "candidate"


def test_what_cannot_be_rolled_back_to_is_refused(publisher: Publisher) -> None:
    with pytest.raises(RefusedError, match="no publication is served"):
        publisher.rollback()
    name = candidate(publisher, 0, 4)
    publisher.publish(name)
    for version in (0, 2, 9):
        with pytest.raises(RefusedError, match="expected a version from 1 to 1"):
            publisher.rollback(to=version)
    publisher.rollback()
    publisher.lineages.turn(name, "swept")
    with pytest.raises(RefusedError, match=f"cells of {name} are deleted"):
        publisher.rollback(to=2)


def test_hours_to_come_are_not_given_back_to_a_stream_that_has_ended(publisher: Publisher) -> None:
    made = publisher.lineages.draw("live", targets=((5 * HOUR_US, FOR_EVER),), state="candidate")
    publisher.publish(made.name)
    publisher.rollback()
    publisher.publish(made.name)
    publisher.lineages.turn("live-1", "withdrawn")
    with pytest.raises(RefusedError, match="live-1, whose job has ended"):
        publisher.rollback()


def test_states_left_behind_by_a_publisher_that_died_are_settled_by_the_next(
    publisher: Publisher,
) -> None:
    name = candidate(publisher, 0, 4)
    publisher.lineages.turn(name, "published")  # and then it died, before the pointers
    publisher.settle()
    assert state(publisher, name) == "withdrawn"


def test_publishers_at_once_all_come_through_one_after_the_other(publisher: Publisher) -> None:
    names = [candidate(publisher, number, number + 6) for number in range(6)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(publisher.publish, names))
    history = publisher.pointers.history()[::-1]
    assert [document.version for document in history] == list(range(1, 8))
    assert sorted(document.change.lineage for document in history[1:]) == names
    pointers = PointerMap.serving("live-1")
    for document in history[1:]:
        pointers = pointers.publish(*document.change.spans[0], document.change.lineage)
        assert pointers == document.pointers
    publisher.settle()
    serving = set(served(publisher))
    for name in names:
        assert state(publisher, name) == ("published" if name in serving else "withdrawn")


def test_a_reader_takes_map_and_overrides_of_one_moment(publisher: Publisher) -> None:
    """Between the two documents a publication and an override over it come into force."""
    name = candidate(publisher, 0, 4)
    override = candidate(publisher, 2, 3, property_id=P)
    before = publisher.pointers.held().value
    publisher.publish(name)
    publisher.publish(override)

    class Torn(PointerStore):
        reads = 0

        def _values(self, keys: list[bytes]) -> dict[bytes, bytes]:
            self.reads += 1
            values = super()._values(keys)
            return values | {keys[0]: before} if self.reads == 1 else values

    store = Torn(publisher.pointers._wide_rows)
    assert store.pointers(P).map_version == 2
    assert store.reads == 2


def test_documents_written_without_their_change_are_read() -> None:
    pointers = PointerMap.serving("live-1")
    assert decode(pointers.encode()).pointers == pointers
    assert decode(None).version == 0


SCOPES = st.sampled_from([None, None, P])
EDGES = st.tuples(st.integers(0, HOURS - 1), st.integers(1, 6)).map(
    lambda pair: (pair[0], min(HOURS, pair[0] + pair[1]))
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), SCOPES, EDGES),
        st.tuples(st.just("again"), SCOPES, st.integers(0, 20)),
        st.tuples(st.just("seal"), st.none(), EDGES),
        st.tuples(st.just("rollback"), SCOPES, st.none()),
    ),
    max_size=14,
)


@dataclass
class Model:
    """Publications that count as two stacks of (time, name, hours), and sealed hours as a set."""

    stacks: dict[int | None, list[tuple[int, str, range]]] = field(
        default_factory=lambda: {None: [], P: []}
    )
    is_sealed: set[int] = field(default_factory=set)

    def at(self, hour: int, property_id: int) -> str:
        mine = [*self.stacks[None], *(self.stacks[P] if property_id == P else [])]
        naming = [(when, name) for when, name, hours in mine if hour in hours]
        return max(naming)[1] if naming else "gen-0" if hour in self.is_sealed else "live-1"

    def hours(self, property_id: int) -> list[str]:
        return [self.at(hour, property_id) for hour in range(HOURS)]


def take(publisher: Publisher, model: Model, time: int, step: tuple, hours: dict[str, range]):
    action, scope, detail = step
    if action == "seal":
        publisher.seal(*span(*detail))
        model.is_sealed |= set(range(*detail))
    elif action == "rollback":
        if model.stacks[scope]:
            publisher.rollback(property_id=scope)
            model.stacks[scope].pop()
        else:
            with pytest.raises(RefusedError, match="nothing to roll back"):
                publisher.rollback(property_id=scope)
    else:
        if action == "publish":
            name = candidate(publisher, *detail)
            hours[name] = range(*detail)
        elif hours:
            name = sorted(hours)[detail % len(hours)]
        else:
            return
        version = publisher.pointers.held(scope).document.version
        if publisher.publish(name, property_id=scope).version > version:
            model.stacks[scope].append((time, name, hours[name]))


@given(STEPS)
@examples(25)
def test_what_serves_each_hour_equals_a_naive_model(steps: list[tuple]) -> None:
    with TemporaryDirectory() as folder:
        wide_rows = SqliteWideRows(Path(folder) / "wide_rows.db")
        publisher, model, hours = publisher_of(wide_rows), Model(), dict[str, range]()
        standing(publisher, 0, HOURS)
        for time, step in enumerate(steps):
            take(publisher, model, time, step, hours)
            assert served(publisher, P) == model.hours(P)
            assert served(publisher, Q) == model.hours(Q)
        documents = publisher.pointers.everyone().values()
        serving = set(itertools.chain.from_iterable(found.lineages for found in documents))
        for name in hours:
            assert (state(publisher, name) == "published") == (name in serving)
        wide_rows.close()
