"""Deliveries against a plain model, whatever is asked of them and in whatever order."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from stores.bus.deliveries import Deliveries, Delivery, Flow

LEASE_SECONDS = 5.0
SIZE = 10

ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(1, 4)),
        st.tuples(st.just("take"), st.integers(1, 4)),
        st.tuples(st.just("acknowledge"), st.integers(0, 30)),
        st.tuples(st.just("acknowledge a stale delivery"), st.integers(0, 30)),
        st.tuples(st.just("give back"), st.integers(0, 30)),
        st.tuples(st.just("extend"), st.integers(0, 30)),
        st.tuples(st.just("wait"), st.integers(1, 8)),
        st.tuples(st.just("seek"), st.integers(0, 30)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=60,
)


@dataclass
class Model:
    """What must hold, kept in the plainest way, with what a file would keep of it."""

    published: int = 0
    done: set[int] = field(default_factory=set)
    leased_until: dict[int, float] = field(default_factory=dict)
    held: list[Delivery] = field(default_factory=list)
    past: list[Delivery] = field(default_factory=list)
    now: float = 0.0
    cursor: int = 0
    above: set[int] = field(default_factory=set)
    flow: Flow = field(default_factory=Flow)

    def __post_init__(self) -> None:
        self.deliveries = Deliveries(0, set(), self.after)

    def after(self, published_at: int, limit: int) -> list[tuple[int, int]]:
        return [(n, SIZE) for n in range(published_at + 1, self.published + 1)][: min(limit, 3)]

    def act(self, action: str, number: int) -> None:
        if action == "publish":
            self.published += number
        elif action == "take":
            self.take(number)
        elif action == "acknowledge" and self.held:
            self.acknowledge(self.held[number % len(self.held)])
        elif action == "acknowledge a stale delivery" and self.past:
            self.acknowledge(self.past[number % len(self.past)])
        elif action == "give back" and self.held:
            self.give_back(self.held[number % len(self.held)])
        elif action == "extend" and self.held:
            self.extend(self.held[number % len(self.held)])
        elif action == "wait":
            self.now += number
            self.held = [d for d in self.held if self.leased_until[d.published_at] > self.now]
        elif action == "seek":
            self.seek(number)
        elif action == "restart":
            self.restart()

    def take(self, count: int) -> None:
        taken = self.deliveries.take(
            max_messages=count,
            max_bytes=10 * SIZE,
            now=self.now,
            deadline=self.now + LEASE_SECONDS,
            newest=self.published,
            flow=self.flow,
        )
        leased = {d.published_at for d in self.held}
        due = set(range(1, self.published + 1)) - self.done - leased
        assert len(taken) == min(count, len(due))
        assert {d.published_at for d in taken} <= due
        for delivery in taken:
            self.leased_until[delivery.published_at] = self.now + LEASE_SECONDS
        self.held += taken
        self.past += taken
        self.check_flow()

    def acknowledge(self, delivery: Delivery) -> None:
        self.cursor, above = self.deliveries.acknowledge([delivery.published_at])
        self.done.add(delivery.published_at)
        self.held = [d for d in self.held if d.published_at != delivery.published_at]
        self.above = {n for n in self.above | set(above) if n > self.cursor}
        assert set(range(1, self.cursor + 1)) | self.above == self.done

    def give_back(self, delivery: Delivery) -> None:
        self.deliveries.give_back(delivery)
        self.held.remove(delivery)

    def extend(self, delivery: Delivery) -> None:
        deadline = self.now + 2 * LEASE_SECONDS
        self.deliveries.extend(delivery, deadline=deadline)
        self.leased_until[delivery.published_at] = deadline

    def seek(self, cursor: int) -> None:
        cursor = min(cursor, self.published)
        self.deliveries.reset(cursor, set())
        self.cursor, self.above = cursor, set()
        self.done = set(range(1, cursor + 1))
        self.held, self.past = [], []
        self.check_flow()

    def restart(self) -> None:
        self.flow = Flow()
        self.deliveries = Deliveries(self.cursor, set(self.above), self.after)
        self.held = []

    def check_flow(self) -> None:
        held = (self.flow.messages, self.flow.message_bytes)
        assert held == (len(self.held), SIZE * len(self.held))


@settings(max_examples=300, deadline=None)
@given(ACTIONS)
def test_what_is_due_is_delivered_and_what_is_done_or_leased_is_not(
    actions: list[tuple[str, int]],
):
    model = Model()
    for action, number in actions:
        model.act(action, number)
    model.act("wait", 100)
    while len(model.held) < model.published - len(model.done):
        model.act("take", 10)
