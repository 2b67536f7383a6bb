"""Models of accounts, properties and data streams, as they are sent and answered."""

from typing import Any

from pydantic import Field

from config_api.models import Account, Answer, DisplayName, Document, Sent


class AccountSent(Sent):
    """An organisation to be."""

    display_name: DisplayName
    default_rules: Document = Field(default_factory=dict)


class AccountChange(Sent):
    """What changes of an organisation."""

    display_name: DisplayName | None = None
    default_rules: Document | None = None


class AccountAnswer(Answer):
    """An organisation."""

    name: str
    display_name: str
    default_rules: dict[str, Any]
    created_at: int


class AccountsAnswer(Answer):
    """Organisations."""

    accounts: list[AccountAnswer]


class PropertySent(Sent):
    """A property to be; what ``rules`` leaves out, the default rules of its account say."""

    parent: Account
    display_name: DisplayName
    rules: Document = Field(default_factory=dict)


class PropertyChange(Sent):
    """What changes of a property."""

    display_name: DisplayName | None = None


class PropertyAnswer(Answer):
    """A property."""

    name: str
    parent: str
    display_name: str
    created_at: int
    updated_at: int


class PropertiesAnswer(Answer):
    """Properties, by id."""

    properties: list[PropertyAnswer]
    next_page_token: int | None = None


class Enhanced(Sent):
    """What the tracker measures by itself; what is left out stays as it is."""

    page_views: bool | None = None
    scrolls: bool | None = None
    outbound_clicks: bool | None = None
    site_search: bool | None = None
    video_engagement: bool | None = None
    file_downloads: bool | None = None
    form_interactions: bool | None = None


class DataStreamSent(Sent):
    """A data stream to be."""

    display_name: DisplayName
    allowed_hosts: list[str] = Field(default_factory=list, max_length=200)
    enhanced_measurement: Enhanced = Enhanced()


class DataStreamChange(Sent):
    """What changes of a data stream."""

    display_name: DisplayName | None = None
    allowed_hosts: list[str] | None = Field(None, max_length=200)
    enhanced_measurement: Enhanced | None = None


class DataStreamAnswer(Answer):
    """A data stream."""

    name: str
    measurement_id: str
    display_name: str
    allowed_hosts: list[str]
    enhanced_measurement: dict[str, bool]
    created_at: int
    updated_at: int


class DataStreamsAnswer(Answer):
    """The data streams of a property."""

    data_streams: list[DataStreamAnswer]
