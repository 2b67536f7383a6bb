"""The wire format: the Pub/Sub messages as Google's client package defines them.

The raw protobuf classes, not their proto-plus wrappers: a wrapper costs more than a whole publish.
"""

from typing import Any

from google.protobuf import empty_pb2
from google.pubsub_v1.types import pubsub

Empty = empty_pb2.Empty

Topic: Any = pubsub.Topic.pb()
GetTopicRequest: Any = pubsub.GetTopicRequest.pb()
ListTopicsRequest: Any = pubsub.ListTopicsRequest.pb()
ListTopicsResponse: Any = pubsub.ListTopicsResponse.pb()
DeleteTopicRequest: Any = pubsub.DeleteTopicRequest.pb()
PublishRequest: Any = pubsub.PublishRequest.pb()
PublishResponse: Any = pubsub.PublishResponse.pb()
PubsubMessage: Any = pubsub.PubsubMessage.pb()

Subscription: Any = pubsub.Subscription.pb()
GetSubscriptionRequest: Any = pubsub.GetSubscriptionRequest.pb()
ListSubscriptionsRequest: Any = pubsub.ListSubscriptionsRequest.pb()
ListSubscriptionsResponse: Any = pubsub.ListSubscriptionsResponse.pb()
DeleteSubscriptionRequest: Any = pubsub.DeleteSubscriptionRequest.pb()
PullRequest: Any = pubsub.PullRequest.pb()
PullResponse: Any = pubsub.PullResponse.pb()
StreamingPullRequest: Any = pubsub.StreamingPullRequest.pb()
StreamingPullResponse: Any = pubsub.StreamingPullResponse.pb()
AcknowledgeRequest: Any = pubsub.AcknowledgeRequest.pb()
ModifyAckDeadlineRequest: Any = pubsub.ModifyAckDeadlineRequest.pb()
SeekRequest: Any = pubsub.SeekRequest.pb()
SeekResponse: Any = pubsub.SeekResponse.pb()
