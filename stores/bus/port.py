"""The port of the bus: topics that keep messages, subscriptions that read them at least once."""

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, Protocol

HITS_TOPIC: Final = "hits"
"""The topic that blocks travel on."""
ARCHIVE_SUBSCRIPTION: Final = "archive"
"""The archiver's subscription, acknowledged after the durable write."""
TOPIC_RETENTION_SECONDS: Final = 48 * 3600
"""How long the topic keeps a message, acknowledged or not: how far back a job can seek."""


def stream_subscription(lineage_number: int) -> str:
    """The subscription of the streaming job that writes the lineage ``live-N``.

    Raises:
        ValueError: when ``lineage_number`` is below 1.
    """
    if lineage_number < 1:
        raise ValueError(f"lineage number: expected 1 or more, got {lineage_number}")
    return f"stream-live-{lineage_number}"


class BusUnavailableError(Exception):
    """The bus did not answer in time; the same call may succeed later."""


class UnknownNameError(Exception):
    """The topic or subscription does not exist; create it first."""


@dataclass(frozen=True, kw_only=True)
class Received:
    """One delivery of one message.

    Attributes:
        ack_id: Names this delivery; what ``acknowledge`` and ``extend`` take.
        payload: The bytes published.
        attributes: The attributes published.
        published_at_us: UTC µs at which the bus took the message.
        message_id: The bus's name of the message, the same in every delivery.
    """

    ack_id: str
    payload: bytes
    attributes: Mapping[str, str]
    published_at_us: int
    message_id: str


class Publisher(Protocol):
    """Puts messages on topics.

    A message is kept once its publish has answered; a publish that raised may have happened.
    """

    def ensure_topic(self, topic: str) -> None:
        """Create ``topic``, keeping messages for ``TOPIC_RETENTION_SECONDS``, if it is missing.

        Raises:
            BusUnavailableError: when the bus does not answer.
        """

    def publish(self, topic: str, payload: bytes, attributes: Mapping[str, str]) -> Future[str]:
        """Send one message at once, unbatched; the future holds its message id.

        One attempt: the future raises ``BusUnavailableError``, ``UnknownNameError``, or
        ``ValueError`` when the bus refuses the message (over 10 MB, empty, bad attributes).
        """

    def publish_patiently(
        self,
        topic: str,
        payload: bytes,
        attributes: Mapping[str, str],
        *,
        deadline_seconds: float,
    ) -> str:
        """Send one message, again and again through an outage; returns its message id.

        Raises:
            BusUnavailableError: when ``deadline_seconds`` pass, or ``close`` is called, first.
            UnknownNameError: when there is no such topic.
            ValueError: when the bus refuses the message.
        """

    def close(self) -> None:
        """Let go of connections; ends patient publishes that are still trying."""


class Subscriber(Protocol):
    """Reads subscriptions. Every method raises ``BusUnavailableError`` when the bus is silent,
    and ``UnknownNameError`` when there is no such subscription."""

    def ensure_subscription(
        self, subscription: str, topic: str, *, ack_deadline_seconds: int = 60
    ) -> None:
        """Create ``subscription`` of ``topic`` if it is missing; it sees what comes after."""

    def pull(
        self, subscription: str, max_messages: int, *, wait_seconds: float = 1.0
    ) -> list[Received]:
        """Take up to ``max_messages``, waiting about ``wait_seconds`` for the first one.

        May return fewer than there are; returns none when none came. What is not acknowledged
        within the subscription's deadline comes again.
        """

    def acknowledge(self, subscription: str, ack_ids: Iterable[str]) -> None:
        """Say that the deliveries are done with and need not come again."""

    def extend(self, subscription: str, ack_ids: Iterable[str], seconds: int) -> None:
        """Keep the deliveries for ``seconds`` (0 to 600) from now; 0 gives them back at once."""

    def seek(self, subscription: str, instant_us: int) -> None:
        """Go to ``instant_us`` (UTC µs): what was published before counts as acknowledged, what
        was published at it or later comes again, acknowledged or not."""

    def delete_subscription(self, subscription: str) -> None:
        """Remove ``subscription``; no error if it is not there."""

    def close(self) -> None:
        """Let go of connections."""
