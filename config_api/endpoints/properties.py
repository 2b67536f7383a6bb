"""Endpoints of properties and their data streams."""

from typing import Final

from sqlalchemy import Connection

from config_api import data_streams, names, properties
from config_api.calls import About, Call, Kind, Reply, Request
from config_api.models import Page
from config_api.property_models import (
    DataStreamAnswer,
    DataStreamChange,
    DataStreamsAnswer,
    DataStreamSent,
    Enhanced,
    PropertiesAnswer,
    PropertyAnswer,
    PropertyChange,
    PropertySent,
)
from config_api.transaction import Transaction


def _list(connection: Connection, request: Request) -> Reply:
    page: Page = request.query
    rows = properties.all_of(
        connection,
        organisation_ids=request.caller.organisation_ids,
        property_id=request.caller.property_id,
        after=page.page_token,
        limit=page.page_size,
    )
    following = rows[-1]["id"] if len(rows) == page.page_size else None
    found = [_property(row) for row in rows]
    return Reply(answer=PropertiesAnswer(properties=found, next_page_token=following))


def _create(transaction: Transaction, request: Request) -> Reply:
    sent: PropertySent = request.body
    organisation_id = int(sent.parent.removeprefix("accounts/"))
    row = properties.create(transaction, organisation_id, name=sent.display_name, rules=sent.rules)
    return Reply(answer=_property(row))


def _get(connection: Connection, request: Request) -> Reply:
    return Reply(answer=_property(properties.get(connection, request.ids["property_id"])))


def _change(transaction: Transaction, request: Request) -> Reply:
    sent: PropertyChange = request.body
    row = properties.change(transaction, request.ids["property_id"], name=sent.display_name)
    return Reply(answer=_property(row))


def _list_streams(connection: Connection, request: Request) -> Reply:
    rows = data_streams.all_of(connection, request.ids["property_id"])
    return Reply(answer=DataStreamsAnswer(data_streams=[_stream(row) for row in rows]))


def _create_stream(transaction: Transaction, request: Request) -> Reply:
    sent: DataStreamSent = request.body
    row = data_streams.create(
        transaction,
        request.ids["property_id"],
        name=sent.display_name,
        allowed_hosts=sent.allowed_hosts,
        enhanced_measurement=_switches(sent.enhanced_measurement),
    )
    return Reply(answer=_stream(row))


def _get_stream(connection: Connection, request: Request) -> Reply:
    ids = request.ids
    return Reply(answer=_stream(data_streams.get(connection, ids["property_id"], ids["stream_id"])))


def _change_stream(transaction: Transaction, request: Request) -> Reply:
    sent: DataStreamChange = request.body
    row = data_streams.change(
        transaction,
        request.ids["property_id"],
        request.ids["stream_id"],
        name=sent.display_name,
        allowed_hosts=sent.allowed_hosts,
        enhanced_measurement=_switches(sent.enhanced_measurement or Enhanced()),
    )
    return Reply(answer=_stream(row))


def _switches(sent: Enhanced) -> dict[str, bool]:
    return sent.model_dump(exclude_none=True)


def _property(row: properties.Row) -> PropertyAnswer:
    return PropertyAnswer(
        name=names.property_name(row["id"]),
        parent=names.account(row["organisation_id"]),
        display_name=row["name"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _stream(row: data_streams.Row) -> DataStreamAnswer:
    return DataStreamAnswer(
        name=names.data_stream(row["property_id"], row["id"]),
        measurement_id=row["measurement_id"],
        display_name=row["name"],
        allowed_hosts=row["allowed_hosts"],
        enhanced_measurement=row["enhanced_measurement"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


_PROPERTY: Final = "/v1/properties/{property_id}"
_STREAMS: Final = f"{_PROPERTY}/dataStreams"

CALLS: Final = (
    Call(
        name="list_properties", method="GET", path="/v1/properties", kind=Kind.READ,
        function=_list, summary="The properties that the key may see", query=Page,
        answer=PropertiesAnswer, about=About.VISIBLE,
    ),
    Call(
        name="create_property", method="POST", path="/v1/properties", kind=Kind.WRITE,
        function=_create, summary="Add a property without data streams", body=PropertySent,
        answer=PropertyAnswer, about=About.PARENT,
    ),
    Call(
        name="get_property", method="GET", path=_PROPERTY, kind=Kind.READ, function=_get,
        summary="A property", answer=PropertyAnswer,
    ),
    Call(
        name="change_property", method="PATCH", path=_PROPERTY, kind=Kind.WRITE, function=_change,
        summary="Rename a property", body=PropertyChange, answer=PropertyAnswer,
    ),
    Call(
        name="list_data_streams", method="GET", path=_STREAMS, kind=Kind.READ,
        function=_list_streams, summary="The data streams of a property",
        answer=DataStreamsAnswer,
    ),
    Call(
        name="create_data_stream", method="POST", path=_STREAMS, kind=Kind.WRITE,
        function=_create_stream, summary="Add a data stream; its measurement id is drawn",
        body=DataStreamSent, answer=DataStreamAnswer,
    ),
    Call(
        name="get_data_stream", method="GET", path=f"{_STREAMS}/{{stream_id}}", kind=Kind.READ,
        function=_get_stream, summary="A data stream", answer=DataStreamAnswer,
    ),
    Call(
        name="change_data_stream", method="PATCH", path=f"{_STREAMS}/{{stream_id}}",
        kind=Kind.WRITE, function=_change_stream, summary="Change a data stream",
        body=DataStreamChange, answer=DataStreamAnswer,
    ),
)  # fmt: skip
