"""The Subscriber service of Google Pub/Sub over the broker."""

import sys
import threading
from collections.abc import Iterator
from typing import Any, Final

import grpc

from stores.bus import messages
from stores.bus.broker import Broker, Delivered, Demand
from stores.bus.deliveries import Flow
from stores.bus.limits import (
    DEFAULT_SUBSCRIPTION_RETENTION_SECONDS,
    RefusedError,
    check_ack_deadline,
    check_extension,
    check_name,
    check_project,
    check_retention,
    invalid,
    refusals,
)
from stores.bus.publisher_service import unary_handler
from stores.bus.storage import SubscriptionRow

SERVICE: Final = "google.pubsub.v1.Subscriber"

_PULL_WAIT_SECONDS: Final = 1.0
_ANSWER_MARGIN_SECONDS: Final = 0.25
"""A pull answers this long before its client gives up: what it leased would else be lost for a
whole acknowledgement deadline."""
_STREAM_WAIT_SECONDS: Final = 30.0
_MAX_MESSAGES_PER_ANSWER: Final = 1_000


class SubscriberService:
    """Administration of subscriptions, Pull, StreamingPull, Acknowledge, ModifyAckDeadline and
    Seek."""

    def __init__(self, broker: Broker, stopping: threading.Event) -> None:
        self._broker = broker
        self._stopping = stopping

    def handlers(self) -> grpc.GenericRpcHandler:
        """What a gRPC server needs to serve this."""
        methods = {
            "CreateSubscription": (self._create_subscription, messages.Subscription),
            "GetSubscription": (self._get_subscription, messages.GetSubscriptionRequest),
            "ListSubscriptions": (self._list_subscriptions, messages.ListSubscriptionsRequest),
            "DeleteSubscription": (self._delete_subscription, messages.DeleteSubscriptionRequest),
            "Pull": (self._pull, messages.PullRequest),
            "Acknowledge": (self._acknowledge, messages.AcknowledgeRequest),
            "ModifyAckDeadline": (self._modify_deadline, messages.ModifyAckDeadlineRequest),
            "Seek": (self._seek, messages.SeekRequest),
        }
        streaming_pull = grpc.stream_stream_rpc_method_handler(
            self._streaming_pull,
            request_deserializer=messages.StreamingPullRequest.FromString,
            response_serializer=lambda response: response.SerializeToString(),
        )
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {name: unary_handler(*method) for name, method in methods.items()}
            | {"StreamingPull": streaming_pull},
        )

    def _create_subscription(self, request: Any, _: grpc.ServicerContext) -> Any:
        row = self._broker.create_subscription(
            check_name(request.name, "subscriptions"),
            check_name(request.topic, "topics"),
            ack_deadline_seconds=check_ack_deadline(request.ack_deadline_seconds),
            retention_seconds=check_retention(
                request.message_retention_duration,
                present=request.HasField("message_retention_duration"),
                default_seconds=DEFAULT_SUBSCRIPTION_RETENTION_SECONDS,
            ),
        )
        return _subscription(row)

    def _get_subscription(self, request: Any, _: grpc.ServicerContext) -> Any:
        name = check_name(request.subscription, "subscriptions")
        return _subscription(self._broker.subscription(name))

    def _list_subscriptions(self, request: Any, _: grpc.ServicerContext) -> Any:
        rows = self._broker.subscriptions(check_project(request.project))
        return messages.ListSubscriptionsResponse(
            subscriptions=[_subscription(row) for row in rows]
        )

    def _delete_subscription(self, request: Any, _: grpc.ServicerContext) -> Any:
        self._broker.delete_subscription(check_name(request.subscription, "subscriptions"))
        return messages.Empty()

    def _pull(self, request: Any, context: grpc.ServicerContext) -> Any:
        name = check_name(request.subscription, "subscriptions")
        if request.max_messages < 1:
            raise invalid(f"Invalid max_messages: expected 1 or more, got {request.max_messages}.")
        wait_seconds = 0.0
        if not request.return_immediately:
            wait_seconds = min(_PULL_WAIT_SECONDS, _remaining(context) - _ANSWER_MARGIN_SECONDS)
        demand = Demand(
            max_messages=min(request.max_messages, _MAX_MESSAGES_PER_ANSWER),
            max_bytes=sys.maxsize,
            wait_seconds=wait_seconds,
            is_wanted=context.is_active,
        )
        response = messages.PullResponse()
        _fill(response, self._broker.pull(name, demand))
        return response

    def _acknowledge(self, request: Any, _: grpc.ServicerContext) -> Any:
        name = check_name(request.subscription, "subscriptions")
        self._broker.acknowledge(name, request.ack_ids)
        return messages.Empty()

    def _modify_deadline(self, request: Any, _: grpc.ServicerContext) -> Any:
        name = check_name(request.subscription, "subscriptions")
        self._broker.extend(name, request.ack_ids, check_extension(request.ack_deadline_seconds))
        return messages.Empty()

    def _seek(self, request: Any, _: grpc.ServicerContext) -> Any:
        name = check_name(request.subscription, "subscriptions")
        if request.WhichOneof("target") != "time":
            raise invalid("Seek: expected a time; snapshots are not kept here.")
        self._broker.seek(name, request.time.ToMicroseconds())
        return messages.SeekResponse()

    def _streaming_pull(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Any:
        with refusals(context):
            first = next(requests, None)
            if first is None:
                raise invalid("StreamingPull: expected a first request naming the subscription.")
            name = check_name(first.subscription, "subscriptions")
            self._broker.subscription(name)
            demand = _stream_demand(first, context)
            context.add_callback(lambda: self._broker.wake(name))
            self._obey(name, first)
            threading.Thread(
                target=self._obey_all, args=(name, requests, context), daemon=True
            ).start()
            while context.is_active():
                if self._stopping.is_set():
                    raise RefusedError(grpc.StatusCode.UNAVAILABLE, "The server is stopping.")
                delivered = self._broker.pull(name, demand)
                if delivered:
                    response = messages.StreamingPullResponse()
                    _fill(response, delivered)
                    yield response

    def _obey_all(self, name: str, requests: Iterator[Any], context: grpc.ServicerContext) -> None:
        try:
            for request in requests:
                self._obey(name, request)
        except RefusedError as error:
            context.set_code(error.status)
            context.set_details(str(error))
            context.cancel()
        except Exception:
            # gRPC ends the iterator of a broken stream with a bare Exception.
            if context.is_active():
                context.cancel()
                raise

    def _obey(self, name: str, request: Any) -> None:
        if request.ack_ids:
            self._broker.acknowledge(name, request.ack_ids)
        if len(request.modify_deadline_ack_ids) != len(request.modify_deadline_seconds):
            raise invalid("modify_deadline_ack_ids and modify_deadline_seconds differ in length.")
        for ack_id, seconds in zip(
            request.modify_deadline_ack_ids, request.modify_deadline_seconds, strict=True
        ):
            self._broker.extend(name, [ack_id], check_extension(seconds))


def _stream_demand(first: Any, context: grpc.ServicerContext) -> Demand:
    return Demand(
        max_messages=first.max_outstanding_messages or sys.maxsize,
        max_bytes=first.max_outstanding_bytes or sys.maxsize,
        wait_seconds=_STREAM_WAIT_SECONDS,
        is_wanted=context.is_active,
        ack_deadline_seconds=check_ack_deadline(first.stream_ack_deadline_seconds),
        flow=Flow(),
    )


def _fill(response: Any, delivered: list[Delivered]) -> None:
    for one in delivered:
        received = response.received_messages.add()
        received.ack_id = one.ack_id
        received.message.MergeFromString(one.message)


def _remaining(context: grpc.ServicerContext) -> float:
    remaining: float | None = context.time_remaining()
    return _PULL_WAIT_SECONDS + _ANSWER_MARGIN_SECONDS if remaining is None else remaining


def _subscription(row: SubscriptionRow) -> Any:
    return messages.Subscription(
        name=row.name,
        topic=row.topic_name,
        ack_deadline_seconds=row.ack_deadline_seconds,
        message_retention_duration={"seconds": row.retention_seconds},
        state="ACTIVE",
    )
