"""The bus by Google's own client: Pub/Sub itself, its emulators, or the embedded server."""

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import grpc
from google.api_core import exceptions
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from stores.bus.messages import PublishRequest, PubsubMessage
from stores.bus.port import (
    TOPIC_RETENTION_SECONDS,
    BusUnavailableError,
    Received,
    UnknownNameError,
)

_CALL_SECONDS: Final = 20.0
_TRANSFER_SECONDS: Final = 5.0
"""Added to the time a pull waits, so that an answer on its way is not cut off: what it holds
would come again only after its acknowledgement deadline."""
_CONCURRENT_PUBLISHES: Final = 8
_ACK_IDS_PER_CALL: Final = 1_000
_FIRST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 2.0
_CHANNEL_OPTIONS: Final = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.use_local_subchannel_pool", 1),
)
_PASSING_ERRORS: Final = (
    exceptions.ServiceUnavailable,
    exceptions.DeadlineExceeded,
    exceptions.InternalServerError,
    exceptions.Aborted,
    exceptions.Cancelled,
    exceptions.TooManyRequests,
    exceptions.Unknown,
    exceptions.RetryError,
)


@dataclass(frozen=True)
class BusAddress:
    """Where the bus is.

    Attributes:
        project: Google's name of the project that owns topics and subscriptions.
        emulator: ``host:port`` of an emulator or the embedded server; none for Google itself.
    """

    project: str
    emulator: str | None

    @staticmethod
    def parse(url: str) -> "BusAddress":
        """The address in ``pubsub://HOST:PORT/PROJECT``, or ``pubsub:///PROJECT`` for Google.

        Raises:
            ValueError: when ``url`` is neither.
        """
        parts = urlsplit(url)
        project = parts.path.strip("/")
        complete = parts.scheme == "pubsub" and project and "/" not in project
        if not complete or (parts.netloc and not parts.port):
            raise ValueError(
                "bus address: expected pubsub://HOST:PORT/PROJECT for an emulator or "
                f"pubsub:///PROJECT for Google Pub/Sub, got {url!r}"
            )
        return BusAddress(project, parts.netloc or None)

    @property
    def url(self) -> str:
        """What ``parse`` reads."""
        return f"pubsub://{self.emulator or ''}/{self.project}"

    def topic_path(self, topic: str) -> str:
        """Google's full name of ``topic``."""
        return f"projects/{self.project}/topics/{topic}"

    def subscription_path(self, subscription: str) -> str:
        """Google's full name of ``subscription``."""
        return f"projects/{self.project}/subscriptions/{subscription}"


def emulator_environment(address: BusAddress) -> dict[str, str]:
    """The environment variables that lead Beam's own Pub/Sub client to ``address``."""
    if address.emulator is None:
        return {}
    return {"PUBSUB_EMULATOR_HOST": address.emulator, "PUBSUB_PROJECT_ID": address.project}


class PubSubPublisher:
    """A ``Publisher`` on Google Pub/Sub or what speaks like it. Safe to share among threads.

    Nothing connects before the first call.
    """

    def __init__(self, address: BusAddress) -> None:
        self._address = address
        self._channel, self._client = _connect(address, PublisherClient, PublisherGrpcTransport)
        self._closing = threading.Event()
        self._pool = ThreadPoolExecutor(_CONCURRENT_PUBLISHES, thread_name_prefix="publish")

    def ensure_topic(self, topic: str) -> None:
        """See ``Publisher``."""
        request = {
            "name": self._address.topic_path(topic),
            "message_retention_duration": Duration(seconds=TOPIC_RETENTION_SECONDS),
        }
        with _errors():
            _ensure(lambda: self._client.create_topic(request, retry=None, timeout=_CALL_SECONDS))

    def publish(self, topic: str, payload: bytes, attributes: Mapping[str, str]) -> Future[str]:
        """See ``Publisher``; up to eight run side by side."""
        return self._pool.submit(self._publish, topic, payload, attributes, _CALL_SECONDS)

    def publish_patiently(
        self,
        topic: str,
        payload: bytes,
        attributes: Mapping[str, str],
        *,
        deadline_seconds: float,
    ) -> str:
        """See ``Publisher``; pauses 50 ms to 2 s between two tries."""
        end = time.monotonic() + deadline_seconds
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            call_seconds = max(0.01, min(_CALL_SECONDS, end - time.monotonic()))
            try:
                return self._publish(topic, payload, attributes, call_seconds)
            except BusUnavailableError:
                # Jitter, so that those who lost the bus together do not come back together.
                pause = pause_seconds * random.uniform(0.5, 1.0)  # noqa: S311
                if time.monotonic() + pause >= end or self._closing.wait(pause):
                    raise
                pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)

    def close(self) -> None:
        """See ``Publisher``."""
        self._closing.set()
        self._pool.shutdown(wait=True)
        _disconnect(self._channel, self._client)

    def _publish(
        self, topic: str, payload: bytes, attributes: Mapping[str, str], call_seconds: float
    ) -> str:
        message = PubsubMessage(data=payload, attributes=dict(attributes))
        request = PublishRequest(topic=self._address.topic_path(topic), messages=[message])
        with _errors():
            response = self._client.publish(request, retry=None, timeout=call_seconds)
        message_id: str = response.message_ids[0]
        return message_id


class PubSubSubscriber:
    """A ``Subscriber`` on Google Pub/Sub or what speaks like it. Safe to share among threads.

    Nothing connects before the first call.
    """

    def __init__(self, address: BusAddress) -> None:
        self._address = address
        self._channel, self._client = _connect(address, SubscriberClient, SubscriberGrpcTransport)

    def ensure_subscription(
        self, subscription: str, topic: str, *, ack_deadline_seconds: int = 60
    ) -> None:
        """See ``Subscriber``."""
        request = {
            "name": self._address.subscription_path(subscription),
            "topic": self._address.topic_path(topic),
            "ack_deadline_seconds": ack_deadline_seconds,
        }
        with _errors():
            _ensure(
                lambda: self._client.create_subscription(request, retry=None, timeout=_CALL_SECONDS)
            )

    def pull(
        self, subscription: str, max_messages: int, *, wait_seconds: float = 1.0
    ) -> list[Received]:
        """See ``Subscriber``."""
        end = time.monotonic() + wait_seconds
        while True:
            received = self._pull(subscription, max_messages, end - time.monotonic())
            if received or time.monotonic() >= end:
                return received

    def acknowledge(self, subscription: str, ack_ids: Iterable[str]) -> None:
        """See ``Subscriber``."""
        for some in _slices(list(ack_ids)):
            with _errors():
                self._client.acknowledge(
                    subscription=self._address.subscription_path(subscription),
                    ack_ids=some,
                    retry=None,
                    timeout=_CALL_SECONDS,
                )

    def extend(self, subscription: str, ack_ids: Iterable[str], seconds: int) -> None:
        """See ``Subscriber``."""
        for some in _slices(list(ack_ids)):
            with _errors():
                self._client.modify_ack_deadline(
                    subscription=self._address.subscription_path(subscription),
                    ack_ids=some,
                    ack_deadline_seconds=seconds,
                    retry=None,
                    timeout=_CALL_SECONDS,
                )

    def seek(self, subscription: str, instant_us: int) -> None:
        """See ``Subscriber``."""
        instant = Timestamp()
        instant.FromMicroseconds(instant_us)
        request = {
            "subscription": self._address.subscription_path(subscription),
            "time": instant,
        }
        with _errors():
            self._client.seek(request, retry=None, timeout=_CALL_SECONDS)

    def delete_subscription(self, subscription: str) -> None:
        """See ``Subscriber``."""
        with _errors():
            try:
                self._client.delete_subscription(
                    subscription=self._address.subscription_path(subscription),
                    retry=None,
                    timeout=_CALL_SECONDS,
                )
            except exceptions.NotFound:
                return

    def close(self) -> None:
        """See ``Subscriber``."""
        _disconnect(self._channel, self._client)

    def _pull(self, subscription: str, max_messages: int, wait_seconds: float) -> list[Received]:
        request: dict[str, Any] = {
            "subscription": self._address.subscription_path(subscription),
            "max_messages": max_messages,
        }
        if wait_seconds <= 0:
            request["return_immediately"] = True
        timeout = max(wait_seconds, 0) + _TRANSFER_SECONDS
        with _errors():
            try:
                response = self._client.pull(request, retry=None, timeout=timeout)
            except exceptions.DeadlineExceeded:
                if wait_seconds <= 0:
                    raise
                return []  # Google's servers may wait longer than we do
        return [_received(one) for one in type(response).pb(response).received_messages]


def _received(one: Any) -> Received:
    return Received(
        ack_id=one.ack_id,
        payload=one.message.data,
        attributes=dict(one.message.attributes),
        published_at_us=one.message.publish_time.ToMicroseconds(),
        message_id=one.message.message_id,
    )


def _connect(address: BusAddress, client: Any, transport: Any) -> tuple[Any, Any]:
    """A channel of our own (none for Google, whose client makes one) and the client on it."""
    if address.emulator is None:
        return None, client()
    channel = grpc.insecure_channel(address.emulator, options=_CHANNEL_OPTIONS)
    return channel, client(transport=transport(channel=channel))


def _disconnect(channel: Any, client: Any) -> None:
    client.transport.close()
    if channel is not None:
        channel.close()


def _ensure(create: Callable[[], Any]) -> None:
    try:
        create()
    except exceptions.AlreadyExists:
        return


def _slices(ack_ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ack_ids), _ACK_IDS_PER_CALL):
        yield ack_ids[start : start + _ACK_IDS_PER_CALL]


@contextmanager
def _errors() -> Iterator[None]:
    """Raise the port's errors for the client's."""
    try:
        yield
    except exceptions.NotFound as error:
        raise UnknownNameError(error.message) from error
    except exceptions.InvalidArgument as error:
        raise ValueError(f"the bus refused the request: {error.message}") from error
    except _PASSING_ERRORS as error:
        raise BusUnavailableError(f"the bus did not answer: {error}") from error
