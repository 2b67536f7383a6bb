"""The endpoint of the audit trail."""

from typing import Final

from sqlalchemy import Connection

from config_api import audit
from config_api.access_models import AuditAnswer, AuditAsked, AuditLine
from config_api.authorisation import subject_named
from config_api.calls import About, Call, Kind, Reply, Request


def _list(connection: Connection, request: Request) -> Reply:
    asked: AuditAsked = request.query
    about = subject_named(connection, asked.parent)
    rows = audit.newest(
        connection,
        organisation_id=about.organisation_id,
        property_id=about.property_id,
        before=asked.page_token or None,
        limit=asked.page_size,
    )
    names = AuditLine.model_fields
    lines = [AuditLine(**{name: row[name] for name in names}) for row in rows]
    following = rows[-1]["id"] if len(rows) == asked.page_size else None
    return Reply(answer=AuditAnswer(lines=lines, next_page_token=following))


CALLS: Final = (
    Call(
        name="list_audit", method="GET", path="/v1/audit", kind=Kind.READ, function=_list,
        summary="Who changed what, the newest first", query=AuditAsked, answer=AuditAnswer,
        about=About.PARENT,
    ),
)  # fmt: skip
