"""Idempotency: a POST that is sent again under the same key is done once and answered alike."""

import hashlib
from typing import Any, Final

from sqlalchemy import delete, insert, select

from config_api.errors import ConflictError
from config_api.tables import IDEMPOTENCY_KEYS
from config_api.transaction import Transaction

KEPT_SECONDS: Final = 86_400


def fingerprint(method: str, path: str, body: bytes) -> str:
    """What tells a request from another one under the same key."""
    return hashlib.sha256(b"\0".join([method.encode(), path.encode(), body])).hexdigest()


def answered(transaction: Transaction, idempotency_key: str, request: str) -> dict[str, Any] | None:
    """The answer that this request has had; ``None`` where it is the first of its key.

    Args:
        transaction: In which it is about to be done, by the same caller.
        idempotency_key: As it was sent.
        request: Its fingerprint.

    Raises:
        ConflictError: when the key came with another request.
    """
    table = IDEMPOTENCY_KEYS
    old = transaction.now_us - KEPT_SECONDS * 1_000_000
    transaction.connection.execute(delete(table).where(table.c.created_at < old))
    query = select(table).where(
        table.c.caller == transaction.actor, table.c.idempotency_key == idempotency_key
    )
    found = transaction.connection.execute(query).mappings().first()
    if found is None:
        return None
    if found["fingerprint"] != request:
        raise ConflictError("Idempotency-Key: this one came with another request before")
    answer: dict[str, Any] = found["answer"]
    return answer


def remember(
    transaction: Transaction, idempotency_key: str, request: str, answer: dict[str, Any]
) -> None:
    """Keep an answer for those who ask again; a secret in it is not kept."""
    kept = answer | ({"secret": None} if "secret" in answer else {})
    row = {
        "caller": transaction.actor,
        "idempotency_key": idempotency_key,
        "fingerprint": request,
        "answer": kept,
        "created_at": transaction.now_us,
    }
    transaction.connection.execute(insert(IDEMPOTENCY_KEYS).values(row))
