"""The broker: topics and subscriptions with their deliveries, safe to call from any thread."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stores.bus.deliveries import Deliveries, Delivery, Flow
from stores.bus.limits import invalid, not_found
from stores.bus.storage import Storage, SubscriptionRow, TopicRow
from stores.clock import utc_us

MAX_RESPONSE_BYTES: Final = 3_500_000
"""Messages in one answer, but at least one message: clients that were not told otherwise drop
answers above 4 MB, silently."""
_SWEEP_MESSAGES: Final = 100
_LONGEST_WAIT_SECONDS: Final = 5.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Delivered:
    """A message as handed out: the id of the delivery and the encoded message."""

    ack_id: str
    message: bytes


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What a consumer asks for.

    Attributes:
        wait_seconds: How long to wait for a first message.
        ack_deadline_seconds: How long the deliveries are leased; the subscription's where absent.
        flow: Counts what a stream holds; ``max_messages`` and ``max_bytes`` then bound that, too.
        is_wanted: Says whether the consumer is still there.
    """

    max_messages: int
    max_bytes: int
    wait_seconds: float
    is_wanted: Callable[[], bool]
    ack_deadline_seconds: int | None = None
    flow: Flow | None = None


class _Queue:
    """A subscription and its deliveries; ``changed`` guards both."""

    def __init__(self, row: SubscriptionRow, storage: Storage) -> None:
        self.row = row
        self.generation = row.generation
        self.is_deleted = False
        self.changed = threading.Condition()
        self.deliveries = Deliveries(
            row.cursor,
            storage.acknowledged(row.subscription_id),
            lambda after, limit: storage.after(row.topic_id, after, limit),
        )

    def ack_id(self, delivery: Delivery) -> str:
        """The name under which a consumer speaks of ``delivery``."""
        return (
            f"{self.row.subscription_id}.{self.generation}.{delivery.published_at}.{delivery.lease}"
        )

    def delivery(self, ack_id: str) -> Delivery | None:
        """The delivery of that name; none where it is another's or from before a seek."""
        try:
            subscription_id, generation, published_at, lease = map(int, ack_id.split("."))
        except ValueError as error:
            raise invalid(f"Invalid acknowledgement id: {ack_id[:80]!r}.") from error
        if (subscription_id, generation) != (self.row.subscription_id, self.generation):
            return None
        return Delivery(published_at, lease)


class Broker:
    """Everything the two gRPC services do.

    Args:
        data_dir: Folder of the database file, made if it is missing.
        max_bytes: Bytes of messages above which the oldest that every subscription has
            acknowledged are deleted before their time; what is not acknowledged stays.
        clock_us: UTC µs; stamps messages.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        max_bytes: int | None = None,
        clock_us: Callable[[], int] = utc_us,
    ) -> None:
        self._storage = Storage(data_dir, clock_us=clock_us)
        self._clock_us = clock_us
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._is_stopping = False
        rows = self._storage.topics()
        self._topics = {row.name: row for row in rows if row.name}
        self._newest = {row.topic_id: self._storage.last_published(row.topic_id) for row in rows}
        self._queues = {
            row.name: _Queue(row, self._storage) for row in self._storage.subscriptions()
        }

    def stop(self) -> None:
        """End every wait; pulls answer with what they have."""
        self._is_stopping = True
        for queue in list(self._queues.values()):
            self._wake(queue)

    def close(self) -> None:
        """Close the file; call it when no request is running any more."""
        self._storage.close()

    def create_topic(self, name: str, retention_seconds: int) -> TopicRow:
        """A new topic; refused if it exists."""
        with self._lock:
            row = self._storage.create_topic(name, retention_seconds)
            self._newest[row.topic_id] = 0
            self._topics[name] = row
        return row

    def topic(self, name: str) -> TopicRow:
        """The topic of that name; refused if there is none."""
        row = self._topics.get(name)
        if row is None:
            raise not_found(name)
        return row

    def topics(self, project: str) -> list[TopicRow]:
        """The topics of ``projects/PROJECT``, by name."""
        return [row for name, row in sorted(self._topics.items()) if name.startswith(project + "/")]

    def delete_topic(self, name: str) -> None:
        """Remove the topic; its subscriptions keep what they have not acknowledged."""
        with self._lock:
            self._storage.delete_topic(self.topic(name).topic_id)
            del self._topics[name]

    def publish(self, topic_name: str, encoders: Sequence[Callable[[int], bytes]]) -> list[int]:
        """Keep messages durably; returns their publish times. See ``Storage.append``."""
        topic_id = self.topic(topic_name).topic_id
        stamps = self._storage.append(topic_id, encoders)
        # Publishes that ran side by side may come here in another order than they were stamped.
        with self._lock:
            self._newest[topic_id] = max(self._newest[topic_id], stamps[-1])
            waiting = [q for q in self._queues.values() if q.row.topic_id == topic_id]
        for queue in waiting:
            self._wake(queue)
        return stamps

    def create_subscription(
        self, name: str, topic_name: str, *, ack_deadline_seconds: int, retention_seconds: int
    ) -> SubscriptionRow:
        """A new subscription, which sees what is published from now on; refused if it exists."""
        with self._lock:
            row = self._storage.create_subscription(
                name,
                self.topic(topic_name),
                ack_deadline_seconds=ack_deadline_seconds,
                retention_seconds=retention_seconds,
            )
            self._queues[name] = _Queue(row, self._storage)
        return row

    def subscription(self, name: str) -> SubscriptionRow:
        """The subscription of that name; refused if there is none."""
        return self._storage.subscription(name)

    def subscriptions(self, project: str) -> list[SubscriptionRow]:
        """The subscriptions of ``projects/PROJECT``, by name."""
        return [r for r in self._storage.subscriptions() if r.name.startswith(project + "/")]

    def delete_subscription(self, name: str) -> None:
        """Remove the subscription; its streams end."""
        queue = self._queue(name)
        with self._lock, queue.changed:
            self._storage.delete_subscription(queue.row.subscription_id)
            self._queues.pop(name, None)
            queue.is_deleted = True
            queue.changed.notify_all()

    def pull(self, name: str, demand: Demand) -> list[Delivered]:
        """Lease messages to a consumer; none if none came while it waited."""
        queue = self._queue(name)
        with queue.changed:
            deliveries = self._wait(queue, demand)
            named = [(queue.ack_id(delivery), delivery) for delivery in deliveries]
            if not demand.is_wanted():
                for delivery in deliveries:
                    queue.deliveries.give_back(delivery)
                return []
        return self._load(queue, named)

    def acknowledge(self, name: str, ack_ids: Iterable[str]) -> None:
        """Take deliveries as done, durably."""
        queue = self._queue(name)
        with queue.changed:
            found = [queue.delivery(ack_id) for ack_id in ack_ids]
            self._acknowledge(queue, [d.published_at for d in found if d is not None])

    def extend(self, name: str, ack_ids: Iterable[str], seconds: int) -> None:
        """Lease deliveries for ``seconds`` from now; 0 makes them due again at once."""
        queue = self._queue(name)
        with queue.changed:
            deadline = time.monotonic() + seconds
            for delivery in [queue.delivery(ack_id) for ack_id in ack_ids]:
                if delivery is not None and seconds:
                    queue.deliveries.extend(delivery, deadline=deadline)
                elif delivery is not None:
                    queue.deliveries.give_back(delivery)
            queue.changed.notify_all()

    def seek(self, name: str, instant_us: int) -> None:
        """Acknowledge what was published before ``instant_us``, and nothing else."""
        queue = self._queue(name)
        with queue.changed:
            cursor = self._storage.seek(queue.row.subscription_id, instant_us)
            queue.generation += 1
            queue.deliveries.reset(cursor, set())
            queue.changed.notify_all()

    def wake(self, name: str) -> None:
        """Make those who wait for the subscription look whether they are still wanted."""
        queue = self._queues.get(name)
        if queue is not None:
            self._wake(queue)

    def sweep(self) -> int:
        """Delete messages whose time is over, and more if there are too many bytes.

        A message stays as long as its topic's retention says, and longer, as its subscriptions'
        say, where it is not acknowledged. Returns how many were deleted.
        """
        now_us = self._clock_us()
        deleted = 0
        for topic in self._storage.topics():
            rows = [r for r in self._storage.subscriptions() if r.topic_id == topic.topic_id]
            if not topic.name and not rows:
                deleted += self._delete(topic.topic_id, self._newest[topic.topic_id])
                self._storage.drop_topic(topic.topic_id)
                continue
            kept_for_subscriptions = [
                max(row.cursor, now_us - row.retention_seconds * 1_000_000) for row in rows
            ]
            topic_horizon = now_us - topic.retention_seconds * 1_000_000 - 1
            deleted += self._delete(topic.topic_id, min([topic_horizon, *kept_for_subscriptions]))
            acknowledged_by_all = min([self._newest[topic.topic_id], *(r.cursor for r in rows)])
            deleted += self._shrink(topic.topic_id, acknowledged_by_all)
        return deleted

    def _shrink(self, topic_id: int, through: int) -> int:
        deleted = 0
        while self._max_bytes is not None and self._storage.message_bytes > self._max_bytes:
            if not self._storage.delete_messages(topic_id, through, 1):
                break
            deleted += 1
        return deleted

    def _delete(self, topic_id: int, through: int) -> int:
        deleted = 0
        # In steps, so that publishers get in between.
        while messages := self._storage.delete_messages(topic_id, through, _SWEEP_MESSAGES):
            deleted += messages
        return deleted

    def _queue(self, name: str) -> _Queue:
        queue = self._queues.get(name)
        if queue is None:
            raise not_found(name)
        return queue

    def _wake(self, queue: _Queue) -> None:
        with queue.changed:
            queue.changed.notify_all()

    def _wait(self, queue: _Queue, demand: Demand) -> list[Delivery]:
        end = time.monotonic() + demand.wait_seconds
        while True:
            if queue.is_deleted:
                raise not_found(queue.row.name)
            taken = self._take(queue, demand)
            now = time.monotonic()
            if taken or now >= end or self._is_stopping or not demand.is_wanted():
                return taken
            expiry = queue.deliveries.next_expiry()
            queue.changed.wait(min(end, expiry or end, now + _LONGEST_WAIT_SECONDS) - now)

    def _take(self, queue: _Queue, demand: Demand) -> list[Delivery]:
        now = time.monotonic()
        queue.deliveries.expire(now)
        held = demand.flow or Flow()
        max_messages = demand.max_messages - held.messages
        max_bytes = demand.max_bytes - held.message_bytes
        if max_messages <= 0 or max_bytes <= 0:
            return []
        seconds = demand.ack_deadline_seconds or queue.row.ack_deadline_seconds
        return queue.deliveries.take(
            max_messages=max_messages,
            max_bytes=min(max_bytes, MAX_RESPONSE_BYTES),
            now=now,
            deadline=now + seconds,
            newest=self._newest[queue.row.topic_id],
            flow=demand.flow,
        )

    def _load(self, queue: _Queue, named: list[tuple[str, Delivery]]) -> list[Delivered]:
        delivered, swept = [], []
        for ack_id, delivery in named:
            message = self._storage.message(delivery.published_at)
            if message is None:
                swept.append(delivery.published_at)
            else:
                delivered.append(Delivered(ack_id, message))
        if swept:
            _log.warning("%s missed %d messages past retention", queue.row.name, len(swept))
            with queue.changed:
                self._acknowledge(queue, swept)
        return delivered

    def _acknowledge(self, queue: _Queue, published_ats: list[int]) -> None:
        if queue.is_deleted or not published_ats:
            return
        cursor, above = queue.deliveries.acknowledge(published_ats)
        self._storage.acknowledge(queue.row.subscription_id, cursor, above)
        queue.changed.notify_all()
