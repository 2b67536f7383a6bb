"""The Publisher service of Google Pub/Sub over the broker."""

from collections.abc import Callable
from typing import Any, Final

import grpc

from stores.bus import messages
from stores.bus.broker import Broker
from stores.bus.limits import answering, check_messages, check_name, check_project, check_retention
from stores.bus.port import TOPIC_RETENTION_SECONDS
from stores.bus.storage import TopicRow

SERVICE: Final = "google.pubsub.v1.Publisher"


class PublisherService:
    """CreateTopic, GetTopic, ListTopics, DeleteTopic and Publish."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def handlers(self) -> grpc.GenericRpcHandler:
        """What a gRPC server needs to serve this."""
        methods = {
            "CreateTopic": (self._create_topic, messages.Topic),
            "GetTopic": (self._get_topic, messages.GetTopicRequest),
            "ListTopics": (self._list_topics, messages.ListTopicsRequest),
            "DeleteTopic": (self._delete_topic, messages.DeleteTopicRequest),
            "Publish": (self._publish, messages.PublishRequest),
        }
        return grpc.method_handlers_generic_handler(
            SERVICE, {name: unary_handler(*method) for name, method in methods.items()}
        )

    def _create_topic(self, request: Any, _: grpc.ServicerContext) -> Any:
        retention_seconds = check_retention(
            request.message_retention_duration,
            present=request.HasField("message_retention_duration"),
            default_seconds=TOPIC_RETENTION_SECONDS,
        )
        return _topic(
            self._broker.create_topic(check_name(request.name, "topics"), retention_seconds)
        )

    def _get_topic(self, request: Any, _: grpc.ServicerContext) -> Any:
        return _topic(self._broker.topic(check_name(request.topic, "topics")))

    def _list_topics(self, request: Any, _: grpc.ServicerContext) -> Any:
        rows = self._broker.topics(check_project(request.project))
        return messages.ListTopicsResponse(topics=[_topic(row) for row in rows])

    def _delete_topic(self, request: Any, _: grpc.ServicerContext) -> Any:
        self._broker.delete_topic(check_name(request.topic, "topics"))
        return messages.Empty()

    def _publish(self, request: Any, _: grpc.ServicerContext) -> Any:
        topic_name = check_name(request.topic, "topics")
        check_messages(request)
        stamps = self._broker.publish(topic_name, [_encoder(one) for one in request.messages])
        return messages.PublishResponse(message_ids=[str(stamp) for stamp in stamps])


def unary_handler(method: Callable[[Any, grpc.ServicerContext], Any], request_class: Any) -> Any:
    """The gRPC handler of a method that takes one message and answers one."""
    return grpc.unary_unary_rpc_method_handler(
        answering(method),
        request_deserializer=request_class.FromString,
        response_serializer=lambda response: response.SerializeToString(),
    )


def _encoder(message: Any) -> Callable[[int], bytes]:
    def encode(published_at: int) -> bytes:
        message.message_id = str(published_at)
        message.publish_time.FromMicroseconds(published_at)
        encoded: bytes = message.SerializeToString()
        return encoded

    return encode


def _topic(row: TopicRow) -> Any:
    return messages.Topic(
        name=row.name, message_retention_duration={"seconds": row.retention_seconds}
    )
