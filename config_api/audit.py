"""The audit trail: who changed what, when; ``Transaction.note`` writes it."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from config_api.tables import AUDIT

Row = Mapping[str, Any]


def newest(
    connection: Connection,
    *,
    organisation_id: int | None = None,
    property_id: int | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[Row]:
    """Lines of the trail, the newest first.

    Args:
        connection: Where they are.
        organisation_id: Of this one alone.
        property_id: Of this one alone.
        before: Those with a lower id.
        limit: How many at most.
    """
    query = select(AUDIT).order_by(AUDIT.c.id.desc()).limit(limit)
    if organisation_id is not None:
        query = query.where(AUDIT.c.organisation_id == organisation_id)
    if property_id is not None:
        query = query.where(AUDIT.c.property_id == property_id)
    if before is not None:
        query = query.where(AUDIT.c.id < before)
    return [dict(row) for row in connection.execute(query).mappings()]
